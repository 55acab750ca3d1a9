"""Pass a port of this machine's loopback address on to a container's, whatever way leads there."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator

from deadweight._errors import DeadweightError, wording
from deadweight.engine.http import Route

DIAL_SECONDS = 10.0
_CHUNK = 65536


@contextlib.contextmanager
def forwarded(route: Route, port: int | None = None) -> Iterator[int]:
    """Listen on 127.0.0.1 at ``port`` (None: any free one) and pass every connection on; gives the port.

    Raises DeadweightError where the port is taken.
    """

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError, DeadweightError), route.dial(DIAL_SECONDS) as there:
                there.settimeout(None)
                back = threading.Thread(target=_copy, args=(there, self.request), daemon=True)
                back.start()
                _copy(self.request, there)
                back.join()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    try:
        server = Server(("127.0.0.1", port or 0), Handler)
    except OSError as error:
        raise DeadweightError(wording("engine.port_in_use", port=port, problem=error.strerror)) from error
    with server:
        threading.Thread(target=server.serve_forever, name="forward", daemon=True).start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
