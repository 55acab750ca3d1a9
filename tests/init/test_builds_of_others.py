"""Layouts and build files of public repositories as init reads them: workspaces, modules, versions, stages, build arguments."""

from __future__ import annotations

from pathlib import Path

import pytest

from deadweight.builders.dockerfile.variant import DockerfileVariant
from deadweight.project.load_suite import load_suite
from deadweight_init.command import Wanted, init
from deadweight_init.draft import port_hints
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


def refused(root: Path, files: dict[str, str]) -> dict[str, str]:
    return {each.name: each.refused for each in recipe(only(root, files), "build").ladder.rungs}


# Node


# Python


# Java


# Rust


# Go


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
    assert services["page"].project.start[:4] == ("-m", "streamlit", "run", "page.py")
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
