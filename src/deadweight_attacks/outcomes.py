"""The records of an attack run: what is tried, and what was found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from deadweight_attacks import walls as w

Outcome = Literal["blocked", "succeeded", "not_applicable", "crashed", "not_measured"]
NOT_TRIED = "not tried by verify; invoke attack tries it"


DELIVERED = {"service": "through the service", "breach": "after a breach"}


@dataclass(frozen=True)
class Plan:
    """What is tried. ``alone`` and ``without``: whether each wall is put up alone, and taken away alone.

    ``resource_walls``: whether attacks on resources are tried with every wall too, or with the limits only. ``skipped``: attacks
    that are left out.
    """

    postures: tuple[w.Posture, ...]
    alone: bool = True
    without: bool = False
    resource_walls: bool = False
    skipped: frozenset[str] = frozenset()


@dataclass
class Cell:
    """One attack in one posture."""

    outcome: Outcome
    reason: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass
class Matrix:
    """All that was found. ``cells`` by posture and payload, ``alone`` and ``without`` by payload and wall.

    ``control`` names the posture in which each attack works: ``open``, or ``open, with a shell``. ``unmeasured``: postures in which
    nothing could be measured, with the reason.
    """

    cells: dict[str, dict[str, Cell]] = field(default_factory=dict)
    control: dict[str, w.Posture] = field(default_factory=dict)
    alone: dict[str, dict[str, Outcome]] = field(default_factory=dict)
    without: dict[str, dict[str, Outcome]] = field(default_factory=dict)
    unmeasured: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    dialect: str = ""
    deliveries: dict[str, str] = field(default_factory=dict)
    """How each attack is delivered, by payload; nothing where all come through the service."""
    containers: int = 0

    @property
    def nothing(self) -> dict[str, str]:
        """The postures in which not one attack was measured, each with the most frequent reason."""
        found = {posture: nothing_of(cells.values()) for posture, cells in self.cells.items()}
        known = {**self.unmeasured, **{posture: reason for posture, reason in found.items() if reason}}
        return {posture: known[posture] for posture in self.cells if posture in known}

    def nothing_in(self) -> list[str]:
        """One line for each reason why a posture, or one delivery in it, came to nothing; those of the same reason together."""
        by_reason: dict[str, list[str]] = {}
        nothing = self.nothing
        for posture, cells in self.cells.items():
            if posture in nothing:
                by_reason.setdefault(nothing[posture], []).append(posture)
                continue
            for delivery, words in DELIVERED.items():
                some = [cell for name, cell in cells.items() if self.deliveries.get(name, "service") == delivery]
                if reason := nothing_of(some):
                    by_reason.setdefault(reason, []).append(f"{posture} {words}")
        return [f"nothing was measured in {', '.join(postures)}: {reason}" for reason, postures in by_reason.items()]


def nothing_of(cells: Iterable[Cell]) -> str:
    """The most frequent reason why nothing of these was measured; empty where something was, or nothing was to be."""
    tried = [cell for cell in cells if cell.reason != NOT_TRIED]
    reasons = Counter(cell.reason for cell in tried if cell.outcome == "not_measured")
    if not reasons or any(cell.outcome not in ("not_measured", "not_applicable") for cell in tried):
        return ""
    return reasons.most_common(1)[0][0]
