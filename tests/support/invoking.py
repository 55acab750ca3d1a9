"""The one way in which tests start invoke: as a user does, in a process of its own, in the project's folder.

A run that should end goes through ``invoke``; one that is to be watched, fed or ended goes through ``start``, or a ``Terminal``.
All get a process that has its modules already (``forked``). What wants the argument list itself (a shell's command line) takes
it from ``argv``.
"""

import contextlib
import fcntl
import functools
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import forkserver
from pathlib import Path
from typing import IO, Any, Self

from tests.support import forked

SECONDS = 400.0
"""How long a run may take before it is taken for one that hangs: far more than any needs, since the machine may be busy."""
TASKS = "from deadweight.tasks import namespace as ns\n"
Started = subprocess.Popen[str]
Stream = int | IO[bytes] | IO[str] | None
Environment = Mapping[str, str] | None
"""Adds to that of this process."""


class Process(subprocess.Popen[Any]):
    """A run of ``forked`` that a test looks at, feeds, waits for or ends: the fork server makes the child, and tells how it ended.
    Streams are of ``text`` or of bytes."""

    def __init__(self, request: forked.Request, *streams: Stream, text: bool = True) -> None:
        self._request = request
        stdin, stdout, stderr = streams
        words, encoding = [request.module, *request.words], "utf-8" if text else None
        super().__init__(words, stdin=stdin, stdout=stdout, stderr=stderr, encoding=encoding)

    def _execute_child(self, *given: Any) -> None:
        pipes = given[10:16]
        streams = (number if file == -1 else file for number, file in enumerate((pipes[0], pipes[3], pipes[5])))
        self._told = forked.begin(self._request, [*streams])
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]
        self.pid = forkserver.read_signed(self._told)

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        if wait_flags & os.WNOHANG and not select.select([self._told], [], [], 0)[0]:
            return 0, 0
        code = forkserver.read_signed(self._told)
        os.close(self._told)
        return self.pid, -code if code < 0 else code << 8

    def _internal_poll(self, *_: Any, **__: Any) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode


def with_tasks(root: Path) -> Path:
    """The folder; one without a ``tasks.py`` gets one."""
    if not (root / "tasks.py").exists():
        (root / "tasks.py").write_text(TASKS)
    return root


def argv(*words: str | Path) -> list[str]:
    """The argument list of ``invoke WORDS``."""
    return [sys.executable, "-m", "invoke", *map(str, words)]


def _begun(
    request: forked.Request, *streams: Stream, text: bool = True, python: Sequence[str] = ()
) -> subprocess.Popen[Any]:
    """A fork that has its modules already or, where the environment or words for ``python`` want it, an interpreter of its own."""
    if not python and not forked.started_otherwise(request.env):
        return Process(request, *streams, text=text)
    return _new([sys.executable, *python, "-m", request.module, *request.words], request, *streams, text=text)


def _new(command: Sequence[str], request: forked.Request, *streams: Stream, text: bool = True) -> subprocess.Popen[Any]:
    stdin, stdout, stderr = streams
    return subprocess.Popen(
        command, cwd=request.folder, env=request.env, text=text, stdin=stdin, stdout=stdout, stderr=stderr,
        start_new_session=request.session or request.terminal, preexec_fn=_take_terminal if request.terminal else None,
    )  # fmt: skip


def start(
    root: Path, *words: str | Path, env: Environment = None,
    stdout: Stream = subprocess.PIPE, stderr: Stream = subprocess.PIPE, session: bool = False,
) -> Started:  # fmt: skip
    """Start invoke; ``env`` adds to this process's environment, ``session`` makes a process group of its own.

    A folder without a ``tasks.py`` gets one.
    """
    request = forked.Request(list(map(str, words)), str(with_tasks(root)), os.environ | (env or {}), session=session)
    return _begun(request, subprocess.DEVNULL, stdout, stderr)


def module(
    name: str, root: Path, *words: str | Path, env: Mapping[str, str],
    stdin: str | bytes = "", timeout: float = SECONDS, python: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """Run ``python -m NAME WORDS`` to its end in just this environment, whatever comes of it.

    All our modules are there already, but the pytest plug-in.
    """
    given, pipe = stdin if isinstance(stdin, bytes) else stdin.encode(), subprocess.PIPE
    request = forked.Request(list(map(str, words)), str(root), dict(env), module=name)
    with _begun(request, pipe, pipe, pipe, text=False, python=python) as process:
        try:
            output, errors = process.communicate(given, timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.wait(), output.decode(), errors.decode())


ended = functools.partial(module, "invoke")
"""Run invoke to its end in just this environment, whatever comes of it."""


def invoke(
    root: Path, *words: str | Path, code: int | None = None, env: Environment = None,
    stdin: str | bytes = "", timeout: float = SECONDS, python: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """Run invoke to its end, and hold it to what holds always: no traceback. ``code`` is the exit code that it must have.

    A folder without a ``tasks.py`` gets one.
    """
    done = ended(with_tasks(root), *words, env=os.environ | (env or {}), stdin=stdin, timeout=timeout, python=python)
    assert "Traceback" not in done.stderr, done.stderr
    assert code in (None, done.returncode), f"exit code {done.returncode}, not {code}\n{done.stdout}{done.stderr}"
    return done


class Terminal:
    """``words`` as the foreground of a terminal of its own, as in a window that is opened. ``text`` is what it showed so far.

    Closing the terminal makes the kernel send SIGHUP, and every write to it fails from then on.
    """

    def __init__(
        self, words: Sequence[str], folder: Path, environment: Environment = None, *, module: str = ""
    ) -> None:
        """``module``: of ``python -m``, and the words are its own; without one they begin with a program."""
        self.text = ""
        whole = {**os.environ, "TERM": "xterm", **(environment or {})}
        self._screen, theirs = pty.openpty()
        request, streams = forked.Request(words, str(folder), whole, module=module, terminal=True), (theirs,) * 3
        self.process = _begun(request, *streams) if module else _new(words, request, *streams)
        os.close(theirs)

    @classmethod
    def invoke(cls, folder: Path, *words: str, environment: Environment = None) -> Self:
        return cls(words, with_tasks(folder), environment, module="invoke")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self.process.kill()
        self.process.wait(10)

    def read(self, seconds: float = 0.1) -> bool:
        """Take what it shows; False where nothing came."""
        if self._screen >= 0 and select.select([self._screen], [], [], seconds)[0]:
            with contextlib.suppress(OSError):  # what a terminal answers when nobody holds its other side
                got = os.read(self._screen, 65536)
                self.text += got.decode(errors="replace")
                return bool(got)
        return False

    def until(self, done: Callable[[], bool], seconds: float = 90) -> None:
        """Go on reading until something is so."""
        deadline = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < deadline, f"not so after {seconds} s\n{self.text}"
            if not self.read():
                time.sleep(0.02)

    def shows(self, words: str) -> None:
        self.until(lambda: words in self.text)

    def type(self, text: str) -> None:
        os.write(self._screen, text.encode())

    def close(self) -> None:
        """Close the window."""
        if self._screen >= 0:
            os.close(self._screen)
            self._screen = -1

    def wait(self) -> int:
        """Its exit code (128 and the signal's number where a signal ended it, as a shell says it)."""
        self.until(lambda: self.process.poll() is not None)
        while self.read(0):
            pass  # its last words, which nobody had read yet
        code = int(self.process.returncode)
        return code if code >= 0 else 128 - code


def _take_terminal() -> None:
    """In the new process: its stdin is its terminal, and no signal is left as a script's background has it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
