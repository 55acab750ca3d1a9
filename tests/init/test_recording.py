"""What is held of answers: what variants that behave alike have in common."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from deadweight.engine.http import Route
from deadweight_init.prove.observe import Health, find_health, kind_told
from deadweight_init.prove.recording import Recorder, held
from deadweight_init.tree import look
from tests.support.codes import parts

DESCRIBED = json.dumps({"openapi": "3.1.0", "paths": {"/prices": {"get": {}}}})
BROKEN = "no table: shop"


@pytest.fixture
def serve() -> Iterator[object]:
    """Starts servers that answer some paths; gives what the finder takes for a container, and the port."""
    servers = []

    def start(**answers: str):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = answers.get(self.path.strip("/").replace(".", "_"))
                body = (found or '{"detail": "Not Found"}').encode()
                self.send_response(404 if found is None else 500 if found == BROKEN else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_words: object) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        port = server.server_address[1]
        route = Route(
            "address", "127.0.0.1", port, lambda seconds: socket.create_connection(("127.0.0.1", port), seconds)
        )
        return SimpleNamespace(http=lambda _port: route), port

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("answers", "path", "status"),
    [
        ({"openapi_json": DESCRIBED}, "/openapi.json", 200),
        ({"openapi_json": DESCRIBED, "healthz": "ok"}, "/healthz", 200),
        ({"openapi_json": "{}"}, "/", 404),
        ({"prices": "3"}, "/", 404),
    ],
)
def test_a_service_without_a_health_route_is_asked_for_its_description(serve, answers, path, status):
    container, port = serve(**answers)
    assert find_health(container, (port,), ()) == Health("http", port, path, status)


@pytest.mark.parametrize(
    ("answers", "kind", "path"),
    [
        ({"": BROKEN}, "tcp", "/"),
        ({"": BROKEN, "healthz": "ok"}, "http", "/healthz"),
        ({"": BROKEN, "up": BROKEN}, "tcp", "/"),
    ],
)
def test_a_route_that_fails_tells_nothing_of_health(serve, answers, kind, path):
    container, port = serve(**answers)
    health = find_health(container, (port,), ())
    assert (health.kind, health.path) == (kind, path)
    assert (parts(kind_told(health)) == ("seen.answers", {"path": "/", "status": 500})) is (kind == "tcp")


def test_what_a_build_or_a_base_puts_in_is_not_held():
    answer = {
        "status": "ok",
        "version": "6.1",
        "X-Api-Revision": [""],
        "runtime": {"go": "go1.26"},
        "checks": [{"name": "db", "uptime_seconds": 3, "up": True}],
        "pages": 3,
    }
    assert held(answer) == {"status": "ok", "checks": [{"name": "db", "up": True}], "pages": 3}
    assert held("version") == "version"


def test_an_operation_that_fails_when_it_is_asked_is_no_error_of_the_start(serve, tmp_path):
    container, port = serve(**{"": "ok"})
    route, lines = container.http(port), ["listening"]

    def asked(_port: int) -> Route:
        lines.append("level=ERROR GET /unstable")
        return route

    up = SimpleNamespace(http=asked, logs=lambda _most: lines, listeners=lambda: ())
    recorder = Recorder(look(tmp_path), None)
    recorder.one(up, Health("http", port, "/", 200))
    assert recorder.lines == ("listening",)
    assert len(lines) > 1
