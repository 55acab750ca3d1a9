"""What a user does wrong, from the command line: one message that leads to the place, and its exit code.

Nothing is printed on stdout, and no file is changed.
"""

from pathlib import Path

import pytest

from deadweight._errors import UsageError, wording
from deadweight.tasks._task import MAX_JOBS, parse_days, parse_jobs
from tests.support.codes import raises
from tests.support.invoking import TASKS, invoke
from tests.support.trees import written

pytestmark = pytest.mark.system

SUITE = """\
name: shop
variants:
  today:
    builder: dockerfile
    dockerfile: Dockerfile
    source: src
    bases: {BASE: "alpine:3.18"}
  small:
    builder: apko
    config: apko.yaml
    checks:
      budget: {size_bytes: {soft: 20MB}}
defaults: {port: 8080}
"""
FILES = {"Dockerfile": "ARG BASE\nFROM ${BASE}\n", "src/main.go": "package main\n"}
FILES["apko.yaml"] = "contents: {packages: [x]}\n"


NO_NAME = wording("suite.unknown", kind="variant", name="")
NO_REFERENCE = wording("records.not_a_reference", text="Alpine")
MISSPELT = wording("suite.misspelt", kind="builder", name="dockrfile", near="dockerfile")
"""Told by whatever opens the project."""
OTHERS_KEY = wording("suite.key_of_another_builder", builder="dockerfile", key="base")


@pytest.fixture
def root(tmp_path) -> Path:
    return written(tmp_path, {**FILES, "tasks.py": TASKS, "deadweight.yaml": SUITE})


def files(root: Path) -> dict[Path, bytes]:
    """All but locks, which some tasks take before they look at files, what was named last, and the rule that hides all from git."""
    state = root / ".deadweight"
    taken = (state / "lock", state / "last", state / ".gitignore", *state.glob("locks/*"))
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and path not in taken}


def refused(root: Path, *words: str, code: int = 2, **environment: str) -> str:
    """What is told, without the label; ``…`` stands for the project's folder."""
    before = files(root)
    done = invoke(root, *words, code=code, env=environment)
    assert (done.stdout, done.stderr.count("error: ")) == ("", 1)
    assert files(root) == before
    return done.stderr.partition("error: ")[2].replace(str(root), "…")


@pytest.mark.parametrize(("before", "after", "line", "key", "message", "named"), [
    ("dockerfile: D", "dockerfil: D", 5, "today.dockerfil", wording("suite.misspelt_key", near="dockerfile"), "dockerfile, "),
    ("    builder: apko\n", "", 8, "small", wording("suite.key_missing", name="builder"), "builder:"),
    ("dockerfile: D", "dockerfile: build/D", 5, "today.dockerfile", "build/Dockerfile: ", "…"),
    ("source: src", "source: sources", 6, "today.source", "sources: ", "…"),
    ("{BASE: ", "{BSAE: ", 7, "today.bases.BSAE", "Dockerfile: ", "ARG"),
    ("    source", "\tsource", 6, "", wording("suite.not_yaml", problem="found a tab character"), wording("suite.tabs")),
    ("source:", '"so\\e[31mrce":', 6, "today.so\\x1b[31mrce", wording("suite.misspelt_key", near="source"), "source, "),
    ("source: src", "target: last", 6, "today.target", "Dockerfile: ", ""),
    ("source: src", "base: alpine", 6, "today.base", OTHERS_KEY, "dockerfile, "),
    ("dockerfile\n    d", "dockrfile\n    d", 4, "today.builder", MISSPELT, "dockerfile, "),
])  # fmt: skip
def test_a_wrong_suite_is_told_with_file_line_and_key(root, before, after, line, key, message, named):
    assert SUITE.count(before) == 1
    (root / "deadweight.yaml").write_text(SUITE.replace(before, after))
    for words in ("variants", "build --plan", "doctor") if message == MISSPELT else ("build --json",):
        error, _, hint = refused(root, *words.split()).partition("\n  hint: ")
        assert error.startswith(f"…/deadweight.yaml:{line}: {f'variants.{key}: ' if key else ''}{message}")
        assert named in hint


@pytest.mark.parametrize(("name", "content", "message"), [
    ("deadweight.yaml", b"", f"…/deadweight.yaml:1: {wording('suite.empty_file')}\n"),
    ("deadweight.yaml", b"\x7fELF\x00", f"…/deadweight.yaml:1: {wording('suite.binary')}\n"),
    ("apko.yaml", b"", "…/deadweight.yaml:10: variants.small.config: apko.yaml: "),
    ("apko.yaml", b"\x7fELF\x00", "…/deadweight.yaml:10: variants.small.config: apko.yaml: "),
    ("apko.yaml", b"contents: [\n", "…/apko.yaml:2: "),
    ("Dockerfile", b" \n", "…/deadweight.yaml:5: variants.today.dockerfile: Dockerfile: "),
    ("Dockerfile", b"FORM alpine\n", "…/Dockerfile:1: "),
    ("Dockerfile", b"ARG BASE\nFROM ${BASE}\nFROM \\\n  Alpine\n", f"…/Dockerfile:3: {NO_REFERENCE}\n"),
])  # fmt: skip
def test_a_file_that_is_none_of_its_kind(root, name, content, message):
    (root / name).write_bytes(content)
    assert refused(root, "build", "--json").startswith(message)


@pytest.mark.parametrize(("words", "error", "named"), [
    ("build --variant tody", wording("suite.misspelt", kind="variant", name="tody", near="today"), "choose one: today"),
    ("build --variant=", NO_NAME, "today, small"),
    ("build --variant", wording("tasks.no_value", flag="--variant"), ""),
    ("build --variant --json", wording("tasks.no_value", flag="--variant"), ""),
    ("build --varient today", wording("tasks.no_flag", task="build", word="--varient"), "--variant?"),
    ("build -x", wording("tasks.no_flag", task="build", word="-x"), ""),
    ("biuld", wording("tasks.no_task", task="invoke", word="biuld"), "build?"),
    ("--help biuld", wording("tasks.no_task", task="invoke", word="biuld"), "build?"),
    ("doctor today", wording("tasks.no_word", task="doctor", word="today"), ""),
    ("run today small", wording("tasks.no_word", task="run", word="small"), ""),
    ("verify small/bugdet", "", "runs, api, twin, budget, "),
    ("build @lst", wording("suite.unknown", kind="variant", name="@lst"), "today, small"),
    ("push --to example.com/a/b --variant today,", NO_NAME, "today, small"),
    ("verify --variant small --check bugdet", "", "runs, api, twin, budget, "),
    ("verify --variant small --check budget --check api", "", "runs, budget"),
    ("verify --check layers", "", ""),
    ("setup --source public", wording("suite.unknown", kind="source", name="public"), "auto, registry, mirror, local"),
    ("run --variant today --port 0", wording("tasks.port", most=65535, value="0"), ""),
    ("shell", wording("suite.variant_missing"), "today, small"),
    ("publish", wording("tasks.flag_missing", flag="--to"), ""),
    ("clean --older-than week", wording("tasks.older_than", value="week"), ""),
    ("build --jobs=", wording("tasks.jobs", most=MAX_JOBS, value=""), ""),
    ("demo --jobs=abc", wording("tasks.jobs", most=MAX_JOBS, value="abc"), ""),
    ("scan --jobs=257", wording("tasks.jobs", most=MAX_JOBS, value="257"), ""),
])  # fmt: skip
def test_a_wrong_argument_is_told_before_anything_is_done(root, words, error, named):
    message, _, hint = refused(root, *words.split()).partition("\n  hint: ")
    assert message.strip() == error or (not error and message)
    assert named in hint


@pytest.mark.slow
@pytest.mark.parametrize("words", ["build", "setup --plan"])
@pytest.mark.parametrize(("change", "place"), [
    (("FROM ${BASE}", "FROM team/secret:1"), "today, twin: Dockerfile:2"),
    (("alpine:3.18", "team/secret:1"), "today: bases.BASE; twin: Dockerfile:2"),
])  # fmt: skip
def test_a_base_that_cannot_be_had_is_told_with_its_place(root, words, change, place):
    text = SUITE.replace("  small:", "  twin:\n    builder: dockerfile\n    dockerfile: Dockerfile\n  small:")
    dockerfile = "ARG BASE=team/secret:1\nFROM ${BASE}\n".replace(*change)
    written(root, {"deadweight.yaml": text.replace(*change), "Dockerfile": dockerfile})
    chosen = ("--variant", "today", "--variant", "twin")
    error = refused(root, *words.split(), *chosen, code=3, DEADWEIGHT_SOURCE="local")
    (line,) = (line for line in error.splitlines() if "team/secret:1" in line)
    assert f"{place}: " in line


@pytest.mark.parametrize("words", ["verify", "run --variant today", "shell --variant today", "layers --variant today"])
def test_what_needs_a_build_names_the_command_that_makes_it(root, words):
    message = wording("project.image_missing", variant="today")
    assert refused(root, *words.split(), code=3) == f"{message}\n  hint: {message.hint}\n"


def test_numbers_of_jobs_and_ages():
    for jobs in ("abc", "0", "-1", "257", "1.5", ""):
        with raises(UsageError, "tasks.jobs", most=256, value=jobs):
            parse_jobs(jobs)
    assert (parse_jobs("1"), parse_jobs(7), parse_jobs("256")) == (1, 7, MAX_JOBS)
    assert parse_jobs(None) >= 1
    assert (parse_days(None), parse_days("36h"), parse_days("7d")) == (None, 1.5, 7.0)
    with raises(UsageError, "tasks.older_than", value="old"):
        parse_days("old")
