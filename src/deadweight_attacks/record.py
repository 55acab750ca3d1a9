"""The matrix as the evidence's data: per posture and attack the outcome, the walls that stop it alone, and how many deep.

``postures.<posture>.<attack>``: ``outcome``, ``walls``, ``depth`` (None where walls were not tried), ``reason``, ``evidence``.
Evidence: ``proof`` or ``said``; ``technique``, the one that worked, or ``tried``, what came of each; where walls were tried
``alone`` and ``without`` (outcome by wall) and ``single_points``, the walls without which the attack gets through; ``measured_at``,
or ``walls_measured_at``, where an earlier run on the same ground found it.
``payloads.<attack>``: ``title``, ``gives``, ``reference``, ``technique``; ``delivery``: ``service`` (through the service's own
hole) or ``breach`` (by somebody whose code runs there already); ``pack``: of which of our packs it is.
``walls_not_there``: what this engine cannot build, why.
``seccomp_profile``: a digest of the image's own, where one was found.
``notes``, ``awk``, ``containers``, ``breaches``; ``measured_with``: a digest of what decided the outcomes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from deadweight_attacks import walls as w
from deadweight_attacks.load import Catalogue
from deadweight_attacks.outcomes import NOT_TRIED, Cell, Matrix, Outcome

if TYPE_CHECKING:
    from deadweight.engine.info import EngineInfo

WALL_KEYS = ("alone", "without", "single_points")
TOGETHER = "only by several walls together, by no single wall: "


def data(found: Matrix, catalogue: Catalogue, image_user: str, info: EngineInfo) -> dict[str, Any]:
    """The document. Postures in the order in which they were tried."""
    return {
        "postures": {
            posture: {name: _cell(found, posture, name, cell, image_user, info) for name, cell in cells.items()}
            for posture, cells in found.cells.items()
        },
        "payloads": {
            each.id: {
                "title": each.title,
                "gives": each.gives,
                "reference": each.reference,
                "technique": each.attack,
                "delivery": each.delivery,
                "pack": catalogue.packs.get(each.id) or None,
            }
            for each in catalogue.payloads
        },
        "walls_not_there": w.absent(info),
        "notes": dict(found.notes),
        "awk": found.dialect,
        "containers": found.containers,
    }


def completed(data: dict[str, Any], earlier: Mapping[str, Any], at: str) -> dict[str, Any]:
    """Data of a short run, completed by what an earlier, longer one found where all that decides was the same."""
    for posture, cells in earlier.get("postures", {}).items():
        if data.get("seccomp_profile") != earlier.get("seccomp_profile") and w.TIGHT in w.posture(posture).walls:
            continue
        now = data["postures"].setdefault(posture, {})
        for name, cell in cells.items():
            if name in data["payloads"] and (name not in now or now[name]["reason"] == NOT_TRIED):
                now[name] = {**cell, "evidence": {"measured_at": at, **(cell.get("evidence") or {})}}
            elif name in now and now[name]["outcome"] == cell["outcome"]:
                now[name] |= _walls_of(now[name], cell, at)
    return data


def _walls_of(now: Mapping[str, Any], cell: Mapping[str, Any], at: str) -> dict[str, Any]:
    """What an earlier run found out about the walls of a cell, and this one did not ask."""
    ours, theirs = now["evidence"] or {}, cell.get("evidence") or {}
    found = {key: theirs[key] for key in WALL_KEYS if key in theirs and key not in ours}
    counted = now["depth"] is None and cell["depth"] is not None
    if not found and not counted:
        return {}
    told = {"evidence": {**ours, "walls_measured_at": theirs.get("walls_measured_at", at), **found}}
    if not counted:
        return told
    together = str(cell["reason"]).startswith(TOGETHER)
    reason = f"{TOGETHER}{now['reason']}" if together else now["reason"]
    return {**told, "walls": cell["walls"], "depth": cell["depth"], "reason": reason}


def _cell(found: Matrix, posture: str, name: str, cell: Cell, image_user: str, info: EngineInfo) -> dict[str, Any]:
    there = standing(found, posture, name, image_user, info) if cell.outcome == "blocked" else {}
    walls = [wall for wall, outcome in there.items() if outcome == "blocked"]
    reason, evidence = cell.reason, dict(cell.evidence)
    alone, without = found.alone.get(name), found.without.get(name)
    if alone and posture in w.MAIN:
        evidence["alone"] = dict(alone)
    if without and posture == w.HARDENED.name:
        evidence["without"] = dict(without)
        evidence["single_points"] = [wall for wall, outcome in without.items() if outcome in ("succeeded", "crashed")]
    # Only where each one let the attack through is it known that none stops it: under one alone the service may have died instead.
    untold = bool(alone) and not walls and not {"not_measured", "crashed"}.isdisjoint(there.values())
    if cell.outcome == "blocked" and alone and not walls and not untold:
        reason = f"{TOGETHER}{reason}"
    return {
        "outcome": cell.outcome,
        "walls": walls,
        "depth": max(1, len(walls)) if cell.outcome == "blocked" and alone and not untold else None,
        "reason": reason or None,
        "evidence": evidence or None,
    }


def standing(found: Matrix, posture: str, name: str, image_user: str, info: EngineInfo) -> dict[str, Outcome | None]:
    """A posture's walls, and what came of the attack where each stood alone (None where that was not tried)."""
    there = w.standing(posture, image_user, info) if posture in w.MAIN else sorted(w.posture(posture).walls)
    alone = found.alone.get(name, {})
    return {wall: alone.get(wall) for wall in there}
