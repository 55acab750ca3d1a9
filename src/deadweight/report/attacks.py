"""The attacks of one variant, summed up: how many each posture stops, and from which posture on one attack is stopped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from deadweight.report import figures
from deadweight.report.model import AttackRecord, Report, VariantRecord

LAXEST_FIRST = ("privileged", "open", "default", "hardened")
"""The postures that stand for ways to run an image; the others (``only-WALL``, ``without-WALL``) are the controls behind a cell."""
TOLD_FIRST = ("default", "open", "hardened", "privileged")
"""Which posture stands for all where there is room for one: what a plain ``docker run`` gives, if it was tried."""
NEVER = "never"
DELIVERIES = {
    "service": "through a hole in the service",
    "breach": "after a breach: the attacker's code runs as the service already",
}


@dataclass(frozen=True)
class Held:
    """``stopped`` of ``tried`` attacks in a posture. Those that were not measured, or do not apply, are in neither."""

    posture: str
    stopped: int
    tried: int
    unmeasured: int

    @property
    def through(self) -> int:
        return self.tried - self.stopped

    def __str__(self) -> str:
        return f"{self.stopped}/{self.tried}"


@dataclass(frozen=True)
class Castle:
    """One attack on one variant over all postures.

    ``since`` is the laxest posture that stops it, ``never`` where each one lets it through; or ``n/a``, ``crash`` and an en dash
    (not measured). ``tone`` is its class on the page: ``s0`` (stopped in the laxest) to ``s3``, ``succeeded``, ``crashed``,
    ``not_applicable``, ``not_measured``. ``walls`` are those of that posture that stop it alone.
    """

    since: str
    tone: str
    walls: tuple[str, ...] = ()


def main_postures(report: Report) -> tuple[str, ...]:
    """Those of ``LAXEST_FIRST`` in which anything was tried; where there is none, whatever there is."""
    found = dict.fromkeys(name for record in report.variants.values() for name in record.attacks)
    return tuple(name for name in LAXEST_FIRST if name in found) or tuple(found)


def held(record: VariantRecord, posture: str) -> Held | None:
    """The sum of one posture; None where nothing was measured in it."""
    outcomes = [cell.outcome for cell in record.attacks.get(posture, {}).values()]
    stopped = outcomes.count("blocked")
    tried = stopped + outcomes.count("succeeded") + outcomes.count("crashed")
    return Held(posture, stopped, tried, outcomes.count("not_measured")) if tried else None


def told_posture(records: Iterable[VariantRecord]) -> str | None:
    """The posture in which most of these variants can be compared."""
    many = list(records)
    counted = {name: sum(held(record, name) is not None for record in many) for name in TOLD_FIRST}
    best = max(counted.values())
    return next((name for name in TOLD_FIRST if counted[name] == best), None) if best else None


def castle(record: VariantRecord, payload: str, postures: Iterable[str]) -> Castle:
    """``postures`` laxest first."""
    cells = {name: cell for name in postures if (cell := record.attacks.get(name, {}).get(payload)) is not None}
    for index, (name, cell) in enumerate(cells.items()):
        if cell.outcome == "blocked":
            return Castle(name, f"s{min(index, 3)}", cell.walls)
    outcomes = [cell.outcome for cell in cells.values()]
    if "succeeded" in outcomes:
        return Castle(NEVER, "succeeded")
    if "crashed" in outcomes:
        return Castle("crash", "crashed")
    if "not_applicable" in outcomes:
        return Castle("n/a", "not_applicable")
    return Castle(figures.NOTHING, "not_measured")


def payloads(report: Report) -> tuple[str, ...]:
    """Every attack that was tried, in the catalogue's order; those through the service first."""
    found = dict.fromkeys(
        name for record in report.variants.values() for cells in record.attacks.values() for name in cells
    )
    known = [name for name in report.payloads if name in found]
    known.sort(key=lambda name: report.payloads[name].delivery == "breach")
    return (*(name for name in found if name not in report.payloads), *known)


def heading(report: Report, names: Sequence[str], index: int) -> str:
    """What stands above the attack at ``index``, where another way in begins there; none where all come through the service."""
    ways = [
        "service" if (known := report.payloads.get(name)) is None else known.delivery or "service" for name in names
    ]
    begins = index == 0 or ways[index] != ways[index - 1]
    return DELIVERIES[ways[index]] if begins and "breach" in ways else ""


def said(cell: AttackRecord) -> str:
    """One outcome in words: ``stopped by seccomp or non-root, each alone``."""
    if cell.outcome == "succeeded":
        return "got through"
    if cell.outcome != "blocked":
        return {"crashed": "killed the service", "not_applicable": "n/a", "not_measured": "not measured"}[cell.outcome]
    if cell.walls:
        return f"stopped by {', '.join(cell.walls)}" + (", each alone" if len(cell.walls) > 1 else "")
    return "stopped" if cell.depth is None else "stopped only by several walls together"
