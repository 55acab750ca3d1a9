"""What is found out of Python repositories, of which many look alike."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from deadweight_init.services import find_services
from deadweight_init.tree import look
from tests.support.trees import written

FLASK = {"app.py": "app = Flask(__name__)\n", "requirements.txt": "flask\n"}


def found(root: Path, files: dict[str, str]):
    return find_services(look(written(root, files)))


@pytest.mark.parametrize(
    ("copies", "refused"),
    [
        ("./requirements.txt ./poetry.lock* /app/", ""),
        ("poetry.lock* /app/", "it copies poetry.lock*, which is not in the repository and must be built first"),
        ("requirements.txt made.txt ./", "it copies made.txt, which is not in the repository and must be built first"),
    ],
)
def test_a_pattern_beside_a_file_may_match_nothing(tmp_path, copies, refused):
    (service,) = found(tmp_path, {**FLASK, "Dockerfile": f"FROM python:3.12\nCOPY {copies}\nCMD python app.py\n"})
    assert service.dockerfiles[0].refused == refused


def test_a_server_goes_before_the_worker_beside_it(tmp_path):
    compose = "services:\n  worker: {build: {context: ., dockerfile: Dockerfile.worker}}\n"
    compose += "  web: {build: ., ports: ['80:5000'], depends_on: [db]}\n  db: {image: postgres}\n"
    image = "FROM python:3.12\nCOPY . .\nCMD python app.py\n"
    services = found(tmp_path, {**FLASK, "Dockerfile": image, "Dockerfile.worker": image, "compose.yaml": compose})
    assert [each.name for each in services] == ["web", "worker"]


NESTED = "DATABASE__HOSTNAME=localhost\nDATABASE__PORT=5455\nDATABASE__USERNAME=me\n"


def test_the_port_of_a_database_may_come_from_the_example_file(tmp_path):
    compose = (
        'services:\n  db: {image: "postgres:18", ports: ["${DATABASE__PORT}:5432"], environment: {POSTGRES_USER: me}}\n'
    )
    (service,) = found(tmp_path, {**FLASK, ".env.example": NESTED, "compose.yaml": compose})
    env = {name: known.value for name, known in service.around.env.items()}
    assert env == {"DATABASE__HOSTNAME": "db", "DATABASE__PORT": "5432", "DATABASE__USERNAME": "me"}
    assert [each.value.name for each in service.around.needs] == ["db"]


def git(root: Path, *words: str, date: str = "2020-01-01") -> None:
    person = {f"GIT_{each}_{what}": "a@b.c" for each in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    dates = {f"GIT_{each}_DATE": f"{date}T12:00:00Z" for each in ("AUTHOR", "COMMITTER")}
    subprocess.run(["git", "-C", root, *words], check=True, env={**os.environ, **person, **dates})


def test_a_compose_file_for_one_case_goes_after_the_one_for_users(tmp_path):
    image = "FROM python:3.12\nVOLUME /data/\nCOPY . .\nCMD python app.py\n"
    of_case = "services:\n  shop: {image: me/shop, environment: {KIND: postgres}}\n"
    files = {"Dockerfile": image, "scripts/cases/postgres/compose.yml": of_case, "setup.py": "name='shop'\n"}
    files["docker-compose.yml"] = "services:\n  shop: {image: me/shop, environment: {KIND: plain}}\n"
    (service,) = found(tmp_path / "shop", {**FLASK, **files})
    assert {name: known.value for name, known in service.around.env.items()} == {"KIND": "plain"}
    assert list(service.volumes) == ["/data"]
