"""Every command that a page shows: executed here as a reader would, or named below with the test that does it."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.invoking import TASKS, ended
from tests.support.small_images import docker_archive
from tests.support.small_project import put_built, write_suite
from tests.support.trees import git, written
from tests.test_docs import FENCE, PAGES

PROGRAMS = ("invoke", "deadweight", "nox", ".venv/bin/nox", "pytest", "pip", "docker", "git", "curl", "sudo")
COMMAND = re.compile(rf"^ *(?:\$ )?((?:{'|'.join(map(re.escape, PROGRAMS))}) .*?)(?:   *\S.*)?$")
ELSEWHERE = ("docs/reference/tasks.md", "docs/how-to/plugins.md", "CHANGELOG.md")
"""Made from the tasks' own help; executed line by line by ``test_plugins.py``; what is past."""

EXECUTED: dict[str, int] = {
    "invoke --list": 0,
    "invoke build --variant small --plan": 0,
    "invoke layers --variant small --json": 0,
    "invoke layers --variant small --sarif layers.sarif --junit layers.xml": 0,
    "invoke report --history": 0,
    "invoke report --history --json": 0,
    "invoke publish --to site": 0,
    "invoke publish --to ci": 0,
    "invoke report --against site/report.json": 0,
    "invoke report --against gh-pages:report.json": 0,
    "invoke verdict --against base/report.json --since origin/main": 0,
    "invoke build --since origin/main": 0,
    "invoke verify --since origin/main": 0,
    "invoke verify --variant smal": 2,
    "invoke merge --report shards": 2,
    "invoke logs --variant small": 0,
    "invoke ci --provider github --shards 6 --install "
    '"deadweight @ git+https://YOUR.HOST/deadweight@COMMIT" > .github/workflows/images.yml': 0,
    "invoke ci --provider gitlab --shards 6 > .gitlab/images.yml": 0,
    "invoke ci --provider kubernetes --shards 6 --image registry.example.com/team/project-ci:latest > job.yaml": 0,
    "nox --list --json -t verify | python3 -c "
    "'import json, sys; print(json.dumps([each[\"session\"] for each in json.load(sys.stdin)]))'": 0,
    "invoke clean": 0,
    "invoke clean --older-than 7d": 0,
}
"""In this order, with the exit code: what is published first is compared with later."""

NOT_HERE: dict[str, str] = {
    r"invoke (attack|harden) ": "tests/attacks/test_run.py",
    r"invoke attack$": "tests/tasks/test_attack.py",
    r"invoke scan": "tests/checks/scan/test_scan.py",
    r"invoke setup": "tests/tasks/test_setup.py",
    r"(invoke|deadweight) doctor": "tests/tasks/test_setup.py",
    r"invoke demo": "tests/tasks/test_setup.py",
    r"invoke push ": "tests/tasks/test_run.py",
    r"invoke (run|shell|logs) ": "tests/tasks/test_run.py",
    r"invoke clean --(project|all)": "tests/project/test_clean.py",
    r"invoke (report --against|publish --to) oci:": "tests/publish/test_report.py",
    r"invoke verdict .* --post": "tests/publish/test_comment.py",
    r"invoke build --rebase": "tests/project/test_bases.py",
    r"invoke build --(shard|changed-from)": "tests/plan/test_shards.py",
    r"invoke (build|verify|layers|report).* insecure-layer|invoke layers --archive image.tar": (
        "tests/checks/test_insecure_samples.py"
    ),
    r"docker (run|image save|history) .*insecure-layer": "tests/checks/test_insecure_samples.py",
    r"invoke .*--variant jib|invoke report && cp": "tests/builders/jib/test_builder.py",
    r"invoke layers --variant (ko|small)$": "tests/tasks/test_layers.py",
    r"invoke (report --against published/report.json|publish --to site/)$": "tests/test_docs_commands.py",  # as with site
    r"invoke (build|verify|report)( --plan| --variant (ko|small)( --force|( --check \w+)+)?)?$": "tests/tasks/test_run.py",
    r"deadweight init": "tests/init/test_proved.py",
    r"pytest ": "tests/test_pytest_plugin.py",
    r"(\.venv/bin/)?nox -s ": "tests/test_nox_sessions.py",
    r"docker run --cap-add": "",  # starts our engine in a container of the reader's: tried by hand (docs/how-to/engine.md)
    r"sudo usermod": "",  # changes the machine's users
    r"curl 'http://127": "",  # asks a service that the reader has started
    r"pip install": "",  # installs into the reader's own environment; test_docs.py sees to what is installed
}
"""What takes an engine, minutes, a registry or a terminal: the tests that do the same. The first that matches counts."""


def blocks(text: str) -> Iterator[list[str]]:
    """The lines of each block of code: fenced for a shell, or indented."""
    for info, block in FENCE.findall(text):
        if info.strip() in ("", "sh", "bash", "console", "shell"):
            yield block.splitlines()
    yield from (each.splitlines() for each in re.findall(r"(?:^    .*\n)+", FENCE.sub("", text), re.MULTILINE))


def commands_in(lines: list[str]) -> Iterator[str]:
    """The commands of a block, without comments. Where some lines begin with a prompt, the others are what was printed."""
    prompted = [line for line in lines if line.lstrip().startswith("$ ")]
    for line in prompted or lines:
        match = COMMAND.match(re.sub(r" +# .*$", "", line))
        if match:
            yield match[1].strip()


def shown() -> dict[str, str]:
    """The commands of all pages, each with the first page that shows it."""
    found: dict[str, str] = {}
    for page in PAGES:
        name = str(page.relative_to(ROOT))
        if name not in ELSEWHERE:
            for lines in blocks(page.read_text().replace("\\\n", " ")):
                for command in commands_in(lines):
                    found.setdefault(command, name)
    return found


def elsewhere(command: str) -> str | None:
    """The test that executes such a command; None where none is named."""
    return next((test for pattern, test in NOT_HERE.items() if re.match(pattern, command)), None)


def test_every_command_is_executed_here_or_elsewhere() -> None:
    """A new command on a page goes into one of the two lists above."""
    commands = shown()
    assert len(commands) > 60
    assert {each: page for each, page in commands.items() if each not in EXECUTED and elsewhere(each) is None} == {}


def test_the_lists_name_what_is_shown_and_tests_that_exist() -> None:
    commands = shown()
    assert [each for each in EXECUTED if each not in commands] == []
    first = [next((p for p in NOT_HERE if re.match(p, each)), "") for each in commands if each not in EXECUTED]
    assert [pattern for pattern in NOT_HERE if pattern not in first] == []
    assert [test for test in NOT_HERE.values() if test and not (ROOT / test).is_file()] == []


SUITE = """
    name: greeter
    defaults: {port: 8080, health: {path: /healthz}}
    variants:
      small:
        builder: ko
        source: app
        base: cgr.dev/chainguard/static
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
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "Greet")
    git(folder, "update-ref", "refs/remotes/origin/main", "HEAD")
    shell(folder, "invoke report", 0)
    git(folder, "checkout", "--quiet", "--orphan", "gh-pages")
    for place in ("base", "published", "shards/1"):
        shutil.copytree(folder / ".deadweight" / "report", folder / place)
    shutil.copy(folder / "base" / "report.json", folder / "report.json")
    git(folder, "add", "report.json")
    git(folder, "commit", "--quiet", "--message", "Publish")
    git(folder, "checkout", "--quiet", "--force", "main")
    for place in (".github/workflows", ".gitlab"):
        (folder / place).mkdir(parents=True)
    return folder


def shell(folder: Path, command: str, code: int) -> str:
    """What a command prints; a shell runs it where it is more than words."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path} | dict.fromkeys(("GITHUB_STEP_SUMMARY", "CI"), "")
    program, *words = command.split()
    if program == "invoke" and re.fullmatch(r"[\w ./:-]+", command):
        done = ended(folder, *words, env=environment)
    else:
        bash = ["bash", "-euo", "pipefail", "-c", command]
        done = subprocess.run(
            bash, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL
        )
    assert done.returncode == code, f"{command}\n{done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.mark.tools
def test_the_commands_do_what_their_exit_code_says(project: Path) -> None:
    for command, code in EXECUTED.items():
        shell(project, command, code)


def test_a_command_is_told_from_what_it_prints() -> None:
    text = "    $ invoke build --plan   # why\n    docker build small: up to date\n\nx\n    invoke attack      every service\n"
    assert [each for lines in blocks(text) for each in commands_in(lines)] == ["invoke build --plan", "invoke attack"]
    assert list(commands_in(["nox -s verify", "done"])) == ["nox -s verify"]
