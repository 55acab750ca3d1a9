"""Work with an engine that Ctrl-C ends in good order."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from deadweight import _run
from deadweight.checks.protocol import Subject

T = TypeVar("T")


def apart(subject: Subject, work: Callable[[], T]) -> T:
    """In a thread: an interrupt in the midst of a call to the engine would leave what that call makes. Raises what the work does;
    KeyboardInterrupt once all has ended."""
    with ThreadPoolExecutor(1) as worker:
        done = worker.submit(work)
        try:
            return done.result()
        except KeyboardInterrupt:
            _run.cancel_all()  # the work looks at it wherever it waits, and removes what it made
            subject.engine().end_all()
            raise
