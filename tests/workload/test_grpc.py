"""Methods that gRPC reflection names, read by hand."""

import http.client
import socket
import struct
import threading
import time

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import StreamEnded

from deadweight.engine.http import direct
from deadweight_workload import grpc


def field(number, content):
    return (
        bytes([number << 3 | 2, len(content)]) + content
        if isinstance(content, bytes)
        else bytes([number << 3, content])
    )


def framed(message):
    return struct.pack(">BI", 0, len(message)) + message


def served(version, name=b"shop.Till"):
    """A reflection service of this version with one method that is unary, and one that streams."""
    pay, watch = field(1, b"Pay") + field(2, b".shop.Bill"), field(1, b"Watch") + field(6, 1)
    file = field(1, b"shop.proto") + field(2, b"shop") + field(6, field(1, b"Till") + field(2, pay) + field(2, watch))
    answers = {
        field(7, b""): field(6, field(1, field(1, b"grpc.health.v1.Health")) + field(1, field(1, name))),
        field(4, name): field(4, field(1, file)),
    }

    def call(path, frames):
        return (
            framed(answers[frames[5:]])
            if path == f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
            else b""
        )

    return call


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_methods_are_listed_through_either_version(version):
    assert list(grpc.methods(served(version))) == [("/shop.Till/Pay", False), ("/shop.Till/Watch", True)]


@pytest.mark.parametrize(
    ("answer", "error"),
    [(b"", http.client.HTTPException), (framed(b"\xff" * 20), ValueError), (framed(b"\x0b"), ValueError)],
)
def test_what_is_no_reflection_is_an_error(answer, error):
    with pytest.raises(error):
        list(grpc.methods(lambda *_: answer))


def stream(listener, messages, *, ends):
    """Answer one call with these messages, and end it or not."""
    wire, _ = listener.accept()
    peer = H2Connection(H2Configuration(client_side=False))
    peer.initiate_connection()
    with wire:
        while not any(isinstance(event, StreamEnded) for event in peer.receive_data(wire.recv(65536))):
            wire.sendall(peer.data_to_send())
        peer.send_headers(1, [(":status", "200"), ("content-type", grpc.GRPC)])
        for message in messages:
            peer.send_data(1, framed(message))
        if ends:
            peer.send_headers(1, [("grpc-status", "0")], end_stream=True)
        wire.sendall(peer.data_to_send())
        while wire.recv(65536):
            pass


@pytest.mark.parametrize(("messages", "ends", "expected"), [
    ([b"a", b"", b"c", b"d"], False, [b"a", b"", b"c"]), ([b"a"], False, [b"a"]), ([b"a"], True, [b"a"]), ([], True, []),
])  # fmt: skip
def test_of_a_stream_the_first_messages_are_read_also_of_one_without_an_end(monkeypatch, messages, ends, expected):
    monkeypatch.setattr(grpc, "STREAM_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=stream, args=(listener, messages), kwargs={"ends": ends}, daemon=True).start()
        began = time.monotonic()
        headers, body = grpc.call_stream(direct("address", *listener.getsockname()), "/shop.Till/Watch", framed(b""))
    assert (body, headers.get("grpc-status")) == (b"".join(map(framed, expected)), "0" if ends else None)
    assert time.monotonic() - began < 5
