"""The databases that the settings of a Spring or Quarkus service name are started beside it."""

from __future__ import annotations

import pytest

from deadweight_init.records import Beside
from deadweight_init.services import find_services
from deadweight_init.tree import look
from tests.support.trees import written

POM = "<project><artifactId>shop</artifactId><parent><artifactId>spring-boot-starter-parent</artifactId></parent></project>"
PLACE = "src/main/resources"


def around(tmp_path, files):
    (service,) = find_services(look(written(tmp_path / "shop", {"pom.xml": POM, **files})))
    told = service.around
    return {name: known.value for name, known in told.env.items()}, {each.value.name: each for each in told.needs}


def test_a_database_of_the_settings_is_started_beside_the_service(tmp_path):
    text = (
        "# data\nspring.datasource.url = jdbc:mysql://localhost:3306/notes?useSSL=false\n"
        "spring.datasource.username=root\nspring.datasource.password=secret\nspring.data.redis.host=localhost\n"
    )
    env, needs = around(tmp_path, {f"{PLACE}/application.properties": text})
    assert env == {
        "SPRING_DATASOURCE_URL": "jdbc:mysql://mysql:3306/notes?useSSL=false",
        "SPRING_DATA_REDIS_HOST": "redis",
    }
    assert needs["mysql"].value == Beside(
        "mysql", "mysql:8", 3306, {"MYSQL_DATABASE": "notes", "MYSQL_ROOT_PASSWORD": "secret"}
    )
    assert needs["mysql"].origin == f"from {PLACE}/application.properties:2"
    assert needs["redis"].value == Beside("redis", "redis:7", 6379)


def test_defaults_of_placeholders_hold_and_what_has_none_is_given(tmp_path):
    text = (
        "spring:\n  profiles: {active: db}\n---\nspring:\n  config: {activate: {on-profile: cloud}}\n"
        "  datasource: {url: 'jdbc:mysql://cloud/x'}\n"
    )
    db = "spring:\n  datasource:\n    url: jdbc:postgresql://${HOST:localhost}:${PORT:5432}/shop\n    username: ${DB_USER}\n"
    env, needs = around(tmp_path, {f"{PLACE}/application.yml": text, f"{PLACE}/application-db.yml": db})
    assert env == {
        "SPRING_DATASOURCE_URL": "jdbc:postgresql://postgres:5432/shop",
        "SPRING_DATASOURCE_USERNAME": "app",
        "SPRING_DATASOURCE_PASSWORD": "app",
    }
    assert needs["postgres"].value.env == {"POSTGRES_USER": "app", "POSTGRES_PASSWORD": "app", "POSTGRES_DB": "shop"}


MONGO = "spring.data.mongodb.uri=mongodb://${db:carts-db}:27017/data\n"
MYSQL = "spring.datasource.url=jdbc:mysql://localhost/shop\n"


@pytest.mark.parametrize(
    ("beside", "text", "needed"),
    [
        ("zipkin: {image: openzipkin/zipkin, ports: ['9411:9411']}", MONGO, ["beside", "mongo"]),
        ("beside: {image: mongo}", MONGO, ["beside"]),
        ("beside: {image: postgres}", MYSQL, ["beside"]),
        ("beside: {image: redis}", MYSQL, ["beside", "mysql"]),
        ("beside: {image: redis}", "spring.data.mongodb.uri=mongodb://cluster.example.org/x\n", ["beside"]),
    ],
)
def test_what_a_compose_file_leaves_out_is_taken_from_the_settings(tmp_path, beside, text, needed):
    beside = beside.replace("zipkin:", "beside:", 1)
    compose = f"services:\n  web: {{build: ., depends_on: [beside]}}\n  {beside}\n"
    image = "FROM eclipse-temurin:17\nCOPY . .\nCMD java -jar x.jar\n"
    files = {"compose.yaml": compose, "Dockerfile": image, f"{PLACE}/application.properties": text}
    assert list(around(tmp_path, files)[1]) == needed


def test_quarkus_settings_for_production_hold(tmp_path):
    text = (
        "quarkus.datasource.username=hibernate\nquarkus.datasource.password=hibernate\n"
        "%prod.quarkus.datasource.jdbc.url=jdbc:postgresql://localhost/db\n%dev.quarkus.datasource.jdbc.url=jdbc:h2:mem:x\n"
    )
    env, _ = around(tmp_path, {f"{PLACE}/application.properties": text})
    assert env == {"QUARKUS_DATASOURCE_JDBC_URL": "jdbc:postgresql://postgres:5432/db"}


def test_a_mongo_of_the_settings_is_started_without_its_users(tmp_path):
    text = "spring.data.mongodb.uri=mongodb://me:secret@localhost:27017/shop?authSource=admin\n"
    env, needs = around(tmp_path, {f"{PLACE}/application.properties": text})
    assert env == {"SPRING_DATA_MONGODB_URI": "mongodb://mongo:27017/shop?authSource=admin"}
    assert needs["mongo"].value == Beside("mongo", "mongo:7", 27017)


@pytest.mark.parametrize(
    "files",
    [
        {
            f"{PLACE}/application.properties": "spring.datasource.url=jdbc:h2:mem:x\nspring.redis.host=cache.example.com\n"
        },
        {f"{PLACE}/application-mysql.properties": "spring.datasource.url=jdbc:mysql://localhost/x\n"},
        {f"{PLACE}/application.yml": "spring: [}\n"},
        {
            f"{PLACE}/application.properties": "spring.datasource.url=jdbc:mysql://localhost/x\n",
            "compose.yaml": "services:\n  shop: {build: ., environment: {SPRING_DATASOURCE_URL: jdbc:h2:mem:x}}\n",
            "Dockerfile": "FROM eclipse-temurin:17\nCOPY . /x\n",
        },
    ],
    ids=["in-memory", "other-profile", "broken", "compose-says-it"],
)
def test_nothing_is_started_where_the_settings_need_none(tmp_path, files):
    assert around(tmp_path, files)[1] == {}
