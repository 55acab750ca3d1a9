"""The one way in which tests start invoke: as a user does, in a process of its own, in the project's folder.

A run that should end goes through ``invoke``; one that is to be watched, fed or ended goes through ``start``; both get a process
that has its modules already (``forked``). What wants the argument list itself (a shell's command line) takes it from ``argv``.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support import forked
from tests.support.forked_process import Process, Stream, run

SECONDS = 200.0
"""How long a run may take before it is taken for one that hangs: far more than any needs, since the machine may be busy."""
TASKS = "from deadweight.tasks import namespace as ns\n"
Started = subprocess.Popen[str]


def argv(*words: str | Path) -> list[str]:
    """The argument list of ``invoke WORDS``."""
    return [sys.executable, "-m", "invoke", *map(str, words)]


def start(
    root: Path,
    *words: str | Path,
    env: Mapping[str, str] | None = None,
    stdin: Stream = subprocess.DEVNULL,
    stdout: Stream = subprocess.PIPE,
    stderr: Stream = subprocess.PIPE,
    session: bool = False,
) -> Started:
    """Start invoke; ``env`` adds to this process's environment, ``session`` makes a process group of its own."""
    whole = {**os.environ, **(env or {})}
    if not forked.started_otherwise(whole):
        return Process(forked.Request(list(map(str, words)), str(root), whole, session=session), stdin, stdout, stderr)
    return subprocess.Popen(
        argv(*words), cwd=root, env=whole, text=True, start_new_session=session,
        stdin=stdin, stdout=stdout, stderr=stderr,
    )  # fmt: skip


def ended(
    root: Path,
    *words: str | Path,
    env: Mapping[str, str],
    stdin: str | bytes = "",
    timeout: float = SECONDS,
    python: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """Run invoke to its end in just this environment, whatever comes of it."""
    return module("invoke", root, *words, env=env, stdin=stdin, timeout=timeout, python=python)


def module(
    name: str,
    root: Path,
    *words: str | Path,
    env: Mapping[str, str],
    stdin: str | bytes = "",
    timeout: float = SECONDS,
    python: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m NAME WORDS`` to its end, with all our modules there already but the pytest plug-in."""
    given = stdin if isinstance(stdin, bytes) else stdin.encode()
    if not python and not forked.started_otherwise(env):
        return run(forked.Request(list(map(str, words)), str(root), dict(env), module=name), given, timeout)
    command = [sys.executable, *python, "-m", name, *map(str, words)]
    done = subprocess.run(command, cwd=root, env=env, input=given, capture_output=True, timeout=timeout, check=False)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def invoke(
    root: Path,
    *words: str | Path,
    code: int | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | bytes = "",
    timeout: float = SECONDS,
    python: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """Run invoke to its end, and hold it to what holds always: no traceback. ``code`` is the exit code that it must have.

    A folder without a ``tasks.py`` gets one.
    """
    tasks = root / "tasks.py"
    if not tasks.exists():
        tasks.write_text(TASKS)
    done = ended(root, *words, env={**os.environ, **(env or {})}, stdin=stdin, timeout=timeout, python=python)
    assert "Traceback" not in done.stderr, done.stderr
    assert code is None or done.returncode == code, (
        f"exit code {done.returncode}, not {code}\n{done.stdout}{done.stderr}"
    )
    return done
