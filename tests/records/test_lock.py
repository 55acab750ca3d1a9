"""Two invocations at once: the second waits, and says for whom."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from deadweight._errors import DeadweightError, wording
from deadweight.records.paths import State
from deadweight.records.runs import MANY, VARIABLE, holder, locked
from tests.support.codes import raises
from tests.support.fault_project import FaultProject, wait_for
from tests.support.trees import git, written

pytestmark = pytest.mark.system

HOLD = "import sys; from pathlib import Path\nfrom deadweight.records.runs import locked\n"
HOLD += "from deadweight.records.paths import State\n"
STRANGER = ["env", "--unset", VARIABLE]
"""The words before a command that know nothing of whose process they come from."""


def test_git_takes_nothing_of_a_state_folder(tmp_path):
    git(tmp_path, "init", "-q")
    state = State(tmp_path)
    with locked(state, print):
        written(state.keys, {"signing": "a key"})
    git(tmp_path, "add", "--all")
    assert git(tmp_path, "ls-files") == ""


def test_what_the_holder_calls_and_starts_is_let_in(tmp_path):
    nested = HOLD + "with locked(State(Path(sys.argv[1])), print, timeout=0): print('in')"
    command = [sys.executable, "-c", nested, str(tmp_path)]
    with locked(State(tmp_path), print):
        with locked(State(tmp_path), print, timeout=0):
            assert subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout == "in\n"
        assert holder(State(tmp_path).lock) != "another invocation", "the inner one let go of the outer one's lock"
        done = subprocess.run([*STRANGER, *command], capture_output=True, text=True, check=False, timeout=30)
        assert f"pid {os.getpid()}" in done.stdout
        assert "DeadweightError" in done.stderr
    assert VARIABLE not in os.environ


def test_to_hold_one_lock_is_not_to_hold_another(tmp_path):
    code = HOLD + "with locked(State(Path(sys.argv[1])), print): sys.stdin.read()"
    command = [*STRANGER, sys.executable, "-c", code, str(tmp_path / "other")]
    (tmp_path / "other").mkdir()
    with locked(State(tmp_path), print), subprocess.Popen(command, stdin=subprocess.PIPE) as other:
        wait_for((tmp_path / "other" / ".deadweight" / "lock.holder").exists)
        with raises(DeadweightError, "records.locked", file=State(tmp_path / "other").lock) as caught:
            locked(State(tmp_path / "other"), print, timeout=0).__enter__()
        assert f"pid {other.pid}" in caught.value.fields["holder"]
        other.kill()


def test_variants_are_locked_apart_and_many_at_once(tmp_path):
    """Whoever checks one is not held up by the folder's lock, or by who checks another; the whole waits for both."""
    state, many = State(tmp_path), [f"v{number}" for number in range(MANY + 1)]
    code = HOLD + "with locked(State(Path(sys.argv[1])), print, sys.argv[2:], whole=False, timeout=0): print('in')"

    def let_in(*names: str) -> bool:
        command = [*STRANGER, sys.executable, "-c", code, str(tmp_path), *names]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30).stdout.endswith("in\n")

    with locked(state, print):
        assert let_in("ko")
    with locked(state, print, ["ko"], whole=False):
        assert [let_in("apko"), let_in("ko"), let_in(*many)] == [True, False, False]
    with locked(state, print, many, whole=False):
        assert not let_in("ko")


@pytest.fixture
def busy(tmp_path) -> Iterator[FaultProject]:
    """A project whose locks this process holds, and whose invocations do not know that they come from it."""
    project = FaultProject.make(tmp_path, v="cp src/a.txt $OUT")
    with locked(State(project.root), print, ["v"]):
        project.more = {VARIABLE: ""}
        yield project


WRITING = (
    *(f"{task} --variant v" for task in ("build", "verify", "attack", "harden", "scan", "layers", "run", "shell")),
    *("clean", "setup --yes", "demo --yes", "report", "publish --to site", "push --to 127.0.0.1:1/a/b --insecure"),
)


@pytest.mark.parametrize("words", WRITING)
def test_what_writes_to_the_state_folder_waits(busy, words):
    process = busy.start(*words.split())
    message = wording("records.waiting", holder=holder(State(busy.root).lock), folder=State(busy.root).folder)
    assert f"pid {os.getpid()}" in message
    assert f"{message}\n" in process.stderr
    process.send_signal(signal.SIGINT)
    assert busy.finish(process).code == 130


@pytest.mark.parametrize("words", ["variants", "doctor", "logs", "build --plan", "setup --plan", "--dry build"])
def test_what_only_reads_does_not(busy, words):
    done = busy.invoke(*words.split())
    assert f"pid {os.getpid()}" not in done.errors
    assert done.code in (0, 3)


@pytest.mark.slow
def test_demo_takes_the_lock_once_for_all_its_stages(tmp_path):
    """While it builds it holds the lock since before the build's own log; and it goes on to the report."""
    project = FaultProject.make(tmp_path, v="cp .deadweight/lock.holder held; exit 1")
    project.invoke("demo", "--yes", code=1)
    held = json.loads((project.root / "held").read_text())
    assert held["command"] == "invoke demo --yes"
    assert held["since"] < (project.state / "logs" / "v.log").stat().st_mtime
    assert (project.state / "report" / "report.json").is_file()
