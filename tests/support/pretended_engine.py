"""A pretended engine behind a socket: it says of itself what a test lets it say, and is silent while a test holds it."""

from __future__ import annotations

import contextlib
import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

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


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Pretended

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass

    def do_GET(self) -> None:
        body = json.dumps(
            next((text for end, text in self.server.documents.items() if self.path.endswith(end)), {})
        ).encode()
        self.server.awake.wait()
        with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def do_POST(self) -> None:
        self.server.awake.wait()
        with contextlib.suppress(BrokenPipeError):
            self.send_error(501)

    do_DELETE = do_POST


@contextlib.contextmanager
def pretended(folder: Path) -> Iterator[Pretended]:
    """One behind ``folder/engine.sock``, gone afterwards."""
    with Pretended(folder / "engine.sock") as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield server
        finally:
            server.awake.set()
            server.shutdown()
