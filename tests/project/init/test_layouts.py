"""How repositories are laid out: what is one service, what it is called, and which files speak for it."""

from __future__ import annotations

from pathlib import Path

from deadweight.project.init.dockerfile import missing_sources
from deadweight.project.init.services import find_services
from deadweight.project.init.tree import look
from deadweight.records.ignore import Ignore
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
    (service,) = found(tmp_path, {"go.mod": "module x.org/wtf\n", **client, "cmd/wtfd/main.go": plain})
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
        "services:\n  web:\n    build: .\n    environment: {URL: 'postgres://me@shop-db:5432/x'}\n    depends_on: [db, cache]\n"
        "  db: {image: 'postgres:16', container_name: shop-db}\n  cache: {image: 'redis:7', container_name: shop-cache}\n"
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
