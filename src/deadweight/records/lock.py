"""Lock a state folder so that one process works in it; others wait and see who holds the lock.

The holder passes the lock to the processes it starts, through an environment variable. So a task made of other tasks takes it once
for all of them, and a project's tests can build under a pytest that holds it.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deadweight import _disk
from deadweight._errors import DeadweightError, wording
from deadweight.records.paths import State
from deadweight.records.runs import command
from deadweight.records.store import load, save

VARIABLE = "DEADWEIGHT_LOCKS_HELD"
"""The locks that this process, or one that it comes from, holds. No process ids: a kept Maven counts all of its environment."""


@dataclass(frozen=True)
class _Holder:
    """What the process that holds the lock notes of itself. ``since`` is in seconds since 1970."""

    pid: int
    command: str
    since: float


@contextmanager
def locked(state: State, say: Callable[[str], None], *, timeout: float | None = None) -> Iterator[None]:
    """Hold the lock of a state folder. The kernel frees it when its holder dies, however that happens.

    ``timeout`` is in seconds, None waits until Ctrl-C. Raises DeadweightError when the time is up or the folder is read-only.
    """
    try:
        state.folder.mkdir(parents=True, exist_ok=True)
        rules = state.folder / ".gitignore"  # keys lie in it: no `git add` takes them
        if not rules.exists():
            rules.write_text("*\n", encoding="utf-8")
        lock = _take(state, say, timeout)
    except OSError as error:
        message = wording("records.unwritable", path=error.filename or state.folder, problem=error.strerror)
        raise DeadweightError(message, hint=_disk.hint_of(error, state.folder) or "make it writable") from error
    if lock is None:
        yield
        return
    before = os.environ.get(VARIABLE)
    try:
        save(_Holder(os.getpid(), command(2), time.time()), _holder_file(state))
        os.environ[VARIABLE] = os.pathsep.join([*_held(), _key(state)])
        yield
    finally:
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before
        _holder_file(state).unlink(missing_ok=True)
        _release(lock)


def _take(state: State, say: Callable[[str], None], timeout: float | None) -> int | None:
    """Wait for the lock; None, at once, where one that we come from holds it."""
    started, told = time.monotonic(), False
    while (lock := _acquire(state)) is None:
        if _key(state) in _held():
            return None
        if not told:
            say(wording("records.waiting", holder=holder(state), folder=state.folder))
            told = True
        if timeout is not None and time.monotonic() - started > timeout:
            raise DeadweightError(wording("records.locked", file=state.lock, holder=holder(state)))
        time.sleep(0.1)
    return lock


def _acquire(state: State) -> int | None:
    """The lock file, open and locked; None where somebody else holds it. ``filelock`` would take longer to import than to use."""
    lock = os.open(state.lock, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _release(lock: int) -> None:
    fcntl.flock(lock, fcntl.LOCK_UN)  # also for a fork of ours that has the file open
    os.close(lock)


def held_since(state: State) -> float | None:
    """When whoever works in the state folder now began (seconds since 1970); None where nobody does. Changes nothing."""
    try:
        lock = _acquire(state) if state.lock.exists() else -1
    except OSError:  # who cannot write here cannot tell
        return None
    if lock is None:
        noted = load(_Holder, _holder_file(state))
        return noted.since if noted else None
    if lock >= 0:
        _release(lock)
    return None


def holder(state: State) -> str:
    """Who holds the lock, for a message: ``invoke build (pid 123, since 12:04:05)``."""
    noted = load(_Holder, _holder_file(state))
    if noted is None:
        return "another invocation"
    return f"{noted.command} (pid {noted.pid}, since {time.strftime('%H:%M:%S', time.localtime(noted.since))})"


def _holder_file(state: State) -> Path:
    return state.lock.with_suffix(".holder")


def _key(state: State) -> str:
    return str(state.lock.resolve())


def _held() -> list[str]:
    return [path for path in os.environ.get(VARIABLE, "").split(os.pathsep) if path]
