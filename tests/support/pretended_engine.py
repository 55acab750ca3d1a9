"""An engine that is pretended, and one that says what is not so: what a test lets them say behind a socket."""

import asyncio
import contextlib
import json
import re
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.http_servers import Answering, running
from tests.support.relay import copied, serving

HONEST: dict[str, Any] = {"Version": "29.0.0", "ApiVersion": "1.51", "MinAPIVersion": "1.24", "Components": []}


class Pretended(socketserver.ThreadingUnixStreamServer):
    """Answers GET with the document whose key ends the path, else an empty one, and refuses all else, while it is ``awake``."""

    daemon_threads = True

    def __init__(self, socket: Path) -> None:
        self.documents: dict[str, Any] = {"/version": HONEST, "/info": {}}
        self.awake = threading.Event()
        self.awake.set()
        super().__init__(str(socket), _Answer)

    @property
    def host(self) -> str:
        return f"unix://{self.server_address}"


class _Answer(Answering):
    protocol_version = "HTTP/1.1"
    server: Pretended

    def address_string(self) -> str:
        return "unix"

    def do_GET(self) -> None:
        document: Any = next((text for end, text in self.server.documents.items() if self.path.endswith(end)), {})
        self.server.awake.wait()
        with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
            self.answer(200, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def do_POST(self) -> None:
        self.server.awake.wait()
        with contextlib.suppress(BrokenPipeError):
            self.send_error(501)

    do_DELETE = do_POST


@contextlib.contextmanager
def pretended(folder: Path) -> Iterator[Pretended]:
    """One behind ``folder/engine.sock``, gone afterwards."""
    server = Pretended(folder / "engine.sock")
    with running(server):
        yield server
        server.awake.set()


_HEAD = re.compile(rb"^(?P<method>[A-Z]+) (?P<path>\S+) HTTP/1.1\r\n")
Lie = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True)
class Lies:
    """``documents``: what becomes of the document at a path (``/version``, ``/info``); ``headers``: values of headers in all of
    its short answers; ``refused``: paths that are not there. Paths are without their API version."""

    documents: Mapping[str, Lie] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    refused: tuple[str, ...] = ()


@contextlib.contextmanager
def lying(socket: str, folder: Path, lies: Lies) -> Iterator[str]:
    """Gives where it listens; ``socket`` is the path of the engine's own."""
    path = folder / "lying.sock"

    async def serve() -> asyncio.Server:
        return await asyncio.start_unix_server(lambda r, w: _answer(socket, lies, r, w), str(path))

    with serving(serve):
        yield f"unix://{path}"


async def _answer(socket: str, lies: Lies, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One request for each connection: an engine that is told so closes it, and whoever asked opens another."""
    with contextlib.suppress(asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
        head = await reader.readuntil(b"\r\n\r\n")
        asked = _HEAD.match(head)
        path = re.sub(r"^/v[\d.]+(?=/)", "", asked["path"].decode().partition("?")[0]) if asked else ""
        if path in lies.refused:
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 15\r\nConnection: close\r\n\r\npage not found\n")
        else:
            await _passed_on(socket, lies, path, head, reader, writer)
        await writer.drain()
    writer.transport.close()


async def _passed_on(
    socket: str, lies: Lies, path: str, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    behind, to_behind = await asyncio.open_unix_connection(socket)
    try:
        to_behind.write(head if b"\r\nupgrade:" in head.lower() else _closing(head))
        if path in (*lies.documents, "/_ping"):
            writer.write(_told(await behind.read(-1), lies, lies.documents.get(path)))
        else:
            await asyncio.gather(copied(reader, to_behind), copied(behind, writer))
    finally:
        to_behind.transport.abort()


def _closing(head: bytes) -> bytes:
    lines = [line for line in head.split(b"\r\n") if line and not line.lower().startswith(b"connection:")]
    return b"\r\n".join([*lines, b"Connection: close", b"", b""])


def _told(answer: bytes, lies: Lies, lie: Lie | None) -> bytes:
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    if any(line.lower() == "transfer-encoding: chunked" for line in lines):
        body = b"".join(_chunks(body))
    if lie is not None:
        body = json.dumps(lie(json.loads(body))).encode()
    gone = ("content-length", "transfer-encoding", *(name.lower() for name in lies.headers))
    lines = [line for line in lines if line.partition(":")[0].lower() not in gone]
    lines += [f"{name}: {value}" for name, value in lies.headers.items()]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode("latin-1") + body


def _chunks(body: bytes) -> Iterator[bytes]:
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            return
        yield body[:length]
        body = body[length + 2 :]
