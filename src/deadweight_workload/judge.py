"""Collect a service's requests in its suite's own posture, and judge other settings by those that are held out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError, Interrupted
from deadweight.checks.service import BRIDGE
from deadweight.engine.options import RunOptions, hardened_for
from deadweight_workload.api import prepare
from deadweight_workload.asking import CROWD, Answers, passing
from deadweight_workload.model import Step, Workload, asking
from deadweight_workload.settle import settled
from deadweight_workload.sources import suite_steps, workload_of

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject

PURPOSE = "workload"
REFERENCE_TIMES = 2
AGAIN = ", again"
SETTLING = 2
"""So many containers settle what is asked, and one more what is asked without what is held out."""
SAFE = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing (RFC 9110, 9.2.1)."""


@dataclass(frozen=True)
class Judge:
    """``workload`` is all that works in the suite's own posture, ``at_once`` names its requests that also do eight at a time.
    ``hosts`` is where what the service needs is, on each network. ``steady``: so many containers in that posture came up and
    answered all that the suite asks. ``brief`` names requests to learn from of which one stands for each operation, beside the
    suite's: for what is tried many times."""

    subject: Subject
    workload: Workload
    at_once: tuple[str, ...] = ()
    hosts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    say: Callable[[str], None] = lambda _line: None
    steady: int = 0
    brief: tuple[str, ...] = ()

    @classmethod
    def begun(
        cls, subject: Subject, say: Callable[[str], None], hosts: Mapping[str, Mapping[str, str]] | None = None
    ) -> Judge:
        """Collect the requests and ask them in the suite's own posture: what fails even there is no wall's fault. What a service
        needs lives on from trial to trial, so nothing that may change it is sent at once."""
        image = subject.engine().images.need(subject.engine_image())
        if hosts is None:
            with subject.service.dependencies(BRIDGE) as outside:
                return cls.begun(subject, say, {BRIDGE: outside})
        options = hardened_for(subject.variant, image.user).but(hosts=hosts[BRIDGE])
        work, steady = _collected(subject, options)
        again = frozenset() if subject.variant.run.needs else _repeatable(subject, options, work)
        names = [step.name for step in work.steps if step.request.method in SAFE or step.name in again]
        answers, everything = _at_once(subject, work.steps, options, names)
        if any(
            step.source == "suite" and step.name not in answers.names for step in work.learn
        ):  # no posture to start from: nothing can be held out, or sent at once
            return cls(subject, replace(work, held_out=()), hosts=hosts, say=say)
        work = replace(work, steps=tuple(step for step in work.steps if step.name in answers.names))
        learned = {step.name for step in work.learn}
        alone = everything
        if work.judged:
            _, alone = _at_once(subject, work.learn, options, [name for name in everything if name in learned], 1)
        at_once = (*alone, *(name for name in everything if name not in learned))
        return cls(subject, work, at_once, hosts, say, steady + 1, _brief(subject, options, work.learn, at_once))

    @property
    def learn_at_once(self) -> tuple[str, ...]:
        return tuple(step.name for step in self.workload.learn if step.name in self.at_once)

    @property
    def everything(self) -> Subject:
        return asking(self.subject, self.workload.steps)

    @property
    def largest_bytes(self) -> int:
        """Of the largest body that is sent."""
        bodies = (prepare(step.request, self.subject.suite.root).body for step in self.workload.steps)
        return max((len(body or b"") for body in bodies), default=0)

    def failing(self, options: RunOptions) -> frozenset[str]:
        """The held-out requests that fail under these options, twice, all others sent before them in their order."""
        failed = frozenset(step.name for step in self.workload.judge)
        for _ in range(2):
            failed = failed and failed - self.passing(options)
        return failed

    def passing(self, options: RunOptions) -> frozenset[str]:
        options = options.but(hosts=self.hosts.get(options.network, options.hosts))
        return passing(self.everything, options, self.at_once).good

    def operations(self, names: Collection[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(step.operation for step in self.workload.judge if step.name in names))


def _collected(subject: Subject, options: RunOptions) -> tuple[Workload, int]:
    """All requests that are known of the service, as it runs in the suite's own posture, and how many containers answered alike;
    the suite's requests alone where it does not run in it."""
    variant = subject.variant
    if variant.health.kind == "exit":
        return Workload(()), 0
    try:
        with subject.engine().start(
            subject.engine_image(), options, purpose=PURPOSE, variant=variant.name
        ) as container:
            if container.wait_healthy(variant.health, variant.port).healthy:
                work = settled(subject, options, workload_of(subject, container))
                own = {item.name for item in variant.checks.api}
                if own <= {step.name for step in work.steps}:
                    return work, SETTLING + bool(work.judged)
    except Interrupted:
        raise
    except DeadweightError:
        pass
    return Workload(suite_steps(variant), held_out=variant.checks.holdout), 0


def _brief(subject: Subject, options: RunOptions, learn: Sequence[Step], at_once: Collection[str]) -> tuple[str, ...]:
    """The suite's requests, and of each other operation the first, as far as they work without the rest. Empty where the suite's do
    not."""
    first = {step.operation: step.name for step in reversed(learn)}
    few = [step for step in learn if step.source == "suite" or step.name == first[step.operation]]
    if len(few) == len(learn):
        return tuple(step.name for step in learn)
    good = passing(asking(subject, few), options, [step.name for step in few if step.name in at_once]).good
    names = tuple(step.name for step in few if step.name in good)
    return names if {step.name for step in few if step.source == "suite"} <= good else ()


def _repeatable(subject: Subject, options: RunOptions, work: Workload) -> frozenset[str]:
    """The requests that may change something and are answered as expected twice in a row: what makes or takes away something is
    not, and whether it is when eight are sent at once is chance."""
    again = {
        step.name: replace(step, name=f"{step.name}{AGAIN}") for step in work.steps if step.request.method not in SAFE
    }
    every = [it for step in work.steps for it in (step, again.get(step.name)) if it]
    names = passing(asking(subject, every), options).names
    return frozenset(name for name, second in again.items() if {name, second.name} <= names)


def _at_once(
    subject: Subject, steps: Sequence[Step], options: RunOptions, names: Sequence[str], times: int = REFERENCE_TIMES
) -> tuple[Answers, tuple[str, ...]]:
    """What came of these steps, and which of ``names`` can be sent eight at a time, beside one another: what one of them makes or
    takes away, others may miss, so those that fail are left out until none does. Twice as many are sent here: what only just works
    would waver, and ``times`` as many in all."""
    first = answers = passing(asking(subject, steps), options, names, times, 2 * CROWD)
    while answers.crowded and (names := [name for name in names if name not in answers.crowded]):
        answers = passing(asking(subject, steps), options, names, times, 2 * CROWD)
    return first, tuple(names)
