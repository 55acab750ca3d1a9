"""Note each process that leaves something outside the state folder (in an engine, in memory), and what a partial run was for.

A process that is killed leaves its note behind. So the next command knows what may need removing, and where, without asking an
engine each time.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from deadweight._errors import DeadweightError
from deadweight.records.paths import State
from deadweight.records.store import load, save

_NOTES = "[0-9]*.json"


@dataclass(frozen=True)
class Run:
    """``labels`` are the owner's; ``host`` and ``certificates`` lead to the engine, where there is anything in one.

    ``since`` is in seconds since 1970.
    """

    labels: Mapping[str, str]
    host: str | None
    certificates: str | None
    command: str
    pid: int
    since: float

    def told(self) -> str:
        """Who it was, for a message: ``invoke run --variant apko, pid 123, since 12:04:05``."""
        return f"{self.command}, pid {self.pid}, since {time.strftime('%H:%M:%S', time.localtime(self.since))}"


def begin(
    state: State, labels: Mapping[str, str], host: str | None = None, certificates: str | None = None
) -> Path | None:
    """Leave a note of this process; None where none can be written, for which nothing fails."""
    note = state.runs / f"{os.getpid()}-{uuid.uuid4().hex[:8]}.json"
    with contextlib.suppress(DeadweightError):
        save(Run(labels, host, certificates, command(4), os.getpid(), time.time()), note)
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


def command(most: int) -> str:
    """How this process was called, shortened to so many arguments: ``invoke run --variant apko``."""
    program = Path(sys.argv[0])
    name = program.parent.name if program.name == "__main__.py" else program.name  # python -m pytest
    return " ".join([name, *sys.argv[1 : most + 1]])


# A partial run's scope, for reports: a shard of the suite, or only changed variants.
@dataclass(frozen=True)
class Scope:
    """``chosen`` are the variants of all shards together, ``mine`` those of this shard (``index`` of ``total``, from 1).

    ``commit`` is git's HEAD then, None outside of git. ``why`` says in words what chose them: ``all``, ``changed since REV``.
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
