"""What is found out of Python repositories, of which many look alike."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deadweight_init.languages.python_steps import in_turn
from deadweight_init.services import find_services
from deadweight_init.tree import look
from tests.support.recipes import recipe
from tests.support.trees import written

EVERYWHERE = ("--host", "0.0.0.0", "--port", "8000")
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


@pytest.mark.parametrize(
    ("files", "export"),
    [
        ({"requirements.txt": "flask\n-r more.txt\n", "more.txt": "shop @ git+https://git.example/shop@v1\n"}, ""),
        (
            {"pyproject.toml": "[project]\n", "uv.lock": 'source = { git = "https://git.example/shop?rev=1#2" }\n'},
            "uv export --no-hashes --frozen",
        ),
        (
            {"pyproject.toml": "[tool.poetry]\n", "poetry.lock": '[package.source]\ntype = "git"\nurl = "x"\n'},
            "poetry export --without-hashes",
        ),
        ({"Pipfile": "", "Pipfile.lock": '{"default": {"shop": {"git": "https://git.example/shop"}}}'}, ""),
    ],
)
def test_packages_that_are_cloned_have_git_and_no_hashes(tmp_path, files, export):
    (service,) = found(tmp_path, {"app.py": "app = Flask(__name__)\n", **files})
    text = recipe(service, "build").ladder.files["build/Dockerfile"]
    assert "\nRUN command -v git || { command -v apk && apk add --no-cache git; } \\\n" in text
    assert export in text


def test_a_variable_of_the_official_image_that_the_code_reads_is_set_on_every_base(tmp_path):
    code = "app = Flask(__name__)\nversion = os.environ['PYTHON_VERSION']\n"
    (service,) = found(tmp_path, {"requirements.txt": "flask\n", ".python-version": "3.13", "app.py": code})
    assert "\nENV PYTHON_VERSION=3.13\n" in recipe(service, "build").ladder.files["build/Dockerfile"]


def test_packages_of_an_index_want_no_git(tmp_path):
    (service,) = found(tmp_path, {**FLASK, "requirements.txt": "flask\ngitpython==3.1\ngit-lint==1\n"})
    assert "command -v git" not in recipe(service, "build").ladder.files["build/Dockerfile"]


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


CALLED = "import sys; from shop.cli import run; sys.argv[0] = 'shop-server'; sys.exit(run())"


@pytest.mark.parametrize(
    ("home", "manifest", "inside"),
    [
        ("", "[project]\nname = 'shop'\n[project.scripts]\nshop-server = 'shop.cli:run'\n", ""),
        ("src/", "[project]\nname = 'shop'\n[project.scripts]\nshop-server = 'shop.cli:run'\n", ""),
        ("src/", "[tool.poetry]\n[tool.poetry.scripts]\nshop-server = 'shop.cli:run'\n", "src"),
    ],
)
def test_a_program_that_the_project_installs_is_called_by_its_function(tmp_path, home, manifest, inside):
    files = {"pyproject.toml": manifest, f"{home}shop/__init__.py": "", f"{home}shop/cli.py": "def run(): ...\n"}
    image = 'FROM python:3.12\nCOPY . .\nENTRYPOINT ["shop-server"]\nCMD ["--port", "80"]\n'
    (service,) = found(tmp_path, {**files, "Dockerfile": image})
    assert service.project.start == ("-c", CALLED, "--port", "80")
    assert service.project.details["inside"] == inside


def test_a_program_of_another_package_is_not_made_up(tmp_path):
    files = {"pyproject.toml": "[project]\n[project.scripts]\nshop = 'store.cli:run'\n", "shop/__init__.py": ""}
    (service,) = found(tmp_path, {**files, "Dockerfile": 'FROM python:3.12\nCOPY . .\nCMD ["shop"]\n'})
    assert service.project is None or service.project.problem


def test_the_function_is_called_with_the_program_s_name(tmp_path):
    written(tmp_path, {"shop/cli.py": "import sys\ndef run():\n    print(sys.argv)\n    return 3\n"})
    done = subprocess.run(
        [sys.executable, "-c", CALLED, "--port", "80"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("['shop-server', '--port', '80']\n", 3)


NESTED = "DATABASE__HOSTNAME=localhost\nDATABASE__PORT=5455\nDATABASE__USERNAME=me\n"


def test_the_port_of_a_database_may_come_from_the_example_file(tmp_path):
    compose = (
        'services:\n  db: {image: "postgres:18", ports: ["${DATABASE__PORT}:5432"], environment: {POSTGRES_USER: me}}\n'
    )
    (service,) = found(tmp_path, {**FLASK, ".env.example": NESTED, "compose.yaml": compose})
    env = {name: known.value for name, known in service.around.env.items()}
    assert env == {"DATABASE__HOSTNAME": "db", "DATABASE__PORT": "5432", "DATABASE__USERNAME": "me"}
    assert [each.value.name for each in service.around.needs] == ["db"]


@pytest.mark.parametrize(
    ("name", "text", "date", "version", "origin"),
    [
        ("requirements.txt", "flask==1.0\n", "2018-07-04", "3.9", "guessed: requirements.txt is of 2018"),
        ("requirements.txt", "flask==2.2.2\n", "2023-01-04", "3.10", "guessed: requirements.txt is of 2023"),
        ("requirements.txt", "flask\n", "2018-07-04", "3.12", "guessed"),
        ("requirements.txt", "flask==3.0\n", "2025-07-04", "3.12", "guessed"),
        (
            "Pipfile.lock",
            '{"default": {"flask": {"version": "==1.0"}}}\n',
            "2018-07-04",
            "3.9",
            "guessed: Pipfile.lock is of 2018",
        ),
    ],
)
def test_pinned_packages_get_the_python_of_their_time(tmp_path, name, text, date, version, origin):
    more = {"Pipfile": "[packages]\n"} if name == "Pipfile.lock" else {}
    tree = look(written(tmp_path, {"app.py": "app = Flask(__name__)\n", name: text, **more}))
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "One", date=date)
    (service,) = find_services(tree)
    assert (service.project.version.value, service.project.version.origin) == (version, origin)


def git(root: Path, *words: str, date: str = "2020-01-01") -> None:
    person = {f"GIT_{each}_{what}": "a@b.c" for each in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    dates = {f"GIT_{each}_DATE": f"{date}T12:00:00Z" for each in ("AUTHOR", "COMMITTER")}
    subprocess.run(["git", "-C", root, *words], check=True, env={**os.environ, **person, **dates})


def test_a_pipfile_without_a_lock_is_locked_in_the_build_with_the_index_of_the_machine(tmp_path):
    (service,) = found(tmp_path, {"app.py": "app = Flask(__name__)\n", "Pipfile": "[packages]\nflask = '*'\n"})
    text = recipe(service, "build").ladder.files["build/Dockerfile"]
    assert "COPY Pipfile Pipfile.lock* ./" in text
    assert "[ -f Pipfile.lock ] || PIPENV_PYPI_MIRROR=${PIP_INDEX_URL-} pipenv lock" in text
    assert "sed -E '/^-i https:..pypi(.python)?.org/d'" in text


@pytest.mark.parametrize(
    ("files", "start"),
    [
        (
            ("shop/wsgi.py", "shop/a/backends/wsgi.py"),
            ("-m", "gunicorn", "--bind", "0.0.0.0:8000", "shop.wsgi:application"),
        ),
        (
            ("shop/asgi.py", "shop/a/backends/sendfile.py"),
            ("-m", "uvicorn", "--host", "0.0.0.0", "--port", "8000", "shop.asgi:application"),
        ),
        ((), ("manage.py", "runserver", "0.0.0.0:8000")),
    ],
)
def test_django_is_served_by_its_own_gate(tmp_path, files, start):
    gates = {
        path: f"application = get_{path[-7:-3]}_application()\n" if "backends" not in path else "" for path in files
    }
    (service,) = found(tmp_path, {"manage.py": "import django\n", "requirements.txt": "django\n", **gates})
    assert service.project.start == start


def test_an_application_of_a_test_is_none(tmp_path):
    files = {
        "test_app.py": "app = create_app('testing')\n",
        "shop/__init__.py": "def create_app():\n    Flask(__name__)\n",
    }
    (service,) = found(tmp_path, {**files, "requirements.txt": "flask\n"})
    assert service.project.start[-1] == "shop:create_app()"


@pytest.mark.parametrize("place", ["deploy/test-server/start.sh", "start.sh", "scripts/start.sh", "a/b/start.sh"])
def test_a_start_script_is_found_where_the_image_has_it(tmp_path, place):
    script = "#!/bin/sh\ncd /app\npython manage.py migrate\nuvicorn shop.asgi:application --port 3735\n"
    image = 'FROM python:3.12\nCOPY . /app\nENTRYPOINT ["/app/deploy/test-server/start.sh"]\n'
    files = {"requirements.txt": "uvicorn\n", "manage.py": "import django\n", "shop/asgi.py": "", "Dockerfile": image}
    (service,) = found(tmp_path, {**files, place: script})
    assert service.project.start == ("-m", "uvicorn", "shop.asgi:application", "--port", "3735")


SCRIPT = """#!/bin/bash
PORT="${PORT:-9090}"
mkdir -p data data/icons
if [ -n "$FIRST" ]; then
  python manage.py first
fi
python manage.py migrate
python manage.py tasks | tee log
case $KIND in
  a) python manage.py other ;;
esac
chown -R www-data data
"""
MADE = ["-c", "import os; [os.makedirs(each, exist_ok=True) for each in ['data', 'data/icons']]"]


@pytest.mark.parametrize(
    ("ends", "last", "may_fail"),
    [
        ("exec uwsgi --http :$PORT uwsgi.ini", "shop.wsgi:application", "1"),
        ("if [ $A ]; then\n  supervisord\nelse\n  exec uwsgi uwsgi.ini\nfi", "shop.wsgi:application", "1"),
        ("set -e\nexec gunicorn shop.wsgi -b :$PORT", ":9090", ""),
    ],
)
def test_what_a_script_does_in_any_case_is_done_before_it_serves(tmp_path, ends, last, may_fail):
    image = 'FROM python:3.12\nWORKDIR /app\nCOPY . .\nCMD ["./start.sh"]\n'
    files = {"manage.py": "import django\n", "requirements.txt": "django\n", "shop/wsgi.py": "", "Dockerfile": image}
    (service,) = found(tmp_path, {**files, "start.sh": SCRIPT + ends + "\n"})
    project = service.project
    assert json.loads(project.details["before"]) == [MADE, ["manage.py", "migrate"]]
    assert (project.start[-1], project.details["may_fail"]) == (last, may_fail)
    text = recipe(service, "build").ladder.files["build/Dockerfile"]
    assert f"check={not may_fail}" in text


def test_a_step_that_fails_ends_it_only_where_the_script_says_so(tmp_path):
    last = tmp_path / "last.py"
    last.write_text("print('up')\n")
    for check, printed in ((False, "up\n"), (True, "")):
        words = [sys.executable, *in_turn([("-c", "raise SystemExit(1)")], (str(last),), check=check)]
        assert subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout == printed


GUNICORN = ("-m", "gunicorn", "main:app")


@pytest.mark.parametrize(
    ("files", "before"),
    [
        ({"Procfile": "release: python manage.py migrate\nweb: gunicorn main:app\n"}, [["manage.py", "migrate"]]),
        (
            {
                "render.yaml": "services:\n- {type: worker, startCommand: x}\n- {type: web, startCommand: gunicorn main:app}\n"
            },
            [],
        ),
        ({"railway.json": '{"deploy": {"startCommand": "gunicorn main:app"}}'}, []),
        (
            {"railway.toml": "[deploy]\nstartCommand = 'flask db upgrade && gunicorn main:app'\n"},
            [["-m", "flask", "db", "upgrade"]],
        ),
        ({".do/app.yaml": "services:\n- {run_command: gunicorn main:app}\n"}, []),
        (
            {
                "fly.toml": "[deploy]\nrelease_command = 'python manage.py migrate'\n[processes]\napp = 'gunicorn main:app'\n"
            },
            [["manage.py", "migrate"]],
        ),
        ({"nixpacks.toml": "[start]\ncmd = 'gunicorn main:app'\n", "railway.json": "{"}, []),
    ],
)
def test_a_hosting_platform_is_told_what_serves(tmp_path, files, before):
    (service,) = found(tmp_path, {"other.py": "x = Flask(__name__)\n", "requirements.txt": "gunicorn\n", **files})
    project = service.project
    assert (project.start, json.loads(project.details["before"] or "[]")) == (GUNICORN, before)


def test_a_compose_file_for_one_case_goes_after_the_one_for_users(tmp_path):
    image = "FROM python:3.12\nVOLUME /data/\nCOPY . .\nCMD python app.py\n"
    of_case = "services:\n  shop: {image: me/shop, environment: {KIND: postgres}}\n"
    files = {"Dockerfile": image, "scripts/cases/postgres/compose.yml": of_case, "setup.py": "name='shop'\n"}
    files["docker-compose.yml"] = "services:\n  shop: {image: me/shop, environment: {KIND: plain}}\n"
    (service,) = found(tmp_path / "shop", {**FLASK, **files})
    assert {name: known.value for name, known in service.around.env.items()} == {"KIND": "plain"}
    assert list(service.volumes) == ["/data"]


SERVING = "if __name__ == '__main__':\n    "


@pytest.mark.parametrize(
    ("files", "start"),
    [
        (
            {
                "celery_worker.py": "app = create_app()\n",
                "wsgi.py": "shop = create_app()\n",
                "a.py": "app = Flask(1)\n",
            },
            "wsgi:shop",
        ),
        ({"hello.py": f"{SERVING}web.run_app(make())\n", "other.py": ""}, "hello.py"),
        ({"hello.py": f"{SERVING}run(host='0.0.0.0', port=8080)\n", "other.py": "run(1)\n"}, "hello.py"),
        ({"hello.py": "app.listen(8888)\n"}, "hello.py"),
        ({"Hello.py": "import streamlit as st\n", "other.py": "import streamlit\n"}, "0.0.0.0"),
        ({"a.py": "app = dash.Dash(__name__)\nserver = app.server\n"}, "a:server"),
        (
            {"a.py": "app = Dash(__name__)\n"},
            "import a as made; made.app.run(host='0.0.0.0', port=8050)",
        ),
        (
            {"shop/application.py": "async def create_app():\n    return web.Application()\n"},
            "from aiohttp import web; import shop.application as made; web.run_app(made.create_app(), port=8000)",
        ),
    ],
)
def test_what_serves_is_found_in_the_code(tmp_path, files, start):
    (service,) = found(tmp_path, {"requirements.txt": "x\n", **files})
    assert service.project.start[-1] == start


@pytest.mark.parametrize(
    ("files", "packages", "start"),
    [
        (
            {
                "manage.py": "import django\n",
                "shop/wsgi.py": "",
                "shop/a.py": "import rest_framework, os\nimport unknown\n",
            },
            "pip install --no-compile --target=/site-packages django djangorestframework",
            "shop.wsgi:application",
        ),
        (
            {
                "app.py": "from flask import Flask\nfrom dotenv import x\napp = Flask(1)\n",
                "tests/a.py": "import redis\n",
            },
            "pip install --no-compile --target=/site-packages flask python-dotenv",
            "app:app",
        ),
    ],
)
def test_code_without_a_list_gets_what_it_imports_of_what_many_use(tmp_path, files, packages, start):
    (service,) = found(tmp_path, files)
    text = recipe(service, "build").ladder.files["build/Dockerfile"]
    assert f"    {packages}\n" in text
    assert service.project.start[-1] == start


def test_python_beside_another_language_is_a_tool_of_it(tmp_path):
    files = {"package.json": '{"scripts": {"start": "node a.js"}}', "a.js": "http.createServer().listen(1)\n"}
    (service,) = found(tmp_path, {**files, "server.py": "from flask import Flask\napp = Flask(1)\n"})
    assert service.project.language == "node"
