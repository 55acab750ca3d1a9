"""What changed since an earlier report, as marks in the comparison's cells and as the page's list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deadweight.report import figures
from deadweight.report.changes import Change
from deadweight.report.compare import Comparison

TEXT_LETTERS = 300
TOLD_PER_CELL = 6
LISTED = 40
COLUMNS = {
    "variant": "variant", "build": "build", "size": "size", "compressed": "compressed", "layers": "layers", "packages": "layers",
    "base": "base", "startup": "startup", "checks": "checks", "attacks": "attacks", "vulnerabilities": "vulnerabilities",
}  # fmt: skip
"""The column whose cell is marked, by kind of change."""
_GRADES = ("changed", "better", "worse", "regression")


@dataclass(frozen=True)
class Mark:
    """``word``: ``regression``, ``worse``, ``better`` or ``changed``, the gravest of a cell; ``told``: its changes in words."""

    word: str
    told: tuple[str, ...]


@dataclass(frozen=True)
class Since:
    """What the page shows of a comparison. ``listed`` has at most ``LISTED`` changes, regressions first; ``more`` counts others."""

    when: str
    headline: str
    worse: bool
    cells: dict[str, dict[str, Mark]]
    listed: tuple[tuple[str, Change], ...]
    more: int
    unmeasured: tuple[str, ...]
    notes: tuple[str, ...]


def since(found: Comparison) -> Since:
    """All of it, for any comparison."""
    ordered = sorted(found.changes, key=lambda change: -_GRADES.index(word_of(change)))
    return Since(
        when=found.old_generated_at,
        headline=_headline(found),
        worse=bool(found.regressions or found.unmeasured),
        cells=_cells(found.changes),
        listed=tuple((word_of(change), change) for change in ordered[:LISTED]),
        more=max(0, len(ordered) - LISTED),
        unmeasured=found.unmeasured,
        notes=found.notes,
    )


def word_of(change: Change) -> str:
    """One of the words of a ``Mark``."""
    if change.regression:
        return "regression"
    return "changed" if change.direction == "other" else change.direction


def _headline(found: Comparison) -> str:
    count = figures.plural(len(found.changes), "change")
    if found.regressions:
        said = f"{figures.plural(len(found.regressions), 'regression')} among {count}"
    else:
        said = f"{count}, no regression" if found.changes else "nothing changed beyond noise"
    return said + (f"; {len(found.unmeasured)} no longer measured" if found.unmeasured else "")


def _cells(changes: Sequence[Change]) -> dict[str, dict[str, Mark]]:
    found: dict[str, dict[str, list[Change]]] = {}
    for change in changes:
        found.setdefault(change.variant, {}).setdefault(COLUMNS[change.kind], []).append(change)
    return {name: {key: _mark(each) for key, each in cells.items()} for name, cells in found.items()}


def _mark(changes: Sequence[Change]) -> Mark:
    grave = sorted(changes, key=lambda change: -_GRADES.index(word_of(change)))
    told = [f"{word_of(each)}: {each.text}"[:TEXT_LETTERS] for each in grave[:TOLD_PER_CELL]]
    more = len(grave) - len(told)
    return Mark(word_of(grave[0]), (*told, *((f"and {more} more",) if more else ())))
