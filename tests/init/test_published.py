"""Compose files that start the repository's own image, as it is published, tell how the service is run."""

from __future__ import annotations

import pytest

from deadweight_init.draft import first_draft
from deadweight_init.services import find_services
from deadweight_init.tree import look
from tests.support.trees import written

COMPOSE = """\
services:
  feeds:
    image: ${IMAGE:-example/feeds:latest}
    command: serve
    ports: ["80:8080"]
    depends_on: [db]
    environment: {DATABASE_URL: "postgres://feeds:secret@db/feeds"}
    volumes: ["./upload/:/data", "./settings.toml:/etc/settings.toml", "./absent.toml:/etc/absent.toml"]
  db:
    image: postgres:16
    environment: {POSTGRES_PASSWORD: secret}
"""
FILES = {"Dockerfile": 'FROM scratch\nCMD ["/x"]\n', "go.mod": "module example.com/feeds.app/v2\n\ngo 1.25\n",
         "main.go": "package main\n\nfunc main() {}\n", "contrib/docker-compose/settings.toml": "a = 1\n"}  # fmt: skip


@pytest.mark.parametrize("name", ["feeds", "v2"])
def test_a_compose_file_of_the_published_image_tells_how_it_is_run(tmp_path, name):
    root = written(tmp_path / name, {**FILES, "contrib/docker-compose/basic.yml": COMPOSE})
    (service,) = find_services(look(root))
    assert {known.value for known in service.around.env.values()} == {"postgres://feeds:secret@db/feeds"}
    assert [each.value.image for each in service.around.needs] == ["postgres:16"]
    assert service.volumes == {"/data": "from contrib/docker-compose/basic.yml:8"}
    assert set(service.around.files) == {"/etc/settings.toml"}
    assert service.dockerfiles[0].args == ()  # its command is for the published image
    assert first_draft(service, "build").run["tmpfs"].value == ["/tmp", "/data"]


def test_its_own_address_needs_no_second_one_of_it(tmp_path):
    own = COMPOSE.replace("DATABASE_URL:", "BASE_URL: 'http://localhost:80', DATABASE_URL:").replace("80:8080", "80:80")
    (service,) = find_services(look(written(tmp_path / "feeds", {**FILES, "compose.yaml": own})))
    assert [each.value.name for each in service.around.needs] == ["db"]
    assert service.around.env["BASE_URL"].value == "http://localhost:80"


def test_a_program_that_it_is_named_after_is_not_it(tmp_path):
    """Beside an image of the repository's name, one of a part of the name is another program."""
    beside = "services:\n  feeds:\n    image: feeds:2\n    command: --feeds\n    environment: {OTHER: x}\n"
    own = "  guard:\n    image: me/feeds-guard\n    environment: {SECRET: y}\n"
    files = {"Dockerfile": FILES["Dockerfile"], "examples/compose.yaml": beside + own, "old/compose.yaml": beside}
    (service,) = find_services(look(written(tmp_path / "feeds-guard", files)))
    assert set(service.around.env) == {"SECRET"}
    assert service.dockerfiles[0].args == ()


def test_a_compose_file_of_another_image_does_not(tmp_path):
    root = written(tmp_path / "shop", {"Dockerfile": FILES["Dockerfile"], "compose.yaml": COMPOSE})
    (service,) = find_services(look(root))
    assert service.around.env == {}
    assert service.around.needs == ()


def test_a_compose_file_that_builds_it_is_believed_first(tmp_path):
    own = 'services:\n  web:\n    build: .\n    environment: {LEVEL: "1"}\n'
    root = written(tmp_path / "feeds", {**FILES, "compose/all.yml": COMPOSE, "compose.yaml": own})
    (service,) = find_services(look(root))
    assert set(service.around.env) == {"LEVEL"}
