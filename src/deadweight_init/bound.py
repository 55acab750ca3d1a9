"""How long a proof may go on. Its clock stands still while bases are made; nothing is ended before a first variant is verified."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from deadweight import _run, _signals
from deadweight._errors import DeadweightError

GRACE_SECONDS = 240.0
"""So much longer than the bound a build may take that would give the second variant: one compares nothing."""


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

    @property
    def reason(self) -> str:
        """Why something was not tried."""
        return f"not tried within {self.minutes:g} minutes"

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """The clock stands still in this block."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._began += time.monotonic() - began

    @contextmanager
    def kept(self, grace: float = 0.0) -> Iterator[None]:
        """End every program that runs in this block, and every wait, when the time is over. Raises OutOfTime then, and before the
        block where it is over already."""
        left = self.left(grace)
        if left is None:
            yield
            return
        if left <= 0:
            raise OutOfTime(self.reason)
        fired = threading.Event()
        timer = threading.Timer(left, _end, (fired,))
        timer.daemon = True
        timer.start()
        try:
            yield
        except DeadweightError as error:
            if not fired.is_set() or _signals.received() is not None:
                raise
            raise OutOfTime(self.reason) from error
        finally:
            timer.cancel()
            timer.join()
            if fired.is_set() and _signals.received() is None:
                _run.reset_cancel()
        if fired.is_set():  # what was found meanwhile may be what is found of something that was ended
            raise OutOfTime(self.reason)


def _end(fired: threading.Event) -> None:
    if _signals.received() is None:
        fired.set()
        _run.cancel_all()
