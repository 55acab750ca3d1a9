"""Probe whether a service is up, by the kind of health check that the suite names.

gRPC's health check is one message, sent with h2: grpcio-health-checking would bring grpcio, a C library, and take 130 ms to import.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import ipaddress
import re
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError, wording
from deadweight.engine import netns
from deadweight.suite.model import Health, status_matches

if TYPE_CHECKING:
    from deadweight.engine.http import Route


@dataclass(frozen=True)
class ExecResult:
    """What a program run inside the container gave. Exit codes 126 and 127: it could not be started, it is not there."""

    exit_code: int
    output: bytes
    errors: bytes


Run = Callable[[Sequence[str], float], ExecResult]
"""Runs a program in the container within so many seconds."""

EXEC_SECONDS = 2.0
"""To start a program takes an engine a part of a second: the last question before the deadline would never be answered."""

Question = Callable[[float], str]
"""Takes a time limit in seconds. Gives nothing where the service is up, else in one clause why it is not.

Raises OSError, HTTPException or DeadweightError where it cannot be asked."""

MAX_HEALTH_BYTES = 8 * 2**20
"""The largest page that an answer to this question may be: what is longer may have no end, and is no sign of health."""

PEEK_SECONDS = 0.25
"""An engine's proxy takes every connection to a published port, and ends it at once where nobody listens behind it."""


def question(health: Health, way: Callable[[], Route], run: Run) -> Question:
    """The question that this health asks of a container; ``way`` finds the way to its port, once."""
    if health.kind == "exec":
        return lambda limit: _exec(run, health, limit)
    route = functools.cache(way)
    if health.kind == "tcp":
        return lambda limit: _tcp(route(), limit)
    if health.kind == "grpc":
        return lambda limit: check_grpc(route(), health.service, limit)
    return lambda limit: _http(route(), health, limit)


def unanswered(health: Health, error: Exception) -> str:
    """One clause on a question that could not be asked."""
    if isinstance(error, DeadweightError):
        return error.message
    asked = {"http": f"GET {health.path}", "tcp": "TCP"}.get(health.kind, health.kind)
    return wording("engine.question_failed", question=asked, problem=error if str(error) else type(error).__name__)


def advice(health: Health, last: str) -> str:
    """The next step if the right port is open and its answer is not what is healthy; empty if none is known."""
    if health.kind != "http":
        return ""
    if hint := getattr(last, "hint", None):
        return str(hint)
    other = ("closed connection", "reset by peer", "BadStatusLine", "HTTP/", "\\x", "Errno 104")
    return wording("engine.advice_kind") if any(word in last for word in other) else ""


NO_ANSWER = (OSError, http.client.HTTPException)
ERRORS = (*NO_ANSWER, DeadweightError)


def _http(route: Route, health: Health, limit: float) -> str:
    answer = route.request("GET", health.path, timeout=limit, most=MAX_HEALTH_BYTES)
    if answer.truncated:
        limit_mib = MAX_HEALTH_BYTES // 2**20
        return wording("engine.answer_too_long", path=health.path, status=answer.status, limit=limit_mib)
    if answer.status == 400 and not route.tls and speaks_tls(answer.body):
        return wording("engine.speaks_tls", path=health.path)
    if status_matches(health.status, answer.status):
        return ""
    return wording("engine.wrong_status", path=health.path, status=answer.status)


def speaks_tls(body: bytes) -> bool:
    """Whether a refusal says that it wants TLS, as Go's, nginx's and Java's servers put it."""
    return re.search(rb"HTTPS server|plain HTTP request was sent to HTTPS|requires TLS", body) is not None


def _tcp(route: Route, limit: float) -> str:
    with route.dial(limit) as connection:
        if route.way != "published":
            return ""
        connection.settimeout(min(PEEK_SECONDS, limit))
        try:
            return "" if connection.recv(1, socket.MSG_PEEK) else wording("engine.nothing_listens")
        except TimeoutError:
            return ""


def _exec(run: Run, health: Health, limit: float) -> str:
    done = run(health.command, max(limit, EXEC_SECONDS))
    if done.exit_code == 0:
        return ""
    lines = (done.errors or done.output).decode(errors="replace").strip().splitlines()
    last = f" ({lines[-1][:200]})" if lines else ""
    return wording("engine.command_failed", program=health.command[0], exit_code=done.exit_code, output=last)


# gRPC: one call, ``/grpc.health.v1.Health/Check``, over cleartext HTTP/2 (gRPC's "GRPC Health Checking Protocol" and "gRPC over
# HTTP2").
GRPC_PATH = "/grpc.health.v1.Health/Check"
GRPC_MAX_BYTES = 65535
"""An answer takes seven bytes; so many come before more has to be asked for."""
_ANSWERS = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
_SERVING = 1
_STREAM = 1


class GrpcFailed(http.client.HTTPException):
    """A call without an answer; says why in one clause."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def check_grpc(route: Route, service: str, limit: float) -> str:
    """Nothing if ``service`` (empty: the whole server) is SERVING, else in one clause what came. Raises OSError."""
    try:
        return _grpc_answer(*call_grpc(route, GRPC_PATH, _grpc_request(service.encode()), limit))
    except GrpcFailed as failure:
        return failure.why


def call_grpc(
    route: Route, path: str, framed: bytes, limit: float, most: int = GRPC_MAX_BYTES
) -> tuple[dict[str, str], bytes]:
    """Call a method with one message in gRPC's frame; gives headers and trailers in one, and the answer's frames, ``most`` bytes of
    them at most. Raises OSError, GrpcFailed."""
    from h2 import events
    from h2.config import H2Configuration
    from h2.connection import H2Connection
    from h2.exceptions import ProtocolError

    deadline, headers, body, ended = time.monotonic() + limit, dict[str, str](), bytearray(), False
    peer = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
    try:
        with route.dial(limit) as wire:
            peer.initiate_connection()
            peer.send_headers(_STREAM, [
                (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost"),
                ("content-type", "application/grpc"), ("te", "trailers"),
            ])  # fmt: skip
            peer.send_data(_STREAM, framed, end_stream=True)
            while not ended:
                wire.sendall(peer.data_to_send())
                if (left := deadline - time.monotonic()) <= 0 or len(body) > most:
                    raise GrpcFailed(wording("engine.grpc_cut_off"))
                wire.settimeout(left)
                if not (data := wire.recv(65536)):
                    raise GrpcFailed(wording("engine.grpc_closed"))
                for event in peer.receive_data(data):
                    headers |= dict(getattr(event, "headers", None) or ())
                    if isinstance(event, events.DataReceived):
                        body += event.data or b""
                        peer.acknowledge_received_data(event.flow_controlled_length or 0, _STREAM)
                    ended |= isinstance(event, events.StreamEnded | events.StreamReset | events.ConnectionTerminated)
    except ProtocolError:
        raise GrpcFailed(wording("engine.grpc_no_http2")) from None
    return headers, bytes(body)


def _grpc_request(service: bytes) -> bytes:
    """A HealthCheckRequest (``string service = 1``) in gRPC's frame; its length is a varint of one or two bytes."""
    length = bytes([len(service)]) if len(service) < 0x80 else bytes([len(service) & 0x7F | 0x80, len(service) >> 7])
    message = b"\x0a" + length + service if service else b""
    return struct.pack(">BI", 0, len(message)) + message


def _grpc_answer(headers: dict[str, str], body: bytes) -> str:
    status = headers.get("grpc-status")
    if status is None:
        return wording("engine.grpc_http", status=headers.get(":status", "?"))
    if status in ("5", "12"):
        return wording("engine.grpc_not_found" if status == "5" else "engine.grpc_unimplemented")
    if status != "0":
        return wording("engine.grpc_health", status=headers.get("grpc-message") or status)
    message = body[5:]  # after one byte of flags and four of length
    number = message[1] if message[:1] == b"\x08" and len(message) > 1 else 0  # HealthCheckResponse: enum status = 1
    return "" if number == _SERVING else wording("engine.grpc_health", status=_ANSWERS.get(number, number))


# Which TCP ports a container's processes listen on, read from the kernel: no tool in the image is needed.
#
# Source of the format: proc(5), "/proc/net/tcp"; state 0A is LISTEN (include/net/tcp_states.h).
_LISTEN = "0A"
_DNS_OF_DOCKER = "127.0.0.11"
"""Docker's own name server listens there in networks that are not the default one."""


@dataclass(frozen=True, order=True)
class Listener:
    """One socket that waits for connections."""

    port: int
    address: str

    @property
    def loopback(self) -> bool:
        """Whether only the container itself can reach it."""
        return ipaddress.ip_address(self.address).is_loopback


def explain_listeners(listeners: Sequence[Listener] | None, port: int | None, exposed: Sequence[int] = ()) -> str:
    """A clause for a service that does not answer: what it listens on instead, and the next step; empty where that says nothing.

    ``exposed`` are the ports that the image's EXPOSE names.
    """
    declared = ", ".join(map(str, exposed)) if port not in exposed else ""
    if not listeners and declared:
        return wording(
            "engine.exposes_other" if listeners is None else "engine.exposes_unused", exposed=declared, port=port
        )
    if not listeners:
        return "" if listeners is None else wording("engine.listens_nowhere")
    right = [listener for listener in listeners if listener.port == port]
    if right and all(listener.loopback for listener in right):
        return wording("engine.only_loopback", address=right[0].address, port=port)
    if right:
        return ""
    reached = [listener for listener in listeners if not listener.loopback] or listeners
    likely = next((listener for listener in reached if listener.port in exposed), reached[0])
    ports = ", ".join(dict.fromkeys(str(listener.port) for listener in listeners))
    declared = f", EXPOSE declares {declared}" if declared else ""
    if likely.loopback:
        return wording("engine.listens_on_other_loopback", ports=ports, port=port, exposed=declared, likely=likely.port)
    return wording("engine.listens_on_other", ports=ports, port=port, exposed=declared, likely=likely.port)


def parse(text: str) -> Iterator[Listener]:
    """The listening sockets of one or more tables of the kernel's."""
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < 4 or fields[3] != _LISTEN or ":" not in fields[1]:
            continue
        host, _, port = fields[1].rpartition(":")
        try:
            address, number = _address(host), int(port, 16)
        except (ValueError, struct.error):
            continue  # an image's own program may have written it
        if address != _DNS_OF_DOCKER:
            yield Listener(number, address)


def _address(digits: str) -> str:
    """Each 32 bits are in the machine's order (net/ipv4/tcp_ipv4.c, ``get_openreq4``; all machines here are little-endian)."""
    words = bytes.fromhex(digits)
    raw = b"".join(struct.pack(">I", word) for word in struct.unpack(f"<{len(words) // 4}I", words))
    return str(ipaddress.ip_address(raw))


def from_here(pid: int, container: str) -> str | None:
    """The tables as this machine sees them; None where the container's processes are not this machine's."""
    if not netns.is_process_of(pid, container):
        return None
    with contextlib.suppress(OSError):
        return "\n".join(Path(f"/proc/{pid}/net/{name}").read_text() for name in ("tcp", "tcp6"))
    return None
