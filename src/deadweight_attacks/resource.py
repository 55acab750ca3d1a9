"""Run attacks on memory, processes and processor, and report if the container exceeds its hardened limit.

They take turns on the machine, so that they do not starve one another. The lock is a file, so it covers several processes and
projects. An attack that makes a service stop answering has the machine alone. Attacks on the processor exclude one another.
Attacks on memory, processes or disk only exclude one that runs alone.

Each has its own container, within the outer limit of ``run_options.bounded``. ``consumption`` judges what the container uses. If
the result for processors is unclear, the attack runs again with the machine alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import os
import secrets
import socket
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight import _run
from deadweight._errors import DeadweightError, Interrupted
from deadweight.engine.http import Answer, Route
from deadweight.records.paths import user_cache
from deadweight.suite.checks import HttpRequest
from deadweight_attacks.consumption import Watch
from deadweight_attacks.containers import NOTICE_SECONDS, Yard, answer_seconds
from deadweight_attacks.deliver import BIND_PORT, Reply, Shot, send
from deadweight_attacks.lab import Lab
from deadweight_attacks.model import Payload
from deadweight_attacks.request import fill, ordered
from deadweight_attacks.session import OBEYED, Order
from deadweight_attacks.walls import wording
from deadweight_workload.api import prepare
from deadweight_workload.model import Prepared
from deadweight_workload.simplest import BODY

if TYPE_CHECKING:
    from deadweight.engine.container import Container

MACHINE = Path("/run/deadweight-attack.lock")
"""Who may not write there takes turns with themselves."""
TURN_SECONDS = 0.05


@contextlib.contextmanager
def resource_lock(*, alone: bool, processors: bool = False) -> Iterator[None]:
    """Hold the machine during an attack on resources, ``alone`` or beside others that are not; of those, one takes ``processors``.

    Raises Interrupted, DeadweightError where the lock cannot be made.
    """
    with contextlib.ExitStack() as stack:
        file = _own() if MACHINE.parent.is_dir() and not os.access(MACHINE.parent, os.W_OK) else MACHINE
        if processors:
            stack.enter_context(_locked(file.with_suffix(".processors"), fcntl.LOCK_EX))
        with _locked(file.with_suffix(".next"), fcntl.LOCK_EX):  # who waits to be alone lets nobody else begin
            stack.enter_context(_locked(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH))
        yield


def _own() -> Path:
    folder = user_cache()
    folder.mkdir(parents=True, exist_ok=True)
    return folder / MACHINE.name


@contextlib.contextmanager
def _locked(file: Path, kind: int) -> Iterator[None]:
    number = _opened(file)
    try:
        while not _try_lock(number, kind):
            if _run.cancelled():
                raise Interrupted(wording("attacker.interrupted"))
            time.sleep(TURN_SECONDS)
        yield
    finally:
        os.close(number)  # and so lets it go (flock(2))


def _opened(file: Path) -> int:
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise DeadweightError(wording("engine.no_lock", file=file, error=error.strerror)) from error


def _try_lock(number: int, kind: int) -> bool:
    try:
        fcntl.flock(number, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


# Too much of a request: a body that has no end in sight, and many requests that come a byte at a time.
CONNECTIONS = 256
"""More than the workers and threads that servers start with; within the hardened posture's open files."""
PIECE_BYTES = 2**20
BYTE_SECONDS = 0.5
HELD_SECONDS = 1.5
"""Before its end, so that what the service keeps of it can be seen."""
CLAIMED_BYTES = 10**6
BODIES = ("json", "form", BODY)
MOST_BODIES = 3


MARK = secrets.token_hex(8)
UNSENDABLE = "no request under checks.api goes to the service's own port: there is no route to send a large body to"


def requests(lab: Lab, payload: Payload) -> tuple[Prepared, ...]:
    """What is flooded: the first requests with a text in their bodies, a mark where that goes; one is enough for slow ones, and of
    those a request without a body will do. Where no request has such a body, a text in JSON is posted to the first routes: many
    servers read what they do not want."""
    by_route = {(aim.request.method, aim.request.path): aim for aim in reversed(lab.aims) if aim.kind in BODIES}
    bodies = tuple(prepare(aim.at(MARK), lab.subject.suite.root) for aim in reversed(by_route.values()))
    if payload.flood == "large":
        return (bodies or tuple(_unexpected_posts(lab)))[:MOST_BODIES]
    return bodies[:1] or (Prepared("GET", lab.variant.health.path, {}, None),)


def _unexpected_posts(lab: Lab) -> Iterator[Prepared]:
    own = [item.request for item in lab.variant.checks.api if item.request.port is None]
    for path in dict.fromkeys(request.path.partition("?")[0] for request in own):
        yield prepare(HttpRequest(method="POST", path=path, json={"text": MARK}), lab.subject.suite.root)


def flood(
    lab: Lab, yard: Yard, payload: Payload, sent: Prepared, seconds: float
) -> Answer | OSError | http.client.HTTPException:
    """Send it; what kept it from being answered is given back, not raised. ``slow`` ends when its time is over."""
    try:
        if payload.flood == "slow":
            return _slow(yard.route, sent, seconds)
        size = lab.ground.memory_bytes * 13 // 10
        head, _, tail = (sent.body or b"").partition(MARK.encode())
        length = len(head) + size + len(tail)
        return yard.route.request(
            sent.method,
            sent.path,
            headers={**sent.headers, "Content-Length": str(length)},
            body=_pieces(head, size, tail),
            timeout=seconds,
        )
    except (OSError, http.client.HTTPException) as error:
        return error


def _pieces(head: bytes, size: int, tail: bytes) -> Iterator[bytes]:
    yield head
    for start in range(0, size, PIECE_BYTES):
        yield b"a" * min(PIECE_BYTES, size - start)
    time.sleep(HELD_SECONDS)
    yield tail


def _slow(route: Route, request: Prepared, seconds: float) -> Answer:
    """Open connections, and send a byte on each now and then. The answer says how many the service took."""
    started, held = time.monotonic(), list[socket.socket]()
    try:
        for _ in range(CONNECTIONS):
            with contextlib.suppress(OSError):
                connection = route.connected(BYTE_SECONDS)
                held.append(connection)
                connection.sendall(_begun(route, request))
        while time.monotonic() - started < seconds and held:
            time.sleep(BYTE_SECONDS)
            for connection in list(held):
                try:
                    connection.sendall(b"a")
                except OSError:
                    connection.close()
                    held.remove(connection)
        text = f"held {len(held)} of {CONNECTIONS} connections"
        return Answer(200, {}, text.encode(), time.monotonic() - started)
    finally:
        for connection in held:
            connection.close()


def _begun(route: Route, request: Prepared) -> bytes:
    """The first lines of a request, and the first bytes of its body, or of a header where it has none."""
    if request.body is None:
        return f"{request.method} {request.path} HTTP/1.1\r\nHost: {route.host}\r\nX-Slow: ".encode()
    kind = request.headers.get("Content-Type", "text/plain")
    head, _, _ = request.body.partition(MARK.encode())
    lines = f"{request.method} {request.path} HTTP/1.1\r\nHost: {route.host}\r\nContent-Type: {kind}\r\n"
    return f"{lines}Content-Length: {CLAIMED_BYTES}\r\n\r\n".encode() + head


PATIENCE_SECONDS = 8.0
"""A busy machine gets so long to give the attack what it wants, or the limit that is to hold it."""
PROCESSOR_SECONDS = 1.6
"""The same of processors where a limit is to hold it, two slices and the looks between: other load does not end by waiting."""
LOOK_SECONDS = 0.05
START_SECONDS = 10.0
NOTHING = Order(("hello", "", ""))


def fire_resource(lab: Lab, yard: Yard, payload: Payload) -> Shot:
    """Send the attack, and watch until the container took more than granted, or a moment has passed."""
    if _run.cancelled():
        raise Interrupted(wording("attacker.interrupted"))
    if payload.flood is None:
        return _by_each_technique(lab, yard, payload)
    shot, lines = Shot("not_measured", UNSENDABLE), []
    for request in requests(lab, payload):
        shot = _fired(lab, yard, payload, request)
        if shot.seen != "failed":
            return replace(shot, detail={**shot.detail, "at": f"{request.method} {request.path}"})
        lines.append(f"{request.method} {request.path}: {shot.text}")
    # A flood that is still under way has arrived.
    return replace(shot, text="; ".join(lines) or shot.text, status=shot.status or OBEYED)


def _by_each_technique(lab: Lab, yard: Yard, payload: Payload) -> Shot:
    """One after another, until one takes more than is granted; where none does, what came of each."""
    if not payload.techniques:
        return _fired(lab, yard, payload, None)
    tried: dict[str, str] = {}
    for technique in payload.techniques:
        shot = _fired(lab, yard, payload.model_copy(update={"techniques": (technique,)}), None)
        if shot.seen != "failed":
            return replace(shot, detail={**shot.detail, "technique": technique})
        tried[technique] = shot.text
    text = "; ".join(f"{technique}: {came}" for technique, came in tried.items())
    return replace(shot, text=text, detail={**shot.detail, "tried": tried})


def _fired(lab: Lab, yard: Yard, payload: Payload, flooded: Prepared | None) -> Shot:
    of = payload.evidence.of or "memory"
    _ready(yard, payload)  # nobody need wait for a container to start
    with resource_lock(alone=of == "answers", processors=of == "cpu"):
        shot, certain = _sent(lab, yard, payload, flooded)
    if certain or of != "cpu":
        return shot
    _ready(yard, payload)
    with resource_lock(alone=True):
        return _sent(lab, yard, payload, flooded)[0]


def _sent(lab: Lab, yard: Yard, payload: Payload, flooded: Prepared | None) -> tuple[Shot, bool]:
    """What came of it, and whether that would be the same on an idle machine."""
    container = _ready(yard, payload)
    places = fill(lab, payload, BIND_PORT).places
    seconds = max(payload.seconds, PATIENCE_SECONDS + answer_seconds(lab.variant.health))
    with ThreadPoolExecutor(payload.parallel) as pool:
        try:
            if flooded is not None:
                sent = [pool.submit(flood, lab, yard, payload, flooded, seconds)]
            else:
                request = ordered(payload, places, lab.subject.suite.root, lab.awk)
                sent = [pool.submit(send, yard, request, seconds) for _ in range(payload.parallel)]
            return _watch(lab, yard, container, payload.evidence.of or "memory", sent)
        finally:
            _end(yard, payload)


def _ready(yard: Yard, payload: Payload) -> Container:
    """The container to attack, with the attacker's program in it before anything is measured, where that is what attacks.

    A service that has ended of the attack before is exchanged for a new one. Raises DeadweightError where nothing can be started.
    """
    container = yard.get()
    if payload.breach is None:
        return container
    try:
        yard.session.obey(NOTHING, START_SECONDS)
    except Interrupted:
        raise
    except (DeadweightError, OSError):
        yard.lost = yard.lost or not yard.alive(NOTICE_SECONDS)
        yard.spoil()
        container = yard.get()
        try:
            yard.session.obey(NOTHING, START_SECONDS)
        except OSError as error:
            raise DeadweightError(wording("attacker.not_started", error=str(error))) from error
    return container


def _end(yard: Yard, payload: Payload) -> None:
    """End the attack, and with it the requests: what came by the service's own hole ends with the service."""
    if payload.breach is not None:
        yard.hang_up()
    if payload.breach is None or yard.complaint():
        yard.spoil()


def _watch(lab: Lab, yard: Yard, container: Container, of: str, sent: Sequence[Future[Reply]]) -> tuple[Shot, bool]:
    """Look again and again until something is proven, the attack has ended, a limit was seen to hold it, or the time is over."""
    watch = Watch(lab, yard, container, of)
    limited = "limits" in yard.posture.walls and of != "answers"  # no wall limits how long an answer takes
    seconds = PROCESSOR_SECONDS if limited and of == "cpu" else PATIENCE_SECONDS
    while time.monotonic() - watch.begun < seconds:
        if _run.cancelled():
            raise Interrupted(wording("attacker.interrupted"))
        time.sleep(LOOK_SECONDS)
        over = all(future.done() for future in sent)
        if (shot := watch.sample()) is not None:
            return shot, True
        if over or (limited and watch.held):
            return watch.failed(sent), True
    return watch.failed(sent), False
