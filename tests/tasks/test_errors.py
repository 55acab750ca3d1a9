"""What a user does wrong, from the command line: one message that leads to the place, and its exit code.

Nothing is printed on stdout, and no file is changed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.invoking import TASKS, invoke

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
FILES = {
    "Dockerfile": "ARG BASE\nFROM ${BASE}\n",
    "src/main.go": "package main\n",
    "apko.yaml": "contents: {packages: [x]}\n",
}


@pytest.fixture
def root(tmp_path) -> Path:
    for name, text in {**FILES, "tasks.py": TASKS}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "deadweight.yaml").write_text(SUITE)
    return tmp_path


def files(root: Path) -> dict[Path, bytes]:
    """All but the lock, which some tasks take before they look at files, and the rule that hides its folder from git."""
    taken = (Path(".deadweight/lock"), Path(".deadweight/.gitignore"))
    found = (path for path in root.rglob("*") if path.is_file() and path.relative_to(root) not in taken)
    return {path: path.read_bytes() for path in found}


def refused(root: Path, *words: str, code: int = 2, **environment: str) -> str:
    """What is told, without the label; ``…`` stands for the project's folder."""
    before = files(root)
    done = invoke(root, *words, code=code, env=environment)
    assert done.stdout == ""
    assert done.stderr.count("error: ") == 1
    assert files(root) == before
    return done.stderr.partition("error: ")[2].replace(str(root), "…")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            ("    dockerfile: D", "    dockerfil: D"),
            "…/deadweight.yaml:5: variants.today.dockerfil: unknown key (did you mean 'dockerfile'?)\n  hint: known here: ",
        ),
        (
            ("    builder: apko\n", ""),
            "…/deadweight.yaml:8: variants.small: key 'builder' is missing\n  hint: add builder: here\n",
        ),
        (
            ("{soft: 20MB}", "{soft: [20MB]}"),
            "…/deadweight.yaml:12: variants.small.checks.budget.size_bytes.soft: expected a size (bytes, or a number ",
        ),
        (("  small:", "  today:"), "…/deadweight.yaml:8: variants.today: duplicate of line 3\n"),
        (("variants:", "variants: ["), "…/deadweight.yaml:"),
        (
            ("dockerfile: Dockerfile", "dockerfile: build/Dockerfile"),
            "…/deadweight.yaml:5: variants.today.dockerfile: build/Dockerfile: no such file\n  hint: paths are relative to …\n",
        ),
        (
            ("source: src", "source: sources"),
            "…/deadweight.yaml:6: variants.today.source: sources: no such source folder\n  hint: paths are relative to …\n",
        ),
        (
            ("{BASE: ", "{BSAE: "),
            "…/deadweight.yaml:7: variants.today.bases.BSAE: Dockerfile: no ARG BSAE before the first FROM\n  hint: ARGs before ",
        ),
        (
            ("    source: src", "\tsource: src"),
            "…/deadweight.yaml:6: is not YAML: found a tab character that violates indentation\n  hint: indent with spaces, ",
        ),
        (
            ("    source: src", '    "so\\e[31mrce": src'),
            "…/deadweight.yaml:6: variants.today.so\\x1b[31mrce: unknown key (did you mean 'source'?)\n",
        ),
        (
            ("    source: src", "    target: last"),
            "…/deadweight.yaml:6: variants.today.target: Dockerfile: no stage 'last'\n  hint: stages: none has a name\n",
        ),
        (
            ("    source: src", "    base: alpine"),
            "…/deadweight.yaml:6: variants.today.base: the builder dockerfile has no key base\n  hint: its keys: dockerfile, ",
        ),
        (
            ('"alpine:3.18"', '"Alpine"'),
            "…/deadweight.yaml:7: variants.today.bases.BASE: ",
        ),
    ],
)
def test_a_wrong_suite_is_told_with_file_line_and_key(root, change, told):
    assert SUITE.count(change[0]) == 1
    (root / "deadweight.yaml").write_text(SUITE.replace(*change))
    assert refused(root, "build", "--json").startswith(told)


@pytest.mark.parametrize("words", ["variants", "build --plan", "doctor"])
def test_a_misspelt_builder_is_told_by_whatever_opens_the_project(root, words):
    (root / "deadweight.yaml").write_text(SUITE.replace("builder: dockerfile", "builder: dockrfile"))
    told = "…/deadweight.yaml:4: variants.today.builder: no builder 'dockrfile' (did you mean 'dockerfile'?)\n  hint: builders: "
    assert refused(root, *words.split()).startswith(told)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("deadweight.yaml", b"", "…/deadweight.yaml:1: is empty\n"),
        ("deadweight.yaml", b"\x7fELF\x00", "…/deadweight.yaml:1: is binary, not YAML\n"),
        ("apko.yaml", b"", "…/deadweight.yaml:10: variants.small.config: apko.yaml: is empty\n"),
        ("apko.yaml", b"\x7fELF\x00", "…/deadweight.yaml:10: variants.small.config: apko.yaml: is binary, not text\n"),
        ("apko.yaml", b"contents: [\n", "…/apko.yaml:2: is not YAML: "),
        ("Dockerfile", b" \n", "…/deadweight.yaml:5: variants.today.dockerfile: Dockerfile: is empty\n"),
        ("Dockerfile", b"FORM alpine\n", "…/Dockerfile:1: unknown instruction 'FORM'\n"),
        (
            "Dockerfile",
            b"ARG BASE\nFROM ${BASE}\nFROM \\\n  Alpine\n",
            "…/Dockerfile:3: 'Alpine' is not an image reference: names are in lower case\n  hint: write it as REPOSITORY:TAG",
        ),
    ],
)
def test_a_file_that_is_none_of_its_kind(root, name, content, told):
    (root / name).write_bytes(content)
    assert refused(root, "build", "--json").startswith(told)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("build --variant tody", "no variant 'tody' (did you mean 'today'?)\n  hint: variants: today, small\n"),
        ("build --variant=", "no variant ''\n  hint: variants: today, small\n"),
        ("push --to registry.example.com/a/b --variant today,", "no variant ''\n"),
        ("verify --variant small --check bugdet", "no check 'bugdet'\n  hint: checks: runs, api, budget, "),
        (
            "verify --variant small --check budget --check api",
            "the suite has no check 'api' for small\n  hint: checks in the suite: runs, budget\n",
        ),
        ("verify --check layers", "the suite has no check 'layers' for any variant\n"),
        ("setup --source public", "unknown source 'public'\n  hint: choose one of auto, registry, mirror, local\n"),
        ("run --variant today --port 0", "--port: expected a number from 1 to 65535, found '0'\n"),
        ("shell", "--variant is missing\n  hint: choose one: today, small\n"),
        ("publish", "--to is missing\n  hint: --help shows an example\n"),
        ("clean --older-than week", "--older-than: expected hours or days such as 36h or 7d, found 'week'\n"),
    ],
)
def test_a_wrong_argument_is_told_before_anything_is_done(root, words, told):
    assert refused(root, *words.split()).startswith(told)


@pytest.mark.parametrize("words", ["build", "setup --plan"])
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("FROM ${BASE}", "FROM team/secret:1"), "today, twin: Dockerfile:2"),
        (("alpine:3.18", "team/secret:1"), "today: bases.BASE; twin: Dockerfile:2"),
    ],
)
def test_a_base_that_cannot_be_had_is_told_with_its_place(root, words, change, told):
    text = SUITE.replace("  small:", "  twin:\n    builder: dockerfile\n    dockerfile: Dockerfile\n  small:")
    (root / "deadweight.yaml").write_text(text.replace(*change))
    (root / "Dockerfile").write_text("ARG BASE=team/secret:1\nFROM ${BASE}\n".replace(*change))
    chosen = ("--variant", "today", "--variant", "twin")
    said = refused(root, *words.split(), *chosen, code=3, DEADWEIGHT_SOURCE="local")
    assert f"{told}: the local source has no stand-in for team/secret:1; none is near" in said


@pytest.mark.parametrize("words", ["verify", "run --variant today", "shell --variant today", "layers --variant today"])
def test_what_needs_a_build_names_the_command_that_makes_it(root, words):
    assert refused(root, *words.split(), code=3) == "today is not built\n  hint: invoke build --variant today\n"
