"""Attack one variant in every posture (set of protections): control first, then postures, then wall by wall.

An attack that works in ``open`` passes the control. If it works there only with a shell bound in, the image itself is the wall, and
further walls are tried with the shell. If it works in neither, it is not measured, or not applicable if this AWK lacks the feature.
The same holds if it only ends the service, unless that is its aim (attacks on resources).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

from deadweight._errors import DeadweightError
from deadweight.engine.faults import CannotStart
from deadweight.engine.options import NON_ROOT, is_root
from deadweight.engine.seccomp import refused_calls
from deadweight_attacks import control, walls as w
from deadweight_attacks.containers import Yard
from deadweight_attacks.control import TIMED_OUT, Control, opened
from deadweight_attacks.deliver import Shot, check_requests
from deadweight_attacks.host import PURPOSE
from deadweight_attacks.lab import Lab, NoService
from deadweight_attacks.load import Catalogue
from deadweight_attacks.model import KERNELS, Payload
from deadweight_attacks.outcomes import Cell, Matrix, Plan, Progress
from deadweight_attacks.profile import broken, called, missing
from deadweight_attacks.sequence import fire_all
from deadweight_attacks.walls import wording

CONFIRMATIONS = 2
OF_OTHERS = ("neighbours", "memory-of-service")
"""Deeds that go for other processes: landlock(7) allows them towards those that were restricted with the one that asks."""
DISK_WALLS = ("non-root", "read-only", "noexec-tmpfs", "limits")


class Runner:
    """Runs a plan on one variant. ``say`` takes lines of progress."""

    def __init__(self, lab: Lab, catalogue: Catalogue, say: Callable[[str], None] = lambda _line: None) -> None:
        catalogue = with_fallback_file(lab, catalogue)
        self.lab, self.catalogue, self.progress = lab, catalogue, Progress(say)
        self.matrix = Matrix(notes=lab.notes)
        self.matrix.deliveries |= {payload.id: payload.delivery for payload in catalogue.payloads}
        self.control = Control(lab, catalogue, self.matrix, self.progress)

    def run(self, plan: Plan) -> Matrix:
        """Raises NoService where the service does not come up in ``open``, ConfigError, Interrupted."""
        check_requests(self.lab, self.catalogue)
        self.progress.expect(plan, w.absent(self.lab.engine.info))
        self.control.run(plan)
        for posture in plan.postures:
            if posture.name != w.OPEN.name:
                self._posture(posture)
        self._own_user()
        if plan.alone:
            self._measure_walls_alone(plan)
        if plan.without:
            self._measure_without_walls(plan)
        return self.matrix

    # the other postures

    def _posture(self, posture: w.Posture) -> None:
        cells = dict(self.matrix.cells[w.OPEN.name])
        for name, cell in cells.items():
            if name in self.matrix.control or cell.outcome == "not_applicable":
                continue
            cells[name] = Cell("not_measured", cell.reason)
        names = self.matrix.control.keys() | self.control.fatal
        fired = [payload for payload in self.catalogue.payloads if payload.id in names]
        why = self._unbuilt(posture)
        here = {payload.id: Cell("not_measured", why) for payload in fired} if why else self._measured(posture, fired)
        cells |= here
        # not so where no hole was found to go through
        untold = any(cell.outcome == "not_measured" for cell in cells.values())
        if untold and all(cell.outcome == "not_measured" for cell in here.values()):
            nothing = wording("cell.nothing_works")
            self.matrix.unmeasured[posture.name] = next((cell.reason for cell in here.values()), nothing)
        self.matrix.cells[posture.name] = cells

    @functools.cached_property
    def _named_refused(self) -> str:
        return refused_by_profile(self.lab)

    def _unbuilt(self, posture: w.Posture) -> str:
        """Why a posture is another one here, under a name that says more; empty where it is what it says."""
        if posture.name == f"{w.WITHOUT}image" and not self.lab.ground.shell:
            return self.matrix.notes.get("image", wording("cell.own_shell"))
        if w.TIGHT in posture.walls and self.lab.ground.profile is None:
            return missing(self.lab.variant.name)
        if w.LANDLOCK in posture.walls and not self.lab.ground.landlocked:
            return self.lab.notes[w.LANDLOCK]
        named = self.lab.ground.named is not None and "seccomp" in posture.walls and w.TIGHT not in posture.walls
        return (self._named_refused if named else "") or w.unbuilt(posture, self.lab.engine.info)

    def _measured(self, posture: w.Posture, payloads: Sequence[Payload], *, surely: bool = False) -> dict[str, Cell]:
        """Outcomes where the control works. A posture that cannot start is not measured, with the machine's own words.

        What failed without a sign that it arrived is sent once more to a fresh container; if ``surely``, what timed out is too.
        """
        self.progress(posture)
        shots: dict[str, Shot] = {}
        reason, why = "", dict[str, str]()
        try:
            if w.TIGHT in posture.walls:
                refused_calls.check(self.lab.engine, self.lab.options(posture), called(self.lab.subject))
            with opened(self.lab, posture, self.matrix) as yard:
                why = self._blocked_ways(yard, payloads)
                sent = [payload for payload in payloads if not why.get(payload.way) and not _excluded(posture, payload)]
                fire_all(self.lab, yard, sent, shots)
                again = [payload for payload in sent if self._doubtful(payload, shots[payload.id], surely)]
                if again:
                    yard.spoil()
                    fire_all(self.lab, yard, again, shots)
        except (CannotStart, NoService) as error:
            reason = self._explained(posture, error)
        return {
            payload.id: self._cell(payload, posture, shots[payload.id])
            if payload.id in shots
            else Cell("not_measured", reason or why.get(payload.way, "") or _excluded(posture, payload))
            for payload in payloads
        }

    def _blocked_ways(self, yard: Yard, payloads: Sequence[Payload]) -> dict[str, str]:
        """Why attacks of a kind cannot get there in this posture; empty where they do. Of requests the service's health tells."""
        ways = {payload.way for payload in payloads}
        scripts = control.undelivered(self.lab, yard) if "script" in ways else ""
        return {"script": scripts, "breach": control.unreached(self.lab, yard) if "breach" in ways else ""}

    def _doubtful(self, payload: Payload, shot: Shot, surely: bool) -> bool:
        slow = surely and shot.seen == "failed" and shot.status in TIMED_OUT and not payload.resource
        return slow or self.control.astray(payload, shot)

    def _refused(self, posture: w.Posture, error: DeadweightError) -> str:
        """The call that the profile of harden's refuses the service by now, before anything else that is said."""
        if isinstance(error, refused_calls.StoppedByProfile):
            return ""
        lab, variant, name = self.lab, self.lab.variant, called(self.lab.subject)
        why = refused_calls.explained(lab.engine, lab.image, lab.options(posture), variant.health, variant.port, name)
        return f"{why}; " if why else ""

    def _explained(self, posture: w.Posture, error: DeadweightError) -> str:
        """Why a posture cannot be measured; with what the suite says otherwise of it."""
        if w.TIGHT in posture.walls:
            return f"{self._refused(posture, error)}{error.message}. {broken(self.lab.subject)}"
        walls, run = posture.walls if isinstance(error, NoService) else (), self.lab.variant.run
        if "read-only" in walls and not run.read_only:
            return wording("service.writable", reason=error.message)
        if "non-root" in walls and is_root(run.user or NON_ROOT):
            return wording("service.as_root", reason=error.message)
        return wording("cell.only_open_starts", reason=error.message) if posture.privileged else error.message

    def _cell(self, payload: Payload, posture: w.Posture, shot: Shot) -> Cell:
        """``blocked`` needs that the attack works elsewhere, and here a wall that could have stopped it."""
        if shot.seen != "failed":
            return Cell(shot.seen, shot.text if shot.seen != "succeeded" else "", shot.detail)
        if payload.id in self.control.fatal:
            return Cell("not_measured", wording("cell.fatal", said=shot.text), shot.detail)
        if self.control.astray(payload, shot):
            return Cell("not_measured", wording("cell.astray", said=shot.text), shot.detail)
        shell = "image" in posture.walls and self.matrix.control[payload.id] is not w.OPEN
        if payload.evidence.kind == "resource" and "limits" not in posture.walls and not shell:
            return Cell("not_measured", wording("cell.no_limit", said=shot.text), shot.detail)
        if untried := shot.detail.get("untried"):
            return Cell("not_measured", wording("cell.emulated", techniques=", ".join(untried)), shot.detail)
        return Cell("blocked", shot.text, shot.detail)

    # wall by wall

    def _own_user(self) -> None:
        """Find what a plain run stops and the image's user stops without any other wall: it counts as stopped by the image."""
        cells = self.matrix.cells.get(w.DEFAULT.name, {}).items()
        stopped = {name for name, cell in cells if cell.outcome == "blocked" and self.matrix.control[name] is w.OPEN}
        sent = (payload for payload in self.catalogue.payloads if not (payload.handed_in or payload.resource))
        some = [payload for payload in sent if payload.id in stopped]
        if some and not is_root(self.lab.image_user):
            alone = self._measured(w.Posture(w.OWN_USER, frozenset({"image", "own-user"})), some, surely=True)
            self.matrix.by_user = {name for name, cell in alone.items() if cell.outcome == "blocked"}

    def _measure_walls_alone(self, plan: Plan) -> None:
        """Each wall on top of ``open``, for the attacks that work there; with the shell for those that need it."""
        for payload in self.matrix.control:
            self.matrix.alone[payload] = {"image": "succeeded" if self.matrix.control[payload] is w.OPEN else "blocked"}
        missing = w.absent(self.lab.engine.info)
        self.matrix.notes |= missing
        for wall in w.WALLS:
            if wall == "image" or wall in missing:
                continue
            self._for_both(w.only(wall), self._candidates(plan, wall), wall)
        if w.DEFAULT in plan.postures:
            names = [name for name, walls in self.matrix.alone.items() if walls.get("capabilities") == "blocked"]
            reduced = w.Posture(w.REDUCED, frozenset({"image", "reduced"}))
            self._for_both(reduced, [payload for payload in self.catalogue.payloads if payload.id in names], w.REDUCED)

    def _candidates(self, plan: Plan, wall: str) -> list[Payload]:
        """Attacks on resources take long: with walls that do not limit anything they are tried only when all is asked for. So
        is, with walls that stand between containers, what does not go for another one."""

        def tried(payload: Payload) -> bool:
            if plan.resource_walls:
                return True
            if wall in w.NAMESPACES:
                return payload.neighbour
            if not payload.resource:
                return True
            return wall in (DISK_WALLS if payload.evidence.takes else ("limits",))

        return [payload for payload in self.catalogue.payloads if payload.id in self.matrix.control and tried(payload)]

    def _for_both(self, posture: w.Posture, payloads: Sequence[Payload], wall: str) -> None:
        """With the shell where the control needed it. What we know not to look for one is tried in the same container, and not in
        another one without."""
        shelled = [payload for payload in payloads if self.matrix.control[payload.id] is not w.OPEN]
        others = [payload for payload in payloads if payload not in shelled]
        beside = [payload for payload in others if shelled and self.catalogue.packs.get(payload.id)]
        alone = [payload for payload in others if payload not in beside]
        for chosen, some in ((posture.with_shell(), [*beside, *shelled]), (posture, alone)):
            cells = self._confirmed(chosen, some, surely=True) if some else {}
            for name, cell in cells.items():
                self.matrix.alone[name][wall] = cell.outcome

    def _measure_without_walls(self, plan: Plan) -> None:
        """``hardened`` minus each wall, for the attacks that ``hardened`` blocks."""
        held = self.matrix.cells.get(w.HARDENED.name)
        if held is None:
            return
        blocked = {name for name, cell in held.items() if cell.outcome == "blocked"}
        for wall in w.WALLS:
            if wall in w.absent(self.lab.engine.info) or (wall == "image" and not self.lab.ground.shell):
                continue
            some = [payload for payload in self._candidates(plan, wall) if payload.id in blocked]
            for name, cell in self._confirmed(w.HARDENED.minus(wall), some).items():
                self.matrix.without.setdefault(name, {})[wall] = cell.outcome

    def _confirmed(self, posture: w.Posture, payloads: Sequence[Payload], *, surely: bool = False) -> dict[str, Cell]:
        """A bomb within the limits ends the service now and then, whatever other wall is there: that it crashed counts as the lack
        of this one, or as this one's doing, only where it does so every time."""
        cells = self._measured(posture, payloads, surely=surely)
        for _ in range(CONFIRMATIONS):
            again = [payload for payload in payloads if payload.resource and cells[payload.id].outcome == "crashed"]
            cells |= self._measured(posture, again, surely=surely) if again else {}
        return cells


def _excluded(posture: w.Posture, payload: Payload) -> str:
    """Why an attack that is sent from beside the service would tell nothing of one from within; empty where it does."""
    of_the_service = payload.breach is not None and payload.breach[0] in OF_OTHERS and not payload.neighbour
    if w.LANDLOCK in posture.walls and of_the_service:
        return wording("cell.landlock_apart")
    return ""


# The seccomp profile that the suite names (``run.seccomp``), before anything is attacked under it.
def refused_by_profile(lab: Lab) -> str:
    """Why the service does not come up under it, with the call; empty where it does, or where none is named. Tried with nothing
    added: what the attacker's program needs may be just what is missing. Raises Interrupted."""
    variant, engine, named = lab.variant, lab.engine, lab.named
    if not refused_calls.is_file(named.seccomp):
        return ""
    try:
        refused_calls.check(engine, named)
        with engine.start(lab.image, named, purpose=PURPOSE, variant=variant.name) as container:
            ready = container.wait_healthy(variant.health, variant.port)
        problem = "" if ready.healthy else ready.reason
    except refused_calls.StoppedByProfile as stopped:
        return stopped.message
    except CannotStart as error:
        problem = error.message
    if not problem:
        return ""
    why = refused_calls.explained(engine, lab.image, named, variant.health, variant.port)
    return why or f"the service does not come up under the seccomp profile {named.seccomp}: {problem}"


# What is read through a hole where an image has no ``/etc/passwd``: a file that the kernel puts into every container.
USUAL = "/etc/passwd"
NOTE = f"the image has no {USUAL} with a line to know it by: requests that look for a way to it looked for {KERNELS}"


def with_fallback_file(lab: Lab, catalogue: Catalogue) -> Catalogue:
    """The same attacks; those that look for a hole to the one file go for the other where the image lacks it, which is noted."""
    looking = [payload.id for payload in catalogue.payloads if payload.search and payload.evidence.path == USUAL]
    if not looking or lab.files.telling_line(USUAL) is not None:
        return catalogue
    lab.notes["canary"] = NOTE
    payloads = tuple(_other(payload) if payload.id in looking else payload for payload in catalogue.payloads)
    return dataclasses.replace(catalogue, payloads=payloads)


def _other(payload: Payload) -> Payload:
    """The file's name stands in its values, as it is or percent-encoded."""
    values = tuple(value.replace(USUAL, KERNELS).replace("etc%2fpasswd", "proc%2fversion") for value in payload.each)
    evidence = payload.evidence.model_copy(update={"path": KERNELS})
    return payload.model_copy(update={"each": values, "evidence": evidence})
