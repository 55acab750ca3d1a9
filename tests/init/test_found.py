"""What init finds in a repository: nothing here is built or run."""

import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from deadweight._errors import UsageError
from deadweight.project.load_suite import load_suite
from deadweight.records.ignore import Ignore
from deadweight_init.command import Wanted, init
from deadweight_init.draft import Draft, first_draft, health_hints
from deadweight_init.languages.sources import served_document
from deadweight_init.prove.observe import Health, Observation
from deadweight_init.prove.posture import with_seen
from deadweight_init.prove.proof import nothing_left
from deadweight_init.prove.recording import _DANGEROUS, documented_operations
from deadweight_init.records import Known, Service, unwrapped, wording
from deadweight_init.repository.dockerfiles import missing_sources, read_words, url_paths
from deadweight_init.services import find_services
from deadweight_init.tree import read_tree
from deadweight_init.write.suite import suite_text
from tests.support import TESTS
from tests.support.codes import codes, parts, raises
from tests.support.trees import written

GO = {
    "go.mod": "module example.com/shop/v2\n\ngo 1.22.1\n",
    "cmd/shop/main.go": 'package main\n\nimport "net/http"\n\nfunc main() { http.ListenAndServe(":9090", nil) }\n',
    "cmd/shopctl/main.go": "package main\n\nfunc main() {}\n",
    "http.go": 'package shop\n\nfunc routes() { mux.HandleFunc("/readyz", ready) }\n',
}


def found(root: Path, files: dict[str, str]):
    return find_services(read_tree(written(root, files)))


def shops(*folders: str, **more: str) -> dict[str, str]:
    """A service in Python in each of these folders."""
    app = {"requirements.txt": "flask\n", "app.py": "from flask import Flask\napp = Flask(__name__)\n", **more}
    return {f"{folder}/{path}": text for folder in folders for path, text in app.items()}


def brought_in(root: Path, files: dict[str, str], **wanted):
    said: list[str] = []
    outcome = init(written(root, files), Wanted(**wanted), lambda *_: None, said.append, None)
    return load_suite(root / "deadweight.yaml"), outcome, said


def test_the_image_is_read_from_its_dockerfile():
    words = read_words(
        "FROM golang:1.22 AS build\nEXPOSE 1\nFROM alpine:3.20 AS base\nENV PORT=9000 HOME_DIR=/srv\n"
        "FROM base\nWORKDIR $HOME_DIR\nCOPY --from=build /app ./\nCOPY ui ui/\nEXPOSE ${PORT} 53/udp\nUSER 1000:1000\n"
        'HEALTHCHECK CMD curl -f http://localhost:9000/up || exit 1\nENTRYPOINT ["./app"]\nCMD ["serve"]\n',
        "Dockerfile",
    )
    assert words.base == "alpine:3.20"
    assert [(each.value, each.origin) for each in words.ports] == [(9000, "from Dockerfile:9")]
    assert words.words == ("./app", "serve")
    assert words.workdir == "/srv"
    assert words.copied == (("ui", "/srv/ui/"),)
    assert [each.value for each in words.health] == ["/up"]


@pytest.mark.parametrize(
    ("line", "absent"),
    [
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
    ],
)
def test_a_dockerfile_that_copies_what_is_not_there_is_known(tmp_path, line, absent):
    """A checkout has its git folder, where that is not ignored."""
    tree, text = (
        read_tree(written(tmp_path, {"src/a.js": "", "package.json": "", "secret.txt": ""})),
        f"FROM alpine\n{line}\n",
    )
    assert missing_sources(tree, text, ".", Ignore(["secret.txt"])) == absent
    (tmp_path / ".git").mkdir()
    of_git = ".git" in line
    assert missing_sources(tree, text, ".", Ignore(["secret.txt"])) == ([] if of_git else absent)
    assert missing_sources(tree, text, ".", Ignore(["secret.txt", ".git"])) == absent


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


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("curl -f http://localhost:${LD_SERVER_PORT:-9090}/${LD_CONTEXT_PATH}health || exit 1", "/health"),
        ("curl http://127.0.0.1:8000/${BASE:-api}/up", "/api/up"),
        ("wget -q http://localhost:$PORT/$PREFIX", "/"),
        ("wget -q http://localhost", "/"),
    ],
)
def test_variables_in_the_address_of_a_health_check_are_filled_in(command, found):
    assert list(url_paths(command)) == [found]


def test_a_repository_that_only_packs_what_was_built_elsewhere_is_told_why(tmp_path):
    with raises(UsageError, "command.nothing_builds") as caught:
        brought_in(tmp_path, {"Dockerfile": "FROM scratch\nCOPY dist/app /\n", "go.mod": "module example.com/lib\n"})
    reasons = [each.partition(": ")[0] for each in str(caught.value.fields["reasons"]).splitlines()]
    assert reasons == ["today", "go (.)"]
    assert not (tmp_path / "deadweight.yaml").exists()


def test_of_several_services_one_is_brought_in_and_the_others_are_named(tmp_path):
    files = shops("cart", "mail", Dockerfile="FROM python:3.12\nCOPY . .\n")
    suite, _, said = brought_in(tmp_path / "one", files)
    assert {each.source for each in suite.variants} == {"cart"}
    assert [parts(each) for each in said] == [("progress.selected", {"name": "cart", "others": "mail"})]
    suite, _, _ = brought_in(tmp_path / "two", files, service="mail")
    assert {each.source for each in suite.variants} == {"mail"}
    with raises(UsageError, "suite.misspelt", kind="service", name="maul", near="mail"):
        brought_in(tmp_path / "three", files, service="maul")


def test_all_services_of_a_repository_become_sections_of_one_suite(tmp_path):
    compose = "services:\n  cart:\n    build: cart\n    depends_on: [db]\n  db: {image: 'postgres:16'}\n"
    files = {**shops("cart", "Mail.Out"), "compose.yaml": compose}
    suite, outcome, _ = brought_in(tmp_path / "My Shop", files, service="all")
    assert suite.name == "my-shop"
    rungs = ("debian", "alpine", "chainguard", "distroless")
    assert suite.names() == (*(f"mail-out.{each}" for each in rungs), *(f"cart.{each}" for each in rungs))
    dockerfiles = {f"deadweight-build/{name}/Dockerfile" for name in ("cart", "mail-out")}
    assert {each.dockerfile for each in suite.variants} == dockerfiles
    assert {each.source for each in suite.variants if each.service == "mail-out"} == {"Mail.Out"}
    assert [each.name for each in suite.variants if "db" in each.run.needs] == [f"cart.{each}" for each in rungs]
    assert outcome.drafts[0].full("debian") == "mail-out.debian"


def test_where_nothing_can_be_built_the_error_says_what_helps():
    left_out = {"debian": "no Gradle", "alpine": "no Gradle", "jib": "no Jib"}
    proof = SimpleNamespace(draft=SimpleNamespace(left_out=left_out), steps={"no Gradle": "set distributionUrl"})
    error = nothing_left(proof)
    assert (error.code, error.fields) == ("proof.no_way", {"reasons": "debian, alpine: no Gradle\njib: no Jib"})
    assert nothing_left(proof, comes_up=True).code == "proof.check_fails"
    assert error.hint.startswith("set distributionUrl; or ")
    proof.steps = dict.fromkeys(proof.steps, "add\n        netrc: ~/.netrc")
    assert "\n        netrc: ~/.netrc\n  or " in nothing_left(proof).hint


def test_what_a_service_says_in_colours_can_be_a_comment(tmp_path):
    (service,) = found(tmp_path, shops("shop"))
    draft = first_draft(service, "build")
    why = "runs: it ended; its last lines: \x1b[33mPress CTRL+C to quit\x1b[0m"
    (tmp_path / "deadweight.yaml").write_text(suite_text(replace(draft, left_out={"debian": why})))
    load_suite(tmp_path / "deadweight.yaml")
    assert "its last lines: Press CTRL+C to quit\n" in (tmp_path / "deadweight.yaml").read_text()


def test_gets_without_parameters_are_taken_from_an_openapi_document():
    document = {
        "servers": [{"url": "http://localhost/api"}],
        "paths": {
            "/users": {"get": {}},
            "/users/{id}": {"get": {}},
            "/search": {"get": {"parameters": [{"name": "q", "required": True}]}},
            "/page": {"get": {"parameters": [{"name": "n"}]}},
            "/mine": {"get": {"security": [{"token": []}]}},
            "/panic": {"get": {}},
            "/new": {"post": {}},
        },
    }
    found = documented_operations(document, _DANGEROUS)
    assert [each.path for each in found if each.is_plain] == ["/api/users", "/api/page"]
    assert {(each.method, each.path) for each in found} >= {("GET", "/api/users"), ("POST", "/api/new")}
    assert documented_operations(["no document"], _DANGEROUS) == []


NODE = {"package.json": '{"dependencies": {"express": "4"}, "scripts": {"start": "node a.js"}}', "a.js": ""}


@pytest.mark.parametrize(
    ("files", "origin"),
    [
        ({"main.go": 'package main\n\nvar port = os.Getenv("PORT")\n', "go.mod": "module x.org/y\n"}, "from main.go:3"),
        ({"requirements.txt": "", "app.py": "port = os.environ['PORT']\n"}, "from app.py:1"),
        ({**NODE, "a.js": "x.listen(process.env.PORT || 80)"}, "from a.js:1"),
        ({"requirements.txt": "", "Procfile": "web: gunicorn app:app\n"}, wording("origin.gunicorn")),
        ({"requirements.txt": "", "Procfile": "web: gunicorn -b :80 app:app\n"}, None),
    ],
)
def test_a_service_that_is_told_its_port_by_a_variable_is_told_it(tmp_path, files, origin):
    (service,) = found(tmp_path, files)
    env = first_draft(service, "build", 4000).run.get("env")
    assert (env and (env.value, env.origin)) == (origin and ({"PORT": "4000"}, origin))
    (service,) = found(tmp_path, {"Dockerfile": "FROM scratch\nENV PORT=1\n"})
    assert "env" not in first_draft(service, "build", 4000).run


def test_of_two_programs_one_is_asked_for_or_told(tmp_path):
    serves = 'package main\n\nimport "net/http"\n\nfunc main() { http.ListenAndServe(":90%s", nil) }\n'
    files = {"go.mod": "module x.org/shop\n", "cmd/one/main.go": serves % "01", "cmd/two/main.go": serves % "02"}
    suite, _, said = brought_in(tmp_path / "a", files)
    (line,) = said
    assert parts(line) == ("progress.program", {"name": "a", "main": "cmd/one", "others": "cmd/two"})
    assert suite.variants[0].port == 9001
    asked: list[str] = []
    root = written(tmp_path / "b", files)
    outcome = init(root, Wanted(), lambda question, choices: asked.append(question) or choices[1], said.append, None)
    assert (asked, outcome.drafts[0].port.value) == ([wording("command.which_program", service="b")], 9002)
    _, _, said = brought_in(tmp_path / "c", files, main="cmd/two")
    assert said == []
    suite, _, _ = brought_in(tmp_path / "d", files, main="two")
    assert suite.variants[0].port == 9002
    with raises(UsageError, "suite.unknown", kind=wording("command.main"), name="three") as caught:
        brought_in(tmp_path / "e", files, main="three")
    assert caught.value.hint == "programs: cmd/one, cmd/two"
    assert not (tmp_path / "e" / "deadweight.yaml").exists()


def in_file(path: str, reason: str, **fields: str) -> str:
    return wording("problem.file", path=path, reason=wording(reason, **fields))


def test_a_repository_with_nothing_recognisable_is_told_what_was_looked_for(tmp_path):
    with raises(UsageError, "command.no_service", problems=""):
        brought_in(tmp_path, {"README.md": "# Poems\n", "poems/one.txt": ""})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "poems"]


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("compose.yaml", "services: {web: {image: nginx}}\n", wording("problem.starts_images", path="compose.yaml")),
        ("compose.yaml", "services: {", in_file("compose.yaml", "problem.not_parsed", kind="YAML", error="")),
        ("package.json", "{", in_file("package.json", "problem.not_parsed", kind="JSON", error="")),
        ("Cargo.toml", "[package", in_file("Cargo.toml", "problem.not_parsed", kind="TOML", error="")),
        ("Dockerfile", "FORM golang\n", in_file("Dockerfile", "problem.no_from")),
        ("melange.yaml", "package: {name: x}\n", wording("problem.package_alone", path="melange.yaml")),
    ],
)
def test_a_repository_that_builds_no_image_is_told_what_its_files_are_for(tmp_path, name, text, reason):
    with raises(UsageError, "command.no_service") as caught:
        brought_in(tmp_path, {name: text})
    assert str(caught.value.fields["problems"]).startswith(f"\n{reason}")


def test_a_file_that_is_broken_is_told_also_where_a_service_is_found(tmp_path):
    _, _, said = brought_in(tmp_path, {**GO, "Dockerfile": "FORM golang\n", "tests/Dockerfile": "FORM x\n"})
    passed = [found for each in said if (found := codes(each))[0] == "progress.passed_over"]
    assert passed == [["progress.passed_over", "problem.file", "problem.no_from"]]


def test_a_dockerfile_that_nobody_may_read_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: Path(path).name != "Dockerfile")  # root may read anything
    with raises(UsageError, "command.no_service", problems=f"\n{wording('problem.no_permission', path='Dockerfile')}"):
        brought_in(tmp_path, {"Dockerfile": ""})


@pytest.mark.parametrize(
    ("words", "program"),
    [
        (("/bin/sh", "-c", "/shop serve --fast"), ("/shop", "serve", "--fast")),
        (("/sbin/tini", "--", "/shop"), ("/shop",)),
        (("bash", "-c", "exec MODE=a gosu shop /shop"), ("/shop",)),
        (("sh", "-c", "/migrate && /shop"), ()),
        (("/shop", "serve"), ("/shop", "serve")),
    ],
)
def test_a_program_is_told_through_the_shell_around_it(words, program):
    assert unwrapped(words) == program


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("docs/swagger.json", '{"paths": {"/a": {"get": {}}}}', True),
        ("api/openapi.yaml", "paths:\n  /a: {get: {}}\n", True),
        ("api/shop.swagger.json", '{"paths": {"/a": {"get": {}}}}', True),
        ("tests/openapi.yaml", "paths:\n  /a: {get: {}}\n", False),
        ("openapi.yaml", "generator: x\n", False),
    ],
)
def test_an_openapi_document_of_the_repository_is_where_attacks_begin(tmp_path, name, text, found):
    (service,) = find_services(read_tree(written(tmp_path, {"Dockerfile": "FROM alpine\nCMD ./x\n", name: text})))
    assert (service.described is not None) is found
    written_suite = suite_text(first_draft(service, "build", health="/up"))
    assert (f"attacks: {{openapi: {name}}}" in written_suite) is found
    unmeasured = suite_text(replace(first_draft(service, "build", health="/up"), unattacked="no engine"))
    assert "attacks: {" not in unmeasured
    assert (f"# {wording('suite.unattacked', document=name, reason='no engine')}" in unmeasured) is found


def test_a_document_is_asked_for_where_the_code_says_that_it_is_served(tmp_path):
    app = 'app = FastAPI(openapi_url="/shop/openapi.json", docs_url="/shop/docs")\n@app.get("/shop/health")\n'
    (service,) = found(tmp_path, {"requirements.txt": "fastapi\n", "app.py": app})
    told = [each.value for each in health_hints(service)]
    assert told == ["/shop/health", "/shop/openapi.json"]
    answers = {"/shop/openapi.json": '{"paths": {"/shop/things": {}}}'}
    asked: list[str] = []

    def get(path: str):
        asked.append(path)
        text = answers.get(path)
        return None if text is None else SimpleNamespace(status=200, text=lambda: text)

    assert served_document(get, told) == ("/shop/openapi.json", {"paths": {"/shop/things": {}}})
    assert asked == ["/shop/openapi.json"]  # a health route is none
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
    subprocess.run(["git", "init", "-q", root], check=True)
    assert dict(find_services(read_tree(root))[0].around.env) == {}
    subprocess.run(["git", "-C", root, "add", ".env"], check=True)
    env = find_services(read_tree(root))[0].around.env
    assert {name: each.value for name, each in env.items()} == {"A": "one", "B": "one"}


@pytest.mark.parametrize("read_only", [True, False])
def test_files_are_the_users_own_where_the_service_has_to_write_among_them(tmp_path, read_only):
    (service,) = found(tmp_path, NODE)
    health = Health("http", 3000, "/", 200)
    seen = Observation(health, (3000,), "1000:1000", 10**7, 4, ("/srv/static",), 1.0, 0.1)
    draft = with_seen(recipe(service, "build"), seen, {"read_only": Known(read_only)})
    files = draft.ladder.files
    owner = "--chown=65532:65532 " if not read_only else ""
    assert f"COPY {owner}--from=build /app /app" in files["build/Dockerfile"]
    # a folder that WORKDIR makes would be root's
    ends = files["build/Dockerfile"].rpartition("FROM ")[2]
    assert (ends.index("WORKDIR /app") > ends.index("COPY ")) is (not read_only)


@pytest.mark.parametrize(
    ("stop_seconds", "written"),
    [(0.1, "10}\n"), (8.9, f"30}}  # seen: {wording('origin.stops', seconds=8.9)}\n")],
)
def test_a_service_that_takes_long_to_end_is_given_what_kubernetes_gives(tmp_path, stop_seconds, written):
    (service,) = found(tmp_path, {"requirements.txt": "flask\n", "app.py": ""})
    seen = Observation(Health("http", 3000, "/", 200), (3000,), "0:0", 10**7, 4, (), 1.0, stop_seconds)
    text = suite_text(with_seen(recipe(service, "build"), seen, {}))
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


PROSE = re.compile(r"(?m)^( *#(?: [\w-]+ \(\w+\))?).*|( description:).*")
"""Comments, but for the name of the variant that one is on, and descriptions."""


def test_a_draft_in_full(tmp_path):
    (service,) = found(tmp_path / "greeter", GREETER)
    made, known = suite_text(first_draft(service, "build")), (TESTS / "data" / "init_draft.yaml").read_text()
    assert PROSE.sub(r"\1\2", made) == PROSE.sub(r"\1\2", known)


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
