"""What is input of a build and what is not: one list of rules for every builder."""

from pathlib import Path

import pytest

from deadweight.builders import protocol
from deadweight.builders.dockerfile.copy import names_git
from deadweight.builders.jib.builder import lay_out
from deadweight.builders.shared import inputs as _inputs
from deadweight.records.built_image import Base
from deadweight.records.ignore import Ignore, ignore_lines, walk
from deadweight.sources.protocol import ApkRepositories
from tests.support import ROOT
from tests.support.builder_site import MAIN, GivenSource, Project
from tests.support.invoking import TASKS
from tests.support.trees import written


def left(source: Path, patterns: tuple[str, ...]) -> set[str]:
    return {path.relative_to(source).as_posix() for path in walk(source, Ignore(patterns))}


def inputs(project: Project, **how) -> set[str]:
    """What the rules leave of the project's own folder."""
    return left(project.root, _inputs.rules(project.root, project.site, **how).all)


@pytest.fixture
def repository(tmp_path):
    """A repository as people have them: environments under any name, our files, another project's state further down."""
    empty = (
        ".git/config", ".venv/lib/a.py", "tools/my-env/pyvenv.cfg", "tools/my-env/a.py", "__pycache__/tasks.pyc",
        "node_modules/a.js", ".dockerignore",
    )  # fmt: skip
    files = {
        "main.go": MAIN, "go.mod": "module a\n", "third/.git": "gitdir: ../.git/modules/third\n", "third/x.go": "package x\n",
        ".venv/pyvenv.cfg": "home = /usr/bin\n", "tools/venv/venv.go": "package venv\n", ".deadweight/keys/k": "secret",
        "services/x/.deadweight/keys/k": "secret", "services/x/tasks.py": "import celery\n", "tasks.py": TASKS,
    }  # fmt: skip
    return Project(tmp_path, GivenSource()).write(dict.fromkeys(empty, "") | files).suite("  v: {builder: ko, base: b}")


def test_what_is_never_input(repository):
    kept = {"main.go", "go.mod", "third/x.go", "tools/venv/venv.go", "services/x/tasks.py", "node_modules/a.js"}
    assert inputs(repository) == kept
    assert left(repository.root, _inputs.never(repository.root, repository.site)) == kept
    repository.write({"tasks.py": "import celery\n"})
    assert inputs(repository) == {*kept, "tasks.py"}, "a service may have one of its own"


WRITTEN = """\
  own: {builder: dockerfile, dockerfile: Dockerfile}
  made: {builder: dockerfile, dockerfile: build/Dockerfile}
  apko: {builder: apko, config: build/apko.yaml, packages: [build/melange.yaml, given.yaml]}"""


@pytest.mark.parametrize("below", [".", "api"])
def test_what_init_wrote_for_one_variant_is_no_input_of_another(tmp_path, below):
    theirs = {"Dockerfile": "FROM b\n", "build/other.yaml": "", "given.yaml": "package:\n"}
    marks = {"Dockerfile": protocol.DOCKERFILE, "melange.yaml": protocol.MELANGE, "apko.yaml": protocol.APKO}
    ours = {f"build/{name}": f"{mark}\n" for name, mark in marks.items()}
    project = Project(tmp_path / below, GivenSource()).suite(WRITTEN)
    project.write({**theirs, **ours, "build/Dockerfile.dockerignore": "x\n"})
    kept = {(Path(below) / name).as_posix() for name in theirs}
    assert left(tmp_path, _inputs.rules(tmp_path, project.site).all) == kept
    project.write({"build/Dockerfile": "FROM mine\n"})  # somebody took it over
    assert left(tmp_path, _inputs.rules(tmp_path, project.site).all) >= {(Path(below) / "build/Dockerfile").as_posix()}


def test_a_rule_takes_back_what_it_names_and_never_the_keys(repository):
    rules = "!.git\n!tools/my-env/a.py\n!.deadweight\n!services/x/.deadweight/keys\n"
    paths = inputs(repository.write({".dockerignore": rules}))
    names = {".git/config", "tools/my-env/a.py", "tools/my-env/pyvenv.cfg"}
    assert names & paths == {".git/config", "tools/my-env/a.py"}
    assert not any(".deadweight" in name or ".venv" in name for name in paths)


def test_both_ignore_files_count_and_a_dockerfiles_own_stands_in_for_them(repository):
    repository.write({".dockerignore": "node_modules\n", ".melangeignore": "third\n", "own": "services\n"})
    assert inputs(repository) == {"main.go", "go.mod", "tools/venv/venv.go", "services/x/tasks.py", "own"}
    names = {"node_modules/a.js", "third/x.go", "services/x/tasks.py"}
    assert names & inputs(repository, own=repository.root / "own") == {"node_modules/a.js", "third/x.go"}


ASKING = {
    (True, True): (
        "COPY .git .git", "COPY [\".git\", \"/src/.git\"]", "RUN git -c safe.directory=/src rev-parse HEAD",
        "RUN --mount=type=bind,source=.git,target=/src/.git make",
        "RUN go build -ldflags \"-X main.v=$(git describe --tags)\"",
    ),
    (False, True): (
        "RUN make app", "RUN cd x && make", "RUN sh tools/version.sh > /v", "RUN ./tools/stamp",
        "RUN --mount=type=cache,target=/c CGO_ENABLED=0 make",
    ),
    (False, False): (
        "COPY .github /x", "COPY .gitignore /x", "RUN git clone https://example.com/x.git", "LABEL a=.git",
        "RUN apt-get install -y make", "RUN cmake .", "RUN ./other.sh", "RUN go build",
    ),
}  # fmt: skip
"""Lines of a Dockerfile, by whether they ask for git alone and where its context is there."""


@pytest.mark.parametrize(("asks", "line"), [(asks, line) for asks, lines in ASKING.items() for line in lines])
def test_a_dockerfile_that_asks_for_git_or_whose_makefile_or_script_does_gets_it(tmp_path, asks, line):
    names = ("Makefile", "tools/version.sh", "tools/stamp")
    written(tmp_path, dict.fromkeys(names, "VERSION := $(shell git describe --tags)\n") | {"other.sh": "git clone x\n"})
    assert (names_git(f"FROM a\n{line}\n"), names_git(f"FROM a\n{line}\n", tmp_path)) == asks


def test_rules_for_a_dockerfile_take_nothing_that_go_compiles(repository):
    embeds = 'package main\n\nimport "embed"\n\n//go:embed openapi.yaml "with space/*"\nvar a embed.FS\n'
    files = {
        ".dockerignore": "*\n*.yaml\n!bin/app\n", "api/api.go": embeds + "//go:embed all:ui\nvar b embed.FS\n",
        "api/api_test.go": "package api\n", "client.go": "package main\n", "test.go": "package main\n",
    }  # fmt: skip
    empty = ("api/openapi.yaml", "api/other.yaml", "api/with space/x.txt", "api/ui/_hidden/x.css", "README.md")
    repository.write(files | dict.fromkeys((*empty, "bin/app"), ""))
    expected = {"main.go", "go.mod", "client.go", "test.go", "bin/app", "third/x.go", "tools/venv/venv.go"}
    expected |= {"api/api.go", "api/openapi.yaml", "api/with space/x.txt", "api/ui/_hidden/x.css"}
    assert inputs(repository, needed=_inputs.needed_sources(repository.root)) == expected


@pytest.mark.parametrize(("rules", "names", "pruned"), [
    ((".venv", "docs", "!docs/keep/*.md", "out", "!**/*.go", "cache"), ".venv docs docs/x docs/keep out cache", "cache"),
    (("docs", ".venv", "!docs/keep/*.md"), ".venv docs docs/x docs/keep", ".venv docs/x"),
    (ignore_lines(ROOT / "src/vulnerable-awk-playground-java/.dockerignore"), "target src", "target"),  # what jib writes
])  # fmt: skip
def test_a_folder_is_pruned_though_other_rules_take_something_back(rules, names, pruned):
    assert [name for name in names.split() if Ignore(rules).prunes(name)] == pruned.split()


def test_a_folder_that_goes_into_a_jib_image_takes_no_key_along(repository):
    repository.suite("  v: {builder: jib, base: b, files: {/app: .}}\n")
    place = repository.root.parent / "laid-out"
    lay_out(repository.variant("v"), repository.site, {}, place)
    assert (place / "app/services/x/tasks.py").is_file()
    assert not [path for path in place.rglob("*") if path.name in (".deadweight", "k")]


EVERY_BUILDER = """name: s
defaults: {{source: {source}, port: {port}}}
variants:
  ko: {{builder: ko, base: b}}
  apko: {{builder: apko, config: apko.yaml, packages: [melange.yaml]}}
  dockerfile: {{builder: dockerfile, dockerfile: Dockerfile, bases: {{BASE: b}}}}
  jib: {{builder: jib, base: b, port: 80}}
"""


@pytest.mark.tools
@pytest.mark.parametrize("source", [".", ".."])
def test_an_edit_of_a_check_builds_nothing_anew(tmp_path, source):
    """Nor does a new virtual environment, a new key, or what another variant's step writes."""
    base = Base("b", "localhost/b", "sha256:" + "0" * 64, stand_in=True)
    project = Project(tmp_path / "service", GivenSource({"b": base}, lambda _: ApkRepositories((), (), stand_in=True)))
    pom = "<project><modelVersion>4.0.0</modelVersion><groupId>a</groupId><artifactId>a</artifactId><version>1</version></project>"
    files = {
        "go.mod": "module a\n", "main.go": MAIN, "pom.xml": pom, "Dockerfile": "ARG BASE\nFROM ${BASE}\nCOPY . /c\n",
        "melange.yaml": "package: {name: a, version: 1.0.0}\n", "apko.yaml": "contents: {packages: [a]}\n", "tasks.py": TASKS,
    }  # fmt: skip
    project.write(files)
    if source == "..":
        written(tmp_path, {"go.mod": "module a\n", "pom.xml": pom})

    def digests(port: int) -> dict[tuple[str, int], str]:
        project.write({"deadweight.yaml": EVERY_BUILDER.format(source=source, port=port)})
        steps = (("ko", 0), ("apko", 0), ("apko", 1), ("dockerfile", 0), ("jib", 0))
        return {step: project.inputs(*step).digest for step in steps}

    before = digests(8080)
    files = {"tasks.py": TASKS + "\n# more\n", "noxfile.py": "from deadweight.nox_sessions import *\n"}
    files |= dict.fromkeys((".git/HEAD", ".pytest_cache/x", ".deadweight/keys/new"), "x")
    project.write({**files, ".venv/pyvenv.cfg": "", ".venv/x": ""})
    assert digests(9090) == before
    project.write({"main.go": MAIN + "\n"})
    assert {key for key, value in digests(9090).items() if value != before[key]} == set(before) - {("apko", 1)}
