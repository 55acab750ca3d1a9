"""Find out what a service answers alike each time: the expectations of requests for which the suite has none."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError, Interrupted, UsageError
from deadweight.checks.service import ServiceDown
from deadweight_workload import answers
from deadweight_workload.api import prepare, problems, send
from deadweight_workload.model import Step, Workload, wording
from deadweight_workload.sources import LAST, MOST_BYTES, SECONDS

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject
    from deadweight.engine.container import Container
    from deadweight.engine.http import Answer
    from deadweight.engine.options import RunOptions
    from deadweight.suite.checks import HttpExpect

PURPOSE = "workload"
DYING_SECONDS = 0.5
SHOWN = 5
MOST_SPLITS = 3
BROKEN_CALLS = ("2", "13", "14", "15")
"""UNKNOWN, INTERNAL, UNAVAILABLE and DATA_LOSS (google/rpc/code.proto): what 5xx is to HTTP."""
CHANGES_NOTHING = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class _Outcome:
    """Of one step. ``ended``: the service did not outlive it."""

    answer: Answer | None
    ended: bool = False

    def why_not(self, step: Step) -> str:
        """Why nothing can be expected of the step: a code, or nothing."""
        if self.ended:
            return "ended"
        if self.answer is None or self.answer.truncated:
            return "no_answer"
        if step.expect is not None:
            return "suite_fails" if problems(step.expect, self.answer) else ""
        status = self.answer.status
        if status >= 500 or self.answer.headers.get(answers.GRPC_STATUS) in BROKEN_CALLS:
            return "server_error"
        return {429: "rate_limit", 401: "login", 403: "login"}.get(status, "")


def settled(subject: Subject, options: RunOptions, workload: Workload) -> Workload:
    """The same workload with an expectation at each step: the suite's own, else what fresh containers with these options answer
    alike. What cannot be expected is left out, and told in ``notes``.

    Each container has needs of its own, unless ``options`` has hosts. The first is sent all steps in order. The second is sent
    those to learn from alone, the third those to judge on: operations that need what others make are not held out from them. Raises
    ServiceDown where the service does not come up.
    """
    if not workload.steps:
        return workload
    first = _outcomes(subject, options, workload.steps)
    left_out = {step.name: why for step in workload.steps if (why := first[step.name].why_not(step))}
    workload = replace(workload, steps=tuple(step for step in workload.steps if step.name not in left_out))
    names, judged = {step.name: step for step in workload.steps}, workload.judged
    for _ in range(MOST_SPLITS):
        second: dict[str, _Outcome] = {}
        for part in (workload.learn, workload.judge):
            second |= _outcomes(subject, options, part) if part else {}
        strayed = [step for step in workload.steps if _differs(step, first[step.name], second[step.name])]
        if not strayed or not workload.judged:
            break
        workload = _joined(workload, strayed)
    left_out |= {step.name: second[step.name].why_not(step) or "differs" for step in strayed}
    steps = [
        step if step.expect else replace(step, expect=_expected(first[name], second[name]))
        for name, step in names.items()
        if name not in left_out
    ]
    rejoined = sorted(judged - workload.judged)
    notes = (*workload.notes, *_notes(left_out), *([_note("rejoined", rejoined)] if rejoined else []))
    return replace(workload, steps=tuple(steps), notes=notes)


def _joined(workload: Workload, strayed: Sequence[Step]) -> Workload:
    """With fewer operations held out: not those that go astray on their own, nor, where others do, those that change something."""
    judged = workload.judged
    alone = {step.operation for step in strayed}
    if alone - judged:
        alone |= {step.operation for step in workload.judge if step.request.method not in CHANGES_NOTHING}
    return replace(workload, held_out=tuple(sorted(judged - alone)))


def _differs(step: Step, first: _Outcome, second: _Outcome) -> bool:
    if second.why_not(step):
        return True
    assert first.answer is not None
    assert second.answer is not None
    return step.expect is None and first.answer.status != second.answer.status


def _expected(first: _Outcome, second: _Outcome) -> HttpExpect:
    assert first.answer is not None
    assert second.answer is not None
    return answers.alike(first.answer, second.answer)


def _notes(left_out: dict[str, str]) -> Iterator[str]:
    """One for each reason."""
    for why in dict.fromkeys(left_out.values()):
        yield _note(why, [name for name, code in left_out.items() if code == why])


def _note(why: str, names: Sequence[str]) -> str:
    shown = ", ".join([*names[:SHOWN], *(["…"] if len(names) > SHOWN else [])])
    return wording(f"left_out.{why}", count=len(names), names=shown)


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
    answer = None
    try:
        answer = send(container, prepare(step.request, subject.suite.root), SECONDS, MOST_BYTES)
    except Interrupted:
        raise
    except UsageError as error:  # its body_file
        raise subject.suite.error(subject.variant, "checks", f"api: {step.name}: {error.message}") from error
    except (OSError, http.client.HTTPException, DeadweightError):
        pass
    return _Outcome(answer, _over(container, may_end=answer is None or LAST.search(step.operation) is not None))


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
