"""Records of an attack run: the plan, each outcome, and its JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from deadweight_attacks import walls as w
from deadweight_attacks.load import Catalogue
from deadweight_attacks.walls import wording

if TYPE_CHECKING:
    from deadweight.engine.api import EngineInfo

# The matrix as the evidence's data: per posture and attack the outcome, the walls that stop it alone, and how many deep.
WALL_KEYS = ("alone", "without", "single_points")


def data(matrix: Matrix, catalogue: Catalogue, image_user: str, info: EngineInfo) -> dict[str, Any]:
    """The document. Postures in the order in which they were tried."""
    handed_in = {payload.id for payload in catalogue.payloads if payload.handed_in}
    return {
        "postures": {
            posture: {
                name: {
                    **_cell(matrix, posture, name, cell, image_user, info),
                    "handed_in": name in handed_in,
                    "by_user": posture == w.DEFAULT.name and name in matrix.by_user,
                }
                for name, cell in cells.items()
            }
            for posture, cells in matrix.cells.items()
        },
        "payloads": {
            payload.id: {
                "title": payload.title,
                "gives": payload.gives,
                "reference": payload.reference,
                "technique": payload.attack,
                "delivery": payload.delivery,
                "pack": catalogue.packs.get(payload.id) or None,
            }
            for payload in catalogue.payloads
        },
        "walls_not_there": w.absent(info),
        "notes": dict(matrix.notes),
        "awk": matrix.dialect,
        "containers": matrix.containers,
    }


def completed(data: dict[str, Any], earlier: Mapping[str, Any], at: str) -> dict[str, Any]:
    """Data of a short run, completed by what an earlier, longer one found where all that decides was the same."""
    for posture, cells in earlier.get("postures", {}).items():
        if data.get("seccomp_profile") != earlier.get("seccomp_profile") and w.TIGHT in w.posture(posture).walls:
            continue
        now = data["postures"].setdefault(posture, {})
        for name, cell in cells.items():
            if name in data["payloads"] and (name not in now or now[name].get("code") == NOT_TRIED):
                now[name] = {**cell, "evidence": {"measured_at": at, **(cell.get("evidence") or {})}}
            elif name in now and now[name]["outcome"] == cell["outcome"]:
                now[name] |= _walls_of(now[name], cell, at)
    return data


def _walls_of(now: Mapping[str, Any], cell: Mapping[str, Any], at: str) -> dict[str, Any]:
    """What an earlier run found out about the walls of a cell, and this one did not ask."""
    ours, theirs = now["evidence"] or {}, cell.get("evidence") or {}
    known = {key: theirs[key] for key in WALL_KEYS if key in theirs and key not in ours}
    counted = now["depth"] is None and cell["depth"] is not None
    if not known and not counted:
        return {}
    changes = {"evidence": {**ours, "walls_measured_at": theirs.get("walls_measured_at", at), **known}}
    if not counted:
        return changes
    changes |= {"walls": cell["walls"], "depth": cell["depth"]}
    return changes if cell["walls"] else changes | _why(wording("cell.together", reason=now["reason"]))


def _why(reason: str) -> dict[str, str | None]:
    return {"reason": reason or None, "code": getattr(reason, "code", None)}


def _cell(matrix: Matrix, posture: str, name: str, cell: Cell, image_user: str, info: EngineInfo) -> dict[str, Any]:
    there = standing(matrix, posture, name, image_user, info) if cell.outcome == "blocked" else {}
    walls = [wall for wall, outcome in there.items() if outcome == "blocked"]
    reason, evidence = cell.reason, dict(cell.evidence)
    alone, without = matrix.alone.get(name), matrix.without.get(name)
    if alone and posture in w.MAIN:
        evidence["alone"] = dict(alone)
    if without and posture == w.HARDENED.name:
        evidence["without"] = dict(without)
        evidence["single_points"] = [wall for wall, outcome in without.items() if outcome in ("succeeded", "crashed")]
    # Only where each one let the attack through is it known that none stops it: under one alone the service may have died instead.
    untold = bool(alone) and not walls and not {"not_measured", "crashed"}.isdisjoint(there.values())
    if cell.outcome == "blocked" and alone and not walls and not untold:
        reason = wording("cell.together", reason=reason)
    return {
        "outcome": cell.outcome,
        "walls": walls,
        "depth": max(1, len(walls)) if cell.outcome == "blocked" and alone and not untold else None,
        **_why(reason),
        "evidence": evidence or None,
    }


def standing(matrix: Matrix, posture: str, name: str, image_user: str, info: EngineInfo) -> dict[str, Outcome | None]:
    """A posture's walls, and what came of the attack where each stood alone (None where that was not tried)."""
    there = w.standing(posture, image_user, info) if posture in w.MAIN else sorted(w.posture(posture).walls)
    alone = matrix.alone.get(name, {})
    return {wall: alone.get(wall) for wall in there}


# Telling how far the attacks on one variant are: ``24/26: seccomp alone``.
class Progress:
    """Counts postures as they begin; one that is tried again, or with a shell bound in, is not another one."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._begun = say, dict[str, int]()
        self._all: frozenset[str] = frozenset()

    def expect(self, plan: Plan, missing: Iterable[str]) -> None:
        """``missing`` are walls that this machine does not have."""
        self._all = frozenset(_planned(plan, frozenset(missing)))

    def __call__(self, posture: w.Posture) -> None:
        number = self._begun.setdefault(posture.name, len(self._begun) + 1)
        self._say(f"{number}/{len(self._all | self._begun.keys())}: {posture_title(posture)}")


def _planned(plan: Plan, missing: frozenset[str]) -> Iterator[str]:
    yield w.OPEN.name
    yield from (posture.name for posture in plan.postures)
    for wall in w.WALLS:
        if plan.alone and wall != "image" and wall not in missing:
            yield w.only(wall).name
        if plan.without and wall not in missing:
            yield w.HARDENED.minus(wall).name
    if plan.alone and w.DEFAULT in plan.postures:
        yield w.REDUCED


def posture_title(posture: w.Posture) -> str:
    """A posture's name as one says it."""
    if posture.name == w.OPEN.name:
        return f"{posture.title} (control)"
    name = posture.name
    if name.startswith(w.ONLY):
        name = f"{name.removeprefix(w.ONLY)} alone"
    if name.startswith(w.WITHOUT):
        name = f"all walls but {name.removeprefix(w.WITHOUT)}"
    return posture._replace(name=name).title


Outcome = Literal["blocked", "succeeded", "not_applicable", "crashed", "not_measured"]
NOT_TRIED = "cell.not_tried"


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

    @property
    def code(self) -> str:
        """That of the reason, where it is in the catalogue."""
        return getattr(self.reason, "code", "")


@dataclass
class Matrix:
    """All that was found. ``cells`` by posture and payload, ``alone`` and ``without`` by payload and wall.

    ``control`` names the posture in which each attack works: ``open``, or that with a shell. ``unmeasured``: postures in which
    nothing could be measured, with the reason.
    """

    cells: dict[str, dict[str, Cell]] = field(default_factory=dict)
    control: dict[str, w.Posture] = field(default_factory=dict)
    alone: dict[str, dict[str, Outcome]] = field(default_factory=dict)
    without: dict[str, dict[str, Outcome]] = field(default_factory=dict)
    by_user: set[str] = field(default_factory=set)
    """The attacks that a plain run stops and that the image's own user stops without any other wall."""
    unmeasured: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    dialect: str = ""
    deliveries: dict[str, str] = field(default_factory=dict)
    """How each attack is delivered, by payload; nothing where all come through the service."""
    containers: int = 0

    @property
    def nothing(self) -> dict[str, str]:
        """The postures in which not one attack was measured, each with the most frequent reason."""
        reasons = {posture: nothing_of(cells.values()) for posture, cells in self.cells.items()}
        known = {**self.unmeasured, **{posture: reason for posture, reason in reasons.items() if reason}}
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
        named = ((", ".join(postures), reason) for reason, postures in by_reason.items())
        return [wording("gate.nothing_in", places=places, reason=reason) for places, reason in named]


def nothing_of(cells: Iterable[Cell]) -> str:
    """The most frequent reason why nothing of these was measured; empty where something was, or nothing was to be."""
    tried = [cell for cell in cells if cell.code != NOT_TRIED]
    reasons = Counter(cell.reason for cell in tried if cell.outcome == "not_measured")
    if not reasons or any(cell.outcome not in ("not_measured", "not_applicable") for cell in tried):
        return ""
    return reasons.most_common(1)[0][0]
