"""Run checks and attacks on a pool of engines; if one is lost, measure again on another.

Each variant has a home engine by rendezvous hashing, which already has its image at the next check. If the home is full, the
variant goes to the next engine in its own order, so none is idle. If a lost engine leaves something unmeasured, another engine
measures it. A failure on a working engine is a finding.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial

from deadweight import _run
from deadweight._errors import DeadweightError, MissingError
from deadweight._packages import attacks
from deadweight.checks.protocol import Subject
from deadweight.checks.runner import HEED_SECONDS, result_of, run_check, run_checks, side_by_side
from deadweight.engine.api import Endpoint
from deadweight.engine.broken_engine import lost_engine
from deadweight.engine.client import Engine
from deadweight.project.workspace import OnEngine, Workspace
from deadweight.records.evidence import Evidence
from deadweight.suite.model import Variant
from deadweight_pool.dispatch import Journal
from deadweight_pool.endpoint import ranked, wording
from deadweight_pool.settings import CheckEngine

Emit = Callable[[Evidence], None]
Measure = Callable[[Subject, Emit], list[Evidence]]
"""What is done with a variant on an engine; each evidence is told when it is there."""


class _Place:
    """One engine, connected when first asked for. ``free`` is how many more variants it takes now, ``lost`` why it takes none."""

    def __init__(self, project: Workspace, asked: CheckEngine) -> None:
        self.asked, self.free, self.lost = asked, asked.places, ""
        self.here = OnEngine(project, self._connected, asked.name)
        self._project, self._guard = project, threading.Lock()
        self._engine: Engine | None = None

    def _connected(self) -> Engine:
        with self._guard:
            if self.lost:
                raise MissingError(self.lost)
            if self._engine is None:
                suite, asked = self._project.suite, self.asked
                endpoint = Endpoint(asked.host, False, certificates=asked.certificates)
                self._engine = Engine.connect(endpoint, project=suite.name, root=str(suite.root))
            return self._engine

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()


class EnginePool:
    """Runs the checks of several variants on the engines of a pool. Call ``close`` at the end."""

    def __init__(self, project: Workspace, engines: Sequence[CheckEngine]) -> None:
        self._project = project
        self._places = {engine.name: _Place(project, engine) for engine in engines}
        self._journal = Journal(project.state.log("pool"), project.say)
        self._changed = threading.Condition()

    def close(self) -> None:
        """Remove what was started on the engines, and let go of them."""
        for place in self._places.values():
            place.close()

    def verify(self, variants: Sequence[Variant], only: Sequence[str], jobs: int | None, emit: Emit) -> list[Evidence]:
        """The checks of these variants, evidence in the order given; ``jobs`` side by side (default: all places)."""
        return self._all(variants, lambda subject, tell: run_checks(subject, only, tell), jobs, emit)

    def attack(
        self, variants: Sequence[Variant], postures: Sequence[str], say: Callable[[str], None]
    ) -> list[Evidence]:
        """The attacks on these variants, evidence in the order given; ``say`` takes lines of progress.

        Raises UsageError for a posture that does not exist.
        """
        check = attacks.Attacks(postures, say)

        def measure(subject: Subject, tell: Emit) -> list[Evidence]:
            evidence = run_check(check, subject)
            tell(evidence)
            return [evidence]

        return self._all(variants, measure, None, lambda _found: None)

    def _all(self, variants: Sequence[Variant], measure: Measure, jobs: int | None, emit: Emit) -> list[Evidence]:
        most = sum(place.asked.places for place in self._places.values())
        work = partial(self._checked, measure=measure, emit=emit)
        with side_by_side(work, variants, jobs=min(jobs or most, most)) as running:
            return [evidence for _, done in running for evidence in result_of(done)]

    def _checked(self, variant: Variant, measure: Measure, emit: Emit) -> list[Evidence]:
        checks = set[str]()

        def tell_once(evidence: Evidence) -> None:  # what needs no engine came out on the one that was lost too
            if evidence.check not in checks:
                checks.add(evidence.check)
                emit(evidence)

        while True:
            place = self._take(variant)
            if place is None:
                return measure(self._nowhere(variant), tell_once)
            try:
                results = self._on(place, variant, measure, tell_once)
            finally:
                with self._changed:
                    place.free += 1
                    self._changed.notify_all()
            if results is not None:
                return results

    def _on(self, place: _Place, variant: Variant, measure: Measure, emit: Emit) -> list[Evidence] | None:
        """The evidence; None where the engine was lost: what it did not measure is to be measured elsewhere."""
        subject = place.here.subject(variant)
        held: list[Evidence] = []  # told once it is known that the engine can be believed

        def tell(evidence: Evidence) -> None:
            if held or _doubtful(evidence):
                held.append(evidence)
            else:
                emit(evidence)

        results = measure(subject, tell)
        lost = lost_engine(subject.engine) if held else None
        if lost is None:
            for evidence in held:
                emit(evidence)
            self._journal.note(wording("journal.checked", engine=place.asked.name), variant=variant.name)
            return results
        self._lose(place, lost)
        reason = wording("journal.lost", endpoint=place.asked.name, reason=lost.message)
        self._journal.note(reason, variant=variant.name)
        return None

    def _take(self, variant: Variant) -> _Place | None:
        """A free place of the engine that the variant prefers; waits for one. None where every engine is lost."""
        order = [self._places[name] for name in ranked(variant.name, self._places)]
        with self._changed:
            while True:
                left = [place for place in order if not place.lost]
                if not left or _run.cancelled():
                    return None
                free = next((place for place in left if place.free), None)
                if free is not None:
                    free.free -= 1
                    why = wording("journal.home" if free is order[0] else "journal.free")
                    self._journal.note(wording("journal.goes", endpoint=free.asked.name, why=why), variant=variant.name)
                    return free
                self._changed.wait(HEED_SECONDS)

    def _lose(self, place: _Place, why: DeadweightError) -> None:
        with self._changed:
            before, place.lost = place.lost, place.lost or why.message
            self._changed.notify_all()
        if not before:
            engine = f"{place.asked.name} ({place.asked.host})"
            self._journal.note(wording("journal.is_lost", endpoint=engine, reason=why.message), loud=True)

    def _nowhere(self, variant: Variant) -> Subject:
        """A subject without an engine: what needs none is measured, the rest tells why not."""
        engines = "; ".join(f"{place.asked.name}: {place.lost}" for place in self._places.values())

        def none() -> Engine:
            raise MissingError(wording("pool.no_engine", engines=engines))

        return OnEngine(self._project, none).subject(variant)


def _doubtful(evidence: Evidence) -> bool:
    """Whether an engine that was lost would explain what was not measured."""
    postures = evidence.data.get("postures", {})
    cells = (cell for posture in postures.values() for cell in posture.values())
    return bool(evidence.data.get("missing")) or any(cell.get("outcome") == "not_measured" for cell in cells)
