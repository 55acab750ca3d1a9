"""The documentation holds: links lead somewhere, commands and flags exist, examples load and compile."""

import importlib.util
import itertools
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from deadweight import _errors
from deadweight.builders import table
from deadweight.project.load_suite import load_suite
from deadweight.suite import checks, model, pool
from deadweight.suite.values import Record
from deadweight.tasks import namespace
from tests.support import ROOT
from tests.support.invoking import invoke

BESIDE = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
PAGES = [*(ROOT / name for name in BESIDE), *sorted((ROOT / "docs").glob("**/[a-z]*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"(?<![\w/.-])(invoke|nox)((?: +[^\s`#|&();]+)+)")
CORE_FLAGS = {"--dry", "--help", "--list", "--version"}
SLOW = {"bases", "engines", "java", "pool", "services", "slow"}
"""Sessions that have the tests with a marker of that name, which ``nox -s tests`` leaves out."""
SESSIONS = {"tests", "fmt", "lint", "types", "unit", "verify", "bench", "docs", "fuzz", *SLOW}
MACHINE_PATH = re.compile(r"(?<![\w.~])/(?:work|root|home)/|(?<![\w.~])/tmp/\w")


@pytest.fixture(params=PAGES, ids=NAMES)
def page(request) -> Path:
    return request.param


def blocks(page: Path, language: str) -> Iterator[str]:
    """Fenced blocks whose first line says this."""
    return (found[2] for found in FENCE.finditer(page.read_text()) if found[1].strip() == language)


def code(page: Path) -> Iterator[str]:
    """Lines of code: fenced, indented or in backticks. A line that ends in a backslash goes on."""
    text = page.read_text()
    prose = FENCE.sub("", text)
    for found in FENCE.finditer(text):
        yield from found[2].replace("\\\n", " ").splitlines()
    yield from (line for line in prose.splitlines() if line.startswith("    "))
    yield from (found[1].replace("\n", " ") for found in re.finditer(r"(?<!`)`([^`]+)`(?!`)", prose))


def slugs(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    prose = FENCE.sub("", page.read_text())
    headings = re.findall(r"^#+ +(.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def flags(task: str) -> set[str]:
    return {f"--{argument.name.replace('_', '-')}" for argument in namespace.tasks[task].get_arguments()}


def test_every_relative_link_leads_to_a_page_and_a_heading(page):
    broken = []
    for target in LINK.findall(page.read_text()):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in slugs(file)):
            broken.append(target)
    assert broken == []


def test_a_page_of_the_site_can_be_built(page):
    """No link leads out of ``docs/``, and no heading skips a level: the generator of the site refuses either."""
    site = ROOT / "docs"
    if site not in page.parents:
        return
    targets = [target for target in LINK.findall(page.read_text()) if "://" not in target]
    places = {target: (page.parent / target.partition("#")[0]).resolve() for target in targets}
    assert [target for target, place in places.items() if not place.is_relative_to(site)] == []
    levels = [len(each) for each in re.findall(r"^(#+) ", FENCE.sub("", page.read_text()), re.MULTILINE)]
    assert [f"level {two} after {one}" for one, two in itertools.pairwise(levels) if two > one + 1] == []


def commands(page: Path, program: str) -> Iterator[list[str]]:
    for line in code(page):
        for found in COMMAND.finditer(line):
            if found[1] == program:
                yield [word.strip("'\"…,.:") for word in found[2].split()]


def test_every_task_and_flag_exists(page):
    wrong = []
    for words in commands(page, "invoke"):
        while words and words[0].startswith("-"):
            wrong += [words[0]] if words[0] not in CORE_FLAGS else []
            words = words[1:]
        if not words or words[0].isupper():  # invoke --help TASK
            continue
        if words[0] not in namespace.tasks:
            wrong.append(f"invoke {words[0]}")
            continue
        known = flags(words[0]) | CORE_FLAGS
        given = (word for word in words[1:] if word.startswith("-") and word != "-")
        wrong += [f"invoke {words[0]} {word}" for word in given if word.split("=")[0] not in known]
    assert wrong == []


def test_every_session_exists(page):
    wrong = []
    for words in commands(page, "nox"):
        if "-s" in words:
            name = words[words.index("-s") + 1]
            if name not in SESSIONS and not re.fullmatch(r"verify-[\w<>.-]+|\$\{\{", name):
                wrong.append(name)
    assert wrong == []


@pytest.mark.system
def test_the_sessions_named_here_are_those_of_this_project():
    command = [sys.executable, "-m", "nox", "--list"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
    assert set(re.findall(r"^[*-] (\S+)", shown, re.MULTILINE)) >= SESSIONS


def test_what_the_usual_run_leaves_out_is_run_each_night():
    """Each marker that ``pytest`` alone leaves out has a session, which CI runs each night and CONTRIBUTING.md names."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    (left_out,) = re.findall(r"not \((.*)\)", settings["addopts"][-1])
    nightly = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["nightly"]["strategy"]["matrix"]
    table = (ROOT / "CONTRIBUTING.md").read_text().partition("\n| session |")[2].partition("\n\n")[0]
    told = {name: int(minutes) for name, minutes in re.findall(r"^\| `(\w+)` \| (\d+) \|", table, re.MULTILINE)}
    assert told == {each["session"]: each["minutes"] for each in nightly["include"]}
    assert set(left_out.split(" or ")) == SLOW == told.keys() - {"tests", "fuzz"}


def test_suites_load(page, tmp_path):
    for number, text in enumerate(blocks(page, "yaml suite")):
        file = tmp_path / str(number) / "deadweight.yaml"
        file.parent.mkdir()
        file.write_text(text)
        assert load_suite(file).variants


def test_other_yaml_parses_and_python_compiles(page):
    for text in blocks(page, "yaml"):
        assert yaml.safe_load(text)
    for text in blocks(page, "python"):
        compile(text, str(page), "exec")


def test_no_page_takes_the_package_from_pypi(page):
    """It is not there, and somebody else could take the name."""
    lines = [line for line in code(page) if re.search(r"pip install\b.*\bdeadweight", line)]
    assert [line for line in lines if "deadweight @ git+https://YOUR.HOST/deadweight" not in line] == []


def test_no_page_knows_one_machine(page):
    assert MACHINE_PATH.findall(page.read_text()) == []


def test_contributing_names_files_and_names_that_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    section = text[text.index("## How to add") : text.index("## Style")]
    places = (ROOT / "src" / "deadweight", ROOT / "src", ROOT)
    paths = re.findall(r"`([\w./-]+\.(?:py|yaml|txt|md|json))`|([\w./-]+/[\w./-]+\.(?:md|json))", section)
    named = {first or second for first, second in paths} - {"variant.py", "builder.py", "plugins.py"}
    assert len(named) > 12
    assert [path for path in named if not any((place / path).exists() for place in places)] == []
    for name, file in re.findall(r"`(\w+)`(?: and `\w+`)? (?:in|of) `([\w./]+\.py)`", section.replace("\n  ", " ")):
        texts = [(place / file).read_text() for place in places if (place / file).is_file()]
        assert any(re.search(rf"\b{name}\b", text) for text in texts), f"{name} is not in {file}"
    for module in re.findall(r"python -m ([\w.]+)", section):
        assert importlib.util.find_spec(module), module


@pytest.mark.system
@pytest.mark.parametrize("task", sorted(namespace.tasks))
def test_the_help_of_every_task_has_an_example_of_it(task):
    """As users see it: ``invoke --help TASK``."""
    shown = invoke(ROOT, "--help", task, code=0).stdout
    assert re.search(rf"^ *Example: invoke {task}\b", shown, re.MULTILINE), shown


@pytest.mark.system
def test_the_reference_of_tasks_is_their_own_help():
    """Make it anew: python docs/tasks.py > docs/reference/tasks.md"""
    command = [sys.executable, str(ROOT / "docs" / "tasks.py")]  # invoke empties a task's help when it is read
    made = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert (ROOT / "docs/reference/tasks.md").read_text() == made


ON_OTHER_PAGES = (model.ReportThresholds, checks.AllowedSecret, checks.UnreadGate, checks.VulnerabilityException)
KINDS = [kind for module in (model, checks, pool) for kind in vars(module).values() if isinstance(kind, type)]
RECORDS = [kind for kind in dict.fromkeys(KINDS) if issubclass(kind, Record) and kind not in (Record, *ON_OTHER_PAGES)]


@pytest.mark.parametrize("record", [*map(table.record, table.names()), *RECORDS])
def test_every_key_of_the_suite_is_in_its_reference(record):
    text = (ROOT / "docs/reference/suite.md").read_text()
    keys = {field.alias or name for name, field in record.model_fields.items()}
    assert {key for key in keys - {"name"} if not re.search(rf"\b{key}\b", text)} == set()


@pytest.mark.parametrize(
    ("script", "page", "function", "right", "wrong"),
    [
        ("suite.py", "suite.md", "page_with_keys", "- `pom`:", "- `pon`:"),
        ("attacks.py", "attacks.md", "written", "`breach-shell`", "`breach-shel`"),
    ],
)
def test_the_lists_of_a_page_are_those_of_the_code(script, page, function, right, wrong):
    """Make them anew: python docs/suite.py docs/reference/suite.md, python docs/attacks.py"""
    text = (ROOT / "docs" / "reference" / page).read_text()
    made = runpy.run_path(str(ROOT / "docs" / script))[function]
    assert text == made(text)
    assert text == made(text.replace(right, wrong))


OUR_OWN = {"DEADWEIGHT_LOCKS_HELD", "DEADWEIGHT_NEIGHBOUR", "DEADWEIGHT_PLACE_", "DEADWEIGHT_PLANTED"}
"""Variables that Deadweight sets for its own programs: no user does."""


def test_every_variable_of_ours_is_in_its_reference():
    texts = (file.read_text() for file in (ROOT / "src").rglob("*.py"))
    read = {name for text in texts for name in re.findall(r"\bDEADWEIGHT_[A-Z_]+", text)}
    told = set(re.findall(r"^- `(DEADWEIGHT_\w+)`", (ROOT / "docs/reference/environment.md").read_text(), re.MULTILINE))
    assert read - OUR_OWN == told


def test_every_exit_code_is_in_its_reference():
    def codes(error: type[_errors.DeadweightError]) -> set[int]:
        return {error.exit_code}.union(*(codes(each) for each in error.__subclasses__()))

    told = set(re.findall(r"^\| (\d+) \|", (ROOT / "docs/reference/exit-codes.md").read_text(), re.MULTILINE))
    assert {str(code) for code in codes(_errors.DeadweightError)} - told == set()


def test_pages_are_short():
    """One page answers one question: count words as a reader meets them, without code on how-to pages."""
    words = {page: len(page.read_text().split()) for page in PAGES}
    assert words[ROOT / "README.md"] <= 450
    guides = {page: len(FENCE.sub("", page.read_text()).split()) for page in PAGES if page.parent.name == "how-to"}
    assert {page.name: count for page, count in guides.items() if count > 900} == {}
    assert sum(words.values()) <= 25_000


def test_the_tutorial_s_commands_are_whole():
    """A quote that is not closed would be found by a reader first."""
    for line in code(ROOT / "docs/tutorial.md"):
        if line.strip().startswith("$ "):
            shlex.split(line.strip()[2:])


def test_the_checks_of_these_tests_can_fail(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "[x](gone.md) `invoke bild --now` `nox -s verfy` `pip install deadweight`\n```yaml suite\nname: x\n```\n/root/x\n"
    )
    for check in (
        test_every_relative_link_leads_to_a_page_and_a_heading,
        test_every_task_and_flag_exists,
        test_every_session_exists,
        test_no_page_takes_the_package_from_pypi,
        test_no_page_knows_one_machine,
    ):
        with pytest.raises(AssertionError):
            check(page)
    with pytest.raises(Exception, match="variants"):
        test_suites_load(page, tmp_path)
