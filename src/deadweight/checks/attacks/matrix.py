"""The attacks on one variant in every posture asked for: positive control first, then postures, then wall by wall.

What works in ``open`` is the control. Where it does not work there, but does with a shell bound in, the image is the wall, and the
further walls are tried with the shell. What works in neither is not measured (or not applicable, where this AWK lacks it).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from deadweight._errors import DeadweightError, Interrupted
from deadweight.checks.attacks import walls as w
from deadweight.checks.attacks.deliver import Shot, fire
from deadweight.checks.attacks.lab import Lab, NoService
from deadweight.checks.attacks.load import Catalogue
from deadweight.checks.attacks.model import Payload, Proof
from deadweight.checks.attacks.resource import alone, fire_resource
from deadweight.checks.attacks.yard import Yard
from deadweight.engine.faults import CannotStart

Outcome = Literal["blocked", "succeeded", "not_applicable", "crashed", "not_measured"]

NOT_TRIED = "not tried by verify; invoke attack tries it"
DISK_WALLS = ("non-root", "read-only", "noexec-tmpfs", "limits")


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

    ``control`` names the posture in which each attack works: ``open``, or ``open, with a shell``.
    """

    cells: dict[str, dict[str, Cell]] = field(default_factory=dict)
    control: dict[str, w.Posture] = field(default_factory=dict)
    alone: dict[str, dict[str, Outcome]] = field(default_factory=dict)
    without: dict[str, dict[str, Outcome]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    dialect: str = ""
    containers: int = 0


class Runner:
    """Runs a plan on one variant. ``told`` takes lines of progress."""

    def __init__(self, lab: Lab, catalogue: Catalogue, told: Callable[[str], None] = lambda _line: None) -> None:
        self.lab, self.catalogue, self.told = lab, catalogue, told
        self.found = Matrix(notes=lab.notes)

    def run(self, plan: Plan) -> Matrix:
        """Raises NoService where the service does not come up in ``open``, Interrupted."""
        self._control(plan)
        for posture in plan.postures:
            if posture.name != w.OPEN.name:
                self._posture(posture)
        if plan.alone:
            self._alone(plan)
        if plan.without:
            self._without(plan)
        return self.found

    # the positive control

    def _control(self, plan: Plan) -> None:
        with Yard(self.lab, w.OPEN) as yard:
            self.told("open")
            features = self._features(yard)
            able = [each for each in self.catalogue.payloads if set(each.needs) <= features]
            shots = self._shots(yard, [each for each in able if each.id not in plan.skipped])
        cells = {payload.id: self._in_open(payload, shots.get(payload.id)) for payload in self.catalogue.payloads}
        cells |= {each.id: Cell("not_measured", NOT_TRIED) for each in able if each.id in plan.skipped}
        self.found.cells[w.OPEN.name] = cells
        again = [each for each in self.catalogue.payloads if each.id in shots and each.id not in self.found.control]
        if again and self.lab.ground.shell:
            self._with_shell(again)

    def _features(self, yard: Yard) -> set[str]:
        """What this AWK has, asked of itself."""
        self.found.dialect = _dialect(yard)
        have = set()
        for name, script in self.catalogue.features.items():
            probe = Payload(id=name, title="a probe", attack="T1059", script=script, evidence=Proof(kind="output"))
            if fire(self.lab, yard, probe).seen == "succeeded":
                have.add(name)
        return have

    def _in_open(self, payload: Payload, shot: Shot | None) -> Cell:
        if shot is None:
            awk = f"this awk ({self.found.dialect})" if self.found.dialect else "this awk"
            return Cell("not_applicable", f"{awk} does not have: {', '.join(payload.needs)}")
        if shot.seen in ("succeeded", "crashed"):
            self.found.control[payload.id] = w.OPEN
            return Cell(shot.seen, "", shot.detail)
        told = shot.said if shot.seen == "not_measured" else f"does not work with all walls down either: {shot.said}"
        return Cell("not_measured", told, shot.detail)

    def _with_shell(self, again: Sequence[Payload]) -> None:
        posture = w.OPEN.with_shell()
        with Yard(self.lab, posture) as yard:
            self.told(posture.name)
            for name, shot in self._shots(yard, again).items():
                if shot.seen in ("succeeded", "crashed"):
                    self.found.control[name] = posture
                    before = self.found.cells[w.OPEN.name][name]
                    reason = f"the image has no shell (with one bound in, it works): {before.evidence.get('said', '')}"
                    self.found.cells[w.OPEN.name][name] = Cell(
                        "blocked", reason, {**before.evidence, "control": shot.detail}
                    )

    # the other postures

    def _posture(self, posture: w.Posture) -> None:
        cells = dict(self.found.cells[w.OPEN.name])
        for name, cell in cells.items():
            if name in self.found.control or cell.outcome == "not_applicable":
                continue
            cells[name] = Cell("not_measured", cell.reason)
        cells |= self._measured(posture, [each for each in self.catalogue.payloads if each.id in self.found.control])
        self.found.cells[posture.name] = cells

    def _measured(self, posture: w.Posture, payloads: Sequence[Payload]) -> dict[str, Cell]:
        """Outcomes where the control works. A posture that cannot start is not measured, with the machine's own words."""
        self.told(posture.name)
        try:
            with Yard(self.lab, posture) as yard:
                shots = self._shots(yard, payloads)
        except (CannotStart, NoService) as error:
            return {each.id: Cell("not_measured", error.message) for each in payloads}
        return {name: _cell(shot) for name, shot in shots.items()}

    # wall by wall

    def _alone(self, plan: Plan) -> None:
        """Each wall on top of ``open``, for the attacks that work there; with the shell for those that need it."""
        for payload in self.found.control:
            self.found.alone[payload] = {"image": "succeeded" if self.found.control[payload] is w.OPEN else "blocked"}
        missing = w.absent(self.lab.engine.info)
        self.found.notes |= missing
        for wall in w.WALLS:
            if wall == "image" or wall in missing:
                continue
            self._for_both(w.only(wall), self._candidates(plan, wall), wall)
        if w.DEFAULT in plan.postures:
            capable = [name for name, outcomes in self.found.alone.items() if outcomes.get("capabilities") == "blocked"]
            reduced = w.Posture(w.REDUCED, frozenset({"image", "reduced"}))
            self._for_both(reduced, [each for each in self.catalogue.payloads if each.id in capable], w.REDUCED)

    def _candidates(self, plan: Plan, wall: str) -> list[Payload]:
        """Attacks on resources take long: with walls that do not limit anything they are tried only when all is asked for."""

        def tried(payload: Payload) -> bool:
            if plan.resource_walls or not payload.resource:
                return True
            return wall in (DISK_WALLS if payload.evidence.takes else ("limits",))

        return [each for each in self.catalogue.payloads if each.id in self.found.control and tried(each)]

    def _for_both(self, posture: w.Posture, payloads: Sequence[Payload], wall: str) -> None:
        for shelled in (False, True):
            some = [each for each in payloads if (self.found.control[each.id] is not w.OPEN) == shelled]
            if some:
                for name, cell in self._measured(posture.with_shell() if shelled else posture, some).items():
                    self.found.alone[name][wall] = cell.outcome

    def _without(self, plan: Plan) -> None:
        """``hardened`` minus each wall, for the attacks that ``hardened`` blocks."""
        held = self.found.cells.get(w.HARDENED.name)
        if held is None:
            return
        blocked = {name for name, cell in held.items() if cell.outcome == "blocked"}
        for wall in w.WALLS:
            if wall in w.absent(self.lab.engine.info) or (wall == "image" and not self.lab.ground.shell):
                continue
            some = [each for each in self._candidates(plan, wall) if each.id in blocked]
            for name, cell in self._measured(w.HARDENED.minus(wall), some).items():
                self.found.without.setdefault(name, {})[wall] = cell.outcome

    # shots

    def _shots(self, yard: Yard, payloads: Iterable[Payload]) -> dict[str, Shot]:
        """Those without a trace first: they share a container. A service that dies is an outcome, and the matrix goes on."""
        ordered = sorted(payloads, key=lambda each: (each.resource, each.trace == "state", each.trace == "files"))
        shots = {payload.id: self._shot(yard, payload) for payload in ordered}
        self.found.containers += yard.started
        return shots

    def _shot(self, yard: Yard, payload: Payload) -> Shot:
        if payload.evidence.takes == "disk" and not self.lab.room_on_disk():
            return Shot("not_measured", "this machine has too little free disk space to try it")
        try:
            if payload.evidence.kind == "resource":
                return fire_resource(self.lab, yard, payload)
            if payload.resource:
                with alone:
                    shot = fire(self.lab, yard, payload)
            else:
                shot = fire(self.lab, yard, payload)
        except (Interrupted, CannotStart, NoService):
            raise
        except DeadweightError as error:
            yard.spoil()
            return Shot("not_measured", error.message)
        if shot.seen == "crashed" or (payload.trace == "state" and (shot.seen == "succeeded" or not shot.answered)):
            yard.spoil()
        return shot


def _cell(shot: Shot) -> Cell:
    outcome: Outcome = "blocked" if shot.seen == "failed" else shot.seen
    return Cell(outcome, shot.said if outcome != "succeeded" else "", shot.detail)


def _dialect(yard: Yard) -> str:
    """What the service says of its awk, where it does; only told, never relied on."""
    try:
        document = json.loads(yard.route.request("GET", "/version", timeout=5).text())
        return str(document["awk"]["dialect"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
