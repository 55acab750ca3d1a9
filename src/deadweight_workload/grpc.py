"""List a service's gRPC methods through server reflection (``grpc.reflection.v1``, before it ``v1alpha``); call those that stream.

Messages are read by hand, as in ``engine.health``: grpcio would bring a C library.
"""

from __future__ import annotations

import contextlib
import http.client
import struct
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from deadweight.suite.checks import HttpRequest

if TYPE_CHECKING:
    from deadweight.engine.http import Route

GRPC = "application/grpc"
"""The content type that makes a request a gRPC call; its body is one message in gRPC's frame."""
STREAMED = {"content-type": GRPC, "grpc-timeout": "2S"}
"""Headers of a call whose answer is a stream: of that the first ``MOST_MESSAGES`` are read, for two seconds at most."""
STREAM_SECONDS, MOST_MESSAGES = 2.0, 3
EMPTY = "\0" * 5
"""An empty message in gRPC's frame: a byte of flags, four of length."""
_VERSIONS = ("v1", "v1alpha")
# Numbers of fields: grpc/reflection/v1/reflection.proto and google/protobuf/descriptor.proto.
_LIST_SERVICES, _FILE_OF_SYMBOL = 7, 4
_SERVICES_ANSWER, _FILES_ANSWER = 6, 4
_FILE_SERVICE, _FILE_PACKAGE, _SERVICE_METHOD, _CLIENT_STREAMS, _SERVER_STREAMS = 6, 2, 2, 5, 6

Call = Callable[[str, bytes], bytes]
"""Sends frames to a method and gives those of the answer. Raises OSError, HTTPException."""


def methods(call: Call) -> Iterator[tuple[str, bool]]:
    """Path of each method of the service's own (``/pkg.Service/Method``), and whether a side streams. Raises as ``call``, and
    ValueError for what cannot be read."""
    path, listed = _reflection(call)
    for name in [_text(entry, 1) for entry in _sub(listed, _SERVICES_ANSWER, 1)]:
        if name.startswith(("grpc.health.", "grpc.reflection.")):
            continue
        for file in _sub(_payload(call(path, _asking(_FILE_OF_SYMBOL, name))), _FILES_ANSWER, 1):
            package = _text(file, _FILE_PACKAGE)
            for service in _sub(file, _FILE_SERVICE):
                own = f"{package}.{_text(service, 1)}".lstrip(".")
                for method in _sub(service, _SERVICE_METHOD) if own == name else ():
                    streams = any(
                        number in (_CLIENT_STREAMS, _SERVER_STREAMS) and value for number, value in _fields(method)
                    )
                    yield f"/{own}/{_text(method, 1)}", streams


def request(path: str, *, streams: bool) -> HttpRequest:
    """A call with an empty message, the only one."""
    return HttpRequest(method="POST", path=path, headers=STREAMED if streams else {"content-type": GRPC}, body=EMPTY)


def call_stream(route: Route, path: str, framed: bytes) -> tuple[dict[str, str], bytes]:
    """Call a method; gives the headers by then, and the frames of the first messages. Raises OSError, HTTPException."""
    from h2 import events
    from h2.config import H2Configuration
    from h2.connection import H2Connection
    from h2.exceptions import ProtocolError

    headers, body, ends, seen = dict[str, str](), b"", time.monotonic() + STREAM_SECONDS, list[events.Event]()
    peer = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
    with route.dial(STREAM_SECONDS) as wire, contextlib.suppress(TimeoutError):
        peer.initiate_connection()
        given = {":method": "POST", ":path": path, ":scheme": "http", ":authority": "localhost", "te": "trailers"}
        peer.send_headers(1, [*given.items(), *STREAMED.items()])
        peer.send_data(1, framed, end_stream=True)
        while len(_frames(body)) < MOST_MESSAGES and not any(isinstance(event, events.StreamEnded) for event in seen):
            wire.sendall(peer.data_to_send())
            wire.settimeout(max(0.01, ends - time.monotonic()))
            if not (data := wire.recv(65536)):
                raise http.client.HTTPException("closed")
            try:
                seen = peer.receive_data(data)
            except ProtocolError:
                raise http.client.HTTPException("no HTTP/2") from None
            for event in seen:
                headers |= dict(getattr(event, "headers", None) or ())
                body += getattr(event, "data", b"") if isinstance(event, events.DataReceived) else b""
    return headers, b"".join(_frames(body))


def _frames(body: bytes) -> list[bytes]:
    """The first messages that are whole, in their frames."""
    frames, at = list[bytes](), 0
    while len(frames) < MOST_MESSAGES and at + 5 <= len(body):
        size = 5 + int.from_bytes(body[at + 1 : at + 5], "big")
        if at + size > len(body):
            break
        frames.append(body[at : at + size])
        at += size
    return frames


def _reflection(call: Call) -> tuple[str, bytes]:
    for version in _VERSIONS:
        path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
        if listed := _payload(call(path, _asking(_LIST_SERVICES, ""))):
            return path, listed
    raise http.client.HTTPException("no reflection")


def _asking(number: int, text: str) -> bytes:
    if len(text) > 0x7F:
        raise ValueError(text)
    message = bytes([number << 3 | 2, len(text)]) + text.encode()
    return struct.pack(">BI", 0, len(message)) + message


def _payload(frames: bytes) -> bytes:
    """The first message."""
    return frames[5 : 5 + int.from_bytes(frames[1:5], "big")]


def _sub(message: bytes, *numbers: int) -> list[bytes]:
    """The messages at a path of fields."""
    found = [message]
    for number in numbers:
        found = [
            value for part in found for field, value in _fields(part) if field == number and isinstance(value, bytes)
        ]
    return found


def _text(message: bytes, number: int) -> str:
    return next((value.decode() for value in _sub(message, number)), "")


def _fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Protocol Buffers' wire format. Raises ValueError."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        if tag & 7 == 0:
            value, at = _varint(message, at)
            yield tag >> 3, value
        elif tag & 7 in (1, 2, 5):
            size, at = _varint(message, at) if tag & 7 == 2 else ({1: 8, 5: 4}[tag & 7], at)
            yield tag >> 3, message[at : at + size]
            at += size
        else:
            raise ValueError(f"wire type {tag & 7}")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        value |= (message[at] & 0x7F) << shift
        at += 1
        if message[at - 1] < 0x80:
            return value, at
    raise ValueError("varint")
