"""How a service is asked whether it is up, and what it listens on: against real containers. Requests to one end in time, whatever
the other side does."""

import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.client import IncompleteRead
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from deadweight import _run
from deadweight._errors import Interrupted
from deadweight.engine import http
from deadweight.engine.container import Container
from deadweight.engine.health import ExecResult, Listener, check_grpc, explain_listeners as explain, parse, question
from deadweight.engine.options import RunOptions, hardened
from deadweight.suite.model import Health, RunSettings, status_matches
from tests.support.certificates import on_loopback
from tests.support.codes import codes, parts
from tests.support.http_servers import files, served
from tests.support.processes import within

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   2: 0B00007F:A001 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   3: 0100007F:0051 00000000:0000 01 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
  sl  local_address                         remote_address                        st
   0: 00000000000000000000000000000000:1F91 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 1 1 0 1 0
   1: 00000000000000000000000001000000:1F92 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 1 1 0 1 0
"""


def service(mode: str = "good", port: int = 8080, **env: str) -> RunOptions:
    return hardened(RunSettings(env={"MODE": mode, **env}), port=port)


def test_the_kernels_tables_are_read():
    ports = set(parse(TABLE))
    assert ports == {Listener(8080, "127.0.0.1"), Listener(80, "0.0.0.0"), Listener(8081, "::"), Listener(8082, "::1")}
    assert {listener.port for listener in ports if listener.loopback} == {8080, 8082}


@pytest.mark.parametrize(("wanted", "status", "right"), [
    (("2xx",), 204, True), (("2xx",), 404, False), ((404, 503), 503, True), (("2xx", "4xx"), 405, True),
])  # fmt: skip
def test_a_status_is_named_by_number_or_class(wanted, status, right):
    assert status_matches(wanted, status) is right


ADVISED = "engine.not_healthy_advice"


@pytest.mark.parametrize(("given", "health", "reasons"), [
    ({"mode": "never-healthy"}, Health(path="/healthz", status=(200, 503), within_seconds=15), []),
    ({"mode": "never-healthy"}, Health(kind="tcp", within_seconds=15), []),
    # the engine's own proxy takes the connection: that is no sign of life
    ({"mode": "deaf"}, Health(kind="tcp", within_seconds=1), [ADVISED, "engine.nothing_listens", "engine.listens_nowhere"]),
    ({}, Health(path="/no/such/route", within_seconds=1), [ADVISED, "engine.wrong_status"]),
    ({"mode": "speechless"}, Health(path="/healthz", within_seconds=1), [ADVISED, "engine.question_failed", "engine.advice_kind"]),
    ({"port": 9000}, Health(path="/healthz", within_seconds=2), [ADVISED, "engine.question_failed", "engine.listens_on_other"]),
])  # fmt: skip
def test_what_is_not_healthy_is_told_with_a_next_step(engine, misbehaving_image, given, health, reasons):
    with engine.start(misbehaving_image, service(**given)) as container:
        outcome = container.wait_healthy(health)
    assert (outcome.healthy, codes(outcome.reason)) == (not reasons, reasons)
    assert not reasons or health.kind == "tcp" or health.path in outcome.reason


def test_a_program_in_the_container_tells_its_health(engine, tools_image):
    options = RunOptions(entrypoint=("/bin/sh", "-c", "sleep 0.3; : > /ready; exec sleep 30"))
    with engine.start(tools_image, options) as container:
        good = Health(kind="exec", command=("/bin/sh", "-c", "ls /ready"), within_seconds=15)
        assert container.wait_healthy(good).healthy
        fails = Health(kind="exec", command=("/bin/sh", "-c", "echo no >&2; exit 3"), within_seconds=0.5)
        bad = container.wait_healthy(fails)
    assert codes(bad.reason) == ["engine.not_healthy", "engine.command_failed"]
    assert bad.reason.fields["answer"].fields == {"program": "/bin/sh", "exit_code": 3, "output": " (no)"}


def test_health_by_a_program_names_one():
    with pytest.raises(ValidationError, match=r"Health\ncommand\n"):
        Health(kind="exec")


def test_an_address_that_only_the_container_reaches_is_told(engine, misbehaving_image):
    with engine.start(misbehaving_image, service(LISTEN="127.0.0.1:8080")) as container:
        # through the published port, as everybody but root on this very machine comes
        assert not container.wait_healthy(Health(kind="exec", command=("/nothing",), within_seconds=1)).healthy
        listeners = container.listeners()
    assert parts(explain(listeners, 8080)) == ("engine.only_loopback", {"address": "127.0.0.1", "port": 8080})
    code, fields = parts(explain(listeners, 80, (80,)))
    assert (code, fields["likely"]) == ("engine.listens_on_other_loopback", 8080)


@pytest.mark.parametrize(("exposed", "likely"), [((80,), 80), ((9090,), 9090), ((), 80)])
def test_of_several_ports_the_exposed_one_is_proposed(exposed, likely):
    listeners = [Listener(80, "0.0.0.0"), Listener(9090, "::")]
    declared = f", EXPOSE declares {exposed[0]}" if exposed else ""
    fields = {"ports": "80, 9090", "port": 8080, "likely": likely, "exposed": declared}
    assert parts(explain(listeners, 8080, exposed)) == ("engine.listens_on_other", fields)
    assert explain(listeners, 9090, exposed) == "", "the right port is open"


def test_what_expose_says_is_told_where_listeners_cannot_be_seen():
    assert parts(explain(None, 8080, (80,))) == ("engine.exposes_other", {"exposed": "80", "port": 8080})
    assert explain(None, 8080, (8080,)) == ""


def serve_grpc(server: socket.socket, body: bytes, trailers: list[tuple[str, str]]) -> bytes:
    """Give one answer over real HTTP/2, in gRPC's framing as its specification has it; what was asked."""
    from h2 import events
    from h2.config import H2Configuration
    from h2.connection import H2Connection

    asked = b""
    with server.accept()[0] as wire:
        peer = H2Connection(H2Configuration(client_side=False))
        peer.initiate_connection()
        wire.sendall(peer.data_to_send())
        while data := wire.recv(65536):
            for event in peer.receive_data(data):
                if isinstance(event, events.DataReceived):
                    asked += event.data
                if isinstance(event, events.StreamEnded):
                    peer.send_headers(1, [(":status", "200"), ("content-type", "application/grpc")])
                    if body:
                        peer.send_data(1, b"\0" + len(body).to_bytes(4, "big") + body)
                    peer.send_headers(1, trailers, end_stream=True)
            wire.sendall(peer.data_to_send())
    return asked


@pytest.mark.parametrize(("body", "status", "code", "fields"), [
    (b"\x08\x01", "0", "", {}),
    (b"\x08\x02", "0", "engine.grpc_health", {"status": "NOT_SERVING"}),
    (b"", "0", "engine.grpc_health", {"status": "UNKNOWN"}),
    (b"", "12", "engine.grpc_unimplemented", {}),
    (b"", "5", "engine.grpc_not_found", {}),
])  # fmt: skip
def test_grpc_health_is_asked_for(body, status, code, fields):
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(serve_grpc, server, body, [("grpc-status", status)])
        problem = check_grpc(http.direct("address", "127.0.0.1", server.getsockname()[1]), "shop.v1.Cart", 5)
        assert asked.result(5) == b"\0\0\0\0\x0e\x0a\x0cshop.v1.Cart"
    assert (getattr(problem, "code", ""), getattr(problem, "fields", {})) == (code, fields)


def test_what_speaks_no_http2_is_told(engine, misbehaving_image):
    with engine.start(misbehaving_image, service()) as container:
        assert container.wait_healthy(Health(path="/healthz", within_seconds=15)).healthy
        outcome = container.wait_healthy(Health(kind="grpc", within_seconds=1))
    assert outcome.reason.fields["answer"].code.startswith("engine.grpc_")
    assert not outcome.healthy


@pytest.mark.parametrize(("script", "healthy", "reasons"), [
    ("exit 0", True, []),
    ("exit 3", False, ["engine.job_failed", "engine.ended"]),
    ("exec sleep 30", False, ["engine.still_running"]),
])  # fmt: skip
def test_a_job_is_well_where_it_ends_with_0(engine, tools_image, script, healthy, reasons):
    with engine.start(tools_image, RunOptions(entrypoint=("/bin/sh", "-c", script))) as container:
        outcome = container.wait_healthy(Health(kind="exit", within_seconds=20 if healthy or "exit" in script else 1))
    assert (outcome.healthy, codes(outcome.reason)) == (healthy, reasons)


def test_http_over_tls_is_asked_whoever_signed_its_certificate(engine, misbehaving_image):
    with engine.start(misbehaving_image, service("tls").but(tls=True)) as container:
        assert container.wait_healthy(Health(path="/healthz", tls=True)).healthy
        assert container.base_url.startswith("https://")
        assert container.http().request("GET", "/join?a=A&b=B").text() == "AB\n"
    with engine.start(misbehaving_image, service("tls")) as container:
        reason = container.wait_healthy(Health(path="/healthz", within_seconds=3.0)).reason
    answer = reason.fields["answer"]
    assert (*parts(answer), answer.hint) == ("engine.speaks_tls", {"path": "/healthz"}, reason.fields["advice"])


def test_what_was_answered_is_told_rather_than_that_the_last_question_had_no_time(monkeypatch):
    """On a busy machine "timed out" stood there of a service that had said 503 all the time."""
    asked: list[float] = []

    def ask(limit: float) -> str:
        asked.append(limit)
        if len(asked) == 1:
            return "GET /healthz answers 503"
        time.sleep(limit)
        raise TimeoutError

    keeper: Any = SimpleNamespace(api=None, host="unix:///nowhere")
    container = Container(keeper, "0" * 64, "image", RunOptions())
    container.started = time.monotonic()
    monkeypatch.setattr(Container, "question", lambda *_: ask)
    monkeypatch.setattr(Container, "kernel_says_running", lambda _self: True)
    monkeypatch.setattr(Container, "_unhealthy", lambda _self, _health, _port, last: last)
    assert container.wait_healthy(Health(path="/healthz", within_seconds=0.3)).reason == "GET /healthz answers 503"
    assert len(asked) > 1


# requests that end in time


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
    route = serve(b"HTTP/1.1 200 OK\r\n", b"X: " + b"y" * 30)
    threading.Timer(0.5, _run.cancel_soon).start()
    with within(3), pytest.raises(Interrupted):
        route.request("GET", "/", timeout=60)


def test_an_answer_that_ends_before_what_it_announced_is_none(serve):
    """One that announced 5 GiB and sent ten bytes was healthy."""
    route = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 5368709120\r\n\r\n0123456789", b"")
    with pytest.raises(IncompleteRead):
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
        route = http.direct("published", "127.0.0.1", server.getsockname()[1])
        with within(30), pytest.raises(TimeoutError):
            route.request("POST", "/", body=b"x" * 64 * 2**20, timeout=0.5)


def test_a_connection_to_a_service_with_tls_speaks_it_whatever_its_certificate(tmp_path):
    """Requests that come a byte at a time went to it in plain, were refused, and it was said to resist them."""
    on_loopback(tmp_path)
    with served(files(tmp_path), certificate=(tmp_path / "server.pem", tmp_path / "server.key")) as server:
        route = replace(http.direct("published", "127.0.0.1", server.server_port), tls=True)
        with route.connected(5) as connection:
            connection.sendall(b"GET /ca.pem HTTP/1.0\r\n\r\n")
            assert connection.recv(64).startswith(b"HTTP/1.0 200")
