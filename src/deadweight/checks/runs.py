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
from dataclasses import replace
from typing import Any

from deadweight._errors import DeadweightError, Interrupted, MissingError, UsageError, wording
from deadweight.checks.protocol import Check, Subject, by_engine, evidence
from deadweight.checks.service import last_lines, posture, with_last_lines
from deadweight.engine.container import Container
from deadweight.engine.faults import CannotStart
from deadweight.engine.foreground import user_of
from deadweight.engine.seccomp.refused_calls import StoppedByProfile
from deadweight.records.evidence import Evidence, Status
from deadweight.suite import values
from deadweight.suite.model import Health

STARTS = 2 if os.environ.get("DEADWEIGHT_FEW_STARTS") else 5
"""Our own tests start a service twice unless they look at the times: a start is the longest part of most of them."""
SLOW_START_SECONDS = 5.0
WATCH_SECONDS = 1.5
PRINTED_LINES = 20
CLEAN_EXITS = (0, 143)
"""0, or 128 + SIGTERM: what shells and the JVM give when they end on the signal in good order."""

_IMAGE_FAULTS = ("executable file not found", "no such file or directory", "permission denied", "exec format error")
"""What runc says where the image's entrypoint is at fault, not the machine."""


class _Failed(DeadweightError):
    """The service misbehaved: evidence, not an error."""


class Runs(Check):
    """The check. It is asked for of every variant that is a service. ``once``: it is started once, and timed by ``interleaved``."""

    name = "runs"
    needs_engine = True

    def __init__(self, *, once: bool = False) -> None:
        self._once = once

    def run(self, subject: Subject) -> Evidence:
        """Start, watch and stop it. A machine that cannot start the container gives ``not_measured``."""
        started, course = time.monotonic(), _Course(subject, 1 if self._once else STARTS)
        status: Status = "fail"
        try:
            status, reason = course.run()
        except (_Failed, StoppedByProfile) as failure:
            reason = failure.message
        except CannotStart as refusal:
            reason = subject.service.refused(refusal.message, subject.service.options())
            at_fault = any(words in reason.lower() for words in _IMAGE_FAULTS)
            status = "fail" if at_fault or getattr(reason, "code", "") != refusal.code else "not_measured"
        provenance = by_engine(subject)
        return evidence(subject, self.name, status, reason, provenance=provenance, started=started, data=course.data)


class _Course:
    """What one variant's containers do, and what was seen of it so far."""

    def __init__(self, subject: Subject, starts: int) -> None:
        self.subject, self.starts, self.samples, self.data = subject, starts, list[float](), dict[str, Any]()

    def run(self) -> tuple[Status, str]:
        subject, data, health = self.subject, self.data, self.subject.variant.health
        data["posture"] = posture(subject.service.options())
        if health.kind == "exit":
            return self._job()
        with self._start() as first:
            healthy_at = time.monotonic()
            data["user"] = user_of(first)
            for port in subject.variant.run.ports:  # in the time that it has to become healthy
                opened = first.wait_healthy(Health(kind="tcp", within_seconds=health.within_seconds), port)
                if not opened.healthy:
                    raise _Failed(
                        with_last_lines(wording("checks.port_closed", port=port, reason=opened.reason), first)
                    )
            self._more_starts()
            if len(self.samples) > 1:
                data["startup_alone"] = True
            data |= _startup(self.samples)
            state = first.wait_ended(max(0.0, WATCH_SECONDS - (time.monotonic() - healthy_at)))
            if not state.running:
                data["log_tail"], data["exit_code"] = last_lines(first, 20), state.exit_code
                raise _Failed(with_last_lines(wording("checks.ended_later", outcome=state.outcome()), first))
            return self._stop(first)

    def _job(self) -> tuple[Status, str]:
        """What is no server is well where it ends with 0; nothing is left to stop, and there is no start-up."""
        with self._start() as container:
            lines, wanted = container.logs(None), self.subject.variant.checks.runs.prints
            self.data |= {"run_seconds": round(self.samples[0], 4), "exit_code": 0, "printed": lines[:PRINTED_LINES]}
            if wanted is not None and not values.matches_pattern(wanted, "\n".join(lines)):
                raise _Failed(with_last_lines(wording("checks.not_printed", pattern=wanted), container))
        return "pass", wording("checks.job_done", seconds=self.samples[0])

    def _start(self) -> Container:
        container, readiness = self.subject.service.start_timed()
        if readiness.seconds is None:
            self.data["log_tail"] = last_lines(container, 20)
            reason, number = self.subject.service.why_down(readiness.reason, container), len(self.samples) + 1
            raise _Failed(reason if number == 1 else wording("checks.further_start", number=number, reason=reason))
        self.samples.append(readiness.seconds)
        return container

    def _more_starts(self) -> None:
        """The further starts; the last container is left to the checks that follow."""
        if self.samples[0] > SLOW_START_SECONDS:
            return
        for number in range(2, self.starts + 1):
            container = self._start()
            if number == self.starts:
                self.subject.service.share(container)
            else:
                container.remove()

    def _stop(self, container: Container) -> tuple[Status, str]:
        asked, data = self.subject.variant.checks.runs, self.data
        stopped = container.stop(asked.stops_within_seconds)
        data["exit_code"] = stopped.exit_code
        if not stopped.in_time:
            data["log_tail"], data["killed"] = last_lines(container, 20), True
            reason = wording("checks.not_stopped", seconds=asked.stops_within_seconds)
            return asked.if_killed, with_last_lines(reason, container)
        data["stop_seconds"] = round(stopped.seconds, 4)
        return ("pass" if stopped.exit_code in CLEAN_EXITS else "warn"), _healthy(data)


def interleaved(subjects: Sequence[Subject], results: Mapping[str, Evidence]) -> dict[str, Evidence]:
    """Start these variants in turns, and put the times into the evidence that ``results`` has of each by its name: of those that
    are proven to start, and not slowly. Nothing else runs meanwhile."""
    samples: dict[str, list[float]] = {
        subject.variant.name: [] for subject in subjects if _can_be_timed(results[subject.variant.name])
    }
    evidence = dict(results)
    for number, subject in itertools.product(range(STARTS), subjects):
        name = subject.variant.name
        if name not in samples:
            continue
        status: Status = "fail"
        try:
            container, readiness = subject.service.start_timed()
            with container:
                if readiness.seconds is not None:
                    samples[name].append(readiness.seconds)
                    continue
                reason = subject.service.why_down(readiness.reason, container)
        except (Interrupted, UsageError):
            raise
        except DeadweightError as error:
            status, reason = "not_measured" if isinstance(error, CannotStart | MissingError) else "fail", error.message
        del samples[name]
        message = wording("checks.further_start", number=number + 2, reason=reason)
        evidence[name] = replace(results[name], status=status, reason=message, code=message.code)
    return evidence | {name: _timed(results[name], times) for name, times in samples.items()}


def _can_be_timed(result: Evidence) -> bool:
    seconds = result.data.get("startup_seconds")
    return result.status in ("pass", "warn") and seconds is not None and seconds <= SLOW_START_SECONDS


def _timed(result: Evidence, times: Sequence[float]) -> Evidence:
    data = {**result.data, **_startup(times)}
    return replace(result, data=data, reason=result.reason if data.get("killed") else _healthy(data))


def _startup(times: Sequence[float]) -> dict[str, Any]:
    samples = [round(seconds, 4) for seconds in times]
    return {"startup_samples": samples, "startup_seconds": round(statistics.median(times), 4)}


def _healthy(data: Mapping[str, Any]) -> str:
    """How it started and stopped; the span of several starts that were made in turns with other variants'."""
    times = [] if data.get("startup_alone") or len(data["startup_samples"]) < 2 else data["startup_samples"]
    span = f" ({min(times):.2f} to {max(times):.2f} s in {len(times)} starts)" if times else ""
    start, stop, code = data["startup_seconds"], data["stop_seconds"], data["exit_code"]
    return wording("checks.healthy", startup=start, span=span, stop=stop, exit_code=code)


ONCE = Runs(once=True)
CHECK = Runs()
