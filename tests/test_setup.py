"""``invoke setup``: what it asks on a terminal, where it asks it, and what the answers do."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import termios
from dataclasses import dataclass

import pytest
from fault_project import FaultProject

from deadweight.toolchain.find import look

QUESTION = "install these? [Y/n] "
CTRL_D = "\x04"


@dataclass(frozen=True)
class Seen:
    """How a run on a terminal ended. ``terminal`` is what was shown there (stderr), ``output`` what stdout got."""

    code: int
    terminal: str
    output: str


@pytest.fixture
def project(tmp_path, monkeypatch) -> FaultProject:
    """One variant that wants nfpm, and a cache without it."""
    monkeypatch.setenv("DEADWEIGHT_CACHE_DIR", str(tmp_path / "cache"))
    if look("nfpm").tool is not None:
        pytest.skip("this machine has nfpm")
    project = FaultProject.make(tmp_path, v='cp src/a.txt "$OUT"')
    project.suite("tools: nfpm", v='cp src/a.txt "$OUT"')
    return project


def on_terminal(project: FaultProject, *words: str, answer: str | None) -> Seen:
    """Run with a terminal as stdin and stderr; ``answer`` is typed once the question is there (None: it must not come)."""
    ours, theirs = pty.openpty()
    keys = termios.tcgetattr(theirs)
    keys[3] &= ~termios.ECHO  # what is typed is not what is asked
    termios.tcsetattr(theirs, termios.TCSANOW, keys)
    argv = [sys.executable, "-m", "invoke", *words]
    env = {**os.environ, "PYTHONPATH": str(project.plugins), "NO_COLOR": "1"}
    with (project.root.parent / "stdout").open("w+b") as stdout:
        process = subprocess.Popen(argv, cwd=project.root, env=env, stdin=theirs, stdout=stdout, stderr=theirs)
        os.close(theirs)
        shown = b""
        try:
            while part := _some(ours):
                shown += part
                if answer is not None and shown.endswith(QUESTION.encode()):
                    os.write(ours, answer.encode())
                    answer = None
            code = process.wait(60)
        finally:
            process.kill()
            process.wait()
            os.close(ours)
        assert answer is None, f"it was never asked: {shown.decode()}"
        stdout.seek(0)
        return Seen(code, shown.decode().replace("\r\n", "\n"), stdout.read().decode())


def _some(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # the other side has ended
        return b""


@pytest.mark.tools
def test_yes_installs_and_stdout_is_the_document_alone(project):
    seen = on_terminal(project, "setup", "--json", answer="y\n")
    assert seen.code == 0, seen.terminal
    assert seen.terminal.count(QUESTION) == 1
    assert "nfpm" in seen.terminal.partition(QUESTION)[0]
    tools = {each["name"]: each["status"] for each in json.loads(seen.output)["tools"]}
    assert tools["nfpm"] == "present"
    assert look("nfpm").status == "present"
    again = on_terminal(project, "setup", answer=None)
    assert (again.code, again.output) == (0, "")
    assert QUESTION not in again.terminal


@pytest.mark.parametrize("answer", ["n\n", "nein\n", CTRL_D])
def test_no_and_ctrl_d_install_nothing(project, answer):
    seen = on_terminal(project, "setup", "--json", answer=answer)
    assert (seen.code, seen.output) == (3, "")
    assert "error: nothing was installed" in seen.terminal
    assert "Traceback" not in seen.terminal
    assert look("nfpm").status == "missing"


@pytest.mark.tools
def test_who_says_yes_beforehand_is_not_asked(project):
    seen = on_terminal(project, "setup", "--yes", "--json", answer=None)
    assert seen.code == 0, seen.terminal
    assert QUESTION not in seen.terminal
    assert json.loads(seen.output)["tools"]
