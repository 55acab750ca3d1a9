"""Names of images in the engine that a newer build took the place of, while a container still ran from them.

The engine gives such a name up only by force, and would then keep the image without any name. So the name stays, noted here,
until the next build or ``invoke clean`` finds that nothing runs from it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deadweight.records.paths import State
from deadweight.records.store import load, save

_steps_side_by_side = threading.Lock()


@dataclass(frozen=True)
class Superseded:
    """Their references."""

    references: tuple[str, ...]


def superseded(state: State) -> tuple[str, ...]:
    """The names that wait."""
    noted = load(Superseded, _file(state))
    return noted.references if noted else ()


def retire(state: State, let_go: Callable[[str], bool], *old: str, current: str | None = None) -> int:
    """Take these names away, and those that waited: ``let_go`` removes one, or says that it is still in use.

    ``current`` is a name that is in use again. Gives how many went.
    """
    with _steps_side_by_side:
        waiting = dict.fromkeys((*superseded(state), *old))
        waiting.pop(current or "", None)
        left = tuple(reference for reference in waiting if not let_go(reference))
        if left:
            save(Superseded(left), _file(state))
        else:
            _file(state).unlink(missing_ok=True)
        return len(waiting) - len(left)


def _file(state: State) -> Path:
    return state.folder / "superseded.json"
