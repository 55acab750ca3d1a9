"""What is found out of Python repositories, of which many look alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from deadweight.project.init.draft import first_draft
from deadweight.project.init.lacking import with_what_it_lacks
from deadweight.project.init.services import find_services
from deadweight.project.init.tree import look
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


@pytest.mark.parametrize(
    ("command", "start"),
    [
        ('["/app/bin/python", "/app/bin/shop", "--hosts", "0.0.0.0"]', ("-m", "shop", "--hosts", "0.0.0.0")),
        ('["python", "/venv/bin/uvicorn", "app:app"]', ("-m", "uvicorn", "app:app")),
        ('["python", "/venv/bin/other"]', ("venv/bin/other",)),
    ],
)
def test_a_program_of_a_virtual_environment_is_a_module(tmp_path, command, start):
    files = {"setup.py": "entry_points={'console_scripts': ['shop = shop.__main__:run']}\n", "shop/__main__.py": ""}
    (service,) = found(tmp_path, {**files, "Dockerfile": f"FROM python:3.12\nCOPY . .\nENTRYPOINT {command}\n"})
    assert service.project.start in (start, (f"/{start[0]}",))


NESTED = "DATABASE__HOSTNAME=localhost\nDATABASE__PORT=5455\nDATABASE__USERNAME=me\n"


def test_the_port_of_a_database_may_come_from_the_example_file(tmp_path):
    compose = (
        'services:\n  db: {image: "postgres:18", ports: ["${DATABASE__PORT}:5432"], environment: {POSTGRES_USER: me}}\n'
    )
    (service,) = found(tmp_path, {**FLASK, ".env.example": NESTED, "compose.yaml": compose})
    env = {name: known.value for name, known in service.around.env.items()}
    assert env == {"DATABASE__HOSTNAME": "db", "DATABASE__PORT": "5432", "DATABASE__USERNAME": "me"}
    assert [each.value.name for each in service.around.needs] == ["db"]


def test_settings_in_groups_are_read_as_plain_ones(tmp_path):
    tree = look(written(tmp_path, {**FLASK, "requirements.txt": "flask\nasyncpg\n", ".env.example": NESTED}))
    (service,) = find_services(tree)
    draft = with_what_it_lacks(first_draft(service, "build"), tree)
    assert draft is not None
    env = {name: known.value for name, known in draft.service.around.env.items()}
    assert env == {"DATABASE__HOSTNAME": "postgres", "DATABASE__PORT": "5432", "DATABASE__USERNAME": "app"}
