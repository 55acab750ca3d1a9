"""Run one side: start its image as every check does, send it the requests, end it in the midst of one, and note what was seen."""

from __future__ import annotations

import contextlib
import http.client
import re
import tarfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from deadweight._errors import DeadweightError
from deadweight.checks.service import with_last_lines
from deadweight.engine.faults import CannotStart, Ended, stop_if_cancelled
from deadweight_workload import api
from deadweight_workload.model import Step, Workload
from deadweight_workload.sources import LAST, workload_of
from deadweight_workload.twin import answers
from deadweight_workload.twin.answers import Facts
from deadweight_workload.twin.compare import ENDED, LOADED
from deadweight_workload.twin.process import seen_by

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject
    from deadweight.engine.container import Container

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
AT_ONCE = 8
SLOW_SECONDS, GRACE_SECONDS, PROMPT_SECONDS = 1.0, 0.3, 2.0
MOST_PATHS = 50
NO_ANSWER = (OSError, http.client.HTTPException, Ended)
_FAULTS = re.compile(r"(?i)\b(error|exception|fatal|panic|traceback|fail(ed|ure)?|critical|denied|cannot|no such)\b")
_CHANGING = re.compile(r"\x1b\[[\d;]*m|0x[0-9a-f]+|\b[0-9a-f-]*\d[0-9a-f-]{7,}\b|\d+")


@dataclass
class Run:
    """What was seen of one container. ``seconds`` are those of each request."""

    facts: Facts
    seconds: dict[str, float]


def requests_of(subject: Subject) -> Workload:
    """The requests of a subject, asked of a container of its own. Raises ServiceDown where that does not come up."""
    subject = replace(subject, service=None)  # type: ignore[arg-type]
    try:
        return workload_of(subject, subject.service.get())
    finally:
        subject.service.close()


def run(subject: Subject, steps: Sequence[Step]) -> Run:
    """One container from its start to its end, with what it needs beside it."""
    subject = replace(subject, service=None)  # type: ignore[arg-type]
    seen = Run({}, {})
    try:
        container, readiness = subject.service.start_timed()
        with container:
            seen.facts["start", "healthy"] = (
                "yes" if readiness.healthy else with_last_lines(readiness.reason, container)
            )
            if readiness.healthy:
                seen.facts |= {("process", name): value for name, value in seen_by(container).items()}
                if _asked(subject, container, steps, seen):
                    _at_once(subject, container, steps, seen)
                    seen.facts["ports", "listening"] = _ports(container)
                    seen.facts |= _ended(subject, container, _slowest(steps, seen.seconds), seen.seconds)
            seen.facts |= {("log", line): "logged" for line in faults(container)}
            seen.facts |= {("files", path): how for path, how in _written(container).items()}
    except CannotStart as refusal:
        seen.facts["start", "healthy"] = refusal.message
    finally:
        subject.service.close()
    return seen


def prepared(subject: Subject, step: Step) -> api.Prepared:
    """A step as it is sent: compressed answers are welcome, as to a browser."""
    request = api.prepare(step.request, subject.suite.root)
    return replace(request, headers={"Accept-Encoding": "gzip", **request.headers})


def _asked(subject: Subject, container: Container, steps: Sequence[Step], seen: Run) -> bool:
    """Send each step, one at a time. False: the service ended."""
    for step in steps:
        stop_if_cancelled()
        started = time.monotonic()
        try:
            answer = api.send(container, prepared(subject, step))
            fields = answers.facts(answer, time.time())
        except NO_ANSWER as error:
            fields = {"status": f"no answer ({type(error).__name__})"}
            if not (state := container.wait_ended(1.0)).running:
                seen.facts[ENDED] = f"at {step.name}, exit code {state.exit_code}"
                return False
        seen.seconds[step.name] = time.monotonic() - started
        seen.facts |= {(step.name, name): value for name, value in fields.items()}
    return True


def _at_once(subject: Subject, container: Container, steps: Sequence[Step], seen: Run) -> None:
    """Send all steps again, several at the same time: safe ones only where others would change what it needs."""
    free = not subject.variant.run.needs
    chosen = [step for step in steps if step.request.method in SAFE or (free and not LAST.search(step.request.path))]

    def ask(step: Step) -> str:
        try:
            return answers.shape(api.send(container, prepared(subject, step)))
        except NO_ANSWER as error:
            return f"no answer ({type(error).__name__})"

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for step, shape in zip(chosen, pool.map(ask, chosen), strict=True):
            seen.facts[step.name, LOADED] = shape


def _slowest(steps: Sequence[Step], seconds: Mapping[str, float]) -> Step:
    """The request in whose midst to end a service: one that takes its time, else one with a body that can be held back."""
    steps = [step for step in steps if not LAST.search(step.request.path)] or steps
    slowest = max(steps, key=lambda step: seconds.get(step.name, 0.0))
    held = (step for step in steps if step.request.method not in SAFE)
    return slowest if seconds.get(slowest.name, 0.0) >= SLOW_SECONDS else next(held, slowest)


def _ended(subject: Subject, container: Container, step: Step, seconds: Mapping[str, float]) -> Facts:
    """Send SIGTERM while a request runs. One that is over at once is held back by its last byte, sent after the signal."""
    request, within = prepared(subject, step), subject.variant.checks.runs.stops_within_seconds
    slow, answered, signalled = seconds.get(step.name, 0.0) >= SLOW_SECONDS, "cut off", 0.0
    headers = {"Host": "localhost", "Connection": "close", **request.headers}
    headers |= {} if request.body is None else {"Content-Length": str(len(request.body))}
    lines = [f"{request.method} {request.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    message = "\r\n".join([*lines, "", ""]).encode() + (request.body or b"")
    with contextlib.suppress(*NO_ANSWER), container.http(request.port).connected(within) as connection:
        connection.sendall(message if slow else message[:-1])
        time.sleep(SLOW_SECONDS / 2 if slow else GRACE_SECONDS)
        signalled = _terminate(container)
        if not slow:
            time.sleep(GRACE_SECONDS)
            connection.sendall(message[-1:])
        status = connection.recv(4096).split(b" ", 2)[1:2]
        answered = f"answered with {status[0].decode(errors='replace')}" if status else answered
    signalled = signalled or _terminate(container)
    state = container.wait_ended(max(0.0, signalled + within - time.monotonic()))
    if state.running:
        container.signal("SIGKILL")
        container.wait_ended(10)
        return {("SIGTERM", "ended"): f"killed after {within:g} s", ("SIGTERM", "running request"): answered}
    took = "at once" if time.monotonic() - signalled < PROMPT_SECONDS else f"after {PROMPT_SECONDS:g} s or more"
    return {
        ("SIGTERM", "ended"): took,
        ("SIGTERM", "exit code"): str(state.exit_code),
        ("SIGTERM", "running request"): answered,
    }


def _terminate(container: Container) -> float:
    container.signal("SIGTERM")
    return time.monotonic()


def _ports(container: Container) -> str:
    """What it listens on, without ports that the kernel chose."""
    listeners = container.listeners() or ()
    ports = {
        f"{listener.port}{' (loopback)' if listener.loopback else ''}"
        for listener in listeners
        if listener.port < 32768
    }
    return ", ".join(sorted(ports)) or "none"


def faults(container: Container) -> list[str]:
    """The different lines that tell of an error, without numbers and ids."""
    lines = (answers.steady(line, time.time()) for line in container.last_output(5000))
    return list(dict.fromkeys(_CHANGING.sub("#", line).strip() for line in lines if _FAULTS.search(line)))[:200]


def _written(container: Container) -> dict[str, str]:
    """What it wrote into its image's files, and whose that is."""
    try:
        changes: list[dict[str, Any]] = container.api.diff(container.id) or []
    except Exception as error:  # the SDK's own; an engine may not tell of a container that ended
        return {"unknown": type(error).__name__}
    kinds, paths = ("changed", "written", "removed"), [str(change["Path"]) for change in changes]
    leaves = [change for change in changes if not any(path.startswith(f"{change['Path']}/") for path in paths)]
    written = {}
    for change in leaves[:MOST_PATHS]:
        owner = "" if change["Kind"] == 2 else _owner(container, change["Path"])
        written[_CHANGING.sub("#", change["Path"])] = kinds[change["Kind"]] + owner
    return written


def _owner(container: Container, path: str) -> str:
    with contextlib.suppress(DeadweightError, tarfile.TarError, OSError):
        stream, _ = container.api.get_archive(container.id, path)
        with contextlib.closing(stream):
            member = tarfile.TarInfo.frombuf(next(stream)[:512], "utf-8", "replace")
        return f" by {member.uid}:{member.gid}"
    return ""
