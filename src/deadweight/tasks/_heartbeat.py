"""A sign of life while a step says nothing: one line on a terminal, rewritten each second; elsewhere a line now and then."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from deadweight.tasks._task import colour

QUIET_SECONDS = 1.0
"""A step's first sign comes after this. Python and invoke take up to a second before it, on a busy machine: two in all."""
LINES_APART_SECONDS = 10.0
"""Where lines stay (a pipe, a CI log), another comes only after so much silence: a line every two seconds would bury the rest."""
VARIABLE = "DEADWEIGHT_PULSE"
"""``0`` in the environment: none of this, for who compares what a task says."""
CLEAR = "\r\x1b[K"
_shown = threading.Event()
_steps: list[object] = []
"""The steps under way, outermost first: only the innermost is told."""
_last_line = 0.0


def cleared() -> str:
    """What a line has to begin with that comes while the sign of life stands on the terminal; the silence is over with it."""
    global _last_line
    _last_line = time.monotonic()
    return CLEAR if _shown.is_set() else ""


@contextmanager
def pulse(step: str | Callable[[], str]) -> Iterator[None]:
    """Tell on stderr, for as long as this lasts and nothing else is said, that ``step`` goes on, and for how many seconds.

    Whatever is printed meanwhile goes through ``say``; what goes to stdout is printed when this is over.
    """
    if os.environ.get(VARIABLE) == "0":
        yield
        return
    done, mine = threading.Event(), object()
    beating = threading.Thread(target=_beat, args=(step, done, mine), name="pulse", daemon=True)
    _steps.append(mine)
    beating.start()
    try:
        yield
    finally:
        done.set()
        beating.join()
        _steps.remove(mine)


def _beat(step: str | Callable[[], str], done: threading.Event, mine: object) -> None:
    began = time.monotonic()
    live, told = colour(), False
    while not done.wait(QUIET_SECONDS):
        if _steps[-1:] != [mine]:
            continue
        now = time.monotonic()
        words = f"{step if isinstance(step, str) else step()}, {now - began:.0f} s"
        if live:
            _shown.set()
            sys.stderr.write(f"{CLEAR}{words}")
            sys.stderr.flush()
        elif now - max(_last_line, began) >= (LINES_APART_SECONDS if told else 0.0):
            told = True
            sys.stderr.write(f"{cleared()}{words} so far\n")
            sys.stderr.flush()
    if _shown.is_set():
        _shown.clear()
        sys.stderr.write(CLEAR)
        sys.stderr.flush()
