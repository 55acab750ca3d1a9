"""The documentation holds: links lead somewhere, commands and flags exist, examples load and compile.

Every command that a page shows is executed here as a reader would, or named with the test that does it.
"""

import importlib.util
import itertools
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from deadweight import _errors
from deadweight.builders import table
from deadweight.suite import checks, model
from deadweight.suite.values import Record
from deadweight.tasks import namespace
from tests.support import ROOT
from tests.support.invoking import TASKS, ended, invoke
from tests.support.small_images import docker_archive
from tests.support.small_project import put_built, write_suite
from tests.support.trees import git, written

BESIDE = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
PAGES = [*(ROOT / name for name in BESIDE), *sorted((ROOT / "docs").glob("**/[a-z]*.md"))]

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
CORE_FLAGS = {"--dry", "--help", "--list", "--version"}
SLOW = {"bases", "engines", "java", "pool", "services", "slow"}
"""Sessions that have the tests with a marker of that name, which ``nox -s tests`` leaves out."""
SESSIONS = {"tests", "fmt", "lint", "types", "unit", "verify", "bench", "docs", "fuzz", *SLOW}


@pytest.fixture(params=PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def page(request) -> Path:
    return request.param


def blocks(page: Path, language: str) -> Iterator[str]:
    """Fenced blocks whose first line says this."""
    return (match[2] for match in FENCE.finditer(page.read_text()) if match[1].strip() == language)


def code(page: Path) -> Iterator[str]:
    """Lines of code: fenced, indented or in backticks. A line that ends in a backslash goes on."""
    text = page.read_text()
    prose = FENCE.sub("", text)
    for match in FENCE.finditer(text):
        yield from match[2].replace("\\\n", " ").splitlines()
    yield from (line for line in prose.splitlines() if line.startswith("    "))
    yield from (match[1].replace("\n", " ") for match in re.finditer(r"(?<!`)`([^`]+)`(?!`)", prose))


def slugs(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    """Those that lead to a page of ours."""
    return [target for target in LINK.findall(page.read_text()) if not re.match(r"\w+://|mailto:", target)]


def flags(task: str) -> set[str]:
    return {f"--{argument.name.replace('_', '-')}" for argument in namespace.tasks[task].get_arguments()}


def test_every_relative_link_leads_to_a_page_and_a_heading(page):
    for target in links(page):
        file, _, anchor = target.partition("#")
        place = page.parent / file if file else page
        assert place.exists(), target
        assert not anchor or anchor in slugs(place), target


def test_a_page_of_the_site_can_be_built(page):
    """No link leads out of ``docs/``, and no heading skips a level: the generator of the site refuses either."""
    site = ROOT / "docs"
    if site not in page.parents:
        return
    places = {target: (page.parent / target.partition("#")[0]).resolve() for target in links(page)}
    assert [target for target, place in places.items() if not place.is_relative_to(site)] == []
    levels = [len(marks) for marks in re.findall(r"^(#+) ", FENCE.sub("", page.read_text()), re.MULTILINE)]
    assert [f"level {two} after {one}" for one, two in itertools.pairwise(levels) if two > one + 1] == []


def commands(page: Path, program: str) -> Iterator[list[str]]:
    for line in code(page):
        for match in re.finditer(r"(?<![\w/.-])(invoke|nox)((?: +[^\s`#|&();]+)+)", line):
            if match[1] == program:
                yield [word.strip("'\"…,.:") for word in match[2].split()]


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
    names = {words[words.index("-s") + 1] for words in commands(page, "nox") if "-s" in words}
    assert [name for name in names - SESSIONS if not re.fullmatch(r"verify-[\w<>.-]+|\$\{\{", name)] == []


def test_what_the_usual_run_leaves_out_is_run_each_night():
    """Each marker that ``pytest`` alone leaves out has a session, which CI runs each night and CONTRIBUTING.md names."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    (left_out,) = re.findall(r"not \((.*)\)", settings["addopts"][-1])
    nightly = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["nightly"]["strategy"]["matrix"]
    table = (ROOT / "CONTRIBUTING.md").read_text().partition("\n| session |")[2].partition("\n\n")[0]
    listed = {name: int(minutes) for name, minutes in re.findall(r"^\| `(\w+)` \| (\d+) \|", table, re.MULTILINE)}
    assert listed == {job["session"]: job["minutes"] for job in nightly["include"]}
    assert set(left_out.split(" or ")) == SLOW == listed.keys() - {"tests", "fuzz"}


def test_suites_load(page, tmp_path):
    for text in blocks(page, "yaml suite"):
        assert write_suite(tmp_path, text).variants


def test_other_yaml_parses_and_python_compiles(page):
    for text in blocks(page, "yaml"):
        assert yaml.safe_load(text)
    for text in blocks(page, "python"):
        compile(text, str(page), "exec")


def test_no_page_takes_the_package_from_pypi(page):
    """It is not there, and somebody else could take the name."""
    lines = [line for line in code(page) if re.search(r"pip install\b.*\bdeadweight", line)]
    assert [line for line in lines if "deadweight[all] @ git+https://YOUR.HOST/deadweight" not in line] == []


def test_no_page_knows_one_machine(page):
    assert re.findall(r"(?<![\w.~])/(?:work|root|home)/|(?<![\w.~])/tmp/\w", page.read_text()) == []


def test_contributing_names_files_and_names_that_exist():
    section = (ROOT / "CONTRIBUTING.md").read_text().partition("## How to add")[2].partition("## Style")[0]
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
    assert (ROOT / "docs/reference/tasks.md").read_text() == subprocess.check_output(command, text=True, timeout=60)


ON_OTHER_PAGES = (model.ReportThresholds, checks.AllowedSecret, checks.UnreadGate, checks.VulnerabilityException)
KINDS = [kind for module in (model, checks) for kind in vars(module).values() if isinstance(kind, type)]
RECORDS = [kind for kind in dict.fromkeys(KINDS) if issubclass(kind, Record) and kind not in (Record, *ON_OTHER_PAGES)]


@pytest.mark.parametrize("record", [*map(table.record, table.names()), *RECORDS])
def test_every_key_of_the_suite_is_in_its_reference(record):
    text = (ROOT / "docs/reference/suite.md").read_text()
    keys = {field.alias or name for name, field in record.model_fields.items()}
    assert {key for key in keys - {"name"} if not re.search(rf"\b{key}\b", text)} == set()


@pytest.mark.parametrize(("script", "page", "function", "right", "wrong"), [
    ("suite.py", "suite.md", "page_with_keys", "- `pom`:", "- `pon`:"),
    ("attacks.py", "attacks.md", "written", "`breach-shell`", "`breach-shel`"),
])  # fmt: skip
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
    docs = set(re.findall(r"^- `(DEADWEIGHT_\w+)`", (ROOT / "docs/reference/environment.md").read_text(), re.MULTILINE))
    assert read - OUR_OWN == docs


def test_every_exit_code_is_in_its_reference():
    def codes(error: type[_errors.DeadweightError]) -> set[str]:
        return {str(error.exit_code)}.union(*(codes(subclass) for subclass in error.__subclasses__()))

    listed = re.findall(r"^\| (\d+) \|", (ROOT / "docs/reference/exit-codes.md").read_text(), re.MULTILINE)
    assert codes(_errors.DeadweightError) - set(listed) == set()


def test_pages_are_short():
    """One page answers one question: count words as a reader meets them, without code on how-to pages."""
    words = {page: len(page.read_text().split()) for page in PAGES}
    assert words[ROOT / "README.md"] <= 450
    guides = {page: len(FENCE.sub("", page.read_text()).split()) for page in PAGES if page.parent.name == "how-to"}
    assert {page.name: count for page, count in guides.items() if count > 900} == {}
    assert sum(words.values()) <= 25_000, "all pages together; shorten another one"


def test_the_tutorial_s_commands_are_whole():
    """A quote that is not closed would be found by a reader first."""
    for line in code(ROOT / "docs/tutorial.md"):
        if line.strip().startswith("$ "):
            shlex.split(line.strip()[2:])


def test_the_checks_of_these_tests_can_fail(tmp_path):
    page = tmp_path / "page.md"
    text = "[x](gone.md) `invoke bild --now` `nox -s verfy` `pip install deadweight`\n"
    page.write_text(f"{text}```yaml suite\nname: x\n```\n/root/x\n")
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


# Every command that a page shows.
PROGRAMS = ("invoke", "deadweight", "nox", ".venv/bin/nox", "pytest", "pip", "docker", "git", "curl", "sudo")
SHELL_COMMAND = re.compile(rf"^ *(?:\$ )?((?:{'|'.join(map(re.escape, PROGRAMS))}) .*?)(?:   *\S.*)?$")
ELSEWHERE = ("docs/reference/tasks.md", "docs/how-to/plugins.md", "CHANGELOG.md")
"""Made from the tasks' own help; executed line by line by ``test_plugins.py``; what is past."""

EXECUTED: dict[str, int] = {
    "invoke build small --plan": 0,
    "invoke layers small --json": 0,
    "invoke layers small --sarif layers.sarif --junit layers.xml": 0,
    "invoke report --history": 0,
    "invoke report --history --json": 0,
    "invoke publish --to site": 0,
    "invoke publish --to ci": 0,
    "invoke report --against site/report.json": 0,
    "invoke report --against gh-pages:report.json": 0,
    "invoke verdict --against base/report.json --since origin/main": 0,
    "invoke build --since origin/main": 0,
    "invoke verify --since origin/main": 0,
    "invoke verify smll": 2,
    "invoke merge --report shards": 2,
    "invoke logs small": 0,
    "invoke ci --provider github --shards 6 --install "
    '"deadweight[all] @ git+https://YOUR.HOST/deadweight@COMMIT" > .github/workflows/images.yml': 0,
    "invoke ci --provider gitlab --shards 6 > .gitlab/images.yml": 0,
    "invoke ci --provider kubernetes --shards 6 --image registry.example.com/team/project-ci:latest > job.yaml": 0,
    "nox --list --json -t verify | python3 -c "
    "'import json, sys; print(json.dumps([each[\"session\"] for each in json.load(sys.stdin)]))'": 0,
    "invoke clean": 0,
    "invoke clean --older-than 7d": 0,
}
"""In this order, with the exit code: what is published first is compared with later."""

SAMPLES = "tests/checks/test_insecure_samples.py"
NOT_HERE: dict[str, str] = {
    r"invoke (attack|harden) ": "tests/attacks/test_run.py",
    r"invoke attack$": "tests/tasks/test_attack.py",
    r"invoke twin ": "tests/workload/test_twin.py",
    r"invoke scan": "tests/checks/scan/test_scan.py",
    r"invoke setup": "tests/tasks/test_setup.py",
    r"(invoke|deadweight) doctor": "tests/tasks/test_setup.py",
    r"invoke push ": "tests/tasks/test_run.py",
    r"invoke (run|record|shell|logs) ": "tests/tasks/test_run.py",
    r"invoke clean --(project|all)": "tests/project/test_clean.py",
    r"invoke (report --against|publish --to) oci:": "tests/publish/test_report.py",
    r"invoke verdict .* --post": "tests/publish/test_comment.py",
    r"invoke build --rebase": "tests/project/test_bases.py",
    r"invoke build --(shard|changed-from)": "tests/plan/test_shards.py",
    r"invoke (build|verify|layers|report).* insecure-layer|invoke layers --archive image.tar": SAMPLES,
    r"docker (run|image save|history) .*insecure-layer": SAMPLES,
    r"invoke .*jib|invoke report && cp": "tests/builders/jib/test_builder.py",
    r"invoke layers (ko|small|today)$": "tests/tasks/test_layers.py",
    r"invoke (report --against published/report.json|publish --to site/)$": "tests/test_docs.py",  # as with site
    r"invoke (build|verify|report)( --plan| (--variant )?(ko|small)( --force|/\w+|( --check \w+)+)?)?$": "tests/tasks/test_run.py",
    r"deadweight init": "tests/init/test_proved.py",
    r"pytest ": "tests/test_pytest_plugin.py",
    r"(\.venv/bin/)?nox -s ": "tests/test_nox_sessions.py",
    r"docker run --rm -u": "tests/test_image.py",
    r"docker run --cap-add": "",  # starts our engine in a container of the reader's: tried by hand (docs/how-to/engine.md)
    r"sudo usermod": "",  # changes the machine's users
    r"curl 'http://127": "",  # asks a service that the reader has started
    r"pip install": "",  # installs into the reader's own environment; test_docs.py sees to what is installed
}
"""What takes an engine, minutes, a registry or a terminal: the tests that do the same. The first that matches counts."""


def shell_blocks(text: str) -> Iterator[list[str]]:
    """The lines of each block of code: fenced for a shell, or indented."""
    for info, block in FENCE.findall(text):
        if info.strip() in ("", "sh", "bash", "console", "shell"):
            yield block.splitlines()
    yield from (block.splitlines() for block in re.findall(r"(?:^    .*\n)+", FENCE.sub("", text), re.MULTILINE))


def commands_in(lines: list[str]) -> Iterator[str]:
    """The commands of a block, without comments. Where some lines begin with a prompt, the others are what was printed."""
    prompted = [line for line in lines if line.lstrip().startswith("$ ")]
    for line in prompted or lines:
        match = SHELL_COMMAND.match(re.sub(r" +# .*$", "", line))
        if match:
            yield match[1].strip()


def shown() -> dict[str, str]:
    """The commands of all pages, each with the first page that shows it."""
    pages: dict[str, str] = {}
    for page in PAGES:
        name = str(page.relative_to(ROOT))
        if name not in ELSEWHERE:
            for lines in shell_blocks(page.read_text().replace("\\\n", " ")):
                for command in commands_in(lines):
                    pages.setdefault(command, name)
    return pages


def elsewhere(command: str) -> str | None:
    """The pattern of the test that executes such a command; None where none is named."""
    return next((pattern for pattern in NOT_HERE if re.match(pattern, command)), None)


def test_every_command_is_executed_here_or_elsewhere_and_what_the_lists_name_is_there() -> None:
    """A new command on a page goes into one of the two lists above; they name what is shown, and tests that exist."""
    commands = shown()
    assert len(commands) > 60
    assert {line: page for line, page in commands.items() if line not in EXECUTED and elsewhere(line) is None} == {}
    assert [line for line in EXECUTED if line not in commands] == []
    assert NOT_HERE.keys() - {elsewhere(line) for line in commands if line not in EXECUTED} == set()
    assert [test for test in NOT_HERE.values() if test and not (ROOT / test).is_file()] == []


SUITE = """
    name: greeter
    defaults: {port: 8080, health: {path: /healthz}}
    variants: {small: {builder: ko, source: app, base: cgr.dev/chainguard/static}}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in git with one image that is built, reports of it where the pages have them, and an upstream."""
    folder = tmp_path_factory.mktemp("reader")
    sessions = "from deadweight.nox_sessions import *  # noqa: F403\n"
    app = {"app/go.mod": "module example.com/greeter\n\ngo 1.21\n", "app/main.go": "package main\n\nfunc main() {}\n"}
    written(folder, {**app, "tasks.py": TASKS, "noxfile.py": sessions, ".gitignore": ".deadweight/\n"})
    suite = write_suite(folder, SUITE)
    archive = docker_archive(folder.with_suffix(".tar"), "deadweight/greeter/small:latest", [{"/a": b"a"}], {})
    put_built(suite, "small", archive, "deadweight/greeter/small:latest")
    written(folder, {".deadweight/logs/small.log": "built\n"})
    for words in ("init -qb main", "add .", "commit -qm Greet", "update-ref refs/remotes/origin/main HEAD"):
        git(folder, *words.split())
    shell(folder, "invoke report", 0)
    for place in ("base", "published", "shards/1"):
        shutil.copytree(folder / ".deadweight" / "report", folder / place)
    shutil.copy(folder / "base" / "report.json", folder / "report.json")
    for words in ("checkout -q --orphan gh-pages", "add report.json", "commit -qm Publish", "checkout -qf main"):
        git(folder, *words.split())
    for place in (".github/workflows", ".gitlab"):
        (folder / place).mkdir(parents=True)
    return folder


def shell(folder: Path, command: str, code: int) -> str:
    """What a command prints; a shell runs it where it is more than words."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = {**os.environ, "PATH": path} | dict.fromkeys(("GITHUB_STEP_SUMMARY", "CI"), "")
    program, *words = command.split()
    if program == "invoke" and re.fullmatch(r"[\w ./:-]+", command):
        done = ended(folder, *words, env=env)
    else:
        argv = ["timeout", "300", "bash", "-euo", "pipefail", "-c", command]
        done = subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == code, f"{command}\n{done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.mark.tools
def test_the_commands_do_what_their_exit_code_says(project: Path) -> None:
    for command, code in EXECUTED.items():
        shell(project, command, code)


def test_a_command_is_told_from_what_it_prints() -> None:
    text = "    $ invoke build --plan   # why\n    docker build small: up to date\n\nx\n    invoke attack      every service\n"
    commands = [command for lines in shell_blocks(text) for command in commands_in(lines)]
    assert commands == ["invoke build --plan", "invoke attack"]
    assert list(commands_in(["nox -s verify", "done"])) == ["nox -s verify"]
