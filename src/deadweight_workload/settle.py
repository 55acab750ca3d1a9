"""Find out what a service answers alike each time: the expectations of requests for which the suite has none."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError, Interrupted, UsageError
from deadweight._log_excerpt import plain
from deadweight.checks.service import ServiceDown
from deadweight.engine.http import Answer
from deadweight_workload import answers
from deadweight_workload.api import prepare, problems, send
from deadweight_workload.ids import ids_of
from deadweight_workload.model import Step, Workload, wording
from deadweight_workload.sources import LAST, MOST_BYTES, SECONDS

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject
    from deadweight.engine.container import Container
    from deadweight.engine.options import RunOptions

PURPOSE = "workload"
DYING_SECONDS = 0.5
SHOWN = 5
BROKEN_CALLS = ("2", "13", "14", "15")
"""UNKNOWN, INTERNAL, UNAVAILABLE and DATA_LOSS (google/rpc/code.proto): what 5xx is to HTTP."""
NO_ANSWER = Answer(0, {}, b"", 0.0, truncated=True)


@dataclass(frozen=True)
class _Outcome:
    """Of one step. ``ended``: the service did not outlive it."""

    answer: Answer
    ended: bool

    def why_not(self, step: Step) -> str:
        """Why nothing can be expected of the step: a clause, or nothing."""
        if self.ended:
            return wording("left_out.ended")
        if self.answer.truncated:
            return wording("left_out.no_answer")
        if step.expect is not None:
            return wording("left_out.suite_fails") if problems(step.expect, self.answer) else ""
        status = self.answer.status
        if not 100 <= status < 500 or self.answer.headers.get(answers.GRPC_STATUS) in BROKEN_CALLS:
            return wording("left_out.server_error")
        if status in (401, 403):
            return wording("left_out.login")
        return wording("left_out.rate_limit") if status == 429 else ""


def settled(subject: Subject, options: RunOptions, workload: Workload) -> Workload:
    """The same workload with an expectation at each step: the suite's own, else what fresh containers with these options answer
    alike. What cannot be expected is left out, and told in ``notes``.

    Each container has needs of its own, unless ``options`` has hosts. The first two are sent all steps in order. Then those to
    learn from are sent alone: operations that need what a held-out one makes are held out too. Who judges sends all in order.
    Raises ServiceDown where the service does not come up.
    """
    left_out, judged = dict[str, str](), workload.judged
    with ThreadPoolExecutor(1 if options.hosts else 2) as pool:  # what has hosts shares what it needs
        first, last = runs = [*pool.map(lambda _number: _outcomes(subject, options, workload.steps), range(2))]
    workload = _without(workload, left_out, {step.name: first[step.name].why_not(step) for step in workload.steps})
    workload = _without(workload, left_out, _strayed(workload, first, last))
    while workload.judged and workload.learn:
        alone = _outcomes(subject, options, workload.learn)
        strayed = _strayed(replace(workload, steps=workload.learn), first, alone)
        if not strayed:
            runs.append(alone)
            break
        more = {step.operation for step in workload.learn if step.name in strayed}
        workload = replace(workload, held_out=tuple(sorted(workload.judged | more)))
    workload = workload if workload.learn else replace(workload, held_out=())
    steps = [
        step
        if step.expect
        else replace(step, expect=answers.alike(*(run[step.name].answer for run in runs if step.name in run)))
        for step in workload.steps
    ]
    notes = (*workload.notes, *_notes(left_out, sorted(workload.judged - judged)))
    return replace(workload, steps=tuple(steps), notes=notes)


def _without(workload: Workload, left_out: dict[str, str], problems: Mapping[str, str]) -> Workload:
    """Without the steps that have a problem, which is noted in ``left_out``."""
    left_out |= {name: why for name, why in problems.items() if why}
    return replace(workload, steps=tuple(step for step in workload.steps if step.name not in left_out))


def _strayed(workload: Workload, first: Mapping[str, _Outcome], last: Mapping[str, _Outcome]) -> dict[str, str]:
    """The steps that were answered otherwise than before, with the reason."""
    return {
        step.name: last[step.name].why_not(step) or wording("left_out.differs")
        for step in workload.steps
        if last[step.name].why_not(step)
        or (step.expect is None and first[step.name].answer.status != last[step.name].answer.status)
    }


def _notes(left_out: Mapping[str, str], dependent: Sequence[str]) -> Iterator[str]:
    """One for each reason."""
    for why in dict.fromkeys(left_out.values()):
        names = [name for name, reason in left_out.items() if reason == why]
        yield wording("left_out.requests", count=len(names), why=why, names=_shown(names))
    if dependent:
        yield wording("left_out.held_out_too", count=len(dependent), names=_shown(dependent))


def _shown(names: Sequence[str]) -> str:
    return plain(", ".join([*names[:SHOWN], *(["…"] if len(names) > SHOWN else [])]))


def _outcomes(subject: Subject, options: RunOptions, steps: Sequence[Step]) -> dict[str, _Outcome]:
    """Of all steps, in order, in a fresh container; in another one after a step that ended it."""
    outcomes = dict[str, _Outcome]()
    with contextlib.ExitStack() as stack:
        if subject.variant.run.needs and not options.hosts:
            own = replace(subject, service=None)  # type: ignore[arg-type]
            options = options.but(hosts=stack.enter_context(own.service.dependencies()))
        while len(outcomes) < len(steps):
            with _started(subject, options) as container:
                for step in steps[len(outcomes) :]:
                    outcomes[step.name] = outcome = _outcome(subject, container, step)
                    if outcome.ended:
                        break
    return outcomes


def _outcome(subject: Subject, container: Container, step: Step) -> _Outcome:
    answer = NO_ANSWER
    try:
        request = ids_of(container).filled(step, prepare(step.request, subject.suite.root))
        answer = send(container, request, SECONDS, MOST_BYTES)
        ids_of(container).hear(step, request, answer)
    except Interrupted:
        raise
    except UsageError as error:  # its body_file
        raise subject.suite.error(subject.variant, "checks", f"api: {step.name}: {error.message}") from error
    except (OSError, http.client.HTTPException, DeadweightError):
        pass
    return _Outcome(answer, _over(container, may_end=answer is NO_ANSWER or LAST.search(step.operation) is not None))


def _over(container: Container, *, may_end: bool) -> bool:
    """A service that answers before it ends takes a moment for that."""
    running = container.kernel_says_running(DYING_SECONDS if may_end else 0.0)
    return not container.state().running if running is None else not running


@contextlib.contextmanager
def _started(subject: Subject, options: RunOptions) -> Iterator[Container]:
    variant = subject.variant
    with subject.engine().start(subject.engine_image(), options, purpose=PURPOSE, variant=variant.name) as container:
        readiness = container.wait_healthy(variant.health, variant.port)
        if not readiness.healthy:
            raise ServiceDown(subject.service.why_down(readiness.reason, container))
        yield container
