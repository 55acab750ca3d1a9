"""How repositories are laid out: what is one service, what it is called, and which files speak for it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from deadweight.records.ignore import Ignore
from deadweight_init.command import Wanted, init
from deadweight_init.dockerfile import missing_sources
from deadweight_init.draft import first_draft
from deadweight_init.languages.python_steps import in_turn
from deadweight_init.prove.observe import Health, Seen
from deadweight_init.prove.posture import with_seen
from deadweight_init.prove.run import _leave_out_no_smaller
from deadweight_init.records import Known
from deadweight_init.services import find_services
from deadweight_init.tree import look
from deadweight_init.write.suite import suite_text, whatever_the_build
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


def test_a_go_program_has_no_health_route_of_another_one_beside_it(tmp_path):
    files = {
        "go.mod": "module x.org/shop\n",
        "cmd/api/main.go": MAIN.replace('"net/http"\n', '"net/http"\nconst p = "/ready"\n'),
    }
    (service,) = find_services(look(written(tmp_path, {**files, "cmd/worker/main.go": MAIN})), "cmd/worker")
    assert service.project.health == ()


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


def test_of_two_programs_the_daemon_is_the_service(tmp_path):
    client = {"cmd/wtf/main.go": MAIN, "cmd/wtf-pages/main.go": MAIN}
    plain = MAIN.replace('import "net/http"', 'import "x.org/wtf/http"')
    files = {"go.mod": "module x.org/wtf\n", "http/http.go": "package http\n", **client, "cmd/wtfd/main.go": plain}
    (service,) = found(tmp_path, files)
    assert service.project.details["main"] == "cmd/wtfd"


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
    ("line", "start", "variable"),
    [
        ("CMD exec gunicorn --bind :$PORT -w 8 app:app", ("-m", "gunicorn", "--bind", ":8080", "-w", "8", "app:app"), "PORT"),
        ("EXPOSE 5000\nCMD uvicorn app:app --port ${PORT:-9000}", ("-m", "uvicorn", "app:app", "--port", "5000"), "PORT"),
        ('CMD ["shop", "serve"]', ("-m", "shop", "serve"), None),
        ('CMD ["shop-web", "serve"]', ("-m", "shop", "serve"), None),
        ("CMD flask init && flask run", ("-m", "flask", "run"), None),
        ("CMD flask init | flask run", ("-m", "gunicorn", "--bind", "0.0.0.0:5000", "wsgi:application"), None),
    ],
)  # fmt: skip
def test_what_the_own_command_starts_is_told(tmp_path, line, start, variable):
    files = {
        "setup.py": "entry_points={'console_scripts': ['shop-web = shop.cli:main']}",
        "shop/__main__.py": "",
        "shop/cli.py": "",
    }
    files |= {"requirements.txt": "flask\n", "wsgi.py": "application = create_app_wsgi()\n"}
    (service,) = found(tmp_path, {**files, "Dockerfile": f"FROM python:3.12\nCOPY . .\n{line}\n"})
    assert service.project.start == start
    assert (service.port_variable.value if service.port_variable else None) == variable


@pytest.mark.parametrize(
    ("said", "cgo"), [("RUN CGO_ENABLED=0 go build", ""), ("ENV CGO_ENABLED 0", ""), ("RUN go build", "1")]
)
def test_a_module_needs_cgo_unless_its_own_build_does_without(tmp_path, said, cgo):
    files = {"go.mod": "module x.org/y\n\nrequire github.com/mattn/go-sqlite3 v1\n", "main.go": MAIN}
    (service,) = found(tmp_path, {**files, "Dockerfile": f"FROM golang\nCOPY go.mod main.go ./\n{said}\n"})
    assert service.project.details["cgo"] == cgo


@pytest.mark.parametrize(
    ("line", "cgo"),
    [
        ('import _ "github.com/jinzhu/gorm/dialects/sqlite"', "1"),
        ('import (\n\t"gorm.io/gorm"\n\n\tlite "gorm.io/driver/sqlite"\n)', "1"),
        ('import _ "github.com/jinzhu/gorm/dialects/postgres"', ""),
        ('// See "gorm.io/driver/sqlite".', ""),
    ],
)
def test_a_driver_in_c_is_told_by_who_imports_it(tmp_path, line, cgo):
    db = f"package db\n\n{line}\n"
    files = {"go.mod": "module x.org/y\n\ngo 1.12\n", "main.go": MAIN, "db/db.go": db}
    assert found(tmp_path, files)[0].project.details["cgo"] == cgo
    (tmp_path / "db/db.go").rename(tmp_path / "db/db_test.go")
    assert found(tmp_path, {})[0].project.details["cgo"] == ""


def test_what_is_compiled_in_the_image_itself_is_not_copied_beside_the_binary(tmp_path):
    files = {"go.mod": "module x.org/y\n", "main.go": MAIN, "pages/a.html": ""}
    (service,) = found(
        tmp_path, {**files, "Dockerfile": "FROM golang\nWORKDIR /src\nCOPY go.mod ./\nCOPY . .\nCOPY pages pages\n"}
    )
    assert "COPY pages" not in recipe(service, "build").ladder.files["build/Dockerfile"]


def test_files_beside_a_binary_lie_where_the_own_image_has_them(tmp_path):
    files = {
        "go.mod": "module x.org/y\n",
        "main.go": MAIN,
        "etc/users": "",
        "etc/rules": "",
        "make_user": "#!/bin/sh\n",
        "ui/a": "",
    }
    copies = "COPY etc/users etc/rules /etc/y/\nCOPY make_user /usr/bin/\nCOPY ui /ui/\nCOPY amd64/y /app/y\n"
    services = found(tmp_path, {**files, "Dockerfile": f"FROM alpine\n{copies}"})
    draft = recipe(services[0], "build")
    ko = next(each for each in draft.ladder.rungs if each.name == "ko")
    assert ko.keys["files"] == "{/etc/y/users: etc/users, /etc/y/rules: etc/rules, /ui: ui}"
    text = draft.ladder.files["build/Dockerfile"]
    assert [line for line in text.splitlines() if line.startswith("COPY ") and "build" not in line] == [
        "COPY go.mod ./",
        "COPY . .",
        "COPY etc/users /etc/y/users",
        "COPY etc/rules /etc/y/rules",
        "COPY ui /ui",
    ]


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


@pytest.mark.parametrize(("said", "kept"), [("SIGINT", True), ("SIGTERM", False), ("$NAME", False)])
def test_the_signal_that_ends_the_own_image_ends_others_too(tmp_path, said, kept):
    files = {"go.mod": "module x.org/y\n", "main.go": MAIN, "Dockerfile": f"FROM alpine\nSTOPSIGNAL {said}\nCMD /y\n"}
    (service,) = found(tmp_path, files)
    text = recipe(service, "build").ladder.files["build/Dockerfile"]
    assert (f"STOPSIGNAL {said}\n" in text) is kept


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
    ("build", "version", "again"),
    [
        ("next build", "13.4.1", "npm run build"),
        ("next build", "^16.0.1", "npx next build --webpack"),
        ("next build", "latest", "npx next build --webpack"),
        ("next build --turbopack", "15.5.0", "npx next build"),
        ("next build --webpack", "16.1.0", "npm run build"),
    ],
)
def test_fonts_that_a_next_build_cannot_fetch_do_not_end_it(tmp_path, build, version, again):
    package = {"scripts": {"build": build, "start": "next start"}, "dependencies": {"next": version}}
    layout = "import { Inter } from 'next/font/google'\n"
    (service,) = found(tmp_path, {"package.json": json.dumps(package), "app/layout.tsx": layout})
    text = recipe(service, "build").ladder.files["build/Dockerfile"]
    assert f"RUN (npm run build || NEXT_FONT_GOOGLE_MOCKED_RESPONSES=/fonts.cjs {again}) && npm prune" in text
    (service,) = found(
        tmp_path / "plain", {"package.json": json.dumps(package), "app/layout.tsx": "", "pages/a.js": ""}
    )
    assert "fonts" not in recipe(service, "build").ladder.files["build/Dockerfile"]


def test_what_main_names_is_made_by_the_build(tmp_path):
    package = {"main": "dist/index.js", "scripts": {"build": "tsc", "dev": "tsx src/index.ts"}}
    package["dependencies"] = {"express": "*"}
    (service,) = found(tmp_path, {"package.json": json.dumps(package), "src/index.ts": ""})
    text = recipe(service, "build").ladder.files["build/Dockerfile"]
    assert "RUN npm run build" in text
    assert text.endswith('ENTRYPOINT ["node", "dist/index.js"]\n')


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


def test_libraries_that_a_jar_looks_for_beside_it_lie_beside_it(tmp_path):
    manifest = "<manifest><addClasspath>true</addClasspath><classpathPrefix>libs/</classpathPrefix></manifest>"
    pom = f"<project><artifactId>shop</artifactId>{manifest}</project>"
    files = {
        "pom.xml": pom,
        "Dockerfile": "FROM openjdk\nCOPY . .\nEXPOSE 80\nCMD java -jar a.jar\n",
        "src/main/java/A.java": "",
    }
    (service,) = found(tmp_path, files)
    lines = recipe(service, "build").ladder.files["build/Dockerfile"].splitlines()
    assert "COPY --from=build /libraries /app/libs" in lines
    assert next(line for line in lines if "ls -S" in line).endswith("/app.jar && cp -r target/libs /libraries")


def test_a_java_program_whose_image_has_a_port_is_a_server(tmp_path):
    pom = {"pom.xml": "<project><artifactId>shop</artifactId></project>", "src/main/java/A.java": ""}
    assert found(tmp_path / "a", pom) == ()
    (service,) = found(tmp_path / "b", {**pom, "Dockerfile": "FROM maven:3\nCOPY . .\nEXPOSE 4567\n"})
    assert service.project.problem == ""


JIB = "<plugin><artifactId>jib-maven-plugin</artifactId><configuration>{}</configuration></plugin>"


@pytest.mark.parametrize(
    ("plugin", "code", "port"),
    [
        ("", "HttpServer.create(new InetSocketAddress(7070), 0)", 7070),
        ("", "ServerBuilder.forPort(50051)", 50051),
        ("", "HttpServer.create(address, 0)", 8080),
        (JIB.format("<container><ports><port>7071</port></ports></container>"), "", 7071),
    ],
)
def test_a_java_program_that_listens_by_itself_is_a_server(tmp_path, plugin, code, port):
    main = f"package x; class A {{ public static void main(String[] a) {{ {code}; }} }}"
    files = {"pom.xml": f"<project><artifactId>shop</artifactId>{plugin}</project>", "src/main/java/x/A.java": main}
    (service,) = found(tmp_path, files)
    assert recipe(service, "build").port.value == port


def test_a_gradle_build_tells_the_ports_of_its_image(tmp_path):
    build = "plugins { id 'com.google.cloud.tools.jib' }\njib { container { ports = ['7072'] } }\n"
    (service,) = found(tmp_path, {"build.gradle": build, "src/main/java/A.java": ""})
    assert recipe(service, "build").port == Known(7072, "from build.gradle:2")


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


def test_what_the_repository_says_to_ko_is_taken(tmp_path):
    config = "defaultBaseImage: cgr.dev/chainguard/busybox\nbuilds:\n- {id: shop, main: ./cmd/second, ldflags: [-s]}\n"
    files = {"go.mod": "module x.org/shop\n", "cmd/first/main.go": MAIN, "cmd/second/main.go": MAIN, ".ko.yaml": config}
    (service,) = found(tmp_path, files)
    ko = next(each for each in recipe(service, "build").rungs if each.name == "ko")
    assert ko.keys == {
        "source": ".", "base": "cgr.dev/chainguard/busybox", "config": ".ko.yaml", "main": "./cmd/second",
    }  # fmt: skip
    assert service.project.details["others"] == ""
    (tmp_path / ".ko.yaml").write_text(f"{config}baseImageOverrides: {{x: y}}\n")
    (service,) = find_services(look(tmp_path))
    assert "config" not in next(each for each in recipe(service, "build").rungs if each.name == "ko").keys


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


def test_the_base_that_a_pom_gives_jib_is_taken(tmp_path):
    image = "<from><image>x/jre:17</image></from>"
    plugin = f"<plugin><artifactId>jib-maven-plugin</artifactId><configuration>{image}</configuration></plugin>"
    (service,) = found(tmp_path, {"pom.xml": f"<project><artifactId>a</artifactId>spring-boot{plugin}</project>"})
    bases = {each.name: each.keys["base"] for each in recipe(service, "build").rungs if each.builder == "jib"}
    assert bases == {"jib": "x/jre:17", "jib-distroless": "gcr.io/distroless/java17-debian12:nonroot"}


@pytest.mark.parametrize(
    ("line", "binary"), [("psycopg2==2.9", True), ("psycopg2", True), ("psycopg2-binary", False), ("psycopg", False)]
)
def test_what_would_be_compiled_for_a_library_is_taken_ready_made(tmp_path, line, binary):
    (service,) = found(tmp_path, {"requirements.txt": f"flask\n{line}\n", "app.py": "app = Flask(__name__)\n"})
    text = recipe(service, "build").ladder.files["build/Dockerfile"]
    assert (
        "    sed -i -E 's/^psycopg2([^-a-z0-9]|$)/psycopg2-binary\\1/' requirements.txt \\\n    && pip install" in text
    ) == binary


@pytest.mark.parametrize(("version", "first"), [("2.7.3", True), ("2.6", True), ("2.7.4", False), ("2.8.6", False)])
def test_a_version_that_was_never_had_ready_made_becomes_the_first_that_was(tmp_path, version, first):
    (service,) = found(
        tmp_path, {"requirements.txt": f"flask\npsycopg2=={version}\n", "app.py": "app = Flask(__name__)\n"}
    )
    text = recipe(service, "build").ladder.files["build/Dockerfile"]
    (command,) = [line.strip().removesuffix(" \\") for line in text.splitlines() if "sed -i" in line]
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)
    taken = "2.7.4" if first else version
    assert (tmp_path / "requirements.txt").read_text() == f"flask\npsycopg2-binary=={taken}\n"


@pytest.mark.parametrize(
    ("version", "module"), [("19.7.1", "gunicorn.app.wsgiapp"), ("20.0.4", "gunicorn"), ("21.2", "gunicorn")]
)
def test_a_server_is_started_as_its_version_can_be(tmp_path, version, module):
    files = {
        "requirements.txt": "-r all.txt\n",
        "all.txt": f"flask\ngunicorn=={version}\n",
        "Procfile": "web: gunicorn app:app\n",
    }
    (service,) = found(tmp_path, {**files, "app.py": "app = Flask(__name__)\n"})
    text = recipe(service, "build").ladder.files["build/Dockerfile"]
    assert f'ENTRYPOINT ["python3", "-m", "{module}", "app:app"]' in text


@pytest.mark.parametrize(
    ("files", "extra"),
    [
        ({"requirements.txt": "flask\npsycopg==3.2.1\n"}, "psycopg-binary==3.2.1"),
        ({"requirements.txt": "psycopg[pool]>=3\n"}, "psycopg-binary"),
        ({"requirements.txt": "psycopg\n"}, "psycopg-binary"),
        ({"requirements.txt": "psycopg[binary]==3.2.1\n"}, ""),
        ({"requirements.txt": "psycopg[c]\n"}, ""),
        ({"requirements.txt": "psycopg2-binary\npsycopg-pool\n"}, ""),
        ({"pyproject.toml": '[project]\nname = "a"\n', "uv.lock": '[[package]]\nname = "psycopg"\nversion = "3.3.0"\n'},
         "psycopg-binary==3.3.0"),
        ({"pyproject.toml": '[project]\nname = "a"\n', "uv.lock": '[[package]]\nname = "psycopg"\nversion = "3.3.0"\n\n'
          '[[package]]\nname = "psycopg-binary"\nversion = "3.3.0"\n'}, ""),
    ],
)  # fmt: skip
def test_psycopg_brings_its_own_libpq(tmp_path, files, extra):
    (service,) = found(tmp_path, {**files, "app.py": "app = Flask(__name__)\n"})
    text = recipe(service, "build").ladder.files["build/Dockerfile"]
    lines = [
        line for line in text.splitlines() if line.startswith("RUN pip install --no-compile --target=/site-packages ")
    ]
    words = [word for line in lines for word in line.replace("'", "").split() if word.startswith("psycopg")]
    assert words == ([extra] if extra else [])


@pytest.mark.parametrize(
    ("dockerfile", "list_"),
    [
        ("COPY requirements requirements\nRUN python -m venv venv\nRUN venv/bin/pip install -r requirements/docker.txt\n",
         "requirements/docker.txt"),
        ("COPY requirements/docker.txt /tmp/\nRUN pip3 install --no-cache-dir -r /tmp/docker.txt\n", "requirements/docker.txt"),
        ("COPY . .\nRUN pip install \\\n    --requirement=requirements/docker.txt && rm -r x\n", "requirements/docker.txt"),
        ("RUN --mount=type=bind,source=.,target=. python -m pip install -r requirements/docker.txt\n", "requirements/docker.txt"),
        ("COPY . .\nRUN pip install -r requirements/docker.txt -r requirements/dev.txt\n", "requirements/docker.txt"),
        ("COPY . .\nRUN pip install -r requirements/docker.txt && pip install -r requirements/common.txt\n", "requirements.txt"),
        ("COPY . .\nRUN pip install -r requirements/made-by-poetry.txt\n", "requirements.txt"),
        ("COPY . .\nRUN pip install gunicorn && rm -r requirements/docker.txt\n", "requirements.txt"),
    ],
)  # fmt: skip
def test_the_list_that_the_own_image_installs_is_the_one(tmp_path, dockerfile, list_):
    files = {
        "Dockerfile": f"FROM python:3.11 AS build\nWORKDIR /app\n{dockerfile}FROM python:3.11\nCMD gunicorn -b :5000 app:app\n",
        "app.py": "app = Flask(__name__)\n",
        "requirements.txt": "flask\ngunicorn\n",
        "requirements/docker.txt": "-r common.txt\npymysql\n",
        "requirements/common.txt": "flask\n",
        "requirements/dev.txt": "pytest\n",
    }
    (service,) = found(tmp_path, files)
    text = recipe(service, "build").ladder.files["build/Dockerfile"]
    assert f"pip install --no-compile --target=/site-packages -r {list_}\n" in text
    assert ("COPY requirements/common.txt ./requirements/common.txt" in text) == (list_ != "requirements.txt")
    assert ("--target=/site-packages gunicorn" in text) == (list_ != "requirements.txt"), (
        "what starts it is installed, too"
    )


@pytest.mark.parametrize(
    ("start", "files", "run", "build"),
    [
        ("npm run css && node a.js", {}, '["node", "a.js"]', "RUN npm run css && npm prune"),
        ("cross-env A=b nodemon --watch x ./a.js", {}, '["node", "a.js"]', ""),
        ("pm2 start ecosystem.config.json --no-daemon", {"ecosystem.config.json": '{"apps": [{"script": "./a.js"}]}'},
         '["node", "a.js"]', ""),
        ("node a.js & node b.js", {}, '["node", "main.js"]', ""),
        ("tsc -p . && node dist/a", {}, '["node", "dist/a"]', "RUN npx tsc -p . && npm prune"),
        ("npm run css && sass a:b && node a.js", {}, '["node", "a.js"]', "RUN npm run css && npx sass a:b && npm"),
        ("npm run css && node seeds.js | tee x && node a.js", {}, '["node", "a.js"]', "RUN npm run css && npm prune"),
    ],
)  # fmt: skip
def test_a_start_script_is_followed_to_the_program(tmp_path, start, files, run, build):
    package = {"scripts": {"start": start, "css": "sass"}, "dependencies": {"express": "*", "pm2": "*"}}
    there = {"package.json": json.dumps(package), "package-lock.json": "{}", "a.js": "", "main.js": "", **files}
    (service,) = found(tmp_path, there)
    text = recipe(service, "build").ladder.files["build/Dockerfile"]
    assert text.endswith(f"ENTRYPOINT {run}\n")
    assert build in text
    assert bool(build) == ("RUN np" in text)


@pytest.mark.parametrize(
    ("start", "package", "run"),
    [
        ("nodemon --exec babel-node src/a.js", "@babel/node", ["node_modules/.bin/babel-node", "src/a.js"]),
        ("nodemon -w src --exec 'ts-node' src/b.ts", "ts-node", ["node_modules/.bin/ts-node", "src/b.ts"]),
        ("nodemon src/b.ts", "ts-node", ["node_modules/.bin/ts-node", "src/b.ts"]),
        ("tsx src/b.ts", "tsx", ["node_modules/.bin/tsx", "src/b.ts"]),
        ("nodemon --exec 'node src/a.js'", "nodemon", ["src/a.js"]),
    ],
)
def test_what_is_not_javascript_yet_is_run_by_what_developers_run_it_with(tmp_path, start, package, run):
    manifest = {"scripts": {"start": start}, "dependencies": {"express": "*"}, "devDependencies": {package: "*"}}
    there = {"package.json": json.dumps(manifest), "src/a.js": "", "src/b.ts": ""}
    (service,) = found(tmp_path, there)
    text = recipe(service, "build").ladder.files["build/Dockerfile"]
    assert text.endswith(f"ENTRYPOINT {json.dumps(['node', *run])}\n")
    assert ("omit=dev" in text) == (package == "nodemon")


def test_a_script_of_another_name_makes_what_is_started(tmp_path):
    scripts = {"start": "node ./build/main.js", "compile": "tsup src/main.ts", "prepare": "husky && npm run compile"}
    files = {"pnpm-lock.yaml": "lockfileVersion: '9.0'\n", "pnpm-workspace.yaml": "packages: [.]\n", "src/main.ts": ""}
    (service,) = found(tmp_path, {"package.json": json.dumps({"scripts": scripts}), **files})
    text = recipe(service, "build").ladder.files["build/Dockerfile"]
    prune = "npm pkg delete scripts.prepare && CI=true pnpm prune --prod"  # husky is gone by then
    assert f"RUN npm run compile && {prune}\n" in text
    assert "COPY . .\nRUN --mount=type=cache" in text, "pnpm reads the file of the workspace too"


@pytest.mark.parametrize(
    ("start", "steps"),
    [
        ("npm run db:setup && node a.js", "[['node_modules/.bin/knex', 'migrate:latest'], ['seeds.js', '--all']]"),
        ("npx sequelize-cli db:migrate && node a.js", "[['node_modules/.bin/sequelize-cli', 'db:migrate']]"),
        ("npm run css && npm run prisma && node a.js", "[['node_modules/.bin/prisma', 'migrate', 'deploy']]"),
    ],
)
def test_node_changes_the_database_before_it_serves(tmp_path, start, steps):
    scripts = {"start": start, "css": "sass", "db:setup": "knex migrate:latest && node seeds.js --all",
               "prisma": "prisma migrate deploy"}  # fmt: skip
    package = {"scripts": scripts, "dependencies": {"express": "*", "knex": "*", "sequelize-cli": "*"}}
    package["devDependencies"] = {"prisma": "*"}
    there = {"package.json": json.dumps(package), "package-lock.json": "{}", "a.js": ""}
    (service,) = found(tmp_path, there)
    text = recipe(service, "build").ladder.files["build/Dockerfile"]
    entrypoint = json.loads(text.splitlines()[-1].removeprefix("ENTRYPOINT "))
    assert entrypoint[:2] == ["node", "-e"]
    assert f"for (const step of {steps})" in entrypoint[2]
    assert "spawn(process.execPath, ['a.js'], say)" in entrypoint[2]
    assert "RUN npm run db:setup" not in text
    assert ("RUN npm run css" in text) == ("css" in start)
    assert ("omit=dev" in text) != ("prisma" in start)  # what only developers have is needed then


@pytest.mark.parametrize("read_only", [True, False])
def test_files_are_the_users_own_where_the_service_has_to_write_among_them(tmp_path, read_only):
    package = {"scripts": {"start": "node a.js"}, "dependencies": {"express": "*"}}
    own = 'FROM node:22\nWORKDIR /srv\nCOPY . .\nUSER node\nCMD ["node", "a.js"]\n'
    (service,) = found(tmp_path, {"package.json": json.dumps(package), "a.js": "", "Dockerfile": own})
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


def dockerfile_for(root: Path, there: dict[str, str], stop_seconds: float | None) -> str:
    """What is written for a service that was seen to end so."""
    (service,) = found(root, there)
    seen = Seen(Health("http", 3000, "/", 200), (3000,), "0:0", 10**7, 4, (), 1.0, stop_seconds, 0)
    return with_seen(recipe(service, "build"), seen, {}).ladder.files["build/Dockerfile"]


def test_django_with_its_wsgi_module_beside_manage_py(tmp_path):
    files = {
        "requirements.txt": "django\n",
        "manage.py": "DJANGO_SETTINGS_MODULE",
        "wsgi.py": "",
        "shop/settings.py": "",
    }
    (service,) = found(tmp_path, files)
    assert service.project.start[-1] == "wsgi:application"


@pytest.mark.parametrize(
    ("copies", "command", "start"),
    [
        ("COPY app.py /app.py", '["python3", "/app.py"]', '"app.py"'),
        ("COPY . /code", '["python", "/code/app.py"]', '"app.py"'),
        ("COPY . /code/", '["python", "code/shop/main.py"]', '"shop/main.py"'),
        ("WORKDIR /srv\nCOPY . .", '["python", "/srv/app.py"]', '"app.py"'),
        ("COPY shop/ /usr/src/", '["python", "/usr/src/main.py"]', '"shop/main.py"'),
        ("COPY shop/main.py /usr/src/", '["python", "-u", "/usr/src/main.py"]', '"-u", "shop/main.py"'),
        ("WORKDIR /srv\nCOPY . .", '["python", "/elsewhere/app.py"]', '"/elsewhere/app.py"'),
        (
            "WORKDIR /srv\nCOPY . .",
            '["gunicorn", "--config", "/srv/shop/g.py", "app:app"]',
            '"--config", "shop/g.py", "app:app"',
        ),
    ],
)
def test_a_file_of_the_own_image_is_called_as_in_the_repository(tmp_path, copies, command, start):
    own = f"FROM python:3.12\n{copies}\nEXPOSE 80\nCMD {command}\n"
    there = {**PYTHON, "shop/main.py": "", "shop/g.py": "", "Dockerfile": own}
    (service,) = found(tmp_path, there)
    text = recipe(service, "build").ladder.files["build/Dockerfile"]
    assert f"{start}]" in text.rpartition("ENTRYPOINT")[2]


@pytest.mark.parametrize(
    ("files", "base"),
    [
        ({}, "12"),
        ({"pyproject.toml": '[project]\nrequires-python = ">=3.12"\n'}, "13"),
        ({"pyproject.toml": '[project]\nrequires-python = ">=3.9"\n'}, "12"),
        ({"Dockerfile": "FROM python:3.12\nCOPY . .\nCMD python app.py\n"}, "12"),
        ({"Dockerfile": "FROM python:3.14\nCOPY . .\nCMD python app.py\n"}, "13"),
    ],
)
def test_distroless_is_that_of_a_debian_whose_python_will_do(tmp_path, files, base):
    (service,) = found(tmp_path, {**PYTHON, **files})
    bases = {rung.name: rung.keys.get("bases", "") for rung in recipe(service, "build").ladder.rungs}
    assert f"gcr.io/distroless/python3-debian{base}:nonroot" in bases["distroless"]


@pytest.mark.parametrize(
    ("stop_seconds", "written"),
    [(0.1, "{stops_within_seconds: 10}\n"), (8.9, "{stops_within_seconds: 30}  # seen: it took 8.9 s\n")],
)
def test_a_service_that_takes_long_to_end_is_given_what_kubernetes_gives(tmp_path, stop_seconds, written):
    (service,) = found(tmp_path, PYTHON)
    seen = Seen(Health("http", 3000, "/", 200), (3000,), "0:0", 10**7, 4, (), 1.0, stop_seconds, 0)
    text = suite_text(with_seen(recipe(service, "build"), seen, {}))
    assert f"    runs: {written}" in re.sub("(}) +#", r"\1  #", text)


@pytest.mark.parametrize(
    ("there", "sees_to_it"), [(PYTHON, "signal.SIGTERM"), (NODE, '"--require", "/end.cjs", "a.js"')]
)
def test_what_does_not_end_at_sigterm_as_process_1_is_told_to(tmp_path, there, sees_to_it):
    assert sees_to_it in dockerfile_for(tmp_path / "deaf", there, None)
    assert sees_to_it not in dockerfile_for(tmp_path / "heeding", there, 0.1)


@pytest.mark.system
@pytest.mark.skipif(shutil.which("node") is None, reason="node is not on PATH")
@pytest.mark.parametrize(
    ("code", "ends_with"), [("", 143), ("process.once('SIGTERM', () => setTimeout(() => process.exit(7), 20));", 7)]
)
def test_a_node_service_that_sees_to_sigterm_itself_is_left_alone(tmp_path, code, ends_with):
    text = dockerfile_for(tmp_path / "deaf", NODE, None)
    line = next(each for each in text.splitlines() if each.endswith(" > /end.cjs"))
    subprocess.run(["sh", "-c", line.removeprefix("RUN ").replace("/end.cjs", "end.cjs")], cwd=tmp_path, check=True)
    (tmp_path / "a.js").write_text(f"{code} setInterval(() => {{}}, 1000); console.log('up');")
    words = ["node", "--require", "./end.cjs", "a.js"]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE) as node:
        assert node.stdout.readline() == b"up\n"
        node.terminate()
        assert node.wait(20) == ends_with


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


WAITING = """#!/bin/sh
if [ "$DATABASE" = "postgres" ]
then
    echo "Waiting for postgres..."

    while ! nc -z $SQL_HOST $SQL_PORT; do
      sleep 0.1
    done

    echo "PostgreSQL started"
fi

alembic upgrade head

exec "$@"
"""
AGAIN = """#!/bin/bash
while true; do
    alembic upgrade head
    if [[ "$?" == "0" ]]; then
        break
    fi
    echo Deploy command failed, retrying in 5 secs...
    sleep 5
done
exec uvicorn --port=8000 app:app
"""
STEPS = ((("-m", "alembic", "upgrade", "head"),), ("-m", "uvicorn", "--port=8000", "app:app"))


@pytest.mark.parametrize(
    ("command", "script", "told"),
    [
        ("CMD alembic upgrade head && uvicorn --port=${PORT:-8000} app:app", "", STEPS),
        ("CMD poetry run alembic upgrade head && \\\n    poetry run uvicorn --port=8000 app:app", "", STEPS),
        (
            'CMD ["./start.sh"]',
            "#!/bin/sh\nset -e\n# first\nalembic upgrade head\nexec uvicorn --port=8000 app:app\n",
            STEPS,
        ),
        ('ENTRYPOINT ["/bin/sh", "/app/start.sh"]', "alembic upgrade head\nuvicorn --port=8000 app:app\n", STEPS),
        (
            'ENTRYPOINT ["./start.sh"]\nCMD ["uvicorn", "--port=8000", "app:app"]',
            'alembic upgrade head\nexec "$@"\n',
            STEPS,
        ),
        (
            'CMD ["./start.sh"]',
            "until nc -z db 5432; do sleep 1; done\nalembic upgrade head\nuvicorn --port=8000 app:app\n",
            STEPS,
        ),
        ('ENTRYPOINT ["./start.sh"]\nCMD ["uvicorn", "--port=8000", "app:app"]', WAITING, STEPS),
        ('CMD ["./start.sh"]', AGAIN, STEPS),
        (
            'CMD ["./start.sh"]',
            "until alembic upgrade head; do\n  echo again\n  sleep 5\ndone\nuvicorn --port=8000 app:app\n",
            STEPS,
        ),
        (
            'CMD ["./start.sh"]',
            "for each in a b; do alembic upgrade head; done\nuvicorn app:app\n",
            ((), ("-m", "uvicorn", "app:app")),
        ),
        ("ENV N=8000 A=app:app\nCMD alembic upgrade head && uvicorn --port=$N $A", "", STEPS),
        (
            'CMD ["./start.sh"]',
            'A="app:app"\nexport N=${N:-8000}\nalembic upgrade head\nuvicorn --port=$N ${A}\n',
            STEPS,
        ),
        ("CMD wait-for-it.sh db:5432 -- gosu app uvicorn --port=8000 app:app", "", ((), STEPS[1])),
    ],
)
def test_what_a_command_does_before_it_serves_is_done_without_a_shell(tmp_path, command, script, told):
    files = {
        "requirements.txt": "uvicorn\nalembic\n",
        "app.py": "",
        "Dockerfile": f"FROM python:3.12\nCOPY . .\n{command}\n",
    }
    (service,) = found(tmp_path, {**files, **({"start.sh": script} if script else {})})
    project = service.project
    assert project is not None
    assert (tuple(map(tuple, json.loads(project.details["before"] or "[]"))), project.start) == told
    lines = recipe(service, "build").ladder.files["build/Dockerfile"].splitlines()
    entrypoint = json.loads(lines[-1].removeprefix("ENTRYPOINT "))
    assert ("os.execv" in " ".join(entrypoint)) is bool(told[0])


def test_steps_are_taken_in_turn_and_the_last_one_stays(tmp_path):
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text("print('one', flush=True)\n")
    two.write_text("import os\nprint('two', os.getpid())\n")
    with subprocess.Popen(
        [sys.executable, *in_turn([[str(one)]], (str(two), "x"))], stdout=subprocess.PIPE, text=True
    ) as process:
        said, _ = process.communicate()
    assert said == f"one\ntwo {process.pid}\n"
    one.write_text("raise SystemExit(3)\n")
    assert subprocess.run([sys.executable, *in_turn([[str(one)]], (str(two),))], capture_output=True).returncode != 0


@pytest.mark.parametrize("root", ["STATIC_ROOT = BASE / 'x'", "STATIC_URL = '/static/'"])
def test_static_files_of_django_are_collected_where_it_says_where(tmp_path, root):
    files = {
        "manage.py": "import django",
        "shop/settings.py": f"{root}\n",
        "shop/wsgi.py": "",
        "requirements.txt": "django\n",
    }
    (service,) = found(tmp_path, files)
    text = recipe(service, "build").ladder.files["build/Dockerfile"]
    collects = root.startswith("STATIC_ROOT")
    assert ("manage.py collectstatic --noinput" in text) is collects
    assert ("COPY --from=build /src /app" in text) is collects


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
    ("files", "start"),
    [
        (
            {
                "Dockerfile": (
                    'FROM python:3.12\nCOPY . .\nENTRYPOINT ["/start.sh"]\n'
                    'CMD ["uvicorn", "shop:app", "--reload", "--port", "80"]\n'
                ),
                "start.sh": 'cp -r /public /app\nexec "$@"\n',
            },
            ("-m", "uvicorn", "shop:app", "--port", "80"),
        ),
        (
            {
                "db/env.py": "from alembic import context\napp = create_app()\n",
                "shop/app.py": "def create_app(settings=None):\n    app = Flask(__name__)\n    return app\n",
            },
            ("-m", "gunicorn", "--bind", "0.0.0.0:5000", "shop.app:create_app()"),
        ),
        (
            {"shop/main.py": "def create_app() -> FastAPI:\n    return FastAPI()\n"},
            ("-m", "uvicorn", "--factory", "shop.main:create_app", "--host", "0.0.0.0", "--port", "8000"),
        ),
    ],
    ids=["behind-a-script", "flask-factory", "fastapi-factory"],
)
def test_what_starts_a_python_service_is_found(tmp_path, files, start):
    (service,) = found(tmp_path, {"requirements.txt": "flask\n", **files})
    assert service.project.start == start


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


@pytest.mark.parametrize("lock", ["uv.lock", "poetry.lock"])
def test_what_a_lock_file_names_is_installed_without_asking_for_more(tmp_path, lock):
    project = '[project]\nname = "shop"\ndependencies = ["uvicorn[standard]"]\n'
    (service,) = found(tmp_path, {"pyproject.toml": project, lock: "", "main.py": ""})
    text = recipe(service, "build").ladder.files["build/Dockerfile"]
    assert "pip install --no-compile --target=/site-packages --no-deps -r /tmp/requirements.txt" in text
    assert text.index("pip install") < text.index("compileall") < text.index("FROM ${BASE}")


@pytest.mark.parametrize(
    ("line", "held"),
    [
        ("report v3.2.1 (4f2a9c1) written", r"report \S+ \S+ written"),
        ("2026-11-28 report written", r"\S+ report written"),
        ("report (devel): 6 rows", r"report \S+ 6 rows"),
        ("v3.2.1", ""),
        ("6 x 7", "6 x 7"),
        ("usage: greet [NAME]", r"usage: greet \[NAME\]"),
        ("defaced 1234567 faces", "defaced 1234567 faces"),
    ],
)
def test_what_a_build_stamps_into_a_jobs_line_is_not_held(line, held):
    """The next tag would break the suite, and images that are built without it were left out."""
    assert whatever_the_build(line) == held
