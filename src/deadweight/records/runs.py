"""Note which processes work on a project: who holds its lock, what each leaves outside the state folder, what a run was for.

A process that is killed leaves its note behind. So the next command knows what may need removing, and where, without asking an
engine each time.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from deadweight import _disk
from deadweight._errors import DeadweightError, wording
from deadweight.records.paths import State
from deadweight.records.store import load, save

_NOTES = "[0-9]*.json"


@dataclass(frozen=True)
class Run:
    """A process. ``labels`` are the owner's; ``host`` and ``certificates`` lead to the engine, where there is anything in one.

    ``since`` is in seconds since 1970.
    """

    labels: Mapping[str, str]
    host: str | None
    certificates: str | None
    command: str
    pid: int
    since: float

    def describe(self) -> str:
        """Who it was, for a message: ``invoke run --variant apko, pid 123, since 12:04:05``."""
        return f"{self.command}, {self.process()}"

    def process(self) -> str:
        return f"pid {self.pid}, since {time.strftime('%H:%M:%S', time.localtime(self.since))}"


def begin(
    state: State, labels: Mapping[str, str], host: str | None = None, certificates: str | None = None
) -> Path | None:
    """Leave a note of this process; None where none can be written, for which nothing fails."""
    note = state.runs / f"{os.getpid()}-{uuid.uuid4().hex[:8]}.json"
    with contextlib.suppress(DeadweightError):
        save(Run(labels, host, certificates, _command(4), os.getpid(), time.time()), note)
        return note
    return None


def end(note: Path) -> None:
    """Remove a note, and the folder of notes with the last one."""
    with contextlib.suppress(OSError):
        note.unlink(missing_ok=True)
        note.parent.rmdir()


@contextlib.contextmanager
def noted_while(state: State, labels: Mapping[str, str]) -> Iterator[None]:
    """Have a note while the block runs, for work that needs no engine."""
    note = begin(state, labels)
    try:
        yield
    finally:
        if note is not None:
            end(note)


def there(state: State) -> bool:
    """Whether there is any note; costs one look into a folder."""
    return next(state.runs.glob(_NOTES), None) is not None


def noted(state: State) -> list[tuple[Path, Run | None]]:
    """All notes; None for one that is damaged."""
    return [(file, load(Run, file)) for file in sorted(state.runs.glob(_NOTES))]


def _command(most: int) -> str:
    """How this process was called, shortened to so many arguments: ``invoke run --variant apko``."""
    program = Path(sys.argv[0])
    name = program.parent.name if program.name == "__main__.py" else program.name  # python -m pytest
    return " ".join([name, *sys.argv[1 : most + 1]])


# Lock a state folder so that one process works in it, or a variant so that one process checks it; others wait and see for whom.
# Variants are locked before the folder, in the order of their names: then nobody waits for one that waits for him.
#
# The holder passes the lock to the processes it starts, through an environment variable. So a task made of other tasks takes it
# once for all of them, and a project's tests can build under a pytest that holds it.

VARIABLE = "DEADWEIGHT_LOCKS_HELD"
"""The locks that this process, or one that it comes from, holds. No process ids: a kept Maven counts all of its environment."""
MANY = 50
"""More variants than these are locked at once, by a lock that those of a few variants share: each takes an open file."""


@contextlib.contextmanager
def locked(
    state: State,
    say: Callable[[str], None],
    variants: Iterable[str] = (),
    *,
    whole: bool = True,
    timeout: float | None = None,
) -> Iterator[None]:
    """Hold the lock of a state folder, and first those of the ``variants`` that change or must not change; ``whole=False``: these
    alone, so that others can be built and checked beside. The kernel frees a lock when its holder dies, however that happens.

    ``timeout`` is in seconds, None waits until Ctrl-C. Raises DeadweightError when the time is up or the folder is read-only.
    """
    folder, names = state.folder / "locks", sorted(set(variants))
    many = len(names) > MANY
    files = [(folder / "+all", fcntl.LOCK_EX if many else fcntl.LOCK_SH)] if names else []
    files += [(folder / name, fcntl.LOCK_EX) for name in names if not many]
    with contextlib.ExitStack() as stack:
        for file, how in [*files, *([(state.lock, fcntl.LOCK_EX)] if whole else [])]:
            stack.enter_context(_locked(state, file, how, say, timeout))
        yield


@contextlib.contextmanager
def _locked(state: State, file: Path, how: int, say: Callable[[str], None], timeout: float | None) -> Iterator[None]:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        rules = state.folder / ".gitignore"  # keys lie in it: no `git add` takes them
        if not rules.exists():
            rules.write_text("*\n", encoding="utf-8")
        lock = _take(state, file, how, say, timeout)
    except OSError as error:
        message = wording("records.unwritable", path=error.filename or state.folder, problem=error.strerror)
        raise DeadweightError(message, hint=_disk.hint_of(error, state.folder) or "make it writable") from error
    if lock is None:
        yield
        return
    before = os.environ.get(VARIABLE)
    try:
        save(Run({}, None, None, _command(2), os.getpid(), time.time()), _holder_file(file))
        os.environ[VARIABLE] = os.pathsep.join([*_held(), str(file.resolve())])
        yield
    finally:
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before
        _holder_file(file).unlink(missing_ok=True)
        _release(lock)


def _take(state: State, file: Path, how: int, say: Callable[[str], None], timeout: float | None) -> int | None:
    """Wait for the lock; None, at once, where one that we come from holds it."""
    started, waiting = time.monotonic(), False
    while (lock := _acquire(file, how)) is None:
        if str(file.resolve()) in _held():
            return None
        if not waiting:
            say(wording("records.waiting", holder=holder(file), folder=state.folder))
            waiting = True
        if timeout is not None and time.monotonic() - started > timeout:
            raise DeadweightError(wording("records.locked", file=file, holder=holder(file)))
        time.sleep(0.1)
    return lock


def _acquire(file: Path, how: int = fcntl.LOCK_EX) -> int | None:
    """The lock file, open and locked; None where somebody else does. ``filelock`` would take longer to import than to use."""
    lock = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
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
        lock = _acquire(state.lock) if state.lock.exists() else -1
    except OSError:  # who cannot write here cannot tell
        return None
    if lock is None:
        noted = load(Run, _holder_file(state.lock))
        return noted.since if noted else None
    if lock >= 0:
        _release(lock)
    return None


def holder(lock: Path) -> str:
    """Who holds it, for a message: ``invoke build (pid 123, since 12:04:05)``."""
    noted = load(Run, _holder_file(lock))
    return f"{noted.command} ({noted.process()})" if noted else "another invocation"


def _holder_file(lock: Path) -> Path:
    return lock.with_name(f"{lock.name}.holder")


def _held() -> list[str]:
    return [path for path in os.environ.get(VARIABLE, "").split(os.pathsep) if path]


# A partial run's scope, for reports: a shard of the suite, or only changed variants.
@dataclass(frozen=True)
class Scope:
    """``chosen`` are the variants of all shards together, ``mine`` those of this shard (``index`` of ``total``, from 1).

    ``commit`` is git's HEAD at the time, None outside a git repository. ``why`` says how the variants were chosen: ``all``,
    ``changed since REV``.
    """

    index: int
    total: int
    mine: tuple[str, ...]
    chosen: tuple[str, ...]
    commit: str | None
    why: str = "all"


def load_scope(state: State) -> Scope | None:
    """What the last run was for; None where it was for the whole suite."""
    return load(Scope, state.folder / "scope.json")


def keep_scope(state: State, scope: Scope | None) -> None:
    """Note it for the report. None takes an earlier note away."""
    file = state.folder / "scope.json"
    if scope is None:
        with contextlib.suppress(OSError):  # no state folder that can be written: who writes there next tells of it
            file.unlink(missing_ok=True)
    else:
        save(scope, file)
