"""Run the ``runs`` check: the service starts, becomes healthy, stays up, and stops on SIGTERM in time.

Start-up is the time from the engine's start call to the first healthy response: the median of five starts in the hardened
container, or a single start if that took more than five seconds. Variants verified together start in turns (A B C A B C …,
``interleaved``), so that other load on the machine affects all of them. The first container is watched for 1.5 seconds after it
became healthy, then gets SIGTERM.

Evidence data: ``startup_seconds``, ``startup_samples``, ``startup_alone`` (not measured in turns with other variants),
``stop_seconds``, ``killed``, ``exit_code``, ``user`` (the real uid:gid of its process), ``posture``, and on failure
``log_tail``; for a job ``run_seconds`` and the first lines that it ``printed``.
"""

from __future__ import annotations

import itertools
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from deadweight._errors import DeadweightError, Interrupted, MissingError, UsageError, wording
from deadweight.checks.protocol import Subject, by_engine, evidence
from deadweight.checks.service import last_lines, posture, with_last_lines
from deadweight.engine.container import Container
from deadweight.engine.faults import CannotStart
from deadweight.engine.foreground import user_of
from deadweight.engine.seccomp.refused_calls import StoppedByProfile
from deadweight.records.evidence import Evidence, Status
from deadweight.suite import values
from deadweight.suite.model import Health, Variant

STARTS = 2 if os.environ.get("DEADWEIGHT_FEW_STARTS") else 5
"""Our own tests start a service twice unless they look at the times: a start is the longest part of most of them."""
SLOW_START_SECONDS = 5.0
WATCH_SECONDS = 1.5
PRINTED_LINES = 20
CLEAN_EXITS = (0, 143)
"""0, or 128 + SIGTERM: what shells and the JVM give when they end on the signal in good order."""

_IMAGE_FAULTS = ("executable file not found", "no such file or directory", "permission denied", "exec format error")
"""What runc says where the image's entrypoint is at fault, not the machine."""


@dataclass
class _Course:
    """What was seen so far."""

    samples: list[float] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)


class _Failed(DeadweightError):
    """The service misbehaved: evidence, not an error."""


class Runs:
    """The check. It is asked for of every variant that is a service. ``once``: it is started once, and timed by ``interleaved``."""

    name = "runs"
    needs_engine = True

    def __init__(self, *, once: bool = False) -> None:
        self._once = once

    def applies(self, variant: Variant) -> bool:
        return variant.runnable

    def run(self, subject: Subject) -> Evidence:
        """Start, watch and stop it. A machine that cannot start the container gives ``not_measured``."""
        started, course = time.monotonic(), _Course()
        try:
            status, reason = self._course(subject, course)
        except _Failed as failure:
            status, reason = "fail", failure.message
        except StoppedByProfile as stopped:
            status, reason = "fail", stopped.message
        except CannotStart as refusal:
            reason = subject.service.refused(refusal.message, subject.service.options())
            at_fault = reason != refusal.message or any(words in reason.lower() for words in _IMAGE_FAULTS)
            status = "fail" if at_fault else "not_measured"
        return evidence(
            subject, self.name, status, reason, provenance=by_engine(subject), started=started, data=course.data
        )

    def _course(self, subject: Subject, course: _Course) -> tuple[Status, str]:
        course.data["posture"] = posture(subject.service.options())
        if subject.variant.health.kind == "exit":
            return self._job(subject, course)
        with self._start(subject, course) as first:
            healthy_at = time.monotonic()
            course.data["user"] = user_of(first)
            self._open(subject, first)
            self._more_starts(subject, course)
            if len(course.samples) > 1:
                course.data["startup_alone"] = True
            course.data["startup_samples"] = [round(sample, 4) for sample in course.samples]
            course.data["startup_seconds"] = round(statistics.median(course.samples), 4)
            self._watch(first, healthy_at, course)
            return self._stop(subject, first, course)

    def _job(self, subject: Subject, course: _Course) -> tuple[Status, str]:
        """What is no server is well where it ends with 0; nothing is left to stop, and there is no start-up."""
        with self._start(subject, course) as container:
            lines, wanted = container.logs(None), subject.variant.checks.runs.prints
            course.data["run_seconds"], course.data["exit_code"] = round(course.samples[0], 4), 0
            course.data["printed"] = lines[:PRINTED_LINES]
            if wanted is not None and not values.matches_pattern(wanted, "\n".join(lines)):
                raise _Failed(with_last_lines(wording("checks.not_printed", pattern=wanted), container))
        return "pass", wording("checks.job_done", seconds=course.samples[0])

    def _start(self, subject: Subject, course: _Course) -> Container:
        container, readiness = subject.service.start_timed()
        if readiness.seconds is None:
            course.data["log_tail"] = last_lines(container, 20)
            reason = subject.service.why_down(readiness.reason, container)
            number = len(course.samples) + 1
            raise _Failed(reason if number == 1 else wording("checks.further_start", number=number, reason=reason))
        course.samples.append(readiness.seconds)
        return container

    def _more_starts(self, subject: Subject, course: _Course) -> None:
        """The further starts; the last container is left to the checks that follow."""
        if self._once or course.samples[0] > SLOW_START_SECONDS:
            return
        for number in range(2, STARTS + 1):
            container = self._start(subject, course)
            if number == STARTS:
                subject.service.share(container)
            else:
                container.remove()

    def _open(self, subject: Subject, container: Container) -> None:
        """It listens on the other ports too, in the time that it has to become healthy."""
        variant = subject.variant
        for port in variant.run.ports:
            found = container.wait_healthy(Health(kind="tcp", within_seconds=variant.health.within_seconds), port)
            if not found.healthy:
                raise _Failed(with_last_lines(wording("checks.port_closed", port=port, reason=found.reason), container))

    def _watch(self, container: Container, healthy_at: float, course: _Course) -> None:
        state = container.wait_ended(max(0.0, WATCH_SECONDS - (time.monotonic() - healthy_at)))
        if not state.running:
            course.data["log_tail"], course.data["exit_code"] = last_lines(container, 20), state.exit_code
            raise _Failed(with_last_lines(wording("checks.ended_later", outcome=state.told()), container))

    def _stop(self, subject: Subject, container: Container, course: _Course) -> tuple[Status, str]:
        limit = subject.variant.checks.runs.stops_within_seconds
        stopped = container.stop(limit)
        course.data["exit_code"] = stopped.exit_code
        if not stopped.in_time:
            course.data["log_tail"], course.data["killed"] = last_lines(container, 20), True
            judged = subject.variant.checks.runs.if_killed
            return judged, with_last_lines(wording("checks.not_stopped", seconds=limit), container)
        course.data["stop_seconds"] = round(stopped.seconds, 4)
        return ("pass" if stopped.exit_code in CLEAN_EXITS else "warn"), _healthy(course.data)


def interleaved(subjects: Sequence[Subject], found: Mapping[str, Evidence]) -> dict[str, Evidence]:
    """Start these variants in turns, and put the times into the evidence that ``found`` has of each by its name: of those that are
    proven to start, and not slowly. Nothing else runs meanwhile."""
    samples: dict[str, list[float]] = {
        each.variant.name: [] for each in subjects if _can_be_timed(found[each.variant.name])
    }
    evidence = dict(found)
    for number, subject in itertools.product(range(STARTS), subjects):
        name = subject.variant.name
        if name not in samples:
            continue
        try:
            container, readiness = subject.service.start_timed()
        except (Interrupted, UsageError):
            raise
        except DeadweightError as error:
            del samples[name]
            status: Status = "not_measured" if isinstance(error, CannotStart | MissingError) else "fail"
            evidence[name] = _again(found[name], status, number + 2, error.message)
            continue
        with container:
            if readiness.seconds is not None:
                samples[name].append(readiness.seconds)
                continue
            reason = subject.service.why_down(readiness.reason, container)
        del samples[name]
        evidence[name] = _again(found[name], "fail", number + 2, reason)
    return evidence | {name: _timed(found[name], times) for name, times in samples.items()}


def _again(found: Evidence, status: Status, number: int, reason: str) -> Evidence:
    told = wording("checks.further_start", number=number, reason=reason)
    return replace(found, status=status, reason=told, code=told.code)


def _can_be_timed(found: Evidence) -> bool:
    seconds = found.data.get("startup_seconds")
    return found.status in ("pass", "warn") and seconds is not None and seconds <= SLOW_START_SECONDS


def _timed(found: Evidence, times: Sequence[float]) -> Evidence:
    samples = [round(each, 4) for each in times]
    data = {**found.data, "startup_seconds": round(statistics.median(times), 4), "startup_samples": samples}
    return replace(found, data=data, reason=found.reason if data.get("killed") else _healthy(data))


def _healthy(data: Mapping[str, Any]) -> str:
    """How it started and stopped; the span of several starts that were made in turns with other variants'."""
    times = [] if data.get("startup_alone") or len(data["startup_samples"]) < 2 else data["startup_samples"]
    span = f" ({min(times):.2f} to {max(times):.2f} s in {len(times)} starts)" if times else ""
    start, stop, code = data["startup_seconds"], data["stop_seconds"], data["exit_code"]
    return wording("checks.healthy", startup=start, span=span, stop=stop, exit_code=code)


ONCE = Runs(once=True)
CHECK = Runs()
