"""Send a variant's requests to a container with given options: one at a time, and eight at once."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from deadweight import _run
from deadweight._errors import DeadweightError, Interrupted
from deadweight.checks.service import Service, ServiceDown
from deadweight_workload.api import run_item
from deadweight_workload.ids import ids_of

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject
    from deadweight.engine.container import Container
    from deadweight.engine.options import RunOptions
    from deadweight.suite.checks import ApiCheck

Mark = Callable[[str], None]
"""Told of the end of a phase."""
CROWD, CROWD_REQUESTS, CROWD_SECONDS = 8, 24, 10.0
"""So many requests are sent at once, so many in all (twice each if there are more), and none is begun later than that."""


class _Given(Service):
    """A service that somebody else started; there is no second one."""

    def __init__(self, subject: Subject, container: Container) -> None:
        super().__init__(subject.variant, subject.engine, subject.engine_image, subject.need_image, subject.suite.root)
        self._shared = container

    def get(self) -> Container:
        if (
            self._shared is not None and self._shared.state().running
        ):  # an obituary waits; this is asked for each request
            return self._shared
        raise ServiceDown(self.obituary() or "the service is gone")


def ask(subject: Subject, container: Container, mark: Mark = lambda _phase: None) -> tuple[str, str]:
    """Send everything under ``checks.api`` to this container; the name of the first request whose answer is not as expected, and
    what is wrong with it. Empty where all are."""
    asked = replace(subject, service=_Given(subject, container))
    for item in subject.variant.checks.api:
        try:
            result = run_item(asked, item)
        except ServiceDown as down:
            return item.name, f"{item.name}: {down.message}"
        if result.status != "pass":
            return item.name, f"{item.name}: {result.reason}"
        mark(item.name)
    return "", ""


class _Under(Service):
    """A service that runs with given options, and is started again when it ended."""

    def __init__(self, subject: Subject, options: RunOptions) -> None:
        super().__init__(subject.variant, subject.engine, subject.engine_image, subject.need_image, subject.suite.root)
        self._options = options

    def options(self) -> RunOptions:
        return self._options

    def refused(self, problem: str, options: RunOptions) -> str:  # noqa: ARG002 - of ``Service``
        return problem


@dataclass(frozen=True)
class Answers:
    """The ``names`` of the requests that were answered as expected, one at a time, and of those that were not when they were sent
    eight at a time (``crowded``)."""

    names: frozenset[str]
    crowded: frozenset[str]

    @property
    def good(self) -> frozenset[str]:
        return self.names - self.crowded


def passing(
    subject: Subject,
    options: RunOptions,
    at_once: Collection[str] = (),
    times: int = 1,
    crowd: int = CROWD,
    seen: Callable[[Container], None] = lambda _container: None,
) -> Answers:
    """What came of all requests to a container with these options, in turn; then of those named ``at_once``, ``crowd`` at a time.
    ``seen`` is told of the container at the end. Nothing passes where none can be started."""
    asked, names = replace(subject, service=_Under(subject, options)), set[str]()
    crowded: Collection[str] = at_once
    try:
        for item in subject.variant.checks.api:
            if run_item(asked, item).status == "pass":
                names.add(item.name)
        crowded = ask_at_once(subject, asked.service.get(), at_once, times, crowd) if at_once else ()
        seen(asked.service.get())
    except Interrupted:
        raise
    except DeadweightError:  # it does not come up, or not again; a profile may allow no start as root
        pass
    finally:
        asked.service.close()
    return Answers(frozenset(names), frozenset(crowded))


def ask_at_once(
    subject: Subject, container: Container, names: Collection[str], times: int = 1, crowd: int = CROWD
) -> dict[str, str]:
    """Send the requests of these names again and again, ``crowd`` at a time; what was wrong with those that failed. ``times``
    as many."""
    asked = replace(subject, service=_Given(subject, container))
    ids_of(container).fixed = True
    items = [item for item in subject.variant.checks.api if item.name in names]
    ends = time.monotonic() + CROWD_SECONDS * times

    def problem(item: ApiCheck) -> str:
        if time.monotonic() > ends or _run.cancelled():
            return ""
        try:
            return run_item(asked, item).reason
        except ServiceDown as down:
            return down.message

    sent = list(itertools.islice(itertools.cycle(items), max(CROWD_REQUESTS, 2 * len(items)) * times))
    with ThreadPoolExecutor(crowd) as pool:
        problems = list(pool.map(problem, sent))
    return {item.name: why for item, why in zip(sent, problems, strict=True) if why}
