"""What is tried for a variant that does not come up."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from deadweight_init.command import _place
from deadweight_init.reachable import with_open_address
from deadweight_init.remedies import (
    next_remedy,
    with_developers_modules,
    with_missing_package,
    with_own_settings,
    with_settings_file,
)
from deadweight_init.services import find_services
from deadweight_init.settings_files import with_example_of_settings, with_settings_of_repository
from deadweight_init.suitefile import suite_text
from deadweight_init.tree import look
from tests.support.recipes import recipe
from tests.support.trees import written

GO = {
    "go.mod": "module shop\n\ngo 1.22\n",
    "main.go": 'package main\n\nimport "net/http"\n\nfunc main() { http.ListenAndServe(":8080", nil) }\n',
}
RUST = {
    "Cargo.toml": '[package]\nname = "shop"\nversion = "0.1.0"\n',
    "src/main.rs": 'fn main() { TcpListener::bind("0.0.0.0:8080"); }\n',
}
JAVA = {
    "pom.xml": "<project><artifactId>shop</artifactId><parent><artifactId>spring-boot-parent</artifactId></parent></project>"
}
NO_FILE = 'it ended with exit code 14: SqliteError: unable to open database file: "shop.db"'


def drafted(root, files):
    tree = look(written(root, files))
    return recipe(find_services(tree)[0], "build"), tree


def rung(draft, name):
    return next(each for each in draft.rungs if each.name == name)


@pytest.mark.parametrize(
    ("files", "died"),
    [
        (GO, NO_FILE),
        (GO, "panic: open shop.db: permission denied"),
        (RUST, 'called `Result::unwrap()`: Os { code: 13, kind: PermissionDenied, message: "Permission denied" }'),
        (RUST, "error returned from database: (code: 14) unable to open database file"),
        (JAVA, "Caused by: java.nio.file.AccessDeniedException: /app/shop.mv.db"),
        (JAVA, 'org.h2.jdbc.JdbcSQLNonTransientConnectionException: Error while creating file "/app" [90062-214]'),
    ],
)
def test_a_service_that_writes_where_it_is_started_gets_that_folder(tmp_path, files, died):
    draft, tree = drafted(tmp_path, files)
    again = next_remedy(draft, rung(draft, "distroless"), died, tree)
    assert again is not None
    ends = again.ladder.files["build/Dockerfile"].rpartition("FROM ${BASE}")[2]
    assert ends.index("COPY --chown=65532:65532") < ends.index("WORKDIR /app\n")
    assert "WORKDIR" not in draft.ladder.files["build/Dockerfile"].rpartition("FROM ${BASE}")[2] or files is JAVA
    assert next_remedy(again, rung(draft, "distroless"), died, tree) is None


def test_a_go_service_that_writes_where_it_is_started_has_the_folder_without_a_dockerfile_too(tmp_path):
    draft, tree = drafted(tmp_path, GO)
    again = next_remedy(draft, rung(draft, "ko"), NO_FILE, tree)
    assert again is not None
    keys = rung(again, "ko").keys
    assert (keys["workdir"], keys["run"]) == ("/app", "{tmpfs: [/tmp, /app]}")
    apko = again.ladder.files["build/apko.yaml"]
    assert "work-dir: /app\n" in apko
    assert "paths: [{path: /app, type: directory, uid: 65532, gid: 65532, permissions: 0o755}]" in apko


@pytest.mark.parametrize(
    ("code", "died"),
    [
        ('time.LoadLocation("Asia/Jakarta")', ""),
        ("", "failed to open connection to databaseunknown time zone Asia/Jakarta"),
    ],
)
def test_time_zones_that_a_go_service_asks_for_by_name_are_in_it(tmp_path, code, died):
    draft, tree = drafted(tmp_path, {**GO, "zones.go": f"package main\n\nfunc zones() {{ {code} }}\n"})
    if died:
        assert "timetzdata" not in draft.ladder.files["build/Dockerfile"]
        again = next_remedy(draft, rung(draft, "debian"), died, tree)
        assert again is not None
        draft = again
    assert "go build -trimpath -tags timetzdata " in draft.ladder.files["build/Dockerfile"]
    assert ", tzdata, shop-from-source]" in draft.ladder.files["build/apko.yaml"]
    assert next_remedy(draft, rung(draft, "debian"), died, tree) is None


@pytest.mark.parametrize(
    ("text", "place"), [("build: test\n\tgo build\n", "containers"), ("build := x\nall:\n", "build")]
)
def test_no_folder_is_written_that_make_would_take_for_its_target(tmp_path, text, place):
    assert _place(look(written(tmp_path, {**GO, "Makefile": text}))) == place


NODE = {
    "package.json": json.dumps(
        {
            "name": "board",
            "scripts": {"start": "node server.js"},
            "dependencies": {"express": "4"},
            "devDependencies": {"morgan": "1", "@scope/log": "2"},
        }
    ),
    "server.js": "",
}


@pytest.mark.parametrize(
    ("died", "helps"),
    [
        ("Error: Cannot find module 'morgan' | Require stack:", True),
        ("Error [ERR_MODULE_NOT_FOUND]: Cannot find package '@scope/log' imported from /app/server.js", True),
        ("Error: Cannot find module './backend'", False),
        ("Error: Cannot find module 'absent'", False),
    ],
)
def test_modules_for_development_that_the_code_needs_are_kept(tmp_path, died, helps):
    draft, tree = drafted(tmp_path, NODE)
    assert "--omit=dev" in draft.ladder.files["build/Dockerfile"]
    again = with_developers_modules(draft, died, tree)
    assert (again is not None) is helps
    if again is not None:
        assert "--omit=dev" not in again.ladder.files["build/Dockerfile"]
        assert with_developers_modules(again, died, tree) is None


@pytest.mark.parametrize(
    ("died", "package"),
    [
        ("ModuleNotFoundError: No module named 'debug_toolbar' | File x", "django-debug-toolbar"),
        ("ModuleNotFoundError: No module named 'pkg_resources'", "'setuptools<81'"),
        ("ModuleNotFoundError: No module named 'psycopg' | sqlalchemy/dialects/postgresql", "'psycopg[binary]'"),
        ('RuntimeError: Form data requires "python-multipart" to be installed.', "python-multipart"),
        ("ModuleNotFoundError: No module named 'packaging'", "packaging"),
        ("/usr/local/bin/python3: No module named gevent", "gevent"),
        ("ImportError: Missing redis library (pip install redis)", "redis"),
        ("use `pip install 'shop-client[http2]'` first", "'shop-client[http2]'"),
        ("run pip install -r requirements.txt", ""),
        ("ModuleNotFoundError: No module named 'absent'", ""),
        ("ModuleNotFoundError: No module named 'debug'", ""),
        ("connection refused", ""),
    ],
)
def test_a_package_that_another_list_names_is_installed_too(tmp_path, died, package):
    files = {
        "app.py": "app = FastAPI()\n",
        "requirements.txt": "fastapi\n",
        "requirements/dev.txt": "Debug-Toolbar==4\n",
    }
    draft, tree = drafted(tmp_path, files)
    again = with_missing_package(draft, died, tree)
    assert (again is not None) is bool(package)
    if again is not None:
        assert f"--target=/site-packages uvicorn {package}\n" in again.ladder.files["build/Dockerfile"]
        assert with_missing_package(again, died, tree) is None


@pytest.mark.parametrize(
    ("died", "dated"),
    [
        ("ImportError: cannot import name 'escape' from 'jinja2' (/site-packages/jinja2/__init__.py)", True),
        ("AttributeError: module 'collections' has no attribute 'Mapping'", True),
        ("ModuleNotFoundError: No module named 'psycopg' | sqlalchemy/dialects/postgresql/psycopg.py", True),
        ("ConnectionRefusedError: [Errno 111]", False),
    ],
)
def test_packages_that_have_moved_on_are_taken_from_the_time_of_their_list(tmp_path, died, dated):
    files = {"Dockerfile": "FROM python:3.9\nCOPY . .\nCMD gunicorn app:app\n", "requirements.txt": "flask==1.1.2\n"}
    root = written(tmp_path / "shop", {**files, "app.py": "app = Flask(__name__)\n"})
    git = ["git", "-C", root, "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
        env = {**os.environ, "GIT_COMMITTER_DATE": "2021-06-03T12:00:00Z"}
        subprocess.run([*git, *words], check=True, env=env)
    tree = look(root)
    draft = recipe(find_services(tree)[0], "build")
    again = next_remedy(draft, rung(draft, "debian"), died, tree)
    assert (again is not None) is dated
    if again is not None:
        text = again.ladder.files["build/Dockerfile"]
        install = "uv pip install --python python3 --target=/site-packages --exclude-newer 2021-06-03"
        assert f"    pip install uv && {install} -r requirements.txt\n" in text
        assert f"RUN {install} gunicorn\n" in text
        further = next_remedy(again, rung(draft, "debian"), died, tree)
        assert further is None or "'psycopg[binary]'" in further.ladder.files["build/Dockerfile"]


@pytest.mark.parametrize(
    "died",
    [
        "it ended with exit code 1: 2026/11/28 Error loading .env file",
        "open .env: no such file or directory",
        "Error: ENOENT: no such file or directory, open '/app/.env'",
        "Failed to load env file",
    ],
)
def test_an_example_of_a_settings_file_is_mounted_where_the_service_looks_for_it(tmp_path, died):
    own = {"Dockerfile": "FROM golang:1.22\nWORKDIR /srv\nCOPY . .\nRUN go build -o engine .\nCMD /srv/engine\n"}
    draft, tree = drafted(tmp_path, {**GO, **own, "example.env": "PORT=8080\n"})
    again = with_settings_file(draft, died, tree)
    assert again is not None
    assert "files: {/srv/.env: example.env}" in suite_text(again)
    assert "WORKDIR /srv\n" in again.ladder.files["build/Dockerfile"].rpartition("FROM ${BASE}")[2]
    assert with_settings_file(again, died, tree) is None
    assert with_settings_file(draft, "connection refused", tree) is None


@pytest.mark.parametrize(
    ("died", "example", "target"),
    [
        (
            "Error: ENOENT: no such file or directory, open '/srv/config/db.json'",
            "config/db.example.json",
            "config/db.json",
        ),
        ("Error: Cannot find module './config/keys' | Require stack", "config/keys.js.sample", "config/keys.js"),
        ("Error: Cannot find module '../config'", "config-template.json", "config.json"),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'settings.yml'", "settings.yml.dist", "settings.yml"),
        (
            "java.io.FileNotFoundException: conf/app.yml (No such file or directory)",
            "conf/example.app.yml",
            "conf/app.yml",
        ),
    ],
)
def test_an_example_of_a_missing_file_is_mounted_where_it_is_looked_for(tmp_path, died, example, target):
    files = {
        "package.json": '{"dependencies": {"express": "4"}, "scripts": {"start": "node app.js"}}',
        "Dockerfile": 'FROM node:22\nWORKDIR /srv\nCOPY . .\nCMD ["node", "app.js"]\n',
        "app.js": "",
        example: "x",
    }
    draft, tree = drafted(tmp_path, files)
    again = with_example_of_settings(draft, died, tree)
    assert again is not None
    assert {place: known.value for place, known in again.service.around.files.items()} == {
        f"/app/{target}": example,
        f"/srv/{target}": example,
    }
    assert with_example_of_settings(again, died, tree) is None
    assert with_example_of_settings(draft, "Error: Cannot find module 'left-pad'", tree) is None


@pytest.mark.parametrize(
    ("died", "file", "own", "mounted"),
    [
        ("Read 'shop.conf' failed | Os { code: 2, kind: NotFound }", "shop-default.conf", "/", ["/shop.conf", "/app/shop.conf"]),
        ("/srv/config.toml is not found, please provide one", "config.toml", "/srv", ["/srv/config.toml"]),
        ('Config File "config" Not Found in "[/srv]"', "config.yaml", "/srv", ["/srv/config.yaml"]),
        ("open /etc/shop/shop.cfg: no such file or directory", "contrib/shop.cfg", "/srv", ["/etc/shop/shop.cfg"]),
        ("could not read config.yml: No such file", "configs/config.example.yml", "/root", ["/root/config.yml", "/app/config.yml"]),
        ("failed to parse config.toml: missing field `x`", "config.toml", "/srv", []),
        ("open config.yaml: no such file or directory", "other.yaml", "/srv", []),
    ],
)  # fmt: skip
@pytest.mark.parametrize("language", [GO, RUST])
def test_a_program_gets_the_settings_of_the_repository(tmp_path, language, died, file, own, mounted):
    image = {"Dockerfile": f"FROM scratch\nWORKDIR {own}\nCOPY --from=build /x /x\nCMD /x\n"}
    draft, tree = drafted(tmp_path, {**language, **image, file: "a"})
    again = with_settings_of_repository(draft, died, tree)
    assert (list(again.service.around.files) if again else []) == mounted
    if again:
        assert {known.value for known in again.service.around.files.values()} == {file}
        last = again.ladder.files["build/Dockerfile"].rpartition("FROM ${BASE}")[2]
        assert f"WORKDIR {'/srv' if own == '/srv' else '/app'}\n" in last
        assert with_settings_of_repository(again, died, tree) is None


@pytest.mark.parametrize(
    ("copies", "source", "kept"),
    [
        ("COPY --from=build /src/shop .", "config.toml", True),
        ("COPY . .", "config.toml", False),
        ("COPY --from=build /src/shop .", "Cargo.toml", False),
        ("COPY --from=build /src/shop .", "src/main.rs", False),
        ("COPY config.toml .", "config.toml", False),
    ],
)
def test_settings_that_users_mount_beside_a_binary_are_mounted(tmp_path, copies, source, kept):
    own = f'FROM rust AS build\nWORKDIR /src\nCOPY . .\nFROM scratch\nWORKDIR /app\n{copies}\nCMD ["./shop"]\n'
    compose = f"services:\n  shop:\n    build: .\n    volumes: [./{source}:/app/{source}]\n"
    draft, _ = drafted(tmp_path, {**RUST, "config.toml": "", "Dockerfile": own, "compose.yaml": compose})
    assert (f"/app/{source}" in draft.service.around.files) is kept
    if kept:
        assert "WORKDIR /app\n" in draft.ladder.files["build/Dockerfile"].rpartition("FROM ${BASE}")[2]


def test_without_an_own_image_the_settings_file_is_where_the_generated_ones_start(tmp_path):
    draft, tree = drafted(tmp_path, {**GO, ".env.example": "PORT=8080\n"})
    again = with_settings_file(draft, "Error loading .env file", tree)
    assert again is not None
    assert again.run["files"].value == "{/app/.env: .env.example}"
    assert rung(again, "ko").keys["workdir"] == "/app"
    draft, tree = drafted(tmp_path / "none", GO)
    assert with_settings_file(draft, "Error loading .env file", tree) is None


@pytest.mark.parametrize(("own", "kept"), [("ENV PYTHONPATH=/mnt/code\n", False), ("", True)])
def test_where_packages_lie_in_the_own_image_is_said_of_no_other(tmp_path, own, kept):
    """A ladder's images have their packages elsewhere, and would not find them."""
    compose = "services:\n  web:\n    build: .\n    environment: {PYTHONPATH: /mnt/code, NODE_PATH: src}\n"
    files = {"requirements.txt": "flask\n", "main.py": "", "compose.yaml": compose}
    draft, _ = drafted(tmp_path, {**files, "Dockerfile": f"FROM python:3.12\n{own}COPY . .\nCMD python main.py\n"})
    assert ("PYTHONPATH" in draft.service.around.env) is kept
    assert "NODE_PATH" in draft.service.around.env


def test_what_a_compose_file_overrides_of_the_image_is_left_to_the_image(tmp_path):
    files = {
        "Dockerfile": "FROM python:3.12\nENV NO_DEV=1 PORT=8000 DB=localhost:5432\nCOPY . .\nCMD python3 app.py\n",
        "app.py": "import os\nos.environ['PORT']\n",
        "requirements.txt": "",
        "compose.yaml": "services:\n  web:\n    build: .\n    environment: {NO_DEV: 0, MODE: x, PORT: 9000, DB: 'store:5432'}\n"
        "  store: {image: 'postgres:16'}\n",
    }
    draft, _ = drafted(tmp_path, files)
    again = with_own_settings(draft)
    assert again is not None
    assert again.run["env"].value == '{MODE: x, PORT: "9000", DB: "store:5432"}'
    assert with_own_settings(again) is None


def test_a_framework_that_listens_on_loopback_is_told_of_another_address_by_its_own_variable(tmp_path):
    manifest = f'{RUST["Cargo.toml"]}[dependencies]\nrocket = "0.5"\n'
    draft, _ = drafted(tmp_path, {**RUST, "Cargo.toml": manifest})
    (spare,) = draft.service.spare
    assert spare.value == {"ROCKET_ADDRESS": "0.0.0.0"}
    assert spare.origin == "Rocket's own: without it, it listens on loopback"


@pytest.mark.parametrize(("given", "kept"), [("localhost", "0.0.0.0"), ("0.0.0.0", "0.0.0.0")])
def test_an_example_that_listens_on_loopback_is_not_followed_there(tmp_path, given, kept):
    files = {
        **GO,
        "main.go": 'package main\n\nfunc main() { os.Getenv("HOST") }\n',
        ".env.example": f"HOST={given}\nA=1\n",
    }
    draft, _ = drafted(tmp_path, files)
    told = {}
    for each in draft.service.spare:
        told = {**each.value, **told}
    assert told == {"HOST": kept, "A": "1"}


FLASK = "app = Flask(__name__)\n\nif __name__ == '__main__':\n    app.run()\n"
CLICK = '@click.option("-h", "--host", default="127.0.0.1")\ndef main(host): ...\n'
OWN = "FROM python:3.12\nWORKDIR /app\nCOPY . .\nCMD {}\n"
FASTIFY = {
    "package.json": '{"dependencies": {"fastify-cli": "7"}, "scripts": {"start": "fastify start app.js"}}',
    "app.js": "",
}
SHUT_IN = "it listens on 127.0.0.1:5000 only, which cannot be reached from outside the container: bind it to 0.0.0.0"


@pytest.mark.parametrize(
    ("files", "start"),
    [
        ({"requirements.txt": "flask\n", "app.py": FLASK, "Dockerfile": OWN.format('["python", "app.py"]')},
         ("-m", "gunicorn", "--bind", "0.0.0.0:5000", "app:app")),
        ({"requirements.txt": "flask\n", "app.py": FLASK, "Dockerfile": OWN.format('["flask", "run"]')},
         ("-m", "flask", "run", "--host", "0.0.0.0")),
        ({"requirements.txt": "x\n", "app.py": "", "Dockerfile": OWN.format('["uvicorn", "app:app", "--host", "127.0.0.1"]')},
         ("-m", "uvicorn", "app:app", "--host", "0.0.0.0")),
        ({"setup.py": "", "shop/__main__.py": CLICK}, ("-m", "shop", "--host", "0.0.0.0")),
        (FASTIFY, ("node_modules/.bin/fastify", "start", "app.js", "--address", "0.0.0.0")),
    ],
)  # fmt: skip
def test_what_listens_on_loopback_alone_is_told_to_listen_everywhere(tmp_path, files, start):
    draft, tree = drafted(tmp_path / "shop", files)
    again = next_remedy(draft, rung(draft, "debian"), SHUT_IN, tree)
    assert again.service.project.start == start
    assert with_open_address(again, SHUT_IN, tree) is None


@pytest.mark.parametrize(
    ("command", "args"),
    [
        ('["shop"]', ("shop", "--host", "0.0.0.0")),
        ("exec flask run", ("flask", "run", "--host", "0.0.0.0")),
        (
            '["python", "-m", "uvicorn", "app:app", "--host=127.0.0.1"]',
            ("python", "-m", "uvicorn", "app:app", "--host=0.0.0.0"),
        ),
        ('["python", "app.py"]', None),
    ],
)
def test_the_own_image_is_given_arguments_with_which_it_listens_everywhere(tmp_path, command, args):
    files = {"setup.py": "", "shop/__main__.py": CLICK, "Dockerfile": OWN.format(command)}
    draft, tree = drafted(tmp_path / "shop", files)
    again = next_remedy(draft, rung(draft, "today"), SHUT_IN, tree)
    assert (None if again is None else again.service.dockerfiles[0].args) == args
