"""Methods that gRPC reflection names, read by hand."""

import http.client
import struct

import pytest

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
    assert list(grpc.methods(served(version))) == [("/shop.Till/Pay", True), ("/shop.Till/Watch", False)]


@pytest.mark.parametrize(
    ("answer", "error"),
    [(b"", http.client.HTTPException), (framed(b"\xff" * 20), ValueError), (framed(b"\x0b"), ValueError)],
)
def test_what_is_no_reflection_is_an_error(answer, error):
    with pytest.raises(error):
        list(grpc.methods(lambda *_: answer))
