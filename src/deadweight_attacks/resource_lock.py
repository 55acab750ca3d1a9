"""Lock this machine for attacks on resources, so that they do not starve one another.

The lock is a file, so it covers several processes and projects. An attack that makes a service stop answering has the machine
alone. Attacks on the processor exclude one another. Attacks on memory, processes or disk only exclude one that runs alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from deadweight import _run
from deadweight._errors import DeadweightError, Interrupted
from deadweight.records.paths import user_cache
from deadweight_attacks import wording

MACHINE = Path("/run/deadweight-attack.lock")
"""Who may not write there takes turns with themselves."""
PAUSE_SECONDS = 0.05


@contextlib.contextmanager
def resource_lock(*, alone: bool, processors: bool = False) -> Iterator[None]:
    """Hold the machine during an attack on resources, ``alone`` or beside others that are not; of those, one takes ``processors``.

    Raises Interrupted, DeadweightError where the lock cannot be made.
    """
    with contextlib.ExitStack() as stack:
        file = _own() if MACHINE.parent.is_dir() and not os.access(MACHINE.parent, os.W_OK) else MACHINE
        if processors:
            stack.enter_context(_held(file.with_suffix(".processors"), fcntl.LOCK_EX))
        with _held(file.with_suffix(".next"), fcntl.LOCK_EX):  # who waits to be alone lets nobody else begin
            stack.enter_context(_held(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH))
        yield


def _own() -> Path:
    folder = user_cache()
    folder.mkdir(parents=True, exist_ok=True)
    return folder / MACHINE.name


@contextlib.contextmanager
def _held(file: Path, kind: int) -> Iterator[None]:
    number = _opened(file)
    try:
        while not _taken(number, kind):
            if _run.cancelled():
                raise Interrupted(wording("attacker.interrupted"))
            time.sleep(PAUSE_SECONDS)
        yield
    finally:
        os.close(number)  # and so lets it go (flock(2))


def _opened(file: Path) -> int:
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise DeadweightError(wording("engine.no_lock", file=file, error=error.strerror)) from error


def _taken(number: int, kind: int) -> bool:
    try:
        fcntl.flock(number, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
