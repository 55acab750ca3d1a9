"""What is held of answers: what variants that behave alike have in common."""

from __future__ import annotations

import contextlib
import functools
import json
import socket
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from deadweight.engine.http import Route
from deadweight_init.prove.observe import Health, find_health, kind_told
from deadweight_init.prove.recording import Recorder, held
from deadweight_init.tree import look
from tests.support.codes import parts
from tests.support.http_servers import Answering, served

DESCRIBED = json.dumps({"openapi": "3.1.0", "paths": {"/prices": {"get": {}}}})
BROKEN = "no table: shop"


@pytest.fixture
def serve() -> Iterator[object]:
    """Starts servers that answer some paths; gives what the finder takes for a container, and the port."""
    with contextlib.ExitStack() as running:

        def start(**answers: str):
            class Handler(Answering):
                def do_GET(self) -> None:
                    found = answers.get(self.path.strip("/").replace(".", "_"))
                    status = 404 if found is None else 500 if found == BROKEN else 200
                    self.answer(status, (found or '{"detail": "Not Found"}').encode())

            port = running.enter_context(served(Handler)).server_port
            connect = functools.partial(socket.create_connection, ("127.0.0.1", port))
            return SimpleNamespace(http=lambda _port: Route("address", "127.0.0.1", port, connect)), port

        yield start


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
    recorder.ask_first(up, Health("http", port, "/", 200))
    assert recorder.lines == ("listening",)
    assert len(lines) > 1
