"""A task on a real terminal: started as whoever opens a terminal window starts it, and ended by closing that window."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tests.support import forked
from tests.support.forked_process import Process


class Terminal:
    """``words`` as the foreground of a terminal of its own. ``text`` is what it showed so far.

    Closing the terminal makes the kernel send SIGHUP, and every write to it fails from then on.
    """

    def __init__(
        self, words: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None, *, module: str = ""
    ) -> None:
        """``module``: of ``python -m``, and the words are its own; without one they begin with a program."""
        self.text = ""
        self.code: int | None = None
        whole = {**os.environ, "TERM": "xterm", **(environment or {})}
        self._screen, theirs = pty.openpty()
        if module and not forked.started_otherwise(whole):
            request = forked.Request(words, str(folder), whole, module=module, terminal=True)
            self._process: subprocess.Popen[Any] = Process(request, theirs, theirs, theirs)
        else:
            argv = [sys.executable, "-m", module, *words] if module else list(words)
            self._process = subprocess.Popen(
                argv, cwd=folder, env=whole, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
                preexec_fn=_take_terminal,
            )  # fmt: skip
        os.close(theirs)
        self.pid = self._process.pid

    @classmethod
    def invoke(cls, folder: Path, *words: str, environment: Mapping[str, str] | None = None) -> Self:
        return cls(words, folder, environment, module="invoke")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        if self.code is None:
            self.kill()
            self.wait(10)

    def read(self, seconds: float = 0.1) -> bool:
        """Take what it shows; False once there is nothing more to come."""
        ready, _, _ = select.select([self._screen], [], [], seconds)
        if not ready:
            return True
        try:
            got = os.read(self._screen, 65536)
        except OSError:  # what a terminal answers when nobody holds its other side
            return False
        self.text += got.decode(errors="replace")
        return bool(got)

    def until(self, done: Callable[[], bool], seconds: float = 90) -> None:
        """Go on reading until something is so."""
        deadline = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < deadline, self.text
            if not self.read():
                assert done(), self.text
                return

    def shows(self, words: str) -> None:
        self.until(lambda: words in self.text)

    def type(self, text: str) -> None:
        os.write(self._screen, text.encode())

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Close the window."""
        if self._screen >= 0:
            os.close(self._screen)
            self._screen = -1

    def wait(self, seconds: float = 90) -> int:
        """Its exit code (128 and the signal's number where a signal ended it, as a shell says it)."""
        deadline = time.monotonic() + seconds
        while self.code is None:
            code = self._process.poll()
            if code is not None:
                self.code = code if code >= 0 else 128 - code
                while self._screen >= 0 and select.select([self._screen], [], [], 0)[0] and self.read(0):
                    pass  # its last words, which nobody had read yet
                break
            assert time.monotonic() < deadline, f"still runs after {seconds} s\n{self.text}"
            if self._screen < 0 or not self.read(0.02):
                time.sleep(0.02)
        return self.code


def _take_terminal() -> None:
    """In the new process: its stdin is its terminal, and no signal is left as a script's background has it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
