"""Files of settings that name this machine: for a database, or as the address to listen on."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import yaml

from deadweight_init.draft import first_draft
from deadweight_init.local_settings import with_databases_of_settings, with_open_settings
from deadweight_init.observe import written as writes
from deadweight_init.reachable import ONLY_LOOPBACK
from deadweight_init.services import find_services
from deadweight_init.settings_text import Servers, opened, served_beside
from deadweight_init.suitefile import suite_text
from deadweight_init.tree import look
from tests.support.trees import written

SQL = Servers(("postgres", "redis"), {}, {})
REFUSED = "dial tcp 127.0.0.1:5432: connect: connection refused"


@pytest.mark.parametrize(
    ("before", "after", "env"),
    [
        (
            "database:\n  host: 127.0.0.1\n  port: 5432\n  username: me\n  password: secret\n  database_name: shop\n",
            "database:\n  host: postgres\n  port: 5432\n  username: me\n  password: secret\n  database_name: shop\n",
            {"POSTGRES_USER": "me", "POSTGRES_PASSWORD": "secret", "POSTGRES_DB": "shop"},
        ),
        ('redis_uri: "redis://127.0.0.1:6379" # cache\n', 'redis_uri: "redis://redis:6379" # cache\n', {}),
        ("[redis]\nHost = 127.0.0.1:6379\n", "[redis]\nHost = redis:6379\n", {}),
        (
            '{\n  "db": {\n    "host": "localhost",\n    "user": "me",\n    "name": "shop"\n  }\n}\n',
            '{\n  "db": {\n    "host": "postgres",\n    "user": "me",\n    "name": "shop"\n  }\n}\n',
            {"POSTGRES_USER": "me", "POSTGRES_HOST_AUTH_METHOD": "trust", "POSTGRES_DB": "shop"},
        ),
        (
            'dsn: "postgres://127.0.0.1/shop?sslmode=disable&user=me&password=secret"\n',
            'dsn: "postgres://postgres:5432/shop?sslmode=disable&user=me&password=secret"\n',
            {"POSTGRES_USER": "me", "POSTGRES_PASSWORD": "secret", "POSTGRES_DB": "shop"},
        ),
        (
            '{"x": 1,\n "db_connection": "host=localhost port=15432 user=me password=secret dbname=shop",\n "a": 1}\n',
            '{"x": 1,\n "db_connection": "host=postgres port=5432 user=me password=secret dbname=shop",\n "a": 1}\n',
            {"POSTGRES_USER": "me", "POSTGRES_PASSWORD": "secret", "POSTGRES_DB": "shop"},
        ),
        ("server:\n  host: localhost\n  port: 8080\n", None, {}),
        ("jaeger:\n  Host: localhost:6831\n", None, {}),
        ("mongo:\n  host: localhost\n", None, {}),
        ("db:\n  host: db.example.org\n", None, {}),
    ],
)
def test_a_database_on_this_machine_is_one_beside_the_service(before, after, env):
    text, found = served_beside(before, SQL)
    assert text == (before if after is None else after)
    assert len(found) == (0 if after is None else 1)
    if env:
        assert found[0].env == env


def test_settings_of_several_servers_in_one_section_are_kept_apart():
    before = "DB_HOST=localhost\nDB_PORT=5432\nDB_USER=me\nDB_PASSWORD=x\nREDIS_HOST=localhost\nREDIS_PORT=6379\n"
    text, found = served_beside(before, SQL)
    assert text == before.replace("DB_HOST=localhost", "DB_HOST=postgres").replace(
        "REDIS_HOST=localhost", "REDIS_HOST=redis"
    )
    assert [(each.name, each.env.get("POSTGRES_USER")) for each in found] == [("postgres", "me"), ("redis", None)]


def test_mysql_of_go_is_told_by_its_own_form():
    text, found = served_beside("dsn = root:secret@tcp(127.0.0.1:3306)/shop?parseTime=1\n", Servers(("mysql",), {}, {}))
    assert text == "dsn = root:secret@tcp(mysql:3306)/shop?parseTime=1\n"
    assert found[0].env == {"MYSQL_DATABASE": "shop", "MYSQL_ROOT_PASSWORD": "secret"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            '{\n "bind_address": "localhost:9090",\n "db": "x"\n}\n',
            '{\n "bind_address": "0.0.0.0:9090",\n "db": "x"\n}\n',
        ),
        ("server:\n  host: 127.0.0.1\n  port: 9090\n", "server:\n  host: 0.0.0.0\n  port: 9090\n"),
        ("db:\n  host: 127.0.0.1\n  port: 5432\n", "db:\n  host: 127.0.0.1\n  port: 5432\n"),
    ],
)
def test_what_listens_on_loopback_by_its_settings_listens_everywhere(before, after):
    assert opened(before, "it listens on 127.0.0.1:9090 only") == after


@pytest.mark.parametrize("own", [True, False])
def test_a_copy_is_mounted_where_the_images_have_the_file(tmp_path, own):
    files = {
        "go.mod": "module x.org/shop\n\ngo 1.24\n\nrequire github.com/lib/pq v1.10.9\n",
        "main.go": 'package main\n\nfunc main() { os.ReadFile("conf/app.yaml"); http.ListenAndServe("localhost:9090", nil) }\n',
        "conf/app.yaml": "listen: localhost:9090\ndb:\n  host: localhost\n  user: me\n",
    }
    if own:
        files["Dockerfile"] = (
            "FROM golang AS b\nFROM alpine\nWORKDIR /srv\nCOPY --from=b /x .\nCOPY conf conf\nCMD ./x\n"
        )
    tree = look(written(tmp_path, files))
    draft = first_draft(find_services(tree)[0], "build")
    again = with_databases_of_settings(draft, REFUSED, tree)
    home = "/srv" if own else "/app"
    suite = yaml.safe_load(suite_text(again))
    mounted = suite["defaults"]["run"]["files"]
    assert mounted == {f"{home}/conf/app.yaml": "build/settings/conf-app.yaml"}
    assert "postgres" in suite["defaults"]["run"]["needs"]
    assert again.files["build/settings/conf-app.yaml"] == files["conf/app.yaml"].replace(
        "host: localhost", "host: postgres"
    )
    assert with_databases_of_settings(again, REFUSED, tree) is None
    assert with_databases_of_settings(draft, "it ended with exit code 1", tree) is None
    last = with_open_settings(again, f"it listens on 127.0.0.1:9090 only, {ONLY_LOOPBACK}", tree)
    assert last.files["build/settings/conf-app.yaml"] == "listen: 0.0.0.0:9090\ndb:\n  host: postgres\n  user: me\n"
    assert with_open_settings(last, f"it listens on 127.0.0.1:9090 only, {ONLY_LOOPBACK}", tree) is None
    python = replace(again, service=replace(again.service, project=replace(again.service.project, language="python")))
    assert with_databases_of_settings(python, REFUSED, tree) is None


def test_an_earlier_copy_may_be_replaced(tmp_path):
    from deadweight_init.command import _forced
    from deadweight_init.languages.common import HEADER

    files = {
        "deadweight.yaml": "",
        "build/Dockerfile": f"{HEADER}\n",
        "build/settings/app.yaml": "",
        "build/other.yaml": "",
    }
    written(tmp_path, files)
    assert _forced(tmp_path, ["deadweight.yaml"]) == ["deadweight.yaml", "build/settings/app.yaml"]


def test_where_the_engine_mounts_a_file_is_no_folder_that_the_service_writes_to():
    paths = (
        "/conf",
        "/conf/app.yaml",
        "/data",
        "/data/shop.db",
        "/etc",
        "/etc/shop",
        "/etc/shop/a.yaml",
        "/etc/shop/b.pid",
    )
    diff = [{"Path": path, "Kind": 1} for path in paths]
    container = SimpleNamespace(id="1", name="shop", api=SimpleNamespace(diff=lambda _: diff))
    assert writes(container, ["/conf/app.yaml", "/etc/shop/a.yaml"]) == ("/data", "/etc/shop")
