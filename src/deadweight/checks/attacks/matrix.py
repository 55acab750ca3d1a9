"""The attacks on one variant in every posture asked for: positive control first, then postures, then wall by wall.

What works in ``open`` is the control. Where it does not work there, but does with a shell bound in, the image is the wall, and the
further walls are tried with the shell. What works in neither is not measured (or not applicable, where this AWK lacks it); so is
what only ends the service there, unless ending it is what it is for (attacks on resources).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from deadweight._errors import DeadweightError
from deadweight.checks.attacks import walls as w
from deadweight.checks.attacks.deliver import Shot, fire
from deadweight.checks.attacks.lab import Lab, NoService
from deadweight.checks.attacks.load import Catalogue
from deadweight.checks.attacks.model import Payload, Proof
from deadweight.checks.attacks.shots import fire_all
from deadweight.checks.attacks.yard import Yard
from deadweight.engine.faults import CannotStart

Outcome = Literal["blocked", "succeeded", "not_applicable", "crashed", "not_measured"]

WRITABLE = (
    "The variant says run.read_only: false; this posture has a read-only root all the same, for that is one of its walls: name in "
    "run.tmpfs the folders that it writes, or gate the posture without-read-only"
)
NOT_TRIED = "not tried by verify; invoke attack tries it"
CONFIRMATIONS = 2
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


class Runner:
    """Runs a plan on one variant. ``told`` takes lines of progress."""

    def __init__(self, lab: Lab, catalogue: Catalogue, told: Callable[[str], None] = lambda _line: None) -> None:
        self.lab, self.catalogue, self.told = lab, catalogue, told
        self.found = Matrix(notes=lab.notes)
        self._fatal: set[str] = set()

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
            shots: dict[str, Shot] = {}
            self._fire(yard, [each for each in able if each.id not in plan.skipped], shots)
        cells = {payload.id: self._in_open(payload, shots.get(payload.id)) for payload in self.catalogue.payloads}
        cells |= {each.id: Cell("not_measured", NOT_TRIED) for each in able if each.id in plan.skipped}
        self.found.cells[w.OPEN.name] = cells
        seen = self.found.control.keys() | self._fatal
        again = [each for each in self.catalogue.payloads if each.id in shots and each.id not in seen]
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
        if _works(payload, shot):
            self.found.control[payload.id] = w.OPEN
        elif shot.seen == "crashed":
            self._fatal.add(payload.id)
        if shot.seen == "succeeded" or shot.seen == "crashed":
            return Cell(shot.seen, "" if shot.seen == "succeeded" else shot.said, shot.detail)
        return _unproven(shot, "all walls down")

    def _with_shell(self, again: Sequence[Payload]) -> None:
        posture = w.OPEN.with_shell()
        with Yard(self.lab, posture) as yard:
            self.told(posture.name)
            shots: dict[str, Shot] = {}
            self._fire(yard, again, shots)
        cells = self.found.cells[w.OPEN.name]
        for payload in again:
            name, shot = payload.id, shots[payload.id]
            if _works(payload, shot):
                self.found.control[name] = posture
                evidence = {**cells[name].evidence, "control": shot.detail}
                reason = f"the image has no shell (with one bound in, it works): {evidence.get('said', '')}"
                cells[name] = Cell("blocked", reason, evidence)
            elif cells[name].outcome == "not_measured":
                cells[name] = _unproven(shot, "all walls down and a shell at hand")

    # the other postures

    def _posture(self, posture: w.Posture) -> None:
        cells = dict(self.found.cells[w.OPEN.name])
        for name, cell in cells.items():
            if name in self.found.control or cell.outcome == "not_applicable":
                continue
            cells[name] = Cell("not_measured", cell.reason)
        fired = self.found.control.keys() | self._fatal
        here = self._measured(posture, [each for each in self.catalogue.payloads if each.id in fired])
        cells |= here
        if all(cell.outcome == "not_measured" for cell in here.values()):
            reasons = [cell.reason for cell in here.values()]
            self.found.unmeasured[posture.name] = (reasons or ["no attack works with all walls down"])[0]
        self.found.cells[posture.name] = cells

    def _measured(self, posture: w.Posture, payloads: Sequence[Payload]) -> dict[str, Cell]:
        """Outcomes where the control works. A posture that cannot start is not measured, with the machine's own words."""
        self.told(posture.name)
        shots: dict[str, Shot] = {}
        reason = ""
        try:
            with Yard(self.lab, posture) as yard:
                self._fire(yard, payloads, shots)
        except (CannotStart, NoService) as error:
            reason = self._explained(posture, error)
        return {
            each.id: self._cell(each, posture, shots[each.id]) if each.id in shots else Cell("not_measured", reason)
            for each in payloads
        }

    def _explained(self, posture: w.Posture, error: DeadweightError) -> str:
        """Why a posture cannot be measured; with what the suite says otherwise of it."""
        if isinstance(error, NoService) and "read-only" in posture.walls and not self.lab.variant.run.read_only:
            return f"{error.message}. {WRITABLE}"
        return f"{error.message}; the nearest that starts is open" if posture.privileged else error.message

    def _cell(self, payload: Payload, posture: w.Posture, shot: Shot) -> Cell:
        """``blocked`` needs that the attack works elsewhere, and here a wall that could have stopped it."""
        if shot.seen != "failed":
            return Cell(shot.seen, shot.said if shot.seen != "succeeded" else "", shot.detail)
        if payload.id in self._fatal:
            return Cell(
                "not_measured", f"it ended the service in open, so nobody saw it work: {shot.said}", shot.detail
            )
        shell = "image" in posture.walls and self.found.control[payload.id] is not w.OPEN
        if payload.evidence.kind == "resource" and "limits" not in posture.walls and not shell:
            return Cell(
                "not_measured", f"nothing limits it here, and the machine gave no more: {shot.said}", shot.detail
            )
        return Cell("blocked", shot.said, shot.detail)

    def _fire(self, yard: Yard, payloads: Sequence[Payload], shots: dict[str, Shot]) -> None:
        try:
            fire_all(self.lab, yard, payloads, shots)
        finally:
            self.found.containers += yard.started

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
            for name, cell in self._confirmed(w.HARDENED.minus(wall), some).items():
                self.found.without.setdefault(name, {})[wall] = cell.outcome

    def _confirmed(self, posture: w.Posture, payloads: Sequence[Payload]) -> dict[str, Cell]:
        """A bomb within the limits ends the service now and then, whatever other wall is there: that it crashed counts as the lack
        of this one only where it does so every time."""
        cells = self._measured(posture, payloads)
        for _ in range(CONFIRMATIONS):
            again = [each for each in payloads if each.resource and cells[each.id].outcome == "crashed"]
            cells |= self._measured(posture, again) if again else {}
        return cells


def _unproven(shot: Shot, ground: str) -> Cell:
    told = shot.said if shot.seen == "not_measured" else f"does not work with {ground} either: {shot.said}"
    return Cell("not_measured", told, shot.detail)


def _works(payload: Payload, shot: Shot) -> bool:
    """Whether this is a positive control. To end the service is that for attacks on resources only."""
    return shot.seen == "succeeded" or (shot.seen == "crashed" and payload.evidence.kind == "resource")


def _dialect(yard: Yard) -> str:
    """What the service says of its awk, where it does; only told, never relied on."""
    try:
        document = json.loads(yard.route.request("GET", "/version", timeout=5).text())
        return str(document["awk"]["dialect"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
