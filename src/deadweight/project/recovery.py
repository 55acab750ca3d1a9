"""What a killed run left in the engine, on disk and in the firewall: told and removed before anything else is done.

Only what this project started counts, and only where the process that started it is dead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError
from deadweight.engine import labels
from deadweight.records import runs
from deadweight.records.paths import State
from deadweight.records.runs import Run

if TYPE_CHECKING:
    from deadweight.engine.client import Engine
    from deadweight.engine.labels import Leftover

Say = Callable[[str], None]
_REMOVE = {"container": "rm --force", "network": "network rm", "image": "image rm --force"}


@dataclass(frozen=True)
class _Place:
    """Where the killed run's engine listens."""

    host: str
    certificates: str | None


def remove_what_was_left(state: State, say: Say) -> None:
    """Look at the notes of this project's runs. Never fails: what cannot be removed is told, and looked for again next time."""
    for note, run in runs.noted(state):
        if run is not None and not labels.is_stale(run.labels):
            continue
        if run is None or _removed(state, run, say):
            runs.end(note)


def _removed(state: State, run: Run, say: Say) -> bool:
    """Whether all is gone that a killed run left."""
    _outside_the_engine(say)
    _unpacked(state, run, say)
    if run.host is None:
        return True
    try:
        engine = _engine(state, run, run.host)
    except DeadweightError as error:
        say(
            f"{run.told()}, was killed; what it left behind could not be searched for: {error.message}; the next run looks again"
        )
        return False
    with engine:
        try:
            left = [
                each for each in engine.leftovers() if each.stale and each.labels.get(labels.ROOT) == str(state.root)
            ]
            gone = [_one_removed(engine, each, run, say) for each in left]
            return all(gone)
        except DeadweightError as error:
            say(f"{run.told()}, was killed; what it left behind could not be removed: {error.message}")
            return False


def _engine(state: State, run: Run, host: str) -> Engine:
    from deadweight.engine.client import Engine

    place = _Place(host, run.certificates)
    return Engine.connect(place, project=run.labels.get(labels.PROJECT, "-"), root=str(state.root))


def _one_removed(engine: Engine, left: Leftover, run: Run, say: Say) -> bool:
    variant = left.labels.get(labels.VARIANT) or left.name
    doing = "was still running" if left.running else "was left"
    whose = f" ({run.told()})" if run.labels.get(labels.OWNER) == left.labels.get(labels.OWNER) else ""
    gone = engine.remove_leftover(left)
    end = "removed it" if gone else f"it could not be removed: docker {_REMOVE[left.kind]} {left.name}"
    say(f"{variant}: {'an' if left.kind == 'image' else 'a'} {left.kind} of a killed run {doing}{whose}: {end}")
    return gone


def _unpacked(state: State, run: Run, say: Say) -> None:
    """What builds unpack, often in memory. Its name holds the process's number, which somebody else may have by now."""
    from deadweight.builders.apko.work_folder import remove_left_by

    if not Path("/proc", str(run.pid)).exists() and (folders := remove_left_by(state, run.pid)):
        say(f"removed {folders} folder{'s' * (folders > 1)} that a killed build left ({run.told()})")


def _outside_the_engine(say: Say) -> None:
    from deadweight._packages import attacks

    if folders := attacks.sweep_host_folders():
        say(f"removed {folders} host folder{'s' * (folders > 1)} in memory that a killed attack run left")
    if rules := attacks.unfence():
        say(f"removed {rules} firewall rule{'s' * (rules > 1)} that a killed attack run left")
