"""Search a service's seccomp profile: record calls, add everyday ones and the runtime's, drop what only attacks miss, judge it."""

from __future__ import annotations

import contextlib
import platform
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deadweight import _run
from deadweight._errors import CheckFailed, DeadweightError, Interrupted
from deadweight.engine.options import RunOptions
from deadweight.engine.seccomp import profile
from deadweight.engine.seccomp.profile import ATTACKERS, BY_TIMING, CLIENT, EVERYDAY, FAMILIES, family
from deadweight.engine.seccomp.refused_calls import Runtime, find_missing, runtime_of
from deadweight_attacks.harden import health_command
from deadweight_attacks.harden.judge import Broken
from deadweight_attacks.harden.trial import OUTGOING, PURPOSE, Trial, attempt
from deadweight_attacks.network import trial_network
from deadweight_attacks.seccomp import recorder
from deadweight_attacks.seccomp.floor import Floor, document, find_fewest, find_floor as find
from deadweight_attacks.seccomp.model import SOCKET, Call, Reason, Seccomp
from deadweight_attacks.seccomp.recorder import Recording
from deadweight_attacks.walls import wording
from deadweight_images.errors import Message
from deadweight_workload.judge import Judge
from deadweight_workload.model import asking

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject
    from deadweight_attacks.harden.result import Hardened

RUNS = 3
"""So many recordings agree before anything is believed, and so many trials prove the end."""
MOST_RUNS = 6
OFTEN = 200
"""A call that was made so often is known to be: the next recording is not told of it, and slows the service less."""
MOST_JUDGED = 12
"""So many calls may held-out requests need beyond what was learned, in a round."""
LEAST_SECONDS, PATIENCE = 5.0, 4.0
"""A trial with fewer calls waits so long for the service to come up, and so many times what that took while it was recorded."""
INTERNET = {2, 10}
"""Sockets of IPv4 and IPv6: either leads to the same places, and the next request may take the other."""


def search(
    judge: Judge, result: Hardened, say: Callable[[str], None], floor: Floor | None = None
) -> tuple[Seccomp, Floor, tuple[Broken, ...]]:
    """Find the profile, under the posture that was found, what the runtime needs (where that is not given), and what held-out
    requests needed beyond what was learned.

    Raises DeadweightError where there can be none (the reason in its words), CheckFailed where the checks waver, and nothing can be
    proven by trying; Interrupted."""
    if not result.options.no_new_privileges:
        raise DeadweightError(wording("seccomp.set_uid"))
    if not judge.subject.engine().info.seccomp:
        raise DeadweightError(wording("seccomp.no_engine"))
    learning = replace(asking(judge.subject, judge.workload.learn), service=judge.subject.service)
    return _Search(learning, result, say, judge=judge).run(floor)


@dataclass
class _Search:
    subject: Subject
    result: Hardened
    say: Callable[[str], None]
    trials: int = 0
    last: Trial = field(default_factory=lambda: Trial("nothing was tried"))
    exits: Collection[int] | None = None
    options: RunOptions = field(default_factory=RunOptions)
    judge: Judge | None = None
    slowest: float = 0.0

    def run(self, floor: Floor | None) -> tuple[Seccomp, Floor, tuple[Broken, ...]]:
        runtime = runtime_of(self.subject.engine())
        architecture = runtime.architecture
        floor = floor or self._floor(runtime)
        with self._network() as network, self.subject.service.dependencies(network) as hosts:
            self.options = self.result.options.but(network=network, hosts=hosts)
            engines = recorder.allowed(
                self.subject, self.options, architecture
            )  # raises where this kernel tells of no calls
            attacker = recorder.rehearsed(self.subject, self.options, architecture).calls
            first = attempt(self.subject, self.options)
            if first.problem:
                raise CheckFailed(wording("harden.failed_again", variant=self._name, problem=first.problem))
            self.exits = (first.exit_code,)
            recordings = self._recordings(architecture)
            with tempfile.TemporaryDirectory(prefix="deadweight-seccomp-") as folder:
                file = Path(folder) / "profile.json"
                seccomp = self._found(recordings, floor, engines, file)
                seccomp, broken = self._judged(seccomp, engines, file)
                seccomp = replace(seccomp, asks=self._health_command(seccomp, file))
        kernel = self.subject.engine().info.kernel
        kernel_has = profile.of_kernel(architecture) if kernel == platform.release() else None
        seccomp = replace(
            seccomp,
            kernel=kernel,
            attacker=tuple(sorted({*attacker, *BY_TIMING} & set(profile.numbers(architecture)))),
            engine_allows=len(engines),
            kernel_has=None if kernel_has is None else len(kernel_has),
        )
        return seccomp, floor, broken

    def _floor(self, runtime: Runtime) -> Floor:
        floor = find(runtime)
        self._say(wording("seccomp.floor", runtime=runtime.full_name, needed=len(floor.needed), starts=floor.starts))
        return floor

    @property
    def _name(self) -> str:
        return self.subject.variant.name

    def _say(self, line: Message) -> None:
        self.say(line.of(self._name))

    @contextlib.contextmanager
    def _network(self) -> Iterator[str]:
        if self.result.outgoing:
            yield OUTGOING
            return
        with trial_network(self.subject.engine(), PURPOSE) as name:
            yield name

    def _health_command(self, seccomp: Seccomp, file: Path) -> tuple[str, ...]:
        """What asks inside the container works without the profile; it makes calls of its own, which no check needs."""
        if not self.result.asks:
            return ()
        profile.write(file, seccomp.profile())
        return health_command.find_command(self.subject, self.options.but(seccomp=str(file)))

    # what it calls

    def _recordings(self, architecture: str) -> list[Recording]:
        """As many as agree. One that fails says nothing while calls are still found that slow the service when they are told."""
        passed: list[Recording] = []
        known: frozenset[str] = frozenset()
        problems = []
        for number in range(1, MOST_RUNS + 1):
            _stop_if_cancelled()
            trial, recording = recorder.recorded(
                _patient(self.subject), self.options, None, architecture, known, self.result.brief
            )
            often = recording.often(OFTEN) - known
            problem, calls = trial.problem[:160] or "no problem", len(recording.calls | known)
            self._say(wording("seccomp.recording", number=number, calls=calls, problem=problem))
            self.slowest = max(self.slowest, trial.seconds)
            if not trial.problem:
                passed.append(_with(recording, known))
            elif not often or passed:
                problems.append(trial.problem)
            known |= often
            if len(passed) == RUNS:
                break
        if problems or len(passed) < RUNS:
            runs = {"passed": len(passed), "runs": number, "problem": (problems or ["too slow"])[0]}
            raise CheckFailed(wording("seccomp.wavers", variant=self._name, **runs))
        return passed

    # what it needs

    def _found(self, recordings: Sequence[Recording], floor: Floor, engines: frozenset[str], file: Path) -> Seccomp:
        seen = frozenset[str]().union(*(recording.calls for recording in recordings)) & engines
        asked = frozenset[int]().union(*(recording.families for recording in recordings))
        families = tuple(sorted(asked | INTERNET if asked & INTERNET else asked))
        # no check may miss the way to what the suite says that the service needs
        always = {*EVERYDAY, *(CLIENT if self.subject.variant.run.needs else ())} & engines
        held = frozenset(floor.calls) | always | (seen - frozenset(ATTACKERS))

        def works(allowed: Collection[str]) -> bool:
            return not self._problem(file, held | frozenset(allowed), families, floor.architecture)

        tried = sorted(seen - held)
        unseen = () if works(tried) else self._unseen(works, seen, engines - seen - held)
        kept: tuple[str, ...] = find_fewest(tried, lambda some: works((*some, *unseen)), 1)
        final = held | frozenset((*kept, *unseen))
        if not self._proven(file, final, families, floor.architecture):
            self._say(wording("seccomp.not_proven", problem=self.last.problem[:160]))
            final = held | seen | frozenset(unseen)
            if not self._proven(file, final, families, floor.architecture):
                raise CheckFailed(wording("seccomp.wavers_allowed", variant=self._name, problem=self.last.problem))
        return self._result(final, recordings, floor, unseen, families if "socket" in final else ())

    # what held-out requests need

    def _judged(self, seccomp: Seccomp, engines: frozenset[str], file: Path) -> tuple[Seccomp, tuple[Broken, ...]]:
        """With the calls that held-out requests miss. Raises DeadweightError where no calls are what they miss."""
        broken: list[Broken] = []
        judge = self.judge
        while judge is not None and (failed := judge.failing(self._under(file, seccomp))):
            current = seccomp
            calls = sorted(engines - set(current.names), key=profile.numbers(current.architecture).__getitem__)
            families = (f"{SOCKET}{family(number)}" for number in FAMILIES if number not in current.families)

            def passing(
                more: Sequence[str], current: Seccomp = current, failed: frozenset[str] = failed
            ) -> frozenset[str]:
                _stop_if_cancelled()
                return judge.passing(self._under(file, current.allowing(more))) & failed

            more, whole = tuple[str, ...](), False
            recorded = [name for name in calls if name in current.left_out]  # by learned requests, which do without
            for candidates in filter(None, (recorded, [*calls, *families])):
                if passing(candidates) == failed:
                    more, whole = find_missing(candidates, lambda some: passing(some) == failed, MOST_JUDGED)
                    break
            if not whole or len(broken) > MOST_JUDGED:
                names = ", ".join(judge.operations(failed))
                raise DeadweightError(wording("seccomp.all_calls_fail", variant=self._name, problem=names))
            for name in more:
                missed = failed - passing([other for other in more if other != name])
                broken += [Broken(operation, "seccomp", name) for operation in judge.operations(missed)]
            seccomp = current.allowing(more)
        self._under(file, seccomp)
        return seccomp, tuple(broken)

    def _under(self, file: Path, seccomp: Seccomp) -> RunOptions:
        self.trials += 1
        profile.write(file, seccomp.profile())
        return self.options.but(seccomp=str(file))

    def _unseen(
        self, works: Callable[[Collection[str]], bool], seen: frozenset[str], others: frozenset[str]
    ) -> tuple[str, ...]:
        """Calls that no recording has, without which it does not come up; the profile that lacks them is a broken one."""
        problem = self.last.problem
        if not works(seen | others):
            raise DeadweightError(wording("seccomp.all_calls_fail", variant=self._name, problem=self.last.problem))
        needed = find_fewest(sorted(others), lambda some: works((*seen, *some)))
        self._say(wording("seccomp.unseen", calls=", ".join(needed), problem=problem[:120]))
        return needed

    def _proven(self, file: Path, final: Collection[str], families: Sequence[int], architecture: str) -> bool:
        """From scratch, watched as long as ``verify`` does, and asked much at once; then the same side by side, without that."""
        if self._problem(file, final, families, architecture, whole=True):
            return False
        options, more = self.options.but(seccomp=str(file)), RUNS - 1
        with ThreadPoolExecutor(more) as together:
            trials = list(together.map(lambda _number: attempt(self.subject, options, self.exits), range(more)))
        self.trials += more
        for trial in trials:
            self.last = trial if trial.problem or not self.last.problem else self.last
            self._say(wording("seccomp.trial", calls=len(set(final)), result=trial.problem[:120] or "works"))
        return not self.last.problem

    def _problem(
        self, file: Path, allowed: Collection[str], families: Sequence[int], architecture: str, *, whole: bool = False
    ) -> str:
        _stop_if_cancelled()
        self.trials += 1
        profile.write(file, document(allowed, families, architecture))
        more: dict[str, Any] = {"at_once": self.result.brief} if whole else {"watch_seconds": 0.0}
        subject = self.subject if whole else _within(self.subject, max(LEAST_SECONDS, self.slowest * PATIENCE))
        self.last = attempt(subject, self.options.but(seccomp=str(file)), self.exits, **more)
        self._say(wording("seccomp.trial", calls=len(set(allowed)), result=self.last.problem[:120] or "works"))
        return self.last.problem

    def _result(
        self, final: frozenset[str], recordings: Sequence[Recording], floor: Floor, unseen: Sequence[str],
        families: tuple[int, ...],
    ) -> Seccomp:  # fmt: skip
        seen = frozenset[str]().union(*(recording.calls for recording in recordings))
        return Seccomp(
            architecture=floor.architecture,
            kernel=floor.kernel,
            linker=recordings[0].linker,
            runtime=floor.runtime,
            calls=tuple(self._call(name, recordings, floor, unseen) for name in sorted(final)),
            families=families,
            left_out=tuple(sorted(seen - final)),
            runs=len(recordings),
            trials=self.trials,
            proofs=RUNS,
        )

    def _call(self, name: str, recordings: Sequence[Recording], floor: Floor, unseen: Sequence[str]) -> Call:
        seen = sum(name in recording.calls for recording in recordings)
        phases = tuple(dict.fromkeys(phase for recording in recordings for phase in recording.seen_in(name) if phase))
        if name in unseen:
            return Call(name, "unseen")
        why: Reason = "recorded" if seen else "runtime" if name in floor.calls else "everyday"
        return Call(name, "runtime" if name in floor.needed else why, seen, phases)


def _with(recording: Recording, known: frozenset[str]) -> Recording:
    """With the calls that it was not told of: they are made a thousand times, and in no phase that could be named."""
    return replace(recording, phases=(*recording.phases, recorder.Phase("", dict.fromkeys(known, OFTEN), {})))


def _patient(subject: Subject) -> Subject:
    """The same with more time to come up: recording slows a start."""
    health = subject.variant.health
    budget = subject.variant.checks.budget
    checks = subject.variant.checks.model_copy(
        update={"budget": budget and budget.model_copy(update={"startup_seconds": None})}
    )
    longer = health.model_copy(update={"within_seconds": health.within_seconds * 2})
    return replace(subject, variant=subject.variant.model_copy(update={"health": longer, "checks": checks}))


def _within(subject: Subject, seconds: float) -> Subject:
    """The same with no more time to come up than this: one that hangs for want of a call is not waited for as long as its suite
    says."""
    health = subject.variant.health
    shorter = health.model_copy(update={"within_seconds": min(health.within_seconds, seconds)})
    return replace(subject, variant=subject.variant.model_copy(update={"health": shorter}))


def _stop_if_cancelled() -> None:
    if _run.cancelled():
        raise Interrupted(wording("attacker.interrupted"))
