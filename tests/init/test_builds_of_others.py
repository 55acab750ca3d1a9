"""Layouts and build files of public repositories as init reads them: workspaces, modules, versions, stages, build arguments."""

from __future__ import annotations

from pathlib import Path

import pytest

from deadweight._errors import UsageError
from deadweight.builders.dockerfile.variant import DockerfileVariant
from deadweight.project.suite_file import load_suite
from deadweight_init.command import Wanted, init
from deadweight_init.draft import port_hints
from deadweight_init.languages import java_versions
from deadweight_init.languages.node_versions import fits
from deadweight_init.services import find_services
from deadweight_init.tree import look
from tests.support.recipes import recipe
from tests.support.trees import written

MAIN_GO = 'package main\n\nimport "net/http"\n\nfunc main() { http.ListenAndServe(":8080", nil) }\n'
FASTAPI = "from fastapi import FastAPI\napp = FastAPI()\n"


def found(root: Path, files: dict[str, str]):
    return find_services(look(written(root, files)))


def only(root: Path, files: dict[str, str]):
    (service,) = found(root, files)
    return service


def text_of(root: Path, files: dict[str, str], name: str = "") -> str:
    """The generated Dockerfile of a service."""
    services = found(root, files)
    service = next(each for each in services if name in ("", each.name))
    return recipe(service, "build").ladder.files["build/Dockerfile"]


def refused(root: Path, files: dict[str, str]) -> dict[str, str]:
    return {each.name: each.refused for each in recipe(only(root, files), "build").ladder.rungs}


# Node


@pytest.mark.parametrize(
    ("asked", "taken"),
    [
        (">=18", {18, 20, 22, 24, 26}),
        (">=18 <21", {18, 20}),
        ("18.x || 20.x", {18, 20}),
        ("^20.9.0", {20}),
        ("16 - 20", {18, 20}),
        ("<=20", {18, 20}),
        (">20", {22, 24, 26}),
        ("14.x", set()),
        ("*", {18, 20, 22, 24, 26}),
    ],
)
def test_ranges_of_node_versions_are_understood(asked, taken):
    assert {major for major in (18, 20, 22, 24, 26) if fits(asked, major)} == taken


@pytest.mark.parametrize(
    ("files", "version"),
    [
        ({"package.json": '{"dependencies": {"express": "4"}, "main": "a.js", "engines": {"node": "20.x"}}'}, "20"),
        (
            {"package.json": '{"dependencies": {"express": "4"}, "main": "a.js", "engines": {"node": "20.11.1"}}'},
            "20.11.1",
        ),
        ({"package.json": '{"dependencies": {"express": "4"}, "main": "a.js", "engines": {"node": ">=14"}}'}, "22"),
        ({"package.json": '{"dependencies": {"express": "4"}, "main": "a.js", "engines": {"node": "12.x"}}'}, "22"),
        ({"package.json": '{"dependencies": {"express": "4"}, "main": "a.js"}', ".nvmrc": "lts/iron\n"}, "20"),
    ],
)
def test_the_version_of_node_is_one_that_the_package_takes(tmp_path, files, version):
    assert only(tmp_path, {"a.js": "", **files}).project.version.value == version


@pytest.mark.parametrize(
    ("files", "start", "build"),
    [
        ({"scripts": '"start": "node --env-file=.env --watch server.js"', "server.js": ""}, ("server.js",), ""),
        ({"scripts": '"start": "env-cmd -f .env node server.js"', "server.js": ""}, ("server.js",), ""),
        ({"scripts": '"start": "node server.js", "build": "vite build"', "server.js": ""}, ("server.js",), "build"),
        ({"scripts": '"start": "node server.js", "build": "docker build ."', "server.js": ""}, ("server.js",), ""),
        (
            {"scripts": '"start": "run-s migrate serve", "migrate": "knex x", "serve": "node server.js"', "server.js": ""},
            ("server.js",),
            "",
        ),
        (
            {"scripts": '"dev": "nodemon", "build": "tsc"', "main": "src/app.ts", "src/app.ts": "",
             "tsconfig.json": '{"compilerOptions": {\n  "outDir": "./out"\n}}'},
            ("out/app.js",),
            "build",
        ),
        (
            {"scripts": '"build": "tsc"', "Dockerfile": "FROM node:22 AS build\nWORKDIR /src\nCOPY . .\nFROM node:22\n"
             'WORKDIR /app\nCOPY --from=build /src/dist/bin/x.js ./\nCMD ["node", "x.js"]\n'},
            ("dist/bin/x.js",),
            "build",
        ),
    ],
)  # fmt: skip
def test_what_node_starts_is_called_as_in_the_repository(tmp_path, files, start, build):
    main = f', "main": "{files.pop("main")}"' if "main" in files else ""
    package = f'{{"dependencies": {{"express": "4", "knex": "1"}}, "scripts": {{{files.pop("scripts")}}}{main}}}'
    project = only(tmp_path, {"package.json": package, **files}).project
    assert (project.start, project.details["build"]) == (start, build and f"npm run {build}")


def test_next_starts_itself_where_its_own_image_starts_what_it_put_aside(tmp_path):
    files = {
        "package.json": '{"dependencies": {"next": "15"}, "scripts": {"build": "next build", "start": "next start"}}',
        "Dockerfile": 'FROM node:22\nWORKDIR /app\nCOPY . .\nCMD ["node", "server.js"]\n',
    }
    assert only(tmp_path, files).project.start == ("node_modules/.bin/next", "start")


@pytest.mark.parametrize(
    ("scripts", "generates"),
    [
        ('"build": "tsc"', True),
        ('"build": "tsc", "postinstall": "prisma generate"', False),
        ('"build": "npm run g", "g": "prisma generate"', False),
    ],
)
def test_prismas_client_is_made_where_no_script_does_so(tmp_path, scripts, generates):
    files = {
        "package.json": f'{{"dependencies": {{"express": "4", "prisma": "6"}}, "main": "a.js", "scripts": {{{scripts}}}}}',
        "a.js": "",
        "prisma/schema.prisma": "generator client {}\n",
    }
    assert ("npx prisma generate && npm run build" in text_of(tmp_path, files)) is generates


# Python


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ('requires-python = ">=3.8"', "3.11"),
        ('requires-python = ">=3.8,<3.11"', "3.10"),
        ('requires-python = "==3.10.*"', "3.10"),
        ('requires-python = ">=3.13"', "3.13"),
        ('python = "^3.9"', "3.11"),
        ('python = "~3.10"', "3.10"),
        ('python = "<3.8"', "3.12"),
    ],
)  # fmt: skip
def test_the_version_of_python_lies_in_the_range_that_is_said(tmp_path, said, version):
    files = {"pyproject.toml": f"[project]\n{said}\ndependencies = ['fastapi']\n", "main.py": FASTAPI}
    assert only(tmp_path, files).project.version.value == version


@pytest.mark.parametrize(
    ("files", "start", "inside"),
    [
        ({"src/main.py": "from settings import x\n" + FASTAPI, "src/settings.py": ""}, "main:app", "src"),
        ({"src/shop/main.py": "from shop.a import x\n" + FASTAPI, "src/shop/a.py": ""}, "shop.main:app", "src"),
        ({"app/main.py": "from app.a import x\n" + FASTAPI, "app/a.py": ""}, "app.main:app", ""),
        ({"app/main.py": "from .a import x\n" + FASTAPI, "app/a.py": ""}, "app.main:app", ""),
        (
            {"src/config/wsgi.py": "", "Dockerfile": "FROM python:3.12\nCOPY src .\nCMD gunicorn -c python:config.g config.wsgi\n"},
            "config.wsgi",
            "src",
        ),
        (
            {"ui/page.py": "", "Dockerfile": 'FROM python:3.12\nCOPY ui/page.py .\nCMD ["streamlit", "run", "page.py"]\n'},
            "page.py",
            "ui",
        ),
        ({"site/manage.py": "DJANGO_SETTINGS_MODULE", "site/shop/wsgi.py": ""}, "shop.wsgi:application", "site"),
        ({"shop/__main__.py": "", "shop/manage.py": "", "tests/a.py": ""}, "shop", ""),
    ],
)  # fmt: skip
def test_a_python_service_is_started_where_its_modules_are_found(tmp_path, files, start, inside):
    project = only(tmp_path, {"requirements.txt": "fastapi\nuvicorn\n", **files}).project
    assert start in project.start
    assert project.details["inside"] == inside
    assert ("WORKDIR /app/src\n" in text_of(tmp_path, {})) is (inside == "src")


@pytest.mark.parametrize(
    ("files", "line"),
    [
        (
            {"requirements/base.txt": "x\n", "requirements/production.txt": "-r base.txt\nflask\n"},
            "COPY requirements/base.txt ./requirements/base.txt",
        ),
        ({"requirements-prod.txt": "flask\n"}, "pip install --no-compile --target=/site-packages -r requirements-prod.txt"),
        ({"pyproject.toml": "[project]\ndependencies = ['flask']\n", "pdm.lock": ""}, "pdm export --prod"),
    ],
)  # fmt: skip
def test_lists_of_packages_are_found_where_they_lie_by_custom(tmp_path, files, line):
    files = {"app.py": "from flask import Flask\napp = Flask(__name__)\n", "setup.cfg": "", **files}
    assert line in text_of(tmp_path, files)


@pytest.mark.parametrize(
    ("files", "compiled"),
    [
        ({"requirements.txt": "flask\nmysqlclient==2.1\n"}, True),
        ({"requirements.txt": "flask\npsycopg2\n"}, False),
        ({"pyproject.toml": '[tool.poetry.dependencies]\npsycopg2 = "2"\n'}, True),
        ({"requirements.txt": "flask\npymysql\n"}, False),
    ],
)
def test_libraries_that_packages_are_compiled_against_are_brought_along(tmp_path, files, compiled):
    files = {"app.py": "from flask import Flask\napp = Flask(__name__)\n", **files}
    text = text_of(tmp_path, files)
    assert ("cp -Lt /site-packages/lib" in text) is compiled
    assert ("LD_LIBRARY_PATH=/site-packages/lib" in text) is compiled
    (service,) = find_services(look(tmp_path))
    debian = next(each for each in recipe(service, "build").rungs if each.name == "debian")
    assert ('BUILD: "python:3.12"' in debian.keys["bases"]) is compiled


def test_variables_of_installers_are_no_part_of_the_image(tmp_path):
    files = {
        "requirements.txt": "flask\n",
        "app.py": "app = Flask(__name__)\n",
        "Dockerfile": "FROM python:3.12\nENV POETRY_HOME=/x PIP_NO_CACHE_DIR=1 UV_LINK_MODE=copy MODE=y\nCMD gunicorn app:app\n",
    }
    lines = [line for line in text_of(tmp_path, files).splitlines() if line.startswith("ENV")]
    assert lines[1:] == ["ENV MODE=y"]


# Java

POM = "<project><artifactId>{0}</artifactId>{1}</project>"
BOOT = "<dependency><artifactId>spring-boot-starter-web</artifactId></dependency>"
APP = "class A { static void main(String[] a) { SpringApplication.run(A.class); } }"


def test_a_module_is_built_from_the_folder_that_lists_it(tmp_path):
    parent = "<parent><artifactId>all</artifactId></parent>"
    files = {
        "pom.xml": POM.format(
            "all", "<java.version>21</java.version><modules><module>web</module><module>lib</module></modules>"
        ),
        "web/pom.xml": POM.format("web", parent + BOOT),
        "web/src/main/java/A.java": APP,
        "lib/pom.xml": POM.format("lib", parent + BOOT),
        "lib/src/main/java/B.java": "class B {}",
    }
    service = only(tmp_path, files)
    assert (service.project.folder, service.project.version.value) == ("web", "21")
    draft = recipe(service, "build")
    assert "-pl web -am package" in draft.ladder.files["build/Dockerfile"]
    assert "web/target/*.jar" in draft.ladder.files["build/Dockerfile"]
    by_name = {each.name: each.keys for each in draft.rungs}
    assert by_name["debian"]["source"] == "."
    assert by_name["jib"]["args"] == '{jib.containerize: ":web"}'


def test_a_project_of_gradle_is_built_from_the_folder_that_includes_it(tmp_path):
    files = {
        "settings.gradle": "rootProject.name = 'x'\ninclude 'app', ':lib'\n",
        "gradlew": "",
        "app/build.gradle": "plugins { id 'org.springframework.boot' version '3.3.0' }\n",
        "app/src/main/java/A.java": APP,
        "lib/build.gradle": "",
    }
    text = text_of(tmp_path, files)
    assert "sh ./gradlew --no-daemon :app:build -x test" in text
    assert "app/build/libs/*.jar" in text


def test_gradle_without_a_wrapper_is_that_of_its_image(tmp_path):
    files = {"build.gradle": "plugins { id 'org.springframework.boot' version '3.3.0' }\n"}
    text = text_of(tmp_path, files)
    assert "ARG BUILD=gradle:8-jdk17" in text
    assert "    gradle --no-daemon build" in text


@pytest.mark.parametrize(
    ("said", "runtime"),
    [
        ("<artifactId>spring-boot-starter-parent</artifactId> <version>1.5.8</version>", 8),
        (
            "<artifactId>spring-boot-starter-parent</artifactId> <version>2.3.0</version> <java.version>11</java.version>",
            11,
        ),
        (
            "<artifactId>spring-boot-starter-parent</artifactId> <version>2.7.0</version> <java.version>1.8</java.version>",
            17,
        ),
        ("id 'org.springframework.boot' version '3.1.0'\njvmToolchain(21)", 21),
        ("<java.version>18</java.version>", 21),
        ("", 17),
    ],
)
def test_java_is_of_the_time_of_the_framework(said, runtime):
    assert java_versions.runs_on(java_versions.asked(said)[0], said) == runtime


@pytest.mark.parametrize(("gradle", "jdk"), [("4.10", 8), ("6.9.2", 11), ("7.6", 17), ("8.10", 21), ("9.1.0", 25)])
def test_an_old_gradle_runs_on_an_older_jdk(gradle, jdk):
    assert (
        java_versions.built_with(
            25, f"distributionUrl=https\\://services.gradle.org/distributions/gradle-{gradle}-bin.zip\n"
        )
        == jdk
    )


def test_bases_that_have_a_newer_java_alone_are_left_out_for_an_old_framework(tmp_path):
    parent = "<parent><artifactId>spring-boot-starter-parent</artifactId><version>1.5.8</version></parent>"
    reasons = refused(tmp_path, {"pom.xml": POM.format("x", parent), "src/main/java/A.java": APP})
    assert {name for name, reason in reasons.items() if reason} == {"chainguard", "distroless", "jib-distroless"}


def test_a_jar_that_does_not_say_where_its_libraries_are_is_started_by_its_class(tmp_path):
    files = {
        "pom.xml": POM.format("x", "<artifactId>javalin</artifactId>"),
        "src/main/java/a/A.java": f"package a;\n{APP}",
    }
    text = text_of(tmp_path, files)
    assert '["java", "-cp", "/app/app.jar:/app/lib/*", "a.A"]' in text
    assert "target/dependency /libraries" in text
    assert "COPY --from=build /libraries /app/lib\n" in text
    assert "package dependency:copy-dependencies" in text


@pytest.mark.parametrize(
    ("files", "settings"),
    [
        (
            {
                "README.md": "    java -jar target/x.jar server conf/prod.yml\n",
                "conf/prod.yml": "",
                "a.yml": "server: {}\n",
            },
            "conf/prod.yml",
        ),
        ({"docker-compose.yml": "services: {}\n", "config.yml": "logging:\n  level: INFO\n"}, "config.yml"),
    ],
)
def test_dropwizard_is_given_its_command_and_its_settings(tmp_path, files, settings):
    pom = POM.format("x", "<groupId>io.dropwizard</groupId><artifactId>maven-shade-plugin</artifactId>")
    (service,) = found(tmp_path, {"pom.xml": pom, "src/main/java/A.java": APP, **files})
    draft = recipe(service, "build")
    name = settings.rpartition("/")[2]
    text = draft.ladder.files["build/Dockerfile"]
    assert f"COPY --from=build /src/{settings} /app/{name}\n" in text
    assert text.endswith(f'ENTRYPOINT ["java", "-jar", "/app/app.jar", "server", "/app/{name}"]\n')
    jib = next(each for each in draft.rungs if each.name == "jib")
    assert jib.keys["files"] == f"{{/app/{name}: {settings}}}"
    assert jib.keys["args"] == f'{{jib.container.args: "server,/app/{name}"}}'


@pytest.mark.parametrize(
    ("needs", "jetty"),
    [
        ("<groupId>javax.servlet</groupId>", "9.4.58.v20250814"),
        ("<groupId>jakarta.servlet</groupId>", "11.0.18"),
        ("<groupId>jakarta.platform</groupId>", "11.0.18"),
    ],
)
def test_a_war_is_served_by_jetty(tmp_path, needs, jetty):
    files = {"pom.xml": POM.format("x", f"<packaging>war</packaging>{needs}"), "src/main/webapp/index.jsp": ""}
    (service,) = found(tmp_path, files)
    draft = recipe(service, "build")
    text = draft.ladder.files["build/Dockerfile"]
    assert f"-Dartifact=org.eclipse.jetty:jetty-runner:{jetty} " in text
    assert 'cp "$(ls -S target/*.war ' in text
    assert "COPY --from=build /app.war /app/app.war\n" in text
    assert text.endswith('ENTRYPOINT ["java", "-jar", "/app/jetty-runner.jar", "--port", "8080", "/app/app.war"]\n')
    assert {each.name for each in draft.rungs} == {"debian", "alpine", "chainguard", "distroless"}


@pytest.mark.parametrize(
    ("settings", "paths"),
    [
        ("server.servlet.context-path=/shop/\n", ["/shop/actuator/health", "/actuator/health", "/shop/"]),
        ("server:\n  servlet:\n    contextPath: /shop\n", ["/shop/actuator/health", "/actuator/health", "/shop/"]),
        ("management.endpoints.web.base-path=/m\n", ["/actuator/health"]),
    ],
)
def test_a_health_route_is_below_the_path_of_the_settings(tmp_path, settings, paths):
    name = "yml" if ":" in settings else "properties"
    pom = POM.format("x", "<artifactId>spring-boot-starter-actuator</artifactId>")
    files = {"pom.xml": pom, "src/main/java/A.java": APP, f"src/main/resources/application.{name}": settings}
    (service,) = found(tmp_path, files)
    assert [each.value for each in service.project.health] == paths


def test_the_parent_of_micronaut_makes_the_jar_executable(tmp_path):
    pom = POM.format("x", "<parent><artifactId>micronaut-parent</artifactId></parent>")
    text = text_of(tmp_path, {"pom.xml": pom, "src/main/java/a/A.java": f"package a;\n{APP}"})
    assert text.endswith('ENTRYPOINT ["java", "-jar", "/app/app.jar"]\n')


def test_a_war_that_runs_by_itself_needs_no_jetty(tmp_path):
    more = "<packaging>war</packaging><artifactId>spring-boot-maven-plugin</artifactId>"
    text = text_of(tmp_path, {"pom.xml": POM.format("x", more), "src/main/java/A.java": APP})
    assert "jetty" not in text
    assert text.endswith('ENTRYPOINT ["java", "-jar", "/app/app.jar"]\n')


# Rust

CARGO = '[package]\nname = "x"\n[dependencies]\naxum = "0.7"\n'


def test_a_member_of_a_workspace_is_built_from_its_folder(tmp_path):
    files = {
        "Cargo.toml": '[workspace]\nmembers = ["web", "lib"]\n',
        "Cargo.lock": "",
        "web/Cargo.toml": CARGO.replace('"x"', '"web"'),
        "web/src/main.rs": "",
        "lib/Cargo.toml": CARGO.replace('"x"', '"lib"'),
        "lib/src/lib.rs": "",
    }
    assert "cargo build --release --package web --bin web" in text_of(tmp_path, files)
    rung = next(iter(recipe(only(tmp_path, {}), "build").rungs))
    assert rung.keys["source"] == "."


def lock_of(packages):
    """A Cargo.lock of (name, name of the only dependency) pairs."""
    return "version = 4\n" + "".join(
        f'\n[[package]]\nname = "{name}"\nversion = "1.0.0"\n'
        + (f'dependencies = [\n "{other} 1.0.0",\n]\n' if other else "")
        for name, other in packages
    )


@pytest.mark.parametrize(
    ("lock", "links"),
    [
        ((("x", "openssl-sys"), ("openssl-sys", "")), True),
        ((("x", "openssl-sys"), ("openssl-sys", "openssl-src"), ("openssl-src", "")), False),
        ((("x", "a"), ("a", "pq-sys"), ("pq-sys", "")), True),
        ((("x", "rustls"), ("rustls", ""), ("other", "pq-sys"), ("pq-sys", "")), False),
        ((("someone", "pq-sys"), ("pq-sys", "")), True),
    ],
)
def test_libraries_that_a_program_links_are_brought_along(tmp_path, lock, links):
    files = {"Cargo.toml": CARGO, "Cargo.lock": lock_of(lock), "src/main.rs": ""}
    assert ("LD_LIBRARY_PATH" in text_of(tmp_path, files)) is links
    compiled = any(name == "openssl-src" for name, _ in lock)  # with make and Perl, which are not there either
    assert bool(refused(tmp_path, {})["alpine"]) is (links or compiled)


def test_rocket_listens_where_it_can_be_reached_and_has_its_files(tmp_path):
    files = {
        "Cargo.toml": '[package]\nname = "x"\n[dependencies]\nrocket = "0.5"\nrocket_dyn_templates = "0.1"\n',
        "Rocket.toml": "",
        "templates/a.tera": "",
        "static/a.css": "",
        "src/main.rs": 'FileServer::from(relative!("static"))',
    }
    text = text_of(tmp_path, files)
    assert "ENV ROCKET_ADDRESS=0.0.0.0\nENV ROCKET_PORT=8000" in text
    for line in ("COPY Rocket.toml /app/Rocket.toml", "COPY templates /app/templates", "COPY static /src/static"):
        assert line in text


# Go


def test_what_a_module_compiles_in_and_lacks_is_told(tmp_path):
    files = {
        "go.mod": "module x\n\ngo 1.22\n",
        "main.go": MAIN_GO,
        "ui/ui.go": "package ui\n\nvar (\n\t//go:embed dist/*\n\tf embed.FS\n)\n",
    }
    with pytest.raises(UsageError, match="it compiles in ui/dist, which is not in the repository"):
        init(written(tmp_path, files), Wanted(), lambda *_: None, lambda _: None, None)
    written(tmp_path, {"ui/dist/index.html": ""})
    assert only(tmp_path, {}).project.problem == ""


def test_a_module_of_a_workspace_is_built_beside_those_that_it_needs(tmp_path):
    files = {
        "go.work": "go 1.22\n\nuse (\n\t./web\n\t./lib\n)\n",
        "web/go.mod": "module example.com/web\n\ngo 1.22\n\nrequire example.com/lib v0.0.0\n",
        "web/main.go": MAIN_GO,
        "lib/go.mod": "module example.com/lib\n",
        "lib/lib.go": "package lib\n",
    }
    assert "WORKDIR /src/web" in text_of(tmp_path, files)


def test_files_that_come_through_an_earlier_stage_lie_beside_the_binary(tmp_path):
    dockerfile = (
        "FROM golang:1.22 AS build\nWORKDIR /src\nCOPY . .\nENV GOEXPERIMENT=jsonv2\nFROM alpine\nWORKDIR /app\n"
        "COPY --from=build /src/server /app/server\nCOPY --from=build /src/pages ./pages\nCOPY --from=build /src/app.toml ./\n"
        "COPY --from=build /src/conf/*.yml ./conf/\nCOPY run.sh /\n"
        'CMD ["/app/server"]\n'
    )
    files = {
        "go.mod": "module server\n\ngo 1.22\n",
        "main.go": MAIN_GO,
        "pages/a.html": "",
        "app.toml": "",
        "server/a.go": "package server\n",
    }
    text = text_of(tmp_path, {**files, "Dockerfile": dockerfile})
    copied = [line for line in text.splitlines() if line.startswith("COPY ") and "--from" not in line]
    assert copied[-2:] == ["COPY pages /app/pages", "COPY app.toml /app/app.toml"]
    assert "CGO_ENABLED=0 GOEXPERIMENT=jsonv2 go build" in text


@pytest.mark.parametrize(
    ("tag", "main"),
    [("ignore_build_go", "cmd/shop"), ("ignore", "cmd/shop"), ("linux", "."), ("go1.21", "."), ("!windows", ".")],
)
def test_a_file_with_a_tag_of_its_own_is_no_program(tmp_path, tag, main):
    files = {
        "go.mod": "module x.org/shop\n\ngo 1.22\n",
        "build.go": f"//go:build {tag}\n\npackage main\n\nfunc main() {{}}\n",
        "cmd/shop/main.go": MAIN_GO,
    }
    root = written(tmp_path / "shop", files)
    (service,) = find_services(look(root)) if main != "." else find_services(look(root), main=".")
    assert service.project.details["main"] == main


def test_what_is_vendored_is_not_taken_for_its_own(tmp_path):
    main = 'package main\nimport (\n\t"x.org/server/config"\n\t"x.org/shop/config"\n)\nfunc main() {}\n'
    files = {"main.go": main, "config/a.go": "package config\n", "vendor/x.org/server/config/a.go": ""}
    assert "/go/src/x.org/shop" in text_of(tmp_path, files)


def test_what_was_vendored_before_there_were_modules_is_built_below_gopath(tmp_path):
    main = MAIN_GO + 'import "x.org/shop/app"\n'
    text = text_of(tmp_path, {"main.go": main, "app/a.go": "package app\n", "vendor/x.org/a/a.go": ""})
    assert "WORKDIR /go/src/x.org/shop\nCOPY . .\n" in text
    assert "    CGO_ENABLED=0 GO111MODULE=off go build " in text


@pytest.mark.parametrize(
    ("files", "module"),
    [
        ({"main.go": MAIN_GO}, "shop"),
        ({"main.go": MAIN_GO + 'import "github.com/x/cart/app"\n', "app/a.go": "package app\n"}, "github.com/x/cart"),
        ({"web/main.go": MAIN_GO, "web/Dockerfile": "FROM golang\nCOPY . .\nRUN go build main.go\n"}, "web"),
    ],
)
def test_go_code_without_a_module_gets_one_in_its_build(tmp_path, files, module):
    service = only(tmp_path / "shop", files)
    draft = recipe(service, "build")
    assert f"    go mod init {module} && go mod tidy\n" in draft.ladder.files["build/Dockerfile"]
    assert "ARG BUILD=golang:1\n" in draft.ladder.files["build/Dockerfile"]
    refused = {each.name for each in draft.ladder.rungs if "no go.mod" in each.refused}
    assert refused == {"ko", "apko"}


def test_a_program_with_a_module_goes_before_one_without(tmp_path):
    docker = "FROM golang\nCOPY . .\nRUN go build\n"
    web = {"web/main.go": MAIN_GO, "web/Dockerfile": docker, "zoo/main.go": MAIN_GO, "zoo/Dockerfile": docker}
    assert [each.name for each in found(tmp_path, {**web, "zoo/go.mod": "module zoo\n"})] == ["zoo", "web"]


def test_go_code_without_a_module_beside_another_language_is_a_tool(tmp_path):
    files = {"main.go": MAIN_GO, "requirements.txt": "fastapi\n", "app.py": FASTAPI}
    assert only(tmp_path, files).project.language == "python"


# Dockerfiles


def test_the_stage_and_arguments_of_a_compose_file_are_taken(tmp_path):
    files = {
        "Dockerfile": 'ARG TAG\nFROM alpine:${TAG} AS prod\nARG PORT=1\nCMD ["/x"]\nFROM prod AS dev\nCMD ["/dev"]\n',
        "compose.yaml": "services:\n  x: {build: {context: ., target: prod, args: {TAG: '3.20', PORT: 2}}}\n",
    }
    init(written(tmp_path, files), Wanted(), lambda *_: None, lambda _: None, None)
    today = load_suite(tmp_path / "deadweight.yaml").variants[0]
    assert isinstance(today, DockerfileVariant)
    assert (today.target, today.args) == ("prod", {"TAG": "3.20"})


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("FROM a AS production\nFROM a AS development\n", "production"),
        ("FROM a AS test\nFROM a AS production\n", None),
        ("FROM a AS build\nFROM a AS test\n", None),
        ("FROM a\n", None),
    ],
)
def test_a_last_stage_for_developers_is_not_the_image(tmp_path, text, target):
    assert only(tmp_path, {"Dockerfile": text}).own.target == target


def test_a_base_that_nothing_gives_leaves_a_dockerfile_out(tmp_path):
    files = {"Dockerfile": "ARG BASE\nFROM $BASE\nCMD x\n", "build.sh": "docker build --build-arg BASE=alpine:3 .\n"}
    assert only(tmp_path, files).own.words.base == "alpine:3"
    (tmp_path / "build.sh").unlink()
    assert only(tmp_path, {}).own.refused == "it is built on $BASE, for which nothing here gives a build argument"


def test_what_stands_on_the_published_image_adds_to_the_service(tmp_path):
    files = {
        "go.mod": "module example.com/team/shop/v2\n\ngo 1.22\n",
        "main.go": MAIN_GO,
        "Dockerfile": 'FROM golang AS b\nCOPY . .\nFROM scratch\nCOPY --from=b /shop /shop\nCMD ["/shop"]\n',
        "Dockerfile.site": 'FROM ghcr.io/team/shop\nCOPY main.go /pages/\nEXPOSE 8080\nCMD ["/shop", "--pages"]\n',
    }
    assert [each.path for each in only(tmp_path, files).dockerfiles] == ["Dockerfile", "Dockerfile.site"]


def test_dockerfiles_of_tests_bases_and_editors_are_none_of_the_service(tmp_path):
    files = {
        "go.mod": "module x\n\ngo 1.22\n",
        "main.go": MAIN_GO,
        "Dockerfile": "FROM golang\nCOPY . .\nCMD go run .\n",
        "Dockerfile.e2e": "FROM golang\nCMD go test ./...\n",
        "integration-test/Dockerfile": "FROM golang\nCMD go test ./...\n",
        "Dockerfile.base": "FROM golang\nRUN apt-get update\n",
        ".devcontainer/Dockerfile": "FROM golang\n",
        ".gitpod.Dockerfile": "FROM golang\n",
    }
    reasons = refused(tmp_path, files)
    assert {name: bool(reason) for name, reason in reasons.items() if name.startswith("today")} == {
        "today": False, "today-e2e": True, "today-base": True, "today-integration-test": True,
    }  # fmt: skip


# Compose and manifests


def test_of_services_of_one_image_the_one_that_listens_is_meant(tmp_path):
    files = {
        "Dockerfile": "FROM alpine\nCOPY . .\n",
        "compose.yaml": "services:\n  worker: {build: ., image: own, command: work}\n"
        "  web: {image: own, entrypoint: [serve], command: [--all], ports: ['80:9000'], env_file: .env.example}\n",
        ".env.example": "COMPOSE_PROJECT_NAME=x\nDOCKER_BUILDKIT=1\nMODE=y\n",
    }
    service = only(tmp_path, files)
    assert service.own.args == ("serve", "--all")
    assert {name: known.value for name, known in service.around.env.items()} == {"MODE": "y"}
    assert [each.value for each in port_hints(service)] == [9000]


def test_dockerfiles_that_one_compose_file_builds_as_two_services_are_two(tmp_path):
    files = {
        "requirements.txt": "fastapi\nstreamlit\n", "api.py": FASTAPI, "page.py": "",
        "docker/Dockerfile.api": "FROM python:3.12\nCOPY . .\nCMD uvicorn api:app\n",
        "docker/Dockerfile.page": "FROM python:3.12\nCOPY . .\nCMD streamlit run page.py\n",
        "docker/Dockerfile.old": "FROM python:3.9\nCOPY . .\nCMD uvicorn api:app\n",
        "compose.yaml": "services:\n  api: {build: {context: ., dockerfile: docker/Dockerfile.api}, ports: ['1:8000']}\n"
        "  page: {build: {context: ., dockerfile: docker/Dockerfile.page}, ports: ['2:8501']}\n",
    }  # fmt: skip
    services = {each.name: each for each in found(tmp_path, files)}
    assert {name: len(each.dockerfiles) for name, each in services.items()} == {"api": 2, "page": 1}
    assert services["page"].project.start == ("-m", "streamlit", "run", "page.py")
    assert next(each.value for each in port_hints(services["page"])) == 8501


def test_mounts_of_an_image_that_is_not_here_are_none_of_those_that_are_made(tmp_path):
    files = {
        "package.json": '{"dependencies": {"express": "4"}, "main": "a.js"}', "a.js": "",
        "compose.yaml": "services:\n  x: {build: ., volumes: ['./dist:/usr/src/x/dist', './a.js:/usr/src/x/a.js', 'd:/data']}\n",
    }  # fmt: skip
    around = only(tmp_path, files).around
    assert (around.files, [each.value for each in around.volumes]) == ({}, ["/data"])


def test_a_file_of_variables_that_is_not_there_is_no_folder(tmp_path):
    files = {
        "Dockerfile": "FROM alpine\nCMD x\n",
        "compose.yaml": "services:\n  x: {build: ., volumes: ['./.env:/etc/.env', './state:/var/state']}\n",
    }
    assert [each.value for each in only(tmp_path, files).around.volumes] == ["/var/state"]


def test_folders_that_only_a_run_makes_are_data_wherever_they_lie(tmp_path):
    mounts = [
        ".data/logs:/var/log/shop", "../up:/up", "/srv/shop:/srv", "~/shop:/home/shop", "${DATA}:/data", "../conf:/conf",
        "/etc/localtime:/etc/localtime:ro", "/var/run/docker.sock:/var/run/docker.sock", "/:/host", "/proc:/host/proc:ro",
        "/usr/bin/docker:/usr/bin/docker",
        "${CERT}:/certs/a.pem", "~/.aws:/root/.aws", "../../else:/else",
    ]  # fmt: skip
    files = {
        "Dockerfile": "FROM alpine\nCMD x\n",
        "conf/a.ini": "",
        "deploy/compose.yaml": f"services:\n  x: {{build: .., volumes: {mounts!r}}}\n",
    }
    around = only(tmp_path, files).around
    assert [each.value for each in around.volumes] == ["/var/log/shop", "/up", "/srv", "/home/shop", "/data"]


def test_ports_of_an_example_file_go_before_numbers_in_the_code(tmp_path):
    files = {
        "package.json": '{"dependencies": {"express": "4"}, "main": "a.js"}',
        "a.js": "app.listen(parseInt(process.env.PORT, 10) || 9999); x = {port: 25}",
        "env-example-sql": "APP_PORT=3000\nSMTP_PORT=26\n",
    }
    assert [each.value for each in port_hints(only(tmp_path, files))] == [3000]


def test_manifests_of_others_say_nothing_of_a_service_that_has_one(tmp_path):
    deployment = (
        "apiVersion: apps/v1\nkind: Deployment\nspec:\n  template:\n    spec:\n      containers:\n"
        "        - name: {0}\n          image: {0}\n          ports: [{{containerPort: {1}}}]\n"
    )
    files = {
        "go.mod": "module example.com/shop\n\ngo 1.22\n",
        "main.go": "package main\n\nfunc main() {}\n",
        "k8s/a-grafana.yaml": deployment.format("grafana", 3000),
        "k8s/shop.yaml": deployment.format("shop", 8181),
    }
    assert [each.value for each in port_hints(only(tmp_path, files))] == [8181]


def test_what_only_the_code_told_how_to_start_listens_where_the_suite_says(tmp_path):
    compose = "services:\n  web: {build: ., ports: ['8080:8888']}\n"
    text = text_of(tmp_path / "shop", {"requirements.txt": "fastapi\n", "main.py": FASTAPI, "compose.yaml": compose})
    assert "EXPOSE 8888\n" in text
    assert '"--host", "0.0.0.0", "--port", "8888"]' in text


def test_of_variables_that_a_service_shares_with_its_database_it_has_its_own(tmp_path):
    compose = (
        "services:\n  web: {build: ., ports: ['8000:8000'], env_file: shared.env, depends_on: [db]}\n"
        "  db: {image: 'postgres:16', env_file: shared.env, environment: {PGDATA: /data}}\n"
    )
    shared = "POSTGRES_PASSWORD=pw\nSECRET_KEY=hidden\nSMTP_HOST=mail\n"
    dockerfile = "FROM python:3.12\nCOPY . .\nCMD python main.py\n"
    files = {"requirements.txt": "fastapi\n", "main.py": FASTAPI, "Dockerfile": dockerfile, "compose.yaml": compose}
    service = only(tmp_path / "shop", {**files, "shared.env": shared})
    assert service.around.needs[0].value.env == {"POSTGRES_PASSWORD": "pw", "PGDATA": "/data"}
    assert {"POSTGRES_PASSWORD", "SECRET_KEY", "SMTP_HOST"} <= set(service.around.env)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ("<quarkus.platform.version>2.6.2.Final</quarkus.platform.version>", "quarkus.package.type"),
        ("<quarkus.platform.version>3.8.1</quarkus.platform.version>", "quarkus.package.type"),
        ("<quarkus.platform.version>3.28.1</quarkus.platform.version>", "quarkus.package.jar.type"),
        ("quarkusPlatformVersion=3.2.0.Final", "quarkus.package.type"),
        ("<quarkus-langchain.x>1.2.0</quarkus-langchain.x>", "quarkus.package.jar.type"),
    ],
)
def test_quarkus_is_told_its_package_by_the_name_that_its_version_knows(settings, name):
    assert java_versions.quarkus_package(settings) == name


@pytest.mark.parametrize(
    ("said", "lines"),
    [
        ("", ["ENV JAVA_TOOL_OPTIONS=-XX:MaxRAMPercentage=75.0"]),
        ("ENV JAVA_OPTS=-Da=b JAVA_APP_JAR=/x.jar", ['ENV JAVA_TOOL_OPTIONS="-XX:MaxRAMPercentage=75.0 -Da=b"']),
        ("ENV JAVA_TOOL_OPTIONS=-Xmx512m TZ=UTC", ["ENV TZ=UTC", "ENV JAVA_TOOL_OPTIONS=-Xmx512m"]),
    ],
)
def test_what_a_start_script_would_hand_to_java_java_reads_itself(tmp_path, said, lines):
    pom = "<project><artifactId>x</artifactId><parent>spring-boot-starter-parent</parent></project>"
    own = f"FROM eclipse-temurin:21-jre\n{said}\nCMD java $JAVA_OPTS -jar /x.jar\n"
    (service,) = found(tmp_path, {"pom.xml": pom, "Dockerfile": own, "src/main/java/A.java": ""})
    draft = recipe(service, "build")
    text = draft.ladder.files["build/Dockerfile"]
    assert [line for line in text.splitlines() if line.startswith("ENV ")] == lines
    jib = next(each for each in draft.ladder.rungs if each.name == "jib")
    assert "JAVA_APP_JAR" not in str(jib.keys.get("env"))
