"""Record the requests that a person or a test suite sends to a running service: a proxy in front of it."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError, UsageError, wording as core_wording
from deadweight.checks.protocol import own_version
from deadweight.engine.foreground import run_in_foreground
from deadweight.records.store import write_where_told
from deadweight_workload import har
from deadweight_workload.model import operation_of, wording

if TYPE_CHECKING:
    from deadweight.engine.client import Engine
    from deadweight.engine.container import Container
    from deadweight.engine.http import Route
    from deadweight.engine.options import RunOptions
    from deadweight.suite.checks import HttpRequest
    from deadweight.suite.model import Variant

SECONDS = 300.0
MOST_BODY = 64 * 2**20
_CHUNK = 65536
_OF_A_CONNECTION = ("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade")
"""Headers that a proxy does not pass on (RFC 9110, 7.6.1)."""


class Recording:
    """Requests to a service, without their secrets, in the order of their answers."""

    def __init__(self) -> None:
        self._exchanges: list[tuple[HttpRequest, str, float, int, str]] = []
        self.unusable = 0

    def add(self, request: HttpRequest | None, began: float, status: int, kind: str) -> None:
        """``began``: seconds since the epoch."""
        if request is None:
            self.unusable += 1
        else:
            at = datetime.fromtimestamp(began, UTC).isoformat(timespec="milliseconds")
            self._exchanges.append((request, at, time.time() - began, status, kind))

    def save(self, file: Path) -> str:
        """Write the HAR file, whole or not at all; gives what is to be told of it."""
        write_where_told(file, har.document(self._exchanges, own_version()))
        operations = {operation_of(request.method, request.path) for request, *_ in self._exchanges}
        counts = {"requests": len(self._exchanges), "operations": len(operations), "unusable": self.unusable}
        return wording("record.written", file=file, **counts)


def record_traffic(
    engine: Engine,
    image: str,
    options: RunOptions,
    variant: Variant,
    to: Path,
    port: int | None,
    say: Callable[[str], None],
) -> None:
    """Run a variant until Ctrl-C with a recording proxy in front of it, and write what it was sent to the HAR file ``to``.

    Raises UsageError for what speaks no HTTP.
    """
    if variant.health.kind in ("exit", "grpc"):
        raise UsageError(wording("record.not_http", variant=variant.name, kind=variant.health.kind))
    recording = Recording()
    with contextlib.ExitStack() as stack:

        def listen(container: Container) -> None:
            where = stack.enter_context(recorded(container.http, recording, port))
            say(wording("record.listening", variant=variant.name, port=where))

        run_in_foreground(engine, image, options, variant=variant.name, on_line=say, on_start=listen)
    say(recording.save(to))


@contextlib.contextmanager
def recorded(way: Callable[[], Route], recording: Recording, port: int | None = None) -> Iterator[int]:
    """Listen on 127.0.0.1 at ``port`` (None: any free one), pass every request on and record it; gives the port.

    Raises DeadweightError where the port is taken.
    """

    class Handler(_Handler):
        def __init__(self, *given: object) -> None:
            self.way, self.recording = way, recording
            super().__init__(*given)  # type: ignore[arg-type]

    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port or 0), Handler)
    except OSError as error:
        raise DeadweightError(core_wording("engine.port_in_use", port=port, problem=error.strerror)) from error
    with server:
        threading.Thread(target=server.serve_forever, name="record", daemon=True).start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()


class _Handler(http.server.BaseHTTPRequestHandler):
    way: Callable[[], Route]
    recording: Recording
    protocol_version = "HTTP/1.1"  # curl waits for "100 Continue" before it sends a large body

    def _pass_on(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdecimal() or int(length) > MOST_BODY:
            return self.send_error(411)
        body, began = self.rfile.read(int(length)), time.time()
        if len(body) < int(length):  # who asked is gone: the service would wait for the rest
            self.close_connection = True
            return None
        pairs = [(name, value) for name, value in self.headers.items() if name.lower() not in _OF_A_CONNECTION]
        try:
            connection = http.client.HTTPConnection("service", timeout=SECONDS)
            connection.sock = self.way().connected(SECONDS)
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for pair in (*pairs, ("Connection", "close")):
                connection.putheader(*pair)
            connection.endheaders(body)
            with contextlib.closing(connection), connection.getresponse() as answer:
                kind = answer.getheader("Content-Type", "")
                self.recording.add(har.clean(self.command, self.path, pairs, body), began, answer.status, kind)
                self._answer(answer)
        except (OSError, http.client.HTTPException, DeadweightError):
            with contextlib.suppress(OSError):
                self.send_error(502)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _pass_on

    def _answer(self, answer: http.client.HTTPResponse) -> None:
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in _OF_A_CONNECTION:
                self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        while data := answer.read1(_CHUNK):
            self.wfile.write(data)
            self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Nothing: a line for each request is the service's to write."""
