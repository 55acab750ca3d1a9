"""How repositories are laid out: what is one service, what it is called, and which files speak for it."""

import json
import re
import subprocess
from dataclasses import replace

import pytest
import yaml

from deadweight_init.command import Wanted, init
from deadweight_init.draft import Draft, first_draft
from deadweight_init.prove.observe import Health, Observation
from deadweight_init.prove.posture import with_seen
from deadweight_init.records import Known, Service
from deadweight_init.services import find_services
from deadweight_init.tree import read_tree
from deadweight_init.write.suite import suite_text
from tests.init.test_found import found
from tests.support import TESTS
from tests.support.trees import written

NODE = {"package.json": '{"dependencies": {"express": "4"}, "scripts": {"start": "node a.js"}}', "a.js": ""}


def recipe(service: Service, place: str = "build") -> Draft:
    """A draft as it is where the own Dockerfile does not build here."""
    return replace(first_draft(service, place), own_fails=True)


def in_folders(*folders: str) -> dict[str, str]:
    return {f"{folder}/{name}": text for folder in folders for name, text in NODE.items()}


def test_an_env_file_is_read_where_git_has_it(tmp_path):
    compose = "services:\n  web:\n    build: .\n    env_file: .env\n    environment: {B: '${A}'}\n"
    root = written(tmp_path, {"compose.yaml": compose, "Dockerfile": "FROM alpine\n", ".env": "A=one\n"})
    subprocess.run(["git", "init", "-q", root], check=True)
    assert dict(find_services(read_tree(root))[0].around.env) == {}
    subprocess.run(["git", "-C", root, "add", ".env"], check=True)
    env = find_services(read_tree(root))[0].around.env
    assert {name: each.value for name, each in env.items()} == {"A": "one", "B": "one"}


@pytest.mark.parametrize(
    ("own", "args"), [("", ("gunicorn", "--bind", ":9000", "app:app")), ('CMD ["python", "app.py"]', ())]
)
def test_the_command_of_a_compose_file_starts_an_image_that_has_none(tmp_path, own, args):
    compose = "services:\n  web: {build: ., command: 'gunicorn --reload --bind :9000 app:app'}\n"
    files = {"requirements.txt": "flask\n", "app.py": "app = Flask(__name__)\n", "compose.yaml": compose}
    (service,) = found(tmp_path, {**files, "Dockerfile": f"FROM python:3.12\nCOPY . .\n{own}\n"})
    today = recipe(service, "build").rungs[0]
    assert service.dockerfiles[0].args == args
    assert today.keys.get("run") == (Known({"args": list(args)}, "from your Compose file") if args else None)
    assert service.project.start == (("-m", *args) if args else ("app.py",))


@pytest.mark.parametrize("read_only", [True, False])
def test_files_are_the_users_own_where_the_service_has_to_write_among_them(tmp_path, read_only):
    package = {"scripts": {"start": "node a.js"}, "dependencies": {"express": "*"}}
    (service,) = found(tmp_path, {"package.json": json.dumps(package), "a.js": ""})
    health = Health("http", 3000, "/", 200)
    seen = Observation(health, (3000,), "1000:1000", 10**7, 4, ("/srv/static",), 1.0, 0.1)
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
    seen = Observation(Health("http", 3000, "/", 200), (3000,), "0:0", 10**7, 4, (), 1.0, stop_seconds)
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


def test_services_of_one_name_are_told_apart_by_their_folders(tmp_path):
    root = written(tmp_path, in_folders("one/backend", "two/backend", "mail"))
    outcome = init(root, Wanted(service="all"), lambda *_: None, print, None)
    assert [draft.service.name for draft in outcome.drafts] == ["mail", "one-backend", "two-backend"]


@pytest.mark.parametrize("folder", ["02", "my shop", "yes"])
def test_any_name_of_a_folder_is_a_path_in_the_suite(tmp_path, folder):
    own = {f"{folder}/Dockerfile": "FROM node:22\nCOPY . .\nCMD node a.js\n"}
    (service,) = found(tmp_path / "x", {**in_folders(folder), **own})
    variants = yaml.safe_load(suite_text(recipe(service, "build")))["variants"]
    assert {each.get("source") for each in variants.values()} == {folder}
    assert variants["today"]["dockerfile"] == f"{folder}/Dockerfile"
