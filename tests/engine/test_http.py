"""Requests to a container end in time, whatever the other side does."""

import contextlib
import http.client as http_client
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from deadweight import _run
from deadweight._errors import Interrupted
from deadweight.engine import http
from deadweight.engine.health import ExecResult, question
from deadweight.suite.model import Health
from tests.support.certificates import on_loopback
from tests.support.codes import codes


@pytest.fixture
def serve() -> Iterator[Callable[..., http.Route]]:
    """A server that sends these bytes at once, then the others one by one, ten a second, then the rest; it closes at the end."""
    closing = threading.Event()

    def start(at_once: bytes, dripping: bytes, *rest: bytes) -> http.Route:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    self.request.recv(65536)
                    self.request.sendall(at_once)
                    for number in dripping:
                        self.request.sendall(bytes([number]))
                        if closing.wait(0.1):
                            return
                    for piece in rest:
                        self.request.sendall(piece)

        server = servers.enter_context(socketserver.TCPServer(("127.0.0.1", 0), Handler))
        pool.submit(server.handle_request)
        return http.direct("published", "127.0.0.1", server.server_address[1])

    with contextlib.ExitStack() as servers, ThreadPoolExecutor() as pool:
        yield start
        closing.set()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n"


@pytest.mark.parametrize(("at_once", "dripping"), [
    (b"", HEAD + b"x" * 50), (HEAD, b"x" * 50), (b"HTTP/1.1 200 OK\r\nX: ", b"y" * 50),
], ids=["status line", "body", "header"])  # fmt: skip
def test_a_service_that_drips_holds_nobody_longer_than_the_limit(serve, at_once, dripping):
    route, started = serve(at_once, dripping), time.monotonic()
    with pytest.raises(TimeoutError):
        route.request("GET", "/", timeout=0.5)
    assert 0.4 < time.monotonic() - started < 4.5, "all that drips takes five seconds"


def test_a_slow_answer_within_the_limit_is_an_answer(serve):
    answer = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"hello").request("GET", "/", timeout=5)
    assert (answer.status, answer.body, answer.truncated) == (200, b"hello", False)


def test_a_signal_ends_the_wait_for_an_answer(serve, cancelling):
    """A request hung until its container was removed, and then the engine was asked why."""
    route, started = serve(b"HTTP/1.1 200 OK\r\n", b"X: " + b"y" * 30), time.monotonic()
    threading.Timer(0.5, _run.cancel_soon).start()
    with pytest.raises(Interrupted):
        route.request("GET", "/", timeout=60)
    assert time.monotonic() - started < 3


def test_an_answer_that_ends_before_what_it_announced_is_none(serve):
    """One that announced 5 GiB and sent ten bytes was healthy."""
    route = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 5368709120\r\n\r\n0123456789", b"")
    with pytest.raises(http_client.IncompleteRead):
        route.request("GET", "/", timeout=5)


ENDLESS = {"chunks": "Transfer-Encoding: chunked", "a length": f"Content-Length: {5 * 2**30}", "neither": "X: y"}


@pytest.mark.parametrize("header", ENDLESS.values(), ids=ENDLESS)
def test_a_health_route_that_has_no_end_is_not_healthy(serve, header):
    """It was healthy once 64 MiB had been read."""
    piece = b"x" * 65536
    piece = b"10000\r\n" + piece + b"\r\n" if "chunked" in header else piece
    route = serve(f"HTTP/1.1 200 OK\r\n{header}\r\n\r\n".encode(), b"", *[piece] * 2**13)
    ask = question(Health(path="/healthz"), lambda: route, lambda _argv, _limit: ExecResult(0, b"", b""))
    assert codes(ask(10)) == ["engine.answer_too_long"]


def test_a_service_that_takes_nothing_ends_in_time_too():
    """The request is larger than all buffers between, and nobody reads it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        route, started = http.direct("published", "127.0.0.1", server.getsockname()[1]), time.monotonic()
        with pytest.raises(TimeoutError):
            route.request("POST", "/", body=b"x" * 64 * 2**20, timeout=0.5)
    assert time.monotonic() - started < 30


def test_a_connection_to_a_service_with_tls_speaks_it_whatever_its_certificate(tmp_path):
    """Requests that come a byte at a time went to it in plain, were refused, and it was said to resist them."""
    on_loopback(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")

    def hear() -> bytes:
        with server.accept()[0] as connection:
            return connection.recv(64)

    with context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True) as server:
        server.settimeout(5)
        route = replace(http.direct("published", "127.0.0.1", server.getsockname()[1]), tls=True)
        with ThreadPoolExecutor(1) as pool:
            heard = pool.submit(hear)
            with route.connected(5) as connection:
                connection.sendall(b"GET /")
                assert heard.result(5) == b"GET /"
