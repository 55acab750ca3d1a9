"""Log in to RabbitMQ and NATS in their own protocols, as any client would, and say so."""

import os
import socket
import struct


def exactly(connection: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        more = connection.recv(count - len(received))
        if not more:
            raise SystemExit("closed: refused")
        received += more
    return received


def frame(connection: socket.socket) -> tuple[int, int]:
    """Class and method of the next frame of AMQP 0-9-1."""
    _, _, size = struct.unpack(">BHI", exactly(connection, 7))
    body = exactly(connection, size + 1)
    return struct.unpack(">HH", body[:4])


def long_text(text: bytes) -> bytes:
    return struct.pack(">I", len(text)) + text


def short_text(text: bytes) -> bytes:
    return bytes([len(text)]) + text


with socket.create_connection(("mq", 5672), 30) as mq:
    mq.sendall(b"AMQP\0\0\x09\x01")
    assert frame(mq) == (10, 10)  # start
    login = b"\0shop\0" + os.environ["PASSWORD"].encode()
    answer = (
        struct.pack(">HH", 10, 11) + long_text(b"") + short_text(b"PLAIN") + long_text(login) + short_text(b"en_US")
    )
    mq.sendall(struct.pack(">BHI", 1, 0, len(answer)) + answer + b"\xce")
    assert frame(mq) == (10, 30)  # tune: it let us in
with socket.create_connection(("bus", 4222), 30) as bus:
    lines = bus.makefile("rwb")
    assert lines.readline().startswith(b"INFO ")
    lines.write(b'CONNECT {"verbose":false,"user":"guest","pass":"guest"}\r\nPING\r\n')
    lines.flush()
    assert lines.readline() == b"PONG\r\n"
print("both brokers let us in")
