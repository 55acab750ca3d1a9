"""A closed terminal, SIGTERM, a reader that is gone: each ends a task as Ctrl-C does. What kill -9 leaves goes with the next."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from deadweight import _run, _signals
from deadweight._errors import wording
from deadweight.engine import labels
from deadweight.engine.client import Engine
from deadweight.engine.options import RunOptions
from deadweight.records import runs
from deadweight.records.paths import State
from tests.support.fault_project import FaultProject, wait_for
from tests.support.invoking import Terminal, invoke
from tests.support.processes import marked
from tests.support.small_images import reference
from tests.support.small_project import own_leftovers, put_built, write_suite

pytestmark = pytest.mark.system

SUITE = """\
name: ends
defaults: {port: 8080, health: {path: /healthz}, checks: {runs: {}, attacks: {}}}
variants: {castle: {builder: ko, source: .}}
"""


class Castle:
    """A project whose one variant is built, and what its processes have in the engine."""

    def __init__(self, root: Path, engine: Engine, archive: Path) -> None:
        self.root, self.engine = root, engine
        self.environment = {"DOCKER_HOST": engine.host}
        put_built(write_suite(root, SUITE), "castle", archive, reference("playground"))

    def open(self, *words: str) -> Terminal:
        """A task on a terminal, with something of its own in the engine."""
        terminal = Terminal.invoke(self.root, *words, environment=self.environment)
        terminal.until(lambda: bool(self.has(terminal.process.pid)))
        return terminal

    def has(self, pid: int) -> list[str]:
        return [entry.name for entry in own_leftovers(self.engine, pid)]

    def has_any(self) -> list[str]:
        return [entry.name for entry in self.engine.leftovers() if entry.labels.get(labels.ROOT) == str(self.root)]

    def invoke(self, *words: str) -> subprocess.CompletedProcess[str]:
        return invoke(self.root, *words, env=self.environment)

    def killed(self) -> int:
        """The process id of an ``invoke run`` that was killed while its service ran."""
        with self.open("run", "--variant", "castle") as terminal:
            terminal.shows("press Ctrl-C to stop")
            terminal.process.kill()
            terminal.wait()
        assert len(self.has(terminal.process.pid)) == 1
        return terminal.process.pid


@pytest.fixture
def castle(tmp_path, engine, playground_image, playground_archive) -> Castle:
    return Castle(tmp_path / "castle", engine, playground_archive)


@pytest.fixture
def project(tmp_path) -> FaultProject:
    return FaultProject.make(tmp_path, v="touch started; sleep 0.6; cp src/a.txt $OUT; sleep 0.6")


@pytest.mark.slow
@pytest.mark.parametrize(("words", "number"), [
    *((words, signal.SIGHUP) for words in ("run --variant castle", "verify", "attack", "harden --variant castle")),
    ("verify", signal.SIGTERM),
])  # fmt: skip
def test_a_closed_terminal_or_a_signal_removes_what_runs(castle, words, number):
    with castle.open(*words.split()) as terminal:
        time.sleep(0.5)
        terminal.close() if number == signal.SIGHUP else terminal.process.send_signal(number)
        assert terminal.wait() == 128 + number
    assert number == signal.SIGHUP or " SIGTERM; containers removed; " in terminal.text.splitlines()[-1]
    assert castle.has(terminal.process.pid) == []
    assert not runs.there(State(castle.root))


def test_what_the_engine_makes_after_the_interrupt_is_removed(engine, playground_image, monkeypatch):
    """The engine goes on with what it was asked for, while who asked has stopped listening."""
    connected = Engine.connect(engine.host, project="ends")
    make = connected.api.create_container_from_config
    names = []

    def interrupted(body, name):
        names.append(name)
        make(body, name)
        raise KeyboardInterrupt

    monkeypatch.setattr(connected.api, "create_container_from_config", interrupted)
    with pytest.raises(KeyboardInterrupt), connected:
        connected.start(playground_image, RunOptions(), purpose="ends")
    assert names
    assert [entry.name for entry in engine.leftovers() if entry.name in names] == []


@pytest.mark.slow
@pytest.mark.parametrize(("before", "code", "state"), [("", 129, "failed"), ('trap "" HUP', 0, "built")])
def test_a_closed_terminal_ends_a_build_that_is_not_under_nohup(project, before, code, state):
    words = ["sh", "-c", f'{before}\nexec "$0" -m invoke build', sys.executable]
    with Terminal(words, project.root, project.environment) as terminal:
        terminal.until((project.root / "started").exists)
        terminal.close()
        assert terminal.wait() == code
    project.is_clean()
    assert project.row()["state"] == state
    project.builds()


def test_ctrl_c_twice_ends_as_once_and_a_third_time_at_once(project):
    project.suite(v="trap '' TERM INT; touch started; while :; do sleep 0.2; done")
    with Terminal.invoke(project.root, "build", environment=project.environment) as terminal:
        terminal.until((project.root / "started").exists)
        terminal.type("\x03")
        time.sleep(0.5)
        terminal.type("\x03")
        terminal.shows("Ctrl-C once more")
        began = time.monotonic()
        terminal.type("\x03")
        assert terminal.wait() == 130
    assert time.monotonic() - began < 4.5, "the grace of five seconds was not waited for"
    assert "Traceback" not in terminal.text
    for pid in marked(project.mark):  # the tool takes no SIGTERM, so this is all that is left of it
        with contextlib.suppress(ProcessLookupError):  # the shell's `sleep` ends by itself
            os.kill(pid, signal.SIGKILL)


def test_a_reader_that_is_gone_ends_it(project):
    """``invoke build 2>&1 | head -1``: nothing can be told any more, so the step that goes on is ended."""
    project.suite(v="touch started; until [ -e go ]; do sleep 0.05; done; cp src/a.txt $OUT", w="sleep 60")
    process = project.begun("build", "--jobs", "2")
    process.stderr.close()
    process.stdout.close()
    (project.root / "go").touch()
    assert process.wait(20) == 141
    project.is_clean()


def test_a_thread_that_meets_it_wakes_the_main_thread(monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", buffering=1) as stream, _signals.heeded():
        monkeypatch.setattr(sys, "stderr", stream)
        with _signals.output_watched():
            thread = threading.Thread(target=print, args=("a line",), kwargs={"file": sys.stderr})
            with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - it may come at once
                thread.start()
                threading.Event().wait(20)
            thread.join()
            print("dropped", file=sys.stderr, flush=True)
            assert _signals.exit_code() == 141
    assert _signals.received() is None
    _run.reset_cancel()


WORK = """
import os, signal, sys, threading, time, weakref
from deadweight.tasks._task import guard

class Thing: pass

def in_an_exec():
    exec("os.kill(os.getpid(), signal.SIGTERM)")

def in_a_callback():
    thing = Thing()
    seen = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGTERM))
    del thing
    time.sleep(60)

def in_a_callback_while_busy():
    end = time.monotonic() + 2
    def spin():
        while time.monotonic() < end: pass
    for _ in range(8):
        threading.Thread(target=spin, daemon=True).start()
    in_a_callback()

sys.exit(guard(WORK))
"""


@pytest.mark.parametrize("work", ["in_an_exec", "in_a_callback", "in_a_callback_while_busy"])
def test_the_end_is_ours_wherever_the_signal_comes(tmp_path, work):
    """Python remembers an interrupt in an ``exec`` (as at the import of any dataclass) and would end as by Ctrl-C; one in a
    callback of the garbage collector's (as at any import) it only prints."""
    (tmp_path / "work.py").write_text(WORK.replace("WORK", work))
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "work"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n"), " SIGTERM; " in done.stderr) == (143, 1, True)
    assert time.monotonic() - began < 50


def test_output_that_nobody_reads_is_no_error(project):
    script = f'"$0" -m invoke variants --json | head -c 1 >{os.devnull}; echo "${{PIPESTATUS[0]}}"'
    project.suite(**{f"v{number}": "true " + "x" * 200 for number in range(400)})
    argv = ["bash", "-c", script, sys.executable]
    done = subprocess.run(argv, cwd=project.root, env=project.environment, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("141\n", "")


@pytest.fixture(params=["nobody", "/dev/full"])
def bad_output(request) -> Iterator[tuple[IO[bytes], int, str]]:
    """A pipe whose reader is gone from the start, or a full disk; the exit code, and what is said then."""
    if request.param == "/dev/full":
        with Path("/dev/full").open("wb") as full:
            message = wording("records.unwritable", path="standard output", problem="No space left on device")
            yield full, 1, f"error: {message}\n"
    else:
        reading, writing = os.pipe()
        os.close(reading)
        with os.fdopen(writing, "wb") as nobody:
            yield nobody, 141, ""


@pytest.mark.parametrize("words", ["invoke --list", "invoke --help build", "deadweight --list"])
def test_what_invoke_prints_itself_cannot_be_written(project, bad_output, words):
    project.suite(v="true")
    output, code, errors = bad_output
    argv, where = [sys.executable, "-m", *words.split()], {"cwd": project.root, "env": project.environment}
    done = subprocess.run(argv, **where, stdout=output, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, errors)


@pytest.mark.parametrize("words", ["variants", "doctor", "build --plan", "layers --archive /nowhere.tar", "--dry run"])
def test_what_kill_9_left_is_told_and_removed_by_the_next_command(castle, words):
    pid = castle.killed()
    stderr = castle.invoke(*words.split()).stderr
    (line,) = [line for line in stderr.splitlines() if f" (invoke run --variant castle, pid {pid}, " in line]
    assert line.startswith("castle: ")
    assert line.endswith(": removed it")
    assert castle.has(pid) == []
    assert "removed it" not in castle.invoke(*words.split()).stderr


@pytest.mark.slow
def test_what_belongs_to_the_living_and_to_others_stays(castle, tmp_path, engine, playground_archive):
    """Another run of this project; and what a killed run of another project left, of which that one's own next command tells."""
    other = Castle(tmp_path / "other", engine, playground_archive)
    theirs = other.killed()
    with castle.open("run", "--variant", "castle") as living:
        living.shows("press Ctrl-C to stop")
        ours = castle.killed()
        assert (castle.invoke("variants").stderr.count("removed it"), castle.has(ours)) == (1, [])
        assert castle.invoke("clean").returncode == 0
        assert len(castle.has(living.process.pid)) == len(other.has(theirs)) == 1
        living.type("\x03")
        assert living.wait() == 130
    assert (other.invoke("variants").stderr.count("removed it"), other.has(theirs)) == (1, [])


def test_what_a_run_left_whose_project_is_gone_goes_with_the_next_start(castle, tmp_path, engine, playground_archive):
    other = Castle(tmp_path / "other", engine, playground_archive)
    theirs = other.killed()
    shutil.rmtree(other.root)
    with castle.open("run", "--variant", "castle"):
        assert other.has(theirs) == []


@pytest.mark.slow
def test_an_engine_that_is_gone_is_told_and_asked_again(castle):
    pid = castle.killed()
    note = next(State(castle.root).runs.iterdir())
    kept = note.read_text()
    note.write_text(kept.replace(castle.engine.host, "unix:///nowhere/docker.sock"))
    lost = wording("project.leftovers_not_searched", run="|", problem="").partition("|")[0]
    assert (lost in castle.invoke("variants").stderr, note.exists()) == (True, True)
    note.write_text(kept)
    assert ("removed it" in castle.invoke("variants").stderr, castle.has(pid)) == (True, [])


UNPACK = """
import os, signal
from pathlib import Path
from deadweight.builders import apko
from deadweight.builders.shared.archive import work_folder
from deadweight.engine import labels
from deadweight.records import runs
from deadweight.records.paths import State

state = State(Path.cwd())
state.packages.mkdir(parents=True)
apko.ROOM_BYTES = 0
with runs.noted_while(state, labels.labels("faulty", "build")), work_folder(state.packages) as work:
    for folder in (work, apko.memory_folder(state.root)):
        print(folder, flush=True)
        (folder / "locked").mkdir(mode=0)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_build_unpacked_is_removed_by_the_next_command(project):
    done = subprocess.run([sys.executable, "-c", UNPACK], cwd=project.root, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    folders = [Path(line) for line in done.stdout.splitlines() if line != "None"]  # where nothing can be put in memory
    assert folders
    assert all(folder.is_dir() for folder in folders)
    assert f" {len(folders)} " in project.invoke("variants").errors
    assert not any(folder.exists() for folder in folders)
    assert project.invoke("variants").errors == ""


@pytest.mark.parametrize("words", ["--list", "variants"])
def test_where_nobody_was_killed_no_engine_is_looked_for(project, words):
    done = invoke(project.root, words, code=0, env=project.environment, python=("-X", "importtime"))
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "deadweight.tasks" in imported
    assert not imported & {"docker", "requests", "deadweight.project.clean"}


@pytest.mark.slow
@pytest.mark.parametrize("words", [(), ("-n", "2")])
def test_a_closed_terminal_ends_pytest(castle, words):
    argv = ["deadweight.yaml", "-k", "runs", "-p", "no:cacheprovider", *words]
    with Terminal(argv, castle.root, castle.environment, module="pytest") as terminal:
        terminal.until(lambda: bool(castle.has_any()))
        terminal.close()
        assert terminal.wait() == 2, "as pytest says it for Ctrl-C"
    wait_for(lambda: not castle.has_any())
    assert not runs.there(State(castle.root))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_ends_nox_ends_what_it_runs(project, number):
    """The tool takes longer to end than nox would wait. The terminal's Ctrl-C reaches all, SIGTERM nox alone."""
    project.suite(v="trap 'sleep 1; touch tidied; exit 1' TERM; touch started; while :; do sleep 0.1; done")
    (project.root / "noxfile.py").write_text("from deadweight.nox_sessions import *\n")
    with Terminal([sys.executable, "-m", "nox", "-s", "verify"], project.root, project.environment) as terminal:
        terminal.until((project.root / "started").exists)
        terminal.type("\x03") if number == signal.SIGINT else terminal.process.send_signal(number)
        assert terminal.wait() == 130
    assert (project.root / "tidied").exists()
    project.is_clean()
