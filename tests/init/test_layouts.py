"""How repositories are laid out: what is one service, what it is called, and which files speak for it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from deadweight.records.ignore import Ignore
from deadweight_init.command import Wanted, init
from deadweight_init.dockerfile import missing_sources
from deadweight_init.draft import first_draft
from deadweight_init.prove.observe import Health, Seen
from deadweight_init.prove.posture import with_seen
from deadweight_init.prove.run import _leave_out_no_smaller
from deadweight_init.records import Known
from deadweight_init.services import find_services
from deadweight_init.tree import look
from deadweight_init.write.suite import suite_text
from tests.support import TESTS
from tests.support.recipes import recipe
from tests.support.trees import written

NODE = {"package.json": '{"dependencies": {"express": "4"}, "scripts": {"start": "node a.js"}}', "a.js": ""}
MAIN = 'package main\n\nimport "net/http"\n\nfunc main() { http.ListenAndServe(":8080", nil) }\n'


def found(root: Path, files: dict[str, str]):
    return find_services(look(written(root, files)))


def in_folders(*folders: str) -> dict[str, str]:
    return {f"{folder}/{name}": text for folder in folders for name, text in NODE.items()}


def test_a_root_that_only_holds_packages_together_hides_none_of_them(tmp_path):
    workspace = {"package.json": '{"workspaces": ["apps/*"]}', "pyproject.toml": "[tool.ruff]\n"}
    services = found(tmp_path, {**workspace, **in_folders("apps/cart", "apps/mail")})
    assert [(each.name, each.folder) for each in services] == [("cart", "apps/cart"), ("mail", "apps/mail")]


POD = "spec: {containers: [{name: NAME, image: x.org/NAME, ports: [{containerPort: PORT}]}]}\n"


def pod(name: str, port: int) -> str:
    return POD.replace("NAME", name).replace("PORT", str(port))


def test_manifests_beside_the_services_are_those_of_the_one_that_they_name(tmp_path):
    files = {
        **in_folders("apps/cart", "apps/mail"),
        "k8s/cart.yaml": pod("cart", 6001),
        "k8s/mail.yaml": pod("mail", 6002),
    }
    services = found(tmp_path, files)
    assert {each.name: [port.value for port in each.around.ports] for each in services} == {
        "cart": [6001],
        "mail": [6002],
    }


def test_a_service_at_the_root_has_no_port_of_a_manifest_that_names_another(tmp_path):
    files = {**in_folders("apps/cart"), "apps/cart/Dockerfile": "FROM node:22\nCOPY . .\n", "tool.py": ""}
    files |= {"deploy/Dockerfile": "FROM python:3\nCOPY tool.py .\nEXPOSE 7000\n", "k8s/cart.yaml": pod("cart", 6001)}
    services = found(tmp_path / "shop", files)
    assert {each.name: [port.value for port in each.around.ports] for each in services} == {"cart": [6001], "shop": []}


def test_a_service_is_not_told_its_port_by_a_variable_that_another_language_reads(tmp_path):
    files = {
        **in_folders("web"),
        "web/a.js": "app.listen(process.env.PORT || 6003)\n",
        "web/Dockerfile": "FROM node:22\nCOPY . .\n",
    }
    files |= {
        "deploy/Dockerfile": 'FROM python:3\nCOPY . .\nCMD ["python", "mail.py"]\n',
        "mail.py": "",
        "requirements.txt": "flask\n",
    }
    services = found(tmp_path / "shop", files)
    assert {each.name: bool(each.port_variable) for each in services} == {"shop": False, "web": True}


def test_a_program_and_its_dockerfile_further_down_are_one_service(tmp_path):
    files = {
        "go.mod": "module x.org/shop\n",
        "cmd/server/main.go": MAIN,
        "cmd/server/Dockerfile": "FROM golang\nCOPY . .\n",
    }
    files["cmd/server/entry.sh"] = ""
    (service,) = found(tmp_path / "shop", {**files, "Makefile": "image:\n\tdocker build -f cmd/server/Dockerfile .\n"})
    assert (service.name, service.folder, service.project.folder) == ("shop", "cmd/server", ".")


def test_the_only_service_is_named_as_the_repository(tmp_path):
    (service, sample) = found(tmp_path / "shop", in_folders("src", "samples/small"))
    assert (service.name, service.folder, sample.name) == ("shop", "src", "small")


def test_the_shorter_of_two_folders_goes_first(tmp_path):
    services = found(tmp_path, in_folders("complete-fast", "complete"))
    assert [each.folder for each in services] == ["complete", "complete-fast"]


def test_a_checkout_has_its_git_folder(tmp_path):
    tree = look(written(tmp_path, {"a.go": ""}))
    text = "FROM golang\nCOPY .git/ .git/\nCOPY .git .\n"
    assert missing_sources(tree, text, ".", Ignore([])) == [".git/", ".git"]
    (tmp_path / ".git").mkdir()
    assert missing_sources(tree, text, ".", Ignore([])) == []
    assert missing_sources(tree, text, ".", Ignore([".git"])) == [".git/", ".git"]


def test_a_stage_that_a_platform_names_is_followed(tmp_path):
    tree = look(written(tmp_path, {"a.go": ""}))
    text = "FROM alpine AS image-amd64\nCOPY linux/amd64/app /app\nFROM image-${TARGETARCH}\n"
    assert missing_sources(tree, text, ".", Ignore([])) == ["linux/amd64/app"]


def test_an_override_adds_to_the_compose_file_that_it_is_for(tmp_path):
    base = "services:\n  web:\n    build: .\n    depends_on: [db]\n    environment: {A: one, B: two}\n  db: {image: postgres}\n"
    more = "services:\n  web:\n    build: .\n    environment: {B: three}\n    depends_on: [mail]\n  mail: {image: x/mailhog}\n"
    dev = "services:\n  web:\n    build: .\n    environment: {A: dev}\n"
    files = {"docker-compose.yml": base, "docker-compose.override.yml": more, "docker-compose.dev.yml": dev}
    (service,) = found(tmp_path, {**files, "Dockerfile": "FROM alpine\n"})
    assert {name: each.value for name, each in service.around.env.items()} == {"A": "one", "B": "three"}
    assert [each.value.name for each in service.around.needs] == ["db", "mail"]


def test_what_is_needed_has_the_name_by_which_it_is_called(tmp_path):
    compose = (
        "services:\n  web:\n    build: .\n    environment: {U: 'postgres://me@shop-db:5432/x'}\n    depends_on: [postgres, cache]\n"
        "  postgres: {image: 'postgres:16', container_name: shop-db}\n  cache: {image: 'redis:7', container_name: shop-cache}\n"
    )
    (service,) = found(tmp_path, {"compose.yaml": compose, "Dockerfile": "FROM alpine\n"})
    needs = [(each.value.name, each.origin) for each in service.around.needs]
    assert needs == [("shop-db", "from compose.yaml:6"), ("cache", "from compose.yaml:7")]


def test_what_a_service_may_lack_is_known_from_examples_and_from_its_code(tmp_path):
    code = "redis(process.env.REDIS_HOST)\napp.listen(80, process.env.BIND_HOST || 'localhost')\n"
    (service,) = found(tmp_path, {**NODE, "a.js": code, ".env.example": "SECRET=x\nEMPTY=\n", ".env": "SECRET=real\n"})
    assert [(each.value, each.origin) for each in service.spare] == [
        ({"SECRET": "x"}, "from .env.example"),
        ({"BIND_HOST": "0.0.0.0"}, "from a.js:2"),
    ]


DATABASE = "services:\n  db:\n    image: postgres:16\n    ports: ['127.0.0.1:6543:5432']\n  web: {image: x/y, ports: ['80:80']}\n"


def test_settings_that_name_this_machines_ports_name_the_containers_behind_them(tmp_path):
    example = (
        "URL=postgres://me@localhost:6543/x\nHOME_PAGE=http://localhost:81\nDB_HOST=127.0.0.1\nDB_PORT=6543\nKEY=a\n"
    )
    (service,) = found(tmp_path / "a", {**NODE, "compose.yaml": DATABASE, ".env.example": example})
    env = {name: each.value for name, each in service.around.env.items()}
    assert env == {
        "URL": "postgres://me@db:5432/x", "HOME_PAGE": "http://localhost:81", "DB_HOST": "db", "DB_PORT": "5432", "KEY": "a",
    }  # fmt: skip
    assert [(each.value.name, each.origin) for each in service.around.needs] == [("db", "from compose.yaml:2")]
    (service,) = found(
        tmp_path / "b", {**NODE, "compose.yaml": DATABASE, ".env.example": "URL=http://localhost:3000\n"}
    )
    assert (dict(service.around.env), service.around.needs) == ({}, ())


def test_an_env_file_is_read_where_git_has_it(tmp_path):
    compose = "services:\n  web:\n    build: .\n    env_file: .env\n    environment: {B: '${A}'}\n"
    root = written(tmp_path, {"compose.yaml": compose, "Dockerfile": "FROM alpine\n", ".env": "A=one\n"})
    subprocess.run(["git", "init", "-q", root], check=True)
    assert dict(find_services(look(root))[0].around.env) == {}
    subprocess.run(["git", "-C", root, "add", ".env"], check=True)
    env = find_services(look(root))[0].around.env
    assert {name: each.value for name, each in env.items()} == {"A": "one", "B": "one"}


def test_the_compose_service_that_builds_the_first_dockerfile_speaks_for_it(tmp_path):
    tests = "services:\n  tests:\n    build: {context: ., dockerfile: tests.Dockerfile}\n    environment: {A: tests}\n"
    web = "services:\n  web:\n    build: .\n    environment: {A: web}\n"
    docker = {"Dockerfile": "FROM alpine\n", "tests.Dockerfile": "FROM alpine\n"}
    (service,) = found(tmp_path, {**docker, "compose.a.yaml": tests, "compose.b.yaml": web})
    assert service.around.env["A"].value == "web"


@pytest.mark.parametrize(
    ("stages", "named", "built"),
    [
        ("FROM golang AS builder\nFROM scratch AS runtime\nCOPY --from=builder /y /y\n", "builder", None),
        ("FROM golang AS builder\nFROM builder AS dev-envs\n", "builder", "builder"),
        ("FROM golang AS builder\nFROM scratch AS small\nFROM alpine AS big\n", "small", "small"),
    ],
)
def test_a_stage_that_only_builds_is_for_developers_where_the_last_one_is_for_users(tmp_path, stages, named, built):
    compose = f"services:\n  app:\n    build: {{context: ., target: {named}}}\n    ports: ['8080:8080']\n"
    (service,) = found(tmp_path, {"Dockerfile": stages, "compose.yaml": compose})
    assert service.dockerfiles[0].target == built


def test_images_that_wait_for_another_build_hide_no_project_below_them(tmp_path):
    files = {"docker/Dockerfile": "FROM eclipse-temurin:17\nCOPY target/app.jar /app.jar\n", "compose.yaml": ""}
    services = found(tmp_path, {**files, **in_folders("cart", "mail")})
    assert [each.name for each in services][:2] == ["cart", "mail"]


def test_a_need_has_the_files_that_are_its_secrets(tmp_path):
    compose = (
        "services:\n  web: {build: ., depends_on: [db]}\n  db: {image: postgres, secrets: [pw, other]}\n"
        "secrets:\n  pw: {file: db/pw.txt}\n  other: {environment: X}\n"
    )
    (service,) = found(tmp_path, {"compose.yaml": compose, "Dockerfile": "FROM alpine\n", "db/pw.txt": "x"})
    assert [dict(each.value.files) for each in service.around.needs] == [{"/run/secrets/pw": "db/pw.txt"}]


def test_a_database_has_the_password_that_the_service_reads_from_the_file(tmp_path):
    compose = (
        "services:\n  web: {build: ., secrets: [pw], environment: {DB_PASSWORD_FILE: /run/secrets/pw}}\n"
        "  db: {image: postgres, secrets: [pw], environment: {POSTGRES_PASSWORD_FILE: /run/secrets/pw}}\n"
        "secrets:\n  pw: {file: db/pw.txt}\n"
    )
    files = {"compose.yaml": compose, "Dockerfile": "FROM alpine\n", "app.py": "host = 'db'\n", "db/pw.txt": "sesame\n"}
    (service,) = found(tmp_path, files)
    assert [dict(each.value.env) for each in service.around.needs] == [{"POSTGRES_PASSWORD": "sesame"}]
    assert {name: known.value for name, known in service.around.env.items()} == {"DB_PASSWORD_FILE": "/run/secrets/pw"}


@pytest.mark.parametrize(
    ("code", "needed"),
    [
        ("createClient({ host: 'store', port: 6379 })", ["store"]),
        ('url = "redis://store:6379/0"', ["store"]),
        ('url = "redis://${cache:store}:6379/0"', ["store"]),
        ('host = "${CACHE_HOST:store}"', ["store"]),
        ('name = "${CACHE_NAME:store}"', []),
        ('dial("store:6379")', ["store"]),
        ("restore = 'store'", []),
    ],
)
def test_a_host_that_the_code_names_is_needed(tmp_path, code, needed):
    compose = "services:\n  web: {build: .}\n  store: {image: redis}\n  other: {image: redis}\n"
    (service,) = found(tmp_path, {**NODE, "compose.yaml": compose, "Dockerfile": "FROM node\nCOPY . .\n", "a.js": code})
    assert [each.value.name for each in service.around.needs] == needed


def test_a_service_of_the_root_goes_before_databases_with_settings_and_tools(tmp_path):
    files = {
        "requirements.txt": "pyramid\n",
        "vendor/lib.tar.gz": "",
        "Dockerfile": "FROM python:3.12\nCOPY ./vendor /app/vendor/\nCOPY . /app\nEXPOSE 8000\n",
        "docker/mariadb/Dockerfile": "FROM mariadb:10.5\nCOPY my.cnf /etc/mysql/conf.d/\n",
        "docker/mariadb/my.cnf": "",
        "docker/assets/Dockerfile": "FROM ruby:3\nCOPY a.rb .\nCMD ruby a.rb\n",
        "docker/assets/a.rb": "",
        "compose.yaml": "services:\n  web: {build: ., depends_on: [db]}\n  db: {image: postgres:16}\n",
    }
    services = found(tmp_path, files)
    assert [each.folder for each in services] == [".", "docker/assets", "docker/mariadb"]
    assert services[0].dockerfiles[0].refused == ""


def test_a_vendored_folder_that_is_not_there_has_to_be_made(tmp_path):
    image = "FROM golang\nCOPY vendor vendor\nCOPY . .\nRUN go build -o /x\nCMD /x\n"
    (service,) = found(tmp_path, {"go.mod": "module x\n", "main.go": MAIN, "Dockerfile": image})
    assert service.dockerfiles[0].refused == "it copies vendor, which is not in the repository and must be built first"


def test_what_answers_goes_before_what_shows_it(tmp_path):
    services = found(tmp_path, in_folders("frontend", "server"))
    assert [each.folder for each in services] == ["server", "frontend"]


def test_a_service_that_needs_a_database_goes_before_the_pages_beside_it(tmp_path):
    files = {"go.mod": "module x.org/shop\n", "main.go": MAIN, "Dockerfile": "FROM golang\nCOPY main.go .\n"}
    files |= {"compose.yaml": "services:\n  shop: {build: ., depends_on: [db]}\n  db: {image: postgres}\n"}
    files |= {"site/Dockerfile": "FROM nginx\nCOPY a.html /usr/share/nginx/html/\n", "site/a.html": ""}
    assert [each.folder for each in found(tmp_path, files)] == [".", "site"]


@pytest.mark.parametrize(
    ("own", "args"), [("", ("gunicorn", "--bind", ":9000", "app:app")), ('CMD ["python", "app.py"]', ())]
)
def test_the_command_of_a_compose_file_starts_an_image_that_has_none(tmp_path, own, args):
    compose = "services:\n  web: {build: ., command: 'gunicorn --reload --bind :9000 app:app'}\n"
    files = {"requirements.txt": "flask\n", "app.py": "app = Flask(__name__)\n", "compose.yaml": compose}
    (service,) = found(tmp_path, {**files, "Dockerfile": f"FROM python:3.12\nCOPY . .\n{own}\n"})
    today = recipe(service, "build").rungs[0]
    assert service.dockerfiles[0].args == args
    assert today.keys.get("run") == (
        '{args: [gunicorn, "--bind", ":9000", "app:app"]}  # from your Compose file' if args else None
    )
    assert service.project.start == (("-m", *args) if args else ("app.py",))


def test_apko_files_that_are_there_are_the_first_rungs(tmp_path):
    apko = "contents: {packages: [shop=1.0-r0, busybox]}\n"
    melange = {
        "melange.yaml": "package: {name: shop, version: '1.0'}\n",
        "other.melange.yaml": "package: {name: other}\n",
    }
    files = {"go.mod": "module x.org/shop\n", "main.go": MAIN, "apko.yaml": apko, "examples/apko.yaml": apko, **melange}
    (service,) = found(tmp_path, files)
    draft = recipe(service, "build")
    rung = draft.rungs[0]
    assert (rung.name, rung.builder, rung.keys) == (
        "today-apko",
        "apko",
        {"config": "apko.yaml", "packages": "[melange.yaml]"},
    )
    written(tmp_path, dict(draft.ladder.files))
    assert [each.name for each in find_services(look(tmp_path))[0].more] == ["today-apko"]


def test_an_apko_file_alone_is_a_service(tmp_path):
    (service,) = found(
        tmp_path, {"apko.yaml": "contents: {packages: [nginx]}\nentrypoint: {command: /usr/sbin/nginx}\n"}
    )
    assert [(each.name, each.keys) for each in recipe(service, "build").rungs] == [
        ("today-apko", {"config": "apko.yaml"})
    ]


@pytest.mark.parametrize("read_only", [True, False])
def test_files_are_the_users_own_where_the_service_has_to_write_among_them(tmp_path, read_only):
    package = {"scripts": {"start": "node a.js"}, "dependencies": {"express": "*"}}
    (service,) = found(tmp_path, {"package.json": json.dumps(package), "a.js": ""})
    health = Health("http", 3000, "/", 200)
    seen = Seen(health, (3000,), "1000:1000", 10**7, 4, ("/srv/static",), 1.0, 0.1, 0)
    draft = with_seen(recipe(service, "build"), seen, {"read_only": Known(read_only)})
    files = draft.ladder.files
    owner = "--chown=65532:65532 " if not read_only else ""
    assert f"COPY {owner}--from=build /app /app" in files["build/Dockerfile"]
    # a folder that WORKDIR makes would be root's
    ends = files["build/Dockerfile"].rpartition("FROM ")[2]
    assert (ends.index("WORKDIR /app") > ends.index("COPY ")) is (not read_only)


PYTHON = {"requirements.txt": "flask\n", "app.py": ""}


@pytest.mark.parametrize(
    ("stop_seconds", "written"),
    [(0.1, "{stops_within_seconds: 10}\n"), (8.9, "{stops_within_seconds: 30}  # seen: it took 8.9 s\n")],
)
def test_a_service_that_takes_long_to_end_is_given_what_kubernetes_gives(tmp_path, stop_seconds, written):
    (service,) = found(tmp_path, PYTHON)
    seen = Seen(Health("http", 3000, "/", 200), (3000,), "0:0", 10**7, 4, (), 1.0, stop_seconds, 0)
    text = suite_text(with_seen(recipe(service, "build"), seen, {}))
    assert f"    runs: {written}" in re.sub("(}) +#", r"\1  #", text)


GREETER = {
    "go.mod": "module example.com/greeter\n\ngo 1.25\n",
    "main.go": 'package main\n\nimport "net/http"\n\nfunc main() {\n\thttp.HandleFunc("/healthz", ok)\n'
    '\thttp.Handle("/", http.FileServer(http.Dir("pages")))\n\thttp.ListenAndServe(":8080", nil)\n}\n',
    "pages/index.html": "<h1>Hello</h1>\n",
    "Dockerfile": "FROM golang:1.25 AS build\nWORKDIR /src\nCOPY . .\nRUN CGO_ENABLED=0 go build -o /greeter .\n"
    'FROM alpine:3\nWORKDIR /srv\nCOPY pages pages\nCOPY --from=build /greeter /greeter\nEXPOSE 8080\nENTRYPOINT ["/greeter"]\n',
    "compose.yaml": "services:\n  greeter:\n    build: .\n    environment: {CACHE: redis://cache:6379}\n"
    "  cache: {image: redis:7}\n",
}


def test_a_draft_in_full(tmp_path):
    (service,) = found(tmp_path / "greeter", GREETER)
    assert suite_text(first_draft(service, "build")) == (TESTS / "data" / "init_draft.yaml").read_text()


def test_a_file_that_adds_to_a_compose_file_may_tell_the_command(tmp_path):
    files = {
        "docker-compose.yml": "services:\n  web: {build: .}\n",
        "docker-compose.dev.yml": "services:\n  web: {command: yarn dev}\n",
        "docker-compose.prod.yml": "services:\n  web: {command: yarn start}\n  other: {command: no}\n",
    }
    (service,) = found(tmp_path, {**files, **NODE, "Dockerfile": "FROM node:22\nCOPY . .\n"})
    assert service.dockerfiles[0].args == ("yarn", "start")


def test_a_compose_file_in_a_folder_above_speaks_for_its_services(tmp_path):
    service = "services:\n  backend: {build: backend, environment: {LEVEL: '%s'}, depends_on: [db]}\n"
    compose = f"{service}  db: {{image: postgres:16}}\n"
    files = in_folders("one/backend", "two/backend")
    files |= {f"{name}/compose.yaml": compose % name for name in ("one", "two")}
    services = found(tmp_path, files)
    assert [(each.folder, each.around.env["LEVEL"].value) for each in services] == [
        ("one/backend", "one"),
        ("two/backend", "two"),
    ]
    assert [need.value.name for each in services for need in each.around.needs] == ["db", "db"]


@pytest.mark.parametrize(
    ("folder", "needs"),
    [("docker", ["db"]), ("deploy/local", ["db"]), ("examples", [])],
)
def test_a_compose_file_below_speaks_for_the_service_whose_dockerfile_it_builds(tmp_path, folder, needs):
    up = "/".join(".." for _ in folder.split("/"))
    compose = f"services:\n  web:\n    build: {{context: {up}, dockerfile: docker/Dockerfile}}\n    depends_on: [db]\n"
    files = {
        "requirements.txt": "flask\n",
        "app.py": "app = Flask(__name__)\n",
        "docker/Dockerfile": "FROM python:3.12\nCOPY . .\nCMD python app.py\n",
        f"{folder}/compose.yaml": f"{compose}  db: {{image: postgres:16}}\n",
    }
    (service,) = found(tmp_path, files)
    assert [need.value.name for need in service.around.needs] == needs


def test_services_of_one_name_are_told_apart_by_their_folders(tmp_path):
    outcome = init(
        written(tmp_path, in_folders("one/backend", "two/backend", "mail")),
        Wanted(service="all"),
        lambda *_: None,
        print,
        None,
    )
    assert [draft.service.name for draft in outcome.drafts] == ["mail", "one-backend", "two-backend"]


def test_a_database_with_a_dockerfile_of_its_own_is_its_base_with_the_files_that_it_copies(tmp_path):
    compose = (
        "services:\n  api: {build: ., depends_on: [db]}\n  db:\n    build: ./data/pg\n"
        "    environment: [POSTGRES_PASSWORD=secret]\n  front: {build: front}\n"
    )
    files = {
        **NODE,
        "Dockerfile": "FROM node:22\nCOPY . .\nCMD node a.js\n",
        "compose.yaml": compose,
        "data/pg/Dockerfile": "FROM postgres:16-alpine\nENV POSTGRES_USER=me\nADD make.sql /docker-entrypoint-initdb.d\n",
        "data/pg/make.sql": "",
    }
    services = found(tmp_path, files)
    (db,) = next(each for each in services if each.folder == ".").around.needs
    assert (db.value.name, db.value.image) == ("db", "postgres:16-alpine")
    assert db.value.env == {"POSTGRES_USER": "me", "POSTGRES_PASSWORD": "secret"}
    assert db.value.files == {"/docker-entrypoint-initdb.d/make.sql": "data/pg/make.sql"}


@pytest.mark.parametrize(
    ("size", "verified", "said"),
    [
        (155_000_000, ["today", "debian", "minimal"], "it is no smaller (155 MB) than your own image (152 MB)"),
        (120_000_000, ["today", "debian", "minimal"], ""),
        (155_000_000, ["today", "minimal"], ""),
    ],
)
def test_run_time_files_alone_are_kept_where_that_is_smaller(tmp_path, size, verified, said):
    """Unless nothing else is there to compare with."""
    own = 'FROM python:3.12-slim\nCOPY . .\nRUN pip install -r requirements.txt\nCMD ["python", "app.py"]\n'
    (service,) = found(tmp_path, {"requirements.txt": "flask\n", "app.py": "", "Dockerfile": own})
    left: dict[str, str] = {}
    proof = SimpleNamespace(
        draft=first_draft(service, "build"), verified=verified, sizes={"today": 152_000_000, "minimal": size},
        leave_out=left.__setitem__,
    )  # fmt: skip
    _leave_out_no_smaller(proof)
    assert left == ({"minimal": said} if said else {})
    assert ("minimal" in proof.verified) is not bool(said)


@pytest.mark.parametrize("folder", ["02", "my shop", "yes"])
def test_any_name_of_a_folder_is_a_path_in_the_suite(tmp_path, folder):
    root = written(
        tmp_path / "x", {**in_folders(folder), f"{folder}/Dockerfile": "FROM node:22\nCOPY . .\nCMD node a.js\n"}
    )
    (service,) = find_services(look(root))
    variants = yaml.safe_load(suite_text(recipe(service, "build")))["variants"]
    assert {each.get("source") for each in variants.values()} == {folder}
    assert variants["today"]["dockerfile"] == f"{folder}/Dockerfile"
