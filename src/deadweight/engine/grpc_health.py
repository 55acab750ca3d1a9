"""Probe a service's health over gRPC: one call, ``/grpc.health.v1.Health/Check``, over cleartext HTTP/2.

Sources: gRPC's "GRPC Health Checking Protocol" and "gRPC over HTTP2". HTTP/2 is h2's; a gRPC client would bring a C library for
this one message.
"""

from __future__ import annotations

import socket
import struct
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError

from deadweight._errors import wording

if TYPE_CHECKING:
    from deadweight.engine.http import Route

PATH = "/grpc.health.v1.Health/Check"
MAX_BYTES = 65536
"""An answer takes seven bytes."""
_ANSWERS = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
_SERVING = 1
_STREAM = 1


@dataclass
class _Answer:
    body: bytearray = field(default_factory=bytearray)
    headers: dict[str, str] = field(default_factory=dict)
    ended: bool = False


def check(route: Route, service: str, limit: float) -> str:
    """Nothing where ``service`` (empty: the whole server) is SERVING, else in one clause what came. Raises OSError."""
    deadline = time.monotonic() + limit
    connection = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
    answer = _Answer()
    try:
        with route.dial(limit) as wire:
            _ask(connection, wire, service)
            while not answer.ended:
                if (left := deadline - time.monotonic()) <= 0 or len(answer.body) > MAX_BYTES:
                    return wording("engine.grpc_cut_off")
                wire.settimeout(left)
                data = wire.recv(65536)
                if not data:
                    return wording("engine.grpc_closed")
                _take(connection, connection.receive_data(data), answer)
                wire.sendall(connection.data_to_send())
    except ProtocolError:
        return wording("engine.grpc_no_http2")
    return _judged(answer)


def _ask(connection: H2Connection, wire: socket.socket, service: str) -> None:
    name = service.encode()
    message = b"\x0a" + _varint(len(name)) + name if name else b""  # HealthCheckRequest: string service = 1
    connection.initiate_connection()
    connection.send_headers(
        _STREAM,
        [
            (":method", "POST"), (":scheme", "http"), (":path", PATH), (":authority", "localhost"),
            ("content-type", "application/grpc"), ("te", "trailers"),
        ],
    )  # fmt: skip
    connection.send_data(_STREAM, struct.pack(">BI", 0, len(message)) + message, end_stream=True)
    wire.sendall(connection.data_to_send())


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*found, number))


def _take(connection: H2Connection, said: list[events.Event], answer: _Answer) -> None:
    for event in said:
        if isinstance(event, events.ResponseReceived | events.TrailersReceived):
            answer.headers |= {str(name): str(value) for name, value in event.headers}
        elif isinstance(event, events.DataReceived):
            answer.body += event.data or b""
            connection.acknowledge_received_data(event.flow_controlled_length or 0, _STREAM)
        elif isinstance(event, events.StreamEnded | events.StreamReset | events.ConnectionTerminated):
            answer.ended = True


def _judged(answer: _Answer) -> str:
    status = answer.headers.get("grpc-status")
    if status is None:
        return wording("engine.grpc_http", status=answer.headers.get(":status", "?"))
    if status in ("5", "12"):
        return wording("engine.grpc_not_found" if status == "5" else "engine.grpc_unimplemented")
    if status != "0":
        return wording("engine.grpc_health", status=answer.headers.get("grpc-message") or status)
    message = bytes(answer.body[5:])  # after one byte of flags and four of length
    number = message[1] if message[:1] == b"\x08" and len(message) > 1 else 0  # HealthCheckResponse: enum status = 1
    return "" if number == _SERVING else wording("engine.grpc_health", status=_ANSWERS.get(number, number))
