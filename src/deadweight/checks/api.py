"""``api``: declarative HTTP requests to the running service, and what must come back.

Evidence data: ``items``, one per request: ``name``, ``status`` (pass, fail), ``reason``, ``seconds``, ``http_status`` (None where
no answer came), ``request`` (method and path).
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from deadweight._errors import UsageError
from deadweight._said import plain
from deadweight.checks.evidence import by_engine, evidence
from deadweight.checks.http_match import problems
from deadweight.checks.http_request import Prepared, prepare
from deadweight.checks.protocol import Subject
from deadweight.checks.service import ServiceDown
from deadweight.engine.container import Container
from deadweight.engine.faults import Ended
from deadweight.engine.http import Answer
from deadweight.records.evidence import Evidence
from deadweight.suite.model import Variant
from deadweight.suite.requests import ApiCheck

ANSWER_SECONDS = 60.0


@dataclass(frozen=True)
class ItemResult:
    """What came of one request. ``seconds`` is the time to the whole answer."""

    name: str
    status: Literal["pass", "fail"]
    reason: str
    seconds: float
    request: str
    http_status: int | None


class Api:
    """The check. It is asked for where the variant has items under ``checks.api``."""

    name = "api"
    needs_engine = True

    def applies(self, variant: Variant) -> bool:
        return variant.runnable and bool(variant.checks.api)

    def run(self, subject: Subject) -> Evidence:
        """Send every request, also after one failed."""
        started = time.monotonic()
        results = []
        for item in subject.variant.checks.api:
            try:
                results.append(run_item(subject, item))
            except ServiceDown as down:
                return came_down(subject, down, time.monotonic() - started)
        return summed_up(subject, results, time.monotonic() - started)


def summed_up(subject: Subject, results: Sequence[ItemResult], seconds: float) -> Evidence:
    """The evidence of all items together."""
    failed = [result for result in results if result.status == "fail"]
    reason = f"{len(results) - len(failed)} of {len(results)} answers as expected"
    if failed:
        reason += f"; {failed[0].name}: {failed[0].reason}"
    return evidence(
        subject,
        "api",
        "fail" if failed else "pass",
        reason,
        provenance=by_engine(subject),
        started=time.monotonic() - seconds,
        data={"items": [asdict(result) for result in results]},
    )


def came_down(subject: Subject, down: ServiceDown, seconds: float) -> Evidence:
    """The evidence where the service does not come up: nothing more is asked of it."""
    started = time.monotonic() - seconds
    return evidence(subject, "api", "fail", down.message, provenance=by_engine(subject), started=started)


def run_item(subject: Subject, item: ApiCheck) -> ItemResult:
    """Send one request to the shared service. Raises ServiceDown where that does not come up, ConfigError for a wrong item."""
    try:
        request = prepare(item.request, subject.suite.root)
    except UsageError as error:
        raise subject.suite.error(subject.variant, "checks", f"api: {item.name}: {error.message}") from error
    container = subject.service.get()
    started = time.monotonic()
    answer: Answer | None = None
    try:
        answer = _send(container, request)
        found = problems(item.expect, answer)
    except (OSError, http.client.HTTPException, Ended) as error:
        found = [f"no answer: {error or type(error).__name__}"]
    obituary = subject.service.obituary() if answer is None else None
    if obituary:
        found.append(obituary)
    return ItemResult(
        name=item.name,
        status="fail" if found else "pass",
        reason=plain("; ".join(found)),
        seconds=round(time.monotonic() - started, 4),
        request=f"{request.method} {request.path}",
        http_status=None if answer is None else answer.status,
    )


def _send(container: Container, request: Prepared) -> Answer:
    return container.http(request.port).request(
        request.method, request.path, headers=request.headers, body=request.body, timeout=ANSWER_SECONDS
    )


CHECK = Api()
