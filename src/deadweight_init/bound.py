"""How long a proof may take. What is under way when the time is over is ended as by Ctrl-C, and the proof goes on without it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from deadweight import _run, _signals
from deadweight._errors import DeadweightError

GRACE_SECONDS = 240.0
"""So much longer than the bound a proof may take that has one rung and no second one: one compares nothing."""

ALL = "deadweight init --minutes 0 tries all"


class OutOfTime(DeadweightError):
    """What was under way did not end within the bound."""


class Bound:
    """``minutes`` after its making; 0 is no bound."""

    def __init__(self, minutes: float) -> None:
        self.minutes = minutes
        self._began = time.monotonic()

    def left(self, grace: float = 0.0) -> float | None:
        """Seconds until the end of the bound and of a grace after it; None where there is none."""
        return self._began + self.minutes * 60 + grace - time.monotonic() if self.minutes else None

    def over(self) -> bool:
        """Whether the time is over."""
        left = self.left()
        return left is not None and left <= 0

    @contextmanager
    def kept(
        self, grace: float = 0.0, share: float = 1.0, unless: Callable[[], bool] = lambda: False
    ) -> Iterator[None]:
        """End every program that runs in this block, and every wait, when the time is over, or this share of it, ``unless`` that
        says then that it may go on. Raises OutOfTime then, and before the block where it is over already."""
        left = self.left(grace - (1.0 - share) * self.minutes * 60)
        if left is None:
            yield
            return
        if left <= 0:
            raise OutOfTime(f"not tried within {self.minutes:g} minutes ({ALL})")
        reason = f"not finished within {self.minutes:g} minutes ({ALL})"
        fired = threading.Event()
        timer = threading.Timer(left, _end, (fired, unless))
        timer.daemon = True
        timer.start()
        try:
            yield
        except DeadweightError as error:
            if not fired.is_set() or _signals.received() is not None:
                raise
            raise OutOfTime(reason) from error
        finally:
            timer.cancel()
            timer.join()
            if fired.is_set() and _signals.received() is None:
                _run.reset_cancel()
        if fired.is_set():  # what was found meanwhile may be what is found of something that was ended
            raise OutOfTime(reason)


def _end(fired: threading.Event, unless: Callable[[], bool]) -> None:
    if _signals.received() is None and not unless():
        fired.set()
        _run.cancel_all()
