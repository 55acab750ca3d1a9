"""Lock a state folder so that one process works in it; others wait and see who holds the lock.

The holder passes the lock to the processes it starts, through an environment variable. So a task made of other tasks takes it once
for all of them, and a project's tests can build under a pytest that holds it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deadweight import _disk
from deadweight._errors import DeadweightError, wording
from deadweight.records.paths import State
from deadweight.records.runs import command
from deadweight.records.store import write_atomically

if TYPE_CHECKING:
    from filelock import FileLock

VARIABLE = "DEADWEIGHT_LOCKS_HELD"
"""The locks that this process, or one that it comes from, holds. No process ids: a kept Maven counts all of its environment."""


@contextmanager
def locked(state: State, say: Callable[[str], None], *, timeout: float | None = None) -> Iterator[None]:
    """Hold the lock of a state folder. The kernel frees it when its holder dies, however that happens.

    ``timeout`` is in seconds, None waits until Ctrl-C. Raises DeadweightError when the time is up or the folder is read-only.
    """
    from filelock import FileLock

    try:
        state.folder.mkdir(parents=True, exist_ok=True)
        _hide_from_git(state)
        lock = FileLock(state.lock)
        taken = _take(lock, state, say, timeout)
    except OSError as error:
        message = wording("records.unwritable", path=error.filename or state.folder, problem=error.strerror)
        raise DeadweightError(message, hint=_disk.hint_of(error, state.folder) or "make it writable") from error
    if not taken:
        yield
        return
    before = os.environ.get(VARIABLE)
    try:
        write_atomically(
            _holder_file(state), json.dumps({"pid": os.getpid(), "command": command(2), "since": time.time()})
        )
        os.environ[VARIABLE] = os.pathsep.join([*_held(), _key(state)])
        yield
    finally:
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before
        _holder_file(state).unlink(missing_ok=True)
        lock.release()


def _take(lock: FileLock, state: State, say: Callable[[str], None], timeout: float | None) -> bool:
    """Wait for the lock; False, at once, where one that we come from holds it."""
    from filelock import Timeout

    started, told = time.monotonic(), False
    while True:
        try:
            lock.acquire(timeout=0 if not told else 0.5, poll_interval=0.1)
            return True
        except Timeout:
            if _key(state) in _held():
                return False
            if not told:
                say(wording("records.waiting", holder=holder(state), folder=state.folder))
                told = True
            if timeout is not None and time.monotonic() - started > timeout:
                raise DeadweightError(wording("records.locked", file=state.lock, holder=holder(state))) from None


def held_since(state: State) -> float | None:
    """When whoever works in the state folder now began (seconds since 1970); None where nobody does. Changes nothing."""
    from filelock import FileLock, Timeout

    if not state.lock.exists():
        return None
    lock = FileLock(state.lock)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        since = _facts(state).get("since")
        return since if isinstance(since, float) else None
    except OSError:  # who cannot write here cannot tell
        return None
    lock.release()
    return None


def holder(state: State) -> str:
    """Who holds the lock, for a message: ``invoke build (pid 123, since 12:04:05)``."""
    facts = _facts(state)
    try:
        since = time.strftime("%H:%M:%S", time.localtime(facts["since"]))
        return f"{facts['command']} (pid {facts['pid']}, since {since})"
    except (KeyError, TypeError):
        return "another invocation"


def _facts(state: State) -> dict[str, Any]:
    """What the holder noted; nothing where that is not there, or damaged."""
    try:
        found = json.loads(_holder_file(state).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _hide_from_git(state: State) -> None:
    """Keys lie in it: no `git add` takes them, also where nobody has written a rule for them yet."""
    rules = state.folder / ".gitignore"
    if not rules.exists():
        rules.write_text("*\n", encoding="utf-8")


def _holder_file(state: State) -> Path:
    return state.lock.with_suffix(".holder")


def _key(state: State) -> str:
    return str(state.lock.resolve())


def _held() -> list[str]:
    return [path for path in os.environ.get(VARIABLE, "").split(os.pathsep) if path]
