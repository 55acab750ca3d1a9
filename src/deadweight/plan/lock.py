"""One invocation at a time works in a state folder; the others wait and are told who holds it."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deadweight._errors import DeadweightError
from deadweight.records.paths import State
from deadweight.records.store import write_atomically


@contextmanager
def locked(state: State, say: Callable[[str], None], *, timeout: float | None = None) -> Iterator[None]:
    """Hold the lock of a state folder. The kernel frees it when its holder dies, however that happens.

    ``timeout`` is in seconds, None waits until Ctrl-C. Raises DeadweightError when the time is up or the folder is read-only.
    """
    from filelock import FileLock, Timeout

    try:
        state.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(state.lock)
        started, told = time.monotonic(), False
        while True:
            try:
                lock.acquire(timeout=0 if not told else 0.5, poll_interval=0.1)
                break
            except Timeout:
                if not told:
                    say(f"waiting for {holder(state)}, which works in {state.folder}")
                    told = True
                if timeout is not None and time.monotonic() - started > timeout:
                    raise DeadweightError(
                        f"{holder(state)} holds {state.lock}", hint="wait for it, or end it"
                    ) from None
    except OSError as error:
        raise DeadweightError(
            f"{error.filename or state.folder}: cannot be written: {error.strerror}", hint="make it writable"
        ) from error
    try:
        write_atomically(
            _holder_file(state), json.dumps({"pid": os.getpid(), "command": _command(), "since": time.time()})
        )
        yield
    finally:
        _holder_file(state).unlink(missing_ok=True)
        lock.release()


def holder(state: State) -> str:
    """Who holds the lock, for a message: ``invoke build (pid 123, since 12:04:05)``."""
    try:
        facts = json.loads(_holder_file(state).read_text())
        since = time.strftime("%H:%M:%S", time.localtime(float(facts["since"])))
        return f"{facts['command']} (pid {int(facts['pid'])}, since {since})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another invocation"


def _holder_file(state: State) -> Path:
    return state.lock.with_suffix(".holder")


def _command() -> str:
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:3]])
