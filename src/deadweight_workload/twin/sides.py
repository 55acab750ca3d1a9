"""Run one side: start its image as every check does, send it the requests, end it in the midst of one, and note what was seen."""

from __future__ import annotations

import contextlib
import http.client
import re
import select
import tarfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from deadweight._errors import DeadweightError
from deadweight.checks.service import with_last_lines
from deadweight.engine.faults import CannotStart, Ended, stop_if_cancelled
from deadweight.engine.http import MAX_BODY_BYTES, Answer
from deadweight.engine.options import hardened_for
from deadweight_workload import api, sources
from deadweight_workload.ids import ids_of
from deadweight_workload.model import Prepared, Step, Workload
from deadweight_workload.sources import LAST, workload_of
from deadweight_workload.twin import answers
from deadweight_workload.twin.answers import Facts
from deadweight_workload.twin.compare import CONTENTS, ENDED, LOADED
from deadweight_workload.twin.probes import Probe, Speaks, probes
from deadweight_workload.twin.process import held_by, seen_by

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject
    from deadweight.engine.container import Container

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
AT_ONCE = 8
SLOW_SECONDS, GRACE_SECONDS, PROMPT_SECONDS, CONTINUE_SECONDS, SIGNAL_SECONDS = 1.0, 0.3, 2.0, 1.0, 5.0
SIGNALS = ("SIGINT", "SIGHUP")
"""Sent beside SIGTERM."""
MOST_PATHS, USAGE_LINES = 50, 200
NO_ANSWER = (OSError, http.client.HTTPException, Ended)
_FAULTS = re.compile(r"(?i)\b(error|exception|fatal|panic|traceback|fail(ed|ure)?|critical|denied|cannot|no such)\b")
_CHANGING = re.compile(r"\x1b\[[\d;]*m|0x[0-9a-f]+|\b[0-9a-f-]*\d[0-9a-f-]{7,}\b|\d+")


@dataclass
class Run:
    """What was seen of one container. ``seconds`` are those of each request; ``alone`` is the shape of its answer when nothing else
    was asked."""

    facts: Facts = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    alone: dict[str, str] = field(default_factory=dict)


def requests_of(subject: Subject, *, probing: bool) -> Workload:
    """The requests of a subject, asked of a container of its own; probes come before what may end it. Raises ServiceDown where that
    does not come up."""
    subject = replace(subject, service=None)  # type: ignore[arg-type]
    try:
        work = workload_of(subject, container := subject.service.get())
        if not probing or not work.steps or subject.variant.health.kind == "grpc":
            return work

        def ask(step: Step) -> Answer | None:
            with contextlib.suppress(*NO_ANSWER):
                return answered(subject, container, step)
            return None

        made = tuple(probes(work.steps, ask))
        last = [bool(step.source != "suite" and LAST.search(step.operation)) for step in work.steps]
        first = last.index(True) if True in last else len(last)
        return replace(work, steps=(*work.steps[:first], *made, *work.steps[first:]))
    finally:
        subject.service.close()


def run(subject: Subject, steps: Sequence[Step]) -> Run:
    """One container from its start to its end, with what it needs beside it."""
    subject = replace(subject, service=None)  # type: ignore[arg-type]
    seen = Run()
    try:
        container, readiness = subject.service.start_timed()
        with container:
            seen.facts["start", "healthy"] = (
                "yes" if readiness.healthy else with_last_lines(readiness.reason, container)
            )
            if readiness.healthy:
                seen.facts |= {("process", name): value for name, value in seen_by(container).items()}
                seen.facts |= {("image", name): value for name, value in held_by(container).items()}
                if _asked(subject, container, steps, seen):
                    _at_once(subject, container, steps, seen)
                    seen.facts["ports", "listening"] = _ports(container)
                    seen.facts |= _ended(subject, container, _slowest(steps, seen.seconds), seen)
            seen.facts |= {("log", line): "logged" for line in faults(container)}
            seen.facts |= {("files", path): how for path, how in _written(container).items()}
    except CannotStart as refusal:
        seen.facts["start", "healthy"] = refusal.message
    finally:
        subject.service.close()
    return seen


def answered(subject: Subject, container: Container, step: Step) -> Answer:
    """The answer to a step. What later ones need of it is noted. Raises as ``api.send``."""
    request = prepared(subject, container, step)
    speaks = step.speaks if isinstance(step, Probe) else "1.1"
    limit = _limit(step)
    answer = api.send(container, request, limit) if speaks == "1.1" else _spoken(container, request, speaks, limit)
    ids_of(container).hear(step, request, answer)
    return answer


def _limit(step: Step) -> float:
    """Seconds: what answers for ever is not waited for, unless the suite says so."""
    return api.ANSWER_SECONDS if step.source == "suite" else sources.SECONDS


def prepared(subject: Subject, container: Container, step: Step) -> Prepared:
    """A step as it is sent: compressed answers are welcome, as to a browser."""
    request = ids_of(container).filled(step, api.prepare(step.request, subject.suite.root))
    return replace(request, headers={"Accept-Encoding": "gzip", **request.headers})


def _head(request: Prepared, version: str = "1.1") -> bytes:
    headers = {**({"Host": "localhost"} if version == "1.1" else {}), "Connection": "close", **request.headers}
    headers |= {} if request.body is None else {"Content-Length": str(len(request.body))}
    lines = [
        f"{request.method} {request.path} HTTP/{version}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")


def _spoken(container: Container, request: Prepared, speaks: Speaks, limit: float) -> Answer:
    """An answer to what http.client does not say. A body waits for a moment for ``100 Continue``, as curl's does."""
    started, version = time.monotonic(), "1.0" if speaks == "1.0" else "1.1"
    if speaks == "expect":
        request = replace(request, headers={**request.headers, "Expect": "100-continue"})
    with container.http(request.port).connected(limit) as connection:
        connection.sendall(_head(request, version))
        if speaks == "expect":
            select.select([connection], [], [], CONTINUE_SECONDS)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(request.body or b"")
        response = http.client.HTTPResponse(connection, method=request.method)
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, response.read(MAX_BODY_BYTES), time.monotonic() - started)


def _asked(subject: Subject, container: Container, steps: Sequence[Step], seen: Run) -> bool:
    """Send each step, one at a time. False: the service ended."""
    ids = ids_of(container)
    for step in steps:
        stop_if_cancelled()
        started = time.monotonic()
        try:
            answer = answered(subject, container, step)
            seen.alone[step.name] = answers.shape(answer)
            if written := answers.escapes(answer):
                seen.facts[CONTENTS, f"escapes in the answer to {step.name}"] = written
            fields = {name: ids.hidden(value) for name, value in answers.facts(answer, time.time()).items()}
        except NO_ANSWER as error:
            fields = {"status": f"no answer ({type(error).__name__})"}
            if not (state := container.wait_ended(1.0)).running:
                seen.facts[ENDED] = f"at {step.name}, exit code {state.exit_code}"
                return False
        seen.seconds[step.name] = time.monotonic() - started
        seen.facts |= {(step.name, name): value for name, value in fields.items()}
    return True


def _at_once(subject: Subject, container: Container, steps: Sequence[Step], seen: Run) -> None:
    """Send all steps again, several at the same time: first what changes nothing, then the others, where no need keeps it."""
    asked = [step for step in steps if step.source != "probe" and not LAST.search(step.request.path)]
    safe = [step for step in asked if step.request.method in SAFE]
    others = [] if subject.variant.run.needs else [step for step in asked if step not in safe]

    def ask(step: Step) -> str:
        try:
            return answers.shape(api.send(container, prepared(subject, container, step), _limit(step)))
        except NO_ANSWER as error:
            return f"no answer ({type(error).__name__})"

    for chosen in (safe, others):
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for step, shape in zip(chosen, pool.map(ask, chosen), strict=True):
                seen.facts[step.name, LOADED] = shape


def _slowest(steps: Sequence[Step], seconds: Mapping[str, float]) -> Step:
    """The request in whose midst to end a service: one that takes its time, else one with a body that can be held back."""
    steps = [step for step in steps if step.source != "probe" and not LAST.search(step.request.path)] or steps
    slowest = max(steps, key=lambda step: seconds.get(step.name, 0.0))
    held = (step for step in steps if step.request.method not in SAFE)
    return slowest if seconds.get(slowest.name, 0.0) >= SLOW_SECONDS else next(held, slowest)


def _ended(subject: Subject, container: Container, step: Step, seen: Run) -> Facts:
    """Send SIGTERM while a request runs. One that is over at once is held back by its last byte, sent after the signal."""
    request, within = prepared(subject, container, step), subject.variant.checks.runs.stops_within_seconds
    slow, outcome, signalled = seen.seconds.get(step.name, 0.0) >= SLOW_SECONDS, "cut off", 0.0
    message = _head(request) + (request.body or b"")
    with contextlib.suppress(*NO_ANSWER), container.http(request.port).connected(within) as connection:
        connection.sendall(message if slow else message[:-1])
        time.sleep(SLOW_SECONDS / 2 if slow else GRACE_SECONDS)
        signalled = _terminate(container)
        if not slow:
            time.sleep(GRACE_SECONDS)
            connection.sendall(message[-1:])
        status = connection.recv(4096).split(b" ", 2)[1:2]
        outcome = f"answered with {status[0].decode(errors='replace')}" if status else outcome
    signalled = signalled or _terminate(container)
    state = container.wait_ended(max(0.0, signalled + within - time.monotonic()))
    if state.running:
        container.signal("SIGKILL")
        container.wait_ended(10)
        return {("SIGTERM", "ended"): f"killed after {within:g} s", ("SIGTERM", "running request"): outcome}
    took = "at once" if time.monotonic() - signalled < PROMPT_SECONDS else f"after {PROMPT_SECONDS:g} s or more"
    return {
        ("SIGTERM", "ended"): took,
        ("SIGTERM", "exit code"): str(state.exit_code),
        ("SIGTERM", "running request"): outcome,
    }


def signalled(subject: Subject) -> Facts:
    """How it ends on each of ``SIGNALS``, each sent to a container of its own, and what it prints when started with ``-h``."""
    facts = _usage(subject)
    for name in SIGNALS:
        own = replace(subject, service=None).service  # type: ignore[arg-type]
        with contextlib.suppress(CannotStart), contextlib.closing(own):
            container, readiness = own.start_timed()
            with container:
                if readiness.healthy:
                    container.signal(name)
                    state = container.wait_ended(SIGNAL_SECONDS)
                    facts[name, "exit code"] = "none" if state.running else str(state.exit_code)
    return facts


def _usage(subject: Subject) -> Facts:
    """What tells how to start it, and is no behaviour of the service; nothing where it starts all the same."""
    options = hardened_for(subject.variant, subject.engine().images.need(image := subject.engine_image()).user)
    with contextlib.suppress(CannotStart), subject.engine().start(image, options.but(args=("-h",))) as container:
        if not container.wait_ended(SIGNAL_SECONDS).running:
            lines = (answers.steady(line, time.time()) for line in container.last_output(USAGE_LINES))
            return {(CONTENTS, "usage text"): "\n".join(lines)}
    return {}


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
