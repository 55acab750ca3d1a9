"""The matrix as the evidence's data: per posture and attack the outcome, the walls that stop it alone, and how many deep.

``postures.<posture>.<attack>``: ``outcome``, ``walls``, ``depth``, ``reason``, ``evidence`` (``proof`` or ``said``; where walls were
tried, ``alone`` and ``without``: outcome by wall; ``single_points``: walls without which the attack gets through).
``payloads.<attack>``: ``title``, ``gives``, ``reference``, ``technique``. ``walls_not_there``: what this engine cannot build, with the
reason. ``notes``, ``awk``, ``containers``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deadweight.checks.attacks import walls as w
from deadweight.checks.attacks.load import Catalogue
from deadweight.checks.attacks.matrix import Cell, Matrix

if TYPE_CHECKING:
    from deadweight.engine.info import EngineInfo


def data(found: Matrix, catalogue: Catalogue, image_user: str, info: EngineInfo) -> dict[str, Any]:
    """The document. Postures in the order in which they were tried."""
    return {
        "postures": {
            posture: {name: _cell(found, posture, name, cell, image_user, info) for name, cell in cells.items()}
            for posture, cells in found.cells.items()
        },
        "payloads": {
            each.id: {"title": each.title, "gives": each.gives, "reference": each.reference, "technique": each.attack}
            for each in catalogue.payloads
        },
        "walls_not_there": w.absent(info),
        "notes": dict(found.notes),
        "awk": found.dialect,
        "containers": found.containers,
    }


def _cell(found: Matrix, posture: str, name: str, cell: Cell, image_user: str, info: EngineInfo) -> dict[str, Any]:
    walls = stopping(found, posture, name, image_user, info) if cell.outcome == "blocked" else []
    reason, evidence = cell.reason, dict(cell.evidence)
    alone, without = found.alone.get(name), found.without.get(name)
    if alone and posture in w.MAIN:
        evidence["alone"] = dict(alone)
    if without and posture == w.HARDENED.name:
        evidence["without"] = dict(without)
        evidence["single_points"] = [wall for wall, outcome in without.items() if outcome in ("succeeded", "crashed")]
    if cell.outcome == "blocked" and alone and not walls:
        reason = f"only by walls together, by none alone: {reason}"
    return {
        "outcome": cell.outcome,
        "walls": walls,
        "depth": max(1, len(walls)) if cell.outcome == "blocked" and alone else None,
        "reason": reason or None,
        "evidence": evidence or None,
    }


def stopping(found: Matrix, posture: str, name: str, image_user: str, info: EngineInfo) -> list[str]:
    """Which of a posture's walls stop an attack alone."""
    there = w.standing(posture, image_user, info) if posture in w.MAIN else sorted(w.posture(posture).walls)
    alone = found.alone.get(name, {})
    return [wall for wall in there if alone.get(wall) == "blocked"]
