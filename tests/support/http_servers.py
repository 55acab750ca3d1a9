"""HTTP servers of the standard library on loopback, quiet, in a thread of their own."""

import contextlib
import functools
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Handler = Callable[..., BaseHTTPRequestHandler]


class Answering(BaseHTTPRequestHandler):
    """A handler that says nothing itself."""

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int = 200, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """The body is left out after HEAD."""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class _Files(Answering, SimpleHTTPRequestHandler):
    """A folder's files."""


def files(folder: Path) -> Handler:
    """Gives what lies in a folder."""
    return functools.partial(_Files, directory=str(folder))


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client may give up, or not trust us: that is what tests are about."""


@contextlib.contextmanager
def served(
    handler: Handler, address: tuple[str, int] = ("127.0.0.1", 0), certificate: tuple[Path, Path] | None = None
) -> Iterator[Server]:
    """A server, over TLS if it is given a certificate and its key; ``server_port`` is its port."""
    server = Server(address, handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    with running(server):
        yield server


@contextlib.contextmanager
def running(server: socketserver.BaseServer) -> Iterator[None]:
    """Serve until the end of the block, then close it."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
