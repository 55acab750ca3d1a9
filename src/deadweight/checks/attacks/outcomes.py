"""The records of an attack run: what is tried, and what was found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from deadweight.checks.attacks import walls as w

Outcome = Literal["blocked", "succeeded", "not_applicable", "crashed", "not_measured"]
NOT_TRIED = "not tried by verify; invoke attack tries it"


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
    containers: int = 0
