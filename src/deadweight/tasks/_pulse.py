"""A sign of life while a step says nothing: one line on a terminal, rewritten each second; elsewhere a line now and then."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from deadweight.tasks._task import colour

QUIET_SECONDS = 1.0
LINES_APART_SECONDS = 30.0
"""Where lines stay (a pipe, a CI log), the first comes as soon, and the next only after this."""
CLEAR = "\r\x1b[K"
_shown = threading.Event()


def cleared() -> str:
    """What a line has to begin with that comes while the sign of life stands on the terminal."""
    return CLEAR if _shown.is_set() else ""


@contextmanager
def pulse(step: str) -> Iterator[None]:
    """Tell on stderr, for as long as this lasts, that ``step`` goes on, and for how many seconds."""
    done = threading.Event()
    beating = threading.Thread(target=_beat, args=(step, done), name="pulse", daemon=True)
    beating.start()
    try:
        yield
    finally:
        done.set()
        beating.join()


def _beat(step: str, done: threading.Event) -> None:
    began = time.monotonic()
    live, next_line = colour(), QUIET_SECONDS
    while not done.wait(QUIET_SECONDS):
        passed = time.monotonic() - began
        if live:
            _shown.set()
            sys.stderr.write(f"{CLEAR}{step}, {passed:.0f} s")
            sys.stderr.flush()
        elif passed >= next_line:
            next_line = passed + LINES_APART_SECONDS
            sys.stderr.write(f"{step}, {passed:.0f} s so far\n")
            sys.stderr.flush()
    if _shown.is_set():
        _shown.clear()
        sys.stderr.write(CLEAR)
        sys.stderr.flush()
