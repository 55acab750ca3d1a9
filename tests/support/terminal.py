"""A task on a real terminal: started as whoever opens a terminal window starts it, and ended by closing that window."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

from tests.support.invoking import argv


class Terminal:
    """``words`` as the foreground of a terminal of its own. ``text`` is what it showed so far.

    Closing the terminal makes the kernel send SIGHUP, and every write to it fails from then on.
    """

    def __init__(self, words: list[str], folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.text = ""
        self.code: int | None = None
        self.pid, self._screen = pty.fork()
        if self.pid == 0:
            try:
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.SIG_DFL)
                os.chdir(folder)
                os.execvpe(words[0], words, {**os.environ, "TERM": "xterm", **(environment or {})})
            finally:
                os._exit(127)

    @classmethod
    def invoke(cls, folder: Path, *words: str, environment: Mapping[str, str] | None = None) -> Terminal:
        return cls(argv(*words), folder, environment)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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

    def shows(self, words: str, seconds: float = 90) -> None:
        self.until(lambda: words in self.text, seconds)

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
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                code = os.waitstatus_to_exitcode(status)
                self.code = code if code >= 0 else 128 - code
                break
            assert time.monotonic() < deadline, f"still runs after {seconds} s\n{self.text}"
            if self._screen < 0 or not self.read(0.02):
                time.sleep(0.02)
        return self.code
