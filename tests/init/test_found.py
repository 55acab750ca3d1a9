"""What init finds in a repository: nothing here is built or run."""

import os
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import yaml

from deadweight._errors import UsageError
from deadweight.project.load_suite import load_suite
from deadweight.records.ignore import Ignore
from deadweight_init.command import Options, init
from deadweight_init.draft import Draft, first_draft, health_hints
from deadweight_init.languages.sources import served_document
from deadweight_init.prove.observe import Health, Observation
from deadweight_init.prove.posture import with_seen
from deadweight_init.prove.proof import nothing_left
from deadweight_init.prove.recording import documented_routes
from deadweight_init.records import Known, Service, unwrapped, wording
from deadweight_init.repository.dockerfiles import missing_sources, read_words, url_paths
from deadweight_init.services import find_services
from deadweight_init.tree import read_tree
from deadweight_init.write.suite import suite_text
from tests.support.codes import codes, parts, raises
from tests.support.small_project import write_suite
from tests.support.trees import git, written

GO = {
    "go.mod": "module example.com/shop/v2\n\ngo 1.22.1\n",
    "cmd/shop/main.go": 'package main\n\nimport "net/http"\n\nfunc main() { http.ListenAndServe(":9090", nil) }\n',
    "cmd/shopctl/main.go": "package main\n\nfunc main() {}\n",
    "http.go": 'package shop\n\nfunc routes() { mux.HandleFunc("/readyz", ready) }\n',
}


def services(root: Path, files: dict[str, str]):
    return find_services(read_tree(written(root, files)))


def drafted(root: Path, files: dict[str, str], *port: int) -> Draft:
    """The draft of the only service of a repository."""
    (service,) = services(root, files)
    return first_draft(service, "build", *port)


def shops(*folders: str, **more: str) -> dict[str, str]:
    """A service in Python in each of these folders."""
    app = {"requirements.txt": "flask\n", "app.py": "from flask import Flask\napp = Flask(__name__)\n", **more}
    return {f"{folder}/{path}": text for folder in folders for path, text in app.items()}


def brought_in(root: Path, files: dict[str, str], **wanted):
    lines: list[str] = []
    outcome = init(written(root, files), Options(**wanted), lambda *_: None, lines.append, None)
    return load_suite(root / "deadweight.yaml"), outcome, lines


def test_the_image_is_read_from_its_dockerfile():
    text = (
        "FROM golang:1.22 AS build\nEXPOSE 1\nFROM alpine:3.20 AS base\nENV PORT=9000 HOME_DIR=/srv\n"
        "FROM base\nWORKDIR $HOME_DIR\nCOPY --from=build /app ./\nCOPY ui ui/\nEXPOSE ${PORT} 53/udp\nUSER 1000:1000\n"
        'HEALTHCHECK CMD curl -f http://localhost:9000/up || exit 1\nENTRYPOINT ["./app"]\nCMD ["serve"]\n'
    )
    words = read_words(text, "Dockerfile")
    assert (words.base, words.words, words.workdir) == ("alpine:3.20", ("./app", "serve"), "/srv")
    assert [(port.value, port.origin) for port in words.ports] == [(9000, "from Dockerfile:9")]
    assert (words.copied, [hint.value for hint in words.health]) == ((("ui", "/srv/ui/"),), ["/up"])


@pytest.mark.parametrize(("line", "absent"), [
    ("COPY . .", []),
    ("COPY package*.json ./", []),
    ("COPY src/*.js ./", []),
    ("COPY --from=build /x /y", []),
    ("COPY dist/app /app", ["dist/app"]),
    ("ARG D=dist\nCOPY $D/app /app", ["dist/app"]),
    ("COPY bin/$TARGETOS/$TARGETARCH/app /app", ["bin/linux/amd64/app"]),
    ("COPY secret.txt /", ["secret.txt"]),
    ('COPY ["src", "gone", "/x/"]', ["gone"]),
    ("ADD https://example.com/x /x", []),
    ("FROM alpine AS x-amd64\nCOPY linux/amd64/app /app\nFROM x-${TARGETARCH}", ["linux/amd64/app"]),
    ("COPY .git/ .git/\nCOPY .git .", [".git/", ".git"]),
])  # fmt: skip
def test_a_dockerfile_that_copies_what_is_not_there_is_known(tmp_path, line, absent):
    """A checkout has its git folder, where that is not ignored."""
    tree = read_tree(written(tmp_path, {"src/a.js": "", "package.json": "", "secret.txt": ""}))

    def missing(*ignored: str):
        return missing_sources(tree, f"FROM alpine\n{line}\n", ".", Ignore(["secret.txt", *ignored]))

    assert missing() == absent
    (tmp_path / ".git").mkdir()
    assert (missing(), missing(".git")) == ([] if ".git" in line else absent, absent)


def test_only_files_of_the_repository_are_read(tmp_path):
    """A link to /dev/zero or a pipe kept ``init`` waiting for ever; another led to files of the machine."""
    (tmp_path / "outside").write_text("secret")
    root = written(tmp_path / "shop", {"real": "text"})
    for name, target in {"zero": "/dev/zero", "out": "../outside", "own": "real", "gone": "none"}.items():
        (root / name).symlink_to(target)
    os.mkfifo(root / "pipe")
    tree = read_tree(root)
    assert tuple(tree.files) == ("own", "real")
    assert [tree.texts[name] for name in ("own", "../outside", "out", "zero", "pipe")] == ["text", "", "", "", ""]


@pytest.mark.parametrize(("command", "path"), [
    ("curl -f http://localhost:${LD_SERVER_PORT:-9090}/${LD_CONTEXT_PATH}health || exit 1", "/health"),
    ("curl http://127.0.0.1:8000/${BASE:-api}/up", "/api/up"),
    ("wget -q http://localhost:$PORT/$PREFIX", "/"),
    ("wget -q http://localhost", "/"),
])  # fmt: skip
def test_variables_in_the_address_of_a_health_check_are_filled_in(command, path):
    assert list(url_paths(command)) == [path]


def test_a_repository_that_only_packs_what_was_built_elsewhere_is_told_why(tmp_path):
    with raises(UsageError, "command.nothing_builds") as caught:
        brought_in(tmp_path, {"Dockerfile": "FROM scratch\nCOPY dist/app /\n", "go.mod": "module example.com/lib\n"})
    reasons = [line.partition(": ")[0] for line in str(caught.value.fields["reasons"]).splitlines()]
    assert (reasons, (tmp_path / "deadweight.yaml").exists()) == (["today", "go (.)"], False)


def test_of_several_services_one_is_brought_in_and_the_others_are_named(tmp_path):
    files = shops("cart", "mail", Dockerfile="FROM python:3.12\nCOPY . .\n")
    (one, _, lines), (two, _, _) = brought_in(tmp_path / "1", files), brought_in(tmp_path / "2", files, service="mail")
    assert [{variant.source for variant in suite.variants} for suite in (one, two)] == [{"cart"}, {"mail"}]
    assert [parts(line) for line in lines] == [("progress.selected", {"name": "cart", "others": "mail"})]
    with raises(UsageError, "suite.misspelt", kind="service", name="maul", near="mail"):
        brought_in(tmp_path / "three", files, service="maul")


def test_all_services_of_a_repository_become_sections_of_one_suite(tmp_path):
    compose = "services:\n  cart:\n    build: cart\n    depends_on: [db]\n  db: {image: 'postgres:16'}\n"
    files = {**shops("cart", "Mail.Out"), "compose.yaml": compose}
    suite, outcome, _ = brought_in(tmp_path / "My Shop", files, service="all")
    assert (suite.name, outcome.drafts[0].full("debian")) == ("my-shop", "mail-out.debian")
    rungs = ("debian", "alpine", "chainguard", "distroless")
    carts, mails = ([f"{name}.{rung}" for rung in rungs] for name in ("cart", "mail-out"))
    assert suite.names() == (*mails, *carts)
    dockerfiles = {f"deadweight-build/{name}/Dockerfile" for name in ("cart", "mail-out")}
    assert {variant.dockerfile for variant in suite.variants} == dockerfiles
    assert {variant.source for variant in suite.variants if variant.service == "mail-out"} == {"Mail.Out"}
    assert [variant.name for variant in suite.variants if "db" in variant.run.needs] == carts
    # those of one name are told apart by their folders
    _, outcome, _ = brought_in(tmp_path / "x", in_folders("one/backend", "two/backend", "mail"), service="all")
    assert [draft.service.name for draft in outcome.drafts] == ["mail", "one-backend", "two-backend"]


def test_where_nothing_can_be_built_the_error_says_what_helps():
    left_out = {"debian": "no Gradle", "alpine": "no Gradle", "jib": "no Jib"}
    proof = Mock(steps={"no Gradle": "set distributionUrl"}, **{"draft.left_out": left_out, "written.program": "make"})
    error = nothing_left(proof)
    assert (error.code, error.fields) == ("proof.no_way", {"reasons": "debian, alpine: no Gradle\njib: no Jib"})
    assert error.hint == f"set distributionUrl; or {wording('proof.unproved', program='make')}"
    assert nothing_left(proof, comes_up=True).code == "proof.check_fails"
    proof.steps = {"no Gradle": "add\n        netrc: ~/.netrc"}
    assert "\n        netrc: ~/.netrc\n  or " in nothing_left(proof).hint


def test_what_a_service_says_in_colours_can_be_a_comment(tmp_path):
    why = "runs: it ended; its last lines: \x1b[33mPress CTRL+C to quit\x1b[0m"
    text = suite_text(replace(drafted(tmp_path, shops("shop")), left_out={"debian": why}))
    write_suite(tmp_path, text)
    assert "its last lines: Press CTRL+C to quit\n" in text


def test_gets_without_parameters_are_taken_from_an_openapi_document():
    gets = {
        **{path: {} for path in ("/users", "/users/{id}", "/panic")},
        "/search": {"parameters": [{"name": "q", "required": True}]},
        "/page": {"parameters": [{"name": "n"}]},
        "/mine": {"security": [{"token": []}]},
    }
    paths = {**{path: {"get": what} for path, what in gets.items()}, "/new": {"post": {}}}
    routes = documented_routes({"servers": [{"url": "http://localhost/api"}], "paths": paths})
    assert [path for (_, path), plain in routes.items() if plain] == ["/api/users", "/api/page"]
    assert routes.keys() >= {("GET", "/api/users"), ("POST", "/api/new")}
    assert documented_routes(["no document"]) == {}


NODE = {"package.json": '{"dependencies": {"express": "4"}, "scripts": {"start": "node a.js"}}', "a.js": ""}


@pytest.mark.parametrize(("files", "origin"), [
    ({"main.go": 'package main\n\nvar port = os.Getenv("PORT")\n', "go.mod": "module x.org/y\n"}, "from main.go:3"),
    ({"requirements.txt": "", "app.py": "port = os.environ['PORT']\n"}, "from app.py:1"),
    ({**NODE, "a.js": "x.listen(process.env.PORT || 80)"}, "from a.js:1"),
    ({"requirements.txt": "", "Procfile": "web: gunicorn app:app\n"}, wording("origin.gunicorn")),
    ({"requirements.txt": "", "Procfile": "web: gunicorn -b :80 app:app\n"}, None),
])  # fmt: skip
def test_a_service_that_is_told_its_port_by_a_variable_is_told_it(tmp_path, files, origin):
    env = drafted(tmp_path, files, 4000).run.get("env")
    assert (env and (env.value, env.origin)) == (origin and ({"PORT": "4000"}, origin))
    assert "env" not in drafted(tmp_path, {"Dockerfile": "FROM scratch\nENV PORT=1\n"}, 4000).run


def test_of_two_programs_one_is_asked_for_or_told(tmp_path):
    serves = 'package main\n\nimport "net/http"\n\nfunc main() { http.ListenAndServe(":90%s", nil) }\n'
    files = {"go.mod": "module x.org/shop\n", "cmd/one/main.go": serves % "01", "cmd/two/main.go": serves % "02"}
    suite, _, (line,) = brought_in(tmp_path / "a", files)
    assert parts(line) == ("progress.program", {"name": "a", "main": "cmd/one", "others": "cmd/two"})
    assert suite.variants[0].port == 9001
    asked: list[str] = []
    root = written(tmp_path / "b", files)
    outcome = init(root, Options(), lambda question, choices: asked.append(question) or choices[1], print, None)
    assert (asked, outcome.drafts[0].port.value) == ([wording("command.which_program", service="b")], 9002)
    for folder, main in {"c": "cmd/two", "d": "two"}.items():
        suite, _, lines = brought_in(tmp_path / folder, files, main=main)
        assert (suite.variants[0].port, lines) == (9002, [])
    hint = "programs: cmd/one, cmd/two"
    with raises(UsageError, "suite.unknown", kind=wording("command.main"), name="three", hint=hint):
        brought_in(tmp_path / "e", files, main="three")
    assert not (tmp_path / "e" / "deadweight.yaml").exists()


def in_file(path: str, reason: str, **fields: str) -> str:
    return wording("problem.file", path=path, reason=wording(reason, **fields))


@pytest.mark.parametrize(("name", "text", "reason"), [
    ("poems.md", "# Poems\n", ""),
    ("compose.yaml", "services: {web: {image: nginx}}\n", wording("problem.starts_images", path="compose.yaml")),
    ("compose.yaml", "services: {", in_file("compose.yaml", "problem.not_parsed", kind="YAML", error="")),
    ("package.json", "{", in_file("package.json", "problem.not_parsed", kind="JSON", error="")),
    ("Cargo.toml", "[package", in_file("Cargo.toml", "problem.not_parsed", kind="TOML", error="")),
    ("Dockerfile", "FORM golang\n", in_file("Dockerfile", "problem.no_from")),
    ("Dockerfile", "", wording("problem.no_permission", path="Dockerfile")),
    ("melange.yaml", "package: {name: x}\n", wording("problem.package_alone", path="melange.yaml")),
])  # fmt: skip
def test_a_repository_that_builds_no_image_is_told_what_its_files_are_for(tmp_path, monkeypatch, name, text, reason):
    monkeypatch.setattr("os.access", lambda path, mode: text != "")  # root may read anything
    with raises(UsageError, "command.no_service") as caught:
        brought_in(tmp_path, {name: text})
    problems = str(caught.value.fields["problems"])
    assert (bool(problems), problems.removeprefix("\n").startswith(reason)) == (bool(reason), True)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_that_is_broken_is_told_also_where_a_service_is_found(tmp_path):
    _, _, lines = brought_in(tmp_path, {**GO, "Dockerfile": "FORM golang\n", "tests/Dockerfile": "FORM x\n"})
    passed = [names for line in lines if (names := codes(line))[0] == "progress.passed_over"]
    assert passed == [["progress.passed_over", "problem.file", "problem.no_from"]]


@pytest.mark.parametrize(("words", "program"), [
    (("/bin/sh", "-c", "/shop serve --fast"), ("/shop", "serve", "--fast")),
    (("/sbin/tini", "--", "/shop"), ("/shop",)),
    (("bash", "-c", "exec MODE=a gosu shop /shop"), ("/shop",)),
    (("sh", "-c", "/migrate && /shop"), ()),
    (("/shop", "serve"), ("/shop", "serve")),
])  # fmt: skip
def test_a_program_is_told_through_the_shell_around_it(words, program):
    assert unwrapped(words) == program


@pytest.mark.parametrize(("name", "text", "usable"), [
    ("docs/swagger.json", '{"paths": {"/a": {"get": {}}}}', True),
    ("api/openapi.yaml", "paths:\n  /a: {get: {}}\n", True),
    ("api/shop.swagger.json", '{"paths": {"/a": {"get": {}}}}', True),
    ("tests/openapi.yaml", "paths:\n  /a: {get: {}}\n", False),
    ("openapi.yaml", "generator: x\n", False),
])  # fmt: skip
def test_an_openapi_document_of_the_repository_is_where_attacks_begin(tmp_path, name, text, usable):
    (service,) = find_services(read_tree(written(tmp_path, {"Dockerfile": "FROM alpine\nCMD ./x\n", name: text})))
    draft = first_draft(service, "build", health="/up")
    described, attacked = service.described is not None, f"attacks: {{openapi: {name}}}" in suite_text(draft)
    assert (described, attacked) == (usable, usable)
    unmeasured = suite_text(replace(draft, unattacked="no engine"))
    assert "attacks: {" not in unmeasured
    assert (f"# {wording('suite.unattacked', document=name, reason='no engine')}" in unmeasured) is usable


def test_a_document_is_asked_for_where_the_code_says_that_it_is_served(tmp_path):
    app = 'app = FastAPI(openapi_url="/shop/openapi.json", docs_url="/shop/docs")\n@app.get("/shop/health")\n'
    (service,) = services(tmp_path, {"requirements.txt": "fastapi\n", "app.py": app})
    paths = [hint.value for hint in health_hints(service)]
    assert paths == ["/shop/health", "/shop/openapi.json"]
    answer = SimpleNamespace(status=200, text=lambda: '{"paths": {"/shop/things": {}}}')
    get = Mock(side_effect={"/shop/openapi.json": answer}.get)
    assert served_document(get, paths) == ("/shop/openapi.json", {"paths": {"/shop/things": {}}})
    get.assert_called_once_with("/shop/openapi.json")  # a health route is none
    assert served_document(get) is None


# How repositories are laid out: what is one service, what it is called, and which files speak for it.
def recipe(service: Service, place: str = "build") -> Draft:
    """A draft as it is where the own Dockerfile does not build here."""
    return replace(first_draft(service, place), own_fails=True)


def in_folders(*folders: str) -> dict[str, str]:
    return {f"{folder}/{name}": text for folder in folders for name, text in NODE.items()}


def test_an_env_file_is_read_where_git_has_it(tmp_path):
    compose = "services:\n  web:\n    build: .\n    env_file: .env\n    environment: {B: '${A}'}\n"
    root = written(tmp_path, {"compose.yaml": compose, "Dockerfile": "FROM alpine\n", ".env": "A=one\n"})
    git(root, "init", "-q")
    assert dict(find_services(read_tree(root))[0].around.env) == {}
    git(root, "add", ".env")
    env = find_services(read_tree(root))[0].around.env
    assert {name: fact.value for name, fact in env.items()} == {"A": "one", "B": "one"}


UP = Health("http", 3000, "/", 200)


@pytest.mark.parametrize("read_only", [True, False])
def test_files_are_the_users_own_where_the_service_has_to_write_among_them(tmp_path, read_only):
    seen = Observation(UP, (3000,), "1000:1000", 10**7, 4, ("/srv/static",), 1.0, 0.1)
    draft = with_seen(recipe(*services(tmp_path, NODE)), seen, {"read_only": Known(read_only)})
    last = draft.ladder.files["build/Dockerfile"].rpartition("FROM ")[2]
    owner = "--chown=65532:65532 " if not read_only else ""
    assert f"COPY {owner}--from=build /app /app" in last
    # a folder that WORKDIR makes would be root's
    assert (last.index("WORKDIR /app") > last.index("COPY ")) is (not read_only)


@pytest.mark.parametrize(
    ("stop_seconds", "written"),
    [(0.1, "10}\n"), (8.9, f"30}}  # seen: {wording('origin.stops', seconds=8.9)}\n")],
)
def test_a_service_that_takes_long_to_end_is_given_what_kubernetes_gives(tmp_path, stop_seconds, written):
    seen = Observation(UP, (3000,), "0:0", 10**7, 4, (), 1.0, stop_seconds)
    text = suite_text(with_seen(recipe(*services(tmp_path, {"requirements.txt": "flask\n", "app.py": ""})), seen, {}))
    assert f"    runs: {{stops_within_seconds: {written}" in re.sub("(}) +#", r"\1  #", text)


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


@pytest.mark.parametrize("folder", ["02", "my shop", "yes"])
def test_any_name_of_a_folder_is_a_path_in_the_suite(tmp_path, folder):
    own = {f"{folder}/Dockerfile": "FROM node:22\nCOPY . .\nCMD node a.js\n"}
    (service,) = services(tmp_path / "x", {**in_folders(folder), **own})
    variants = yaml.safe_load(suite_text(recipe(service, "build")))["variants"]
    assert {variant.get("source") for variant in variants.values()} == {folder}
    assert variants["today"]["dockerfile"] == f"{folder}/Dockerfile"
