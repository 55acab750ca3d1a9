"""One trial: does the variant come up in time, stay up, answer all its requests as expected, and end well, with these options?"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from deadweight._errors import DeadweightError
from deadweight.checks.api import run_item
from deadweight.checks.budget import judge
from deadweight.checks.runs import WATCH_SECONDS
from deadweight.checks.service import Service, ServiceDown, with_last_lines
from deadweight.engine.faults import CannotStart, Ended, translated
from deadweight.engine.options import RunOptions
from deadweight.engine.sidecar import user_of
from deadweight_attacks.harden.folders import NOTHING, Written, written

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject
    from deadweight.engine.container import Container, Stopped
    from deadweight.suite.model import Variant

PURPOSE = "harden"
SHORT_SECONDS = 1.0
KILLED = "does not end in time on SIGTERM"
OUTGOING = "bridge"
"""The network of a plain container, which leads out."""


@dataclass(frozen=True)
class Trial:
    """``problem`` empty: everything passed. ``user`` is the uid:gid that it really ran as, ``written`` where it wrote to,
    ``seconds`` how long it took to come up."""

    problem: str
    user: str = ""
    written: Written = NOTHING
    exit_code: int = 0
    seconds: float = 0.0


class _Given(Service):
    """The service that a trial started; there is no second one."""

    def __init__(self, subject: Subject, container: Container) -> None:
        super().__init__(subject.variant, subject.engine, subject.engine_image, subject.need_image, subject.suite.root)
        self._shared = container

    def get(self) -> Container:
        if (
            self._shared is not None and self._shared.state().running
        ):  # an obituary waits; this is asked for each request
            return self._shared
        raise ServiceDown(self.obituary() or "the service is gone")


Mark = Callable[[str], None]
"""Told of the end of a phase."""
Begun = Callable[["Container"], None]
START, IDLE, END = "start", "idle", "end"


def attempt(
    subject: Subject,
    options: RunOptions,
    exits: Collection[int] | None = None,
    *,
    watch_seconds: float | None = None,
    mark: Mark = lambda _phase: None,
    begun: Begun = lambda _container: None,
) -> Trial:
    """Start, ask everything that the suite asks, watch and stop as ``runs`` does; ``exits`` are the exit codes to take (None: any).

    ``watch_seconds`` is how long it has to stay up (None: as long as ``runs`` asks). ``mark`` is told of the end of each phase: the
    start, each request by its name, the watch, the end; ``begun`` is told of the container once it runs. What goes wrong is the
    trial's problem; nothing is left behind. Raises MissingError where nothing leads to the service: not even through the engine
    (that takes Go).
    """
    variant = subject.variant
    try:
        container = subject.engine().start(subject.engine_image(), options, purpose=PURPOSE, variant=variant.name)
    except CannotStart as refusal:
        return Trial(refusal.message)
    with container:
        begun(container)
        if options.network != OUTGOING:
            _refuse_unreachable(container, variant.port)
        readiness = container.wait_healthy(variant.health, variant.port)
        if readiness.seconds is None:
            return Trial(with_last_lines(readiness.reason, container), written=_written(container))
        healthy_at, user = time.monotonic(), user_of(container)
        mark(START)
        problem = _slow(subject, readiness.seconds) or ask(subject, container, mark)
        watched = WATCH_SECONDS if watch_seconds is None else watch_seconds
        problem = problem or _watched(container, watched - (time.monotonic() - healthy_at))
        mark(IDLE)
        if problem:
            return Trial(problem, user, _written(container))
        stopped = container.stop(_patience(variant))
        mark(END)
        problem = _unclean(variant, stopped, exits)
        return Trial(problem, user, _written(container), stopped.exit_code, readiness.seconds)


def _unclean(variant: Variant, stopped: Stopped, exits: Collection[int] | None) -> str:
    """What is wrong with how it ended; empty where nothing is."""
    if not stopped.in_time:
        return "" if variant.checks.runs.if_killed == "warn" else KILLED
    if exits is not None and stopped.exit_code not in exits:
        return f"ends on SIGTERM with exit code {stopped.exit_code}"
    return ""


def _patience(variant: Variant) -> float:
    """Seconds for it to end on SIGTERM: few for one that has to be killed anyway, as the suite says of it."""
    limit = variant.checks.runs.stops_within_seconds
    return min(limit, SHORT_SECONDS) if variant.checks.runs.if_killed == "warn" else limit


def _refuse_unreachable(container: Container, port: int | None) -> None:
    """Where nothing leads into its network, it would only be said that it does not get healthy."""
    with contextlib.suppress(Ended):
        container.http(port)


def _slow(subject: Subject, seconds: float) -> str:
    """Whether it came up too late for its budget. A soft limit only warns, here as in ``verify``."""
    budget = subject.variant.checks.budget
    if budget is None or budget.startup_seconds is None:
        return ""
    found = judge("startup_seconds", seconds, (None, budget.startup_seconds.hard), "")
    return found.text if found.status == "fail" else ""


def _watched(container: Container, seconds: float) -> str:
    state = container.wait_ended(max(0.0, seconds))
    return "" if state.running else with_last_lines(f"it became healthy, then {state.told()}", container)


def ask(subject: Subject, container: Container, mark: Mark = lambda _phase: None) -> str:
    """Send everything under ``checks.api`` to this container; the first answer that is not as expected, or nothing."""
    asked = replace(subject, service=_Given(subject, container))
    for item in subject.variant.checks.api:
        try:
            result = run_item(asked, item)
        except ServiceDown as down:
            return f"{item.name}: {down.message}"
        if result.status != "pass":
            return f"{item.name}: {result.reason}"
        mark(item.name)
    return ""


def _written(container: Container) -> Written:
    try:
        with translated(f"changes of container {container.name}"):
            changes: Sequence[Mapping[str, Any]] = container.api.diff(container.id) or []
    except DeadweightError:
        return NOTHING
    return written(changes)
