"""Run the ``api`` check: send HTTP requests to the service and compare the responses.

Evidence data: ``items``, one per request: ``name``, ``status`` (pass, fail), ``reason``, ``seconds``, ``http_status`` (None
without a response), ``request`` (method and path); ``ledger``: how many operations these ask, and the known ones that nothing asks.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from deadweight._errors import UsageError, joined
from deadweight._log_excerpt import plain
from deadweight._packages import attacks, workload
from deadweight.checks.protocol import Check, Subject, by_engine, evidence
from deadweight.checks.service import ServiceDown
from deadweight.engine.container import Container
from deadweight.engine.faults import Ended
from deadweight.engine.health import call_grpc
from deadweight.engine.http import MAX_BODY_BYTES, Answer
from deadweight.records.evidence import Evidence, Status
from deadweight.suite import values
from deadweight.suite.checks import ApiCheck, HttpExpect, HttpRequest
from deadweight_workload.grpc import GRPC, call_stream
from deadweight_workload.ids import ids_of
from deadweight_workload.model import Prepared, StepCheck, wording

# Turns a request of the suite into bytes.

_UNQUOTED = "/?&=%:+,;@~$!'()*-._"


def prepare(request: HttpRequest, root: Path) -> Prepared:
    """Build body and headers; ``root`` is the suite's folder. Raises UsageError for a body_file that cannot be read."""
    kind, body = _body(request, root)
    headers = dict(request.headers)
    if kind is not None and "content-type" not in {name.lower() for name in headers}:
        headers["Content-Type"] = kind
    path = request.path if request.path.startswith("/") else f"/{request.path}"
    return Prepared(request.method, urllib.parse.quote(path, safe=_UNQUOTED), headers, body, request.port)


def _body(request: HttpRequest, root: Path) -> tuple[str | None, bytes | None]:
    if request.json_body is not None:
        return "application/json", _encoded(request.json_body, request.repeat).encode()
    if request.form is not None:
        form = urllib.parse.urlencode(_repeated(request.form, request.repeat))
        return "application/x-www-form-urlencoded", form.encode()
    if request.body is not None:
        return None, request.body.encode() * request.repeat_body
    if request.body_file is not None:
        file = root / request.body_file
        try:
            return None, file.read_bytes() * request.repeat_body
        except OSError as error:
            raise UsageError(wording("checks.body_file_unreadable", file=file, problem=error.strerror)) from error
    return None, None


def _repeated(content: Mapping[str, object], repeat: Mapping[str, int]) -> dict[str, object]:
    return {key: str(value) * repeat[key] if key in repeat else value for key, value in content.items()}


def _encoded(content: Any, repeat: Mapping[str, int]) -> str:
    """Content as JSON. What is repeated is encoded once: escapes never reach across two characters."""
    if not repeat:
        return json.dumps(content, ensure_ascii=False)
    texts = {
        key: json.dumps(str(value) if key in repeat else value, ensure_ascii=False) for key, value in content.items()
    }
    texts |= {key: f'"{texts[key][1:-1] * times}"' for key, times in repeat.items()}
    return "{" + ", ".join(f"{json.dumps(key, ensure_ascii=False)}: {text}" for key, text in texts.items()) + "}"


# Compares an HTTP answer with what is expected of it, and says in words where they differ.

SHOWN = 120
MOST_PROBLEMS = 10


def problems(expect: HttpExpect, answer: Answer) -> list[str]:
    """What differs, at most ten differences; empty where the answer is as expected."""
    diffs = []
    if answer.truncated:
        diffs.append(f"body: longer than {MAX_BODY_BYTES // 2**20} MiB, so only its beginning was read")
    if answer.status != expect.status:
        diffs.append(f"status: expected {expect.status}, got {answer.status} ({_cut(answer.text())})")
    diffs += [problem for name, wanted in expect.headers.items() for problem in _header(name, wanted, answer.headers)]
    if expect.json_subset is not None:
        try:
            diffs += subset_problems(expect.json_subset, answer.json())
        except ValueError as error:
            diffs.append(f"body: expected JSON, got {_cut(answer.text())} ({error})")
    text = answer.text()
    if expect.body_contains is not None and expect.body_contains not in text:
        diffs.append(wording("checks.not_in_body", expected=_cut(expect.body_contains), found=_cut(text)))
    if expect.body_matches is not None and not values.matches_pattern(expect.body_matches, text):
        diffs.append(wording("checks.no_match", pattern=expect.body_matches, found=_cut(text)))
    return diffs[:MOST_PROBLEMS]


def subset_problems(expected: Any, actual: Any, path: str = "$") -> Iterator[str]:
    """Where ``actual`` is not a superset of ``expected``: each named key must be there and equal; lists match item by item.

    Numbers are equal by value (1 and 1.0), but never to booleans.
    """
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        for key, value in expected.items():
            if key in actual:
                yield from subset_problems(value, actual[key], f"{path}.{key}")
            else:
                keys = ", ".join(actual) or "none"
                yield wording("checks.no_key", place=f"{path}.{key}", expected=_cut(value), keys=keys)
    elif isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            yield f"{path}: expected {len(expected)} items, got {len(actual)}: {_cut(actual)}"
        for index, (wanted, entry) in enumerate(zip(expected, actual, strict=False)):
            yield from subset_problems(wanted, entry, f"{path}[{index}]")
    elif isinstance(expected, str) and isinstance(actual, str):
        if expected != actual:
            yield _text_difference(path, expected, actual)
    elif isinstance(expected, bool) != isinstance(actual, bool) or expected != actual:
        yield f"{path}: expected {_cut(expected)}, got {_cut(actual)}"


def _header(name: str, wanted: str, headers: Mapping[str, str]) -> Iterator[str]:
    actual = headers.get(name.lower())
    if actual is None:
        yield wording("checks.no_header", name=name, expected=wanted)
    elif actual != wanted and actual.split(";", 1)[0].strip() != wanted:
        yield f"header {name}: expected {wanted!r}, got {actual!r}"


def _text_difference(path: str, expected: str, actual: str) -> str:
    """Short texts whole; of long ones the surroundings of the first difference."""
    if len(expected) <= SHOWN and len(actual) <= SHOWN:
        return f"{path}: expected {_quoted(expected)}, got {_quoted(actual)}"
    pairs = enumerate(zip(expected, actual, strict=False))
    at = next((index for index, (one, other) in pairs if one != other), min(len(expected), len(actual)))
    near = slice(max(0, at - 20), at + 40)
    parts = {"expected": _quoted(expected[near]), "found": _quoted(actual[near])}
    return wording("checks.texts_differ", place=path, at=at + 1, lengths=(len(expected), len(actual)), **parts)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _cut(value: Any) -> str:
    """A value as JSON, short enough for a message."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}… ({len(text)} characters)"


ANSWER_SECONDS, OWN_SECONDS = 60.0, 16.0
"""For an answer to the suite's requests, and to those of our own: twice what these may take when they are settled."""


@dataclass(frozen=True)
class ItemResult:
    """What came of one request. ``seconds`` is the time to the whole answer; ``walls`` are keys under ``run:``: without any one of
    these settings the same request works (``several``: only without some of them at once)."""

    name: str
    status: Literal["pass", "fail"]
    reason: str
    seconds: float
    request: str
    http_status: int | None
    walls: tuple[str, ...] = ()


class Api(Check):
    """The check. It is asked for where the variant has items under ``checks.api``."""

    name = "api"
    needs_engine = True

    def run(self, subject: Subject) -> Evidence:
        """Send every request, also after one failed."""
        started = time.monotonic()
        results = []
        for item in subject.variant.checks.api:
            try:
                results.append(run_item(subject, item))
            except ServiceDown as down:
                return came_down(subject, down, started)
        return summed_up(subject, _explained(subject, results), started)


def _explained(subject: Subject, results: Sequence[ItemResult]) -> list[ItemResult]:
    """With the walls that each failed request fails at, where there are any."""
    failed = [result.name for result in results if result.status == "fail"]
    walls = attacks.culprits(subject, failed) if failed else {}
    return [
        replace(
            result,
            reason=f"{result.reason}; it works without {' or without '.join(walls[result.name].values())}",
            walls=tuple(walls[result.name]),
        )
        if result.name in walls
        else result
        for result in results
    ]


def summed_up(subject: Subject, results: Sequence[ItemResult], started: float) -> Evidence:
    """The evidence of all items together."""
    failed = [result for result in results if result.status == "fail"]
    reason: str = wording("checks.answers", passed=len(results) - len(failed), total=len(results))
    if failed:
        reason = joined(reason, f"{failed[0].name}: {failed[0].reason}")
    status: Status = "fail" if failed else "pass"
    ledger = workload.suite_workload(subject).ledger()
    if ledger.unasked:
        reason = joined(reason, wording("checks.operations_asked", asked=ledger.asked, known=ledger.known))
    data = {"items": [asdict(result) for result in results], "ledger": ledger.document()}
    return evidence(subject, "api", status, reason, provenance=by_engine(subject), started=started, data=data)


def came_down(subject: Subject, down: ServiceDown, started: float) -> Evidence:
    """The evidence where the service does not come up: nothing more is asked of it."""
    return evidence(subject, "api", "fail", down.message, provenance=by_engine(subject), started=started)


def run_item(subject: Subject, item: ApiCheck) -> ItemResult:
    """Send one request to the shared service. Raises ServiceDown where that does not come up, ConfigError for a wrong item."""
    try:
        request = prepare(item.request, subject.suite.root)
    except UsageError as error:
        raise subject.suite.error(subject.variant, "checks", f"api: {item.name}: {error.message}") from error
    container = subject.service.get()
    step, ids = item.step if isinstance(item, StepCheck) else None, ids_of(container)
    request = ids.filled(step, request) if step else request
    started = time.monotonic()
    answer: Answer | None = None
    try:
        answer = send(container, request, OWN_SECONDS if step and step.source != "suite" else ANSWER_SECONDS)
        if step:
            ids.hear(step, request, answer)
        reasons = problems(item.expect, answer)
    except (OSError, http.client.HTTPException, Ended) as error:
        reasons = [wording("checks.no_answer", problem=error or type(error).__name__)]
    obituary = subject.service.obituary() if answer is None else None
    if obituary:
        reasons.append(obituary)
    return ItemResult(
        name=item.name,
        status="fail" if reasons else "pass",
        reason=plain("; ".join(reasons)),
        seconds=round(time.monotonic() - started, 4),
        request=f"{request.method} {request.path}",
        http_status=None if answer is None else answer.status,
    )


def send(
    container: Container, request: Prepared, seconds: float = ANSWER_SECONDS, most: int = MAX_BODY_BYTES
) -> Answer:
    """The answer within so many seconds, of its body at most so many bytes. A gRPC call's has the status among its headers.

    Raises OSError, HTTPException, Ended.
    """
    route = container.http(request.port)
    sent, framed = {name.lower(): value for name, value in request.headers.items()}, request.body or b""
    if sent.get("content-type") == GRPC:
        started = time.monotonic()
        if "grpc-timeout" in sent:
            headers, body = call_stream(route, request.path, framed)
        else:
            headers, body = call_grpc(route, request.path, framed, seconds, most)
        status = int(headers.get(":status", 0))
        return Answer(status, headers, body, time.monotonic() - started)
    return route.request(
        request.method, request.path, headers=request.headers, body=request.body, timeout=seconds, most=most
    )


CHECK = Api()
