"""Record a partial run's scope, for reports: a shard of the suite, or only changed variants."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from deadweight.records.paths import State
from deadweight.records.store import load, save


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
