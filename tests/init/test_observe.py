"""What is seen of a service: whether it comes up, its health, and what variants that behave alike answer in common."""

import contextlib
import functools
import itertools
import json
import socket
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from deadweight.engine.http import Route
from deadweight_init.draft import first_draft
from deadweight_init.prove import observe
from deadweight_init.prove.recording import Recorder
from deadweight_init.services import find_services
from deadweight_init.tree import read_tree
from deadweight_workload.answers import stable_part
from tests.support.codes import codes, parts
from tests.support.http_servers import Answering, served
from tests.support.trees import written

DESCRIBED = json.dumps({"openapi": "3.1.0", "paths": {"/prices": {"get": {}}}})
BROKEN = "no table: shop"


@pytest.fixture
def serve() -> Iterator[object]:
    """Starts servers that answer some paths; gives what the finder takes for a container, and the port."""
    with contextlib.ExitStack() as running:

        def start(**answers: str):
            class Handler(Answering):
                def do_GET(self) -> None:
                    answer = answers.get(self.path.strip("/").replace(".", "_"))
                    status = 404 if answer is None else 500 if answer == BROKEN else 200
                    self.answer(status, (answer or '{"detail": "Not Found"}').encode())

            port = running.enter_context(served(Handler)).server_port
            connect = functools.partial(socket.create_connection, ("127.0.0.1", port))
            return SimpleNamespace(http=lambda _port: Route("address", "127.0.0.1", port, connect)), port

        yield start


@pytest.mark.parametrize(("answers", "kind", "path", "status"), [
    ({"openapi_json": DESCRIBED}, "http", "/openapi.json", 200),
    ({"openapi_json": DESCRIBED, "healthz": "ok"}, "http", "/healthz", 200),
    ({"openapi_json": "{}"}, "http", "/", 404),
    ({"prices": "3"}, "http", "/", 404),
    ({"": BROKEN}, "tcp", "/", 500),
    ({"": BROKEN, "healthz": "ok"}, "http", "/healthz", 200),
    ({"": BROKEN, "up": BROKEN}, "tcp", "/", 500),
])  # fmt: skip
def test_what_tells_best_that_a_service_is_up_is_its_health(serve, answers, kind, path, status):
    """Without a health route its own description does; a route that fails tells nothing."""
    container, port = serve(**answers)
    health = observe.find_health(container, (port,), ())
    assert health == observe.Health(kind, port, path, status)
    assert (parts(observe.health_note(health)) == ("seen.answers", {"path": "/", "status": 500})) is (kind == "tcp")


def test_what_a_build_or_a_base_puts_in_is_not_held():
    stable, check = {"status": "ok", "pages": 3}, {"name": "db", "up": True}
    put_in = {"version": "6.1", "X-Api-Revision": [""], "runtime": {"go": "go1.26"}}
    answer = {**stable, **put_in, "checks": [{**check, "uptime_seconds": 3}]}
    assert (stable_part(answer), stable_part("version")) == ({**stable, "checks": [check]}, "version")


def test_an_operation_that_fails_when_it_is_asked_is_no_error_of_the_start(serve, tmp_path):
    container, port = serve(**{"": "ok"})
    route, lines = container.http(port), ["listening"]

    def asked(_port: int) -> Route:
        lines.append("level=ERROR GET /unstable")
        return route

    up = SimpleNamespace(http=asked, logs=lambda _most: lines, listeners=lambda: ())
    recorder = Recorder(read_tree(tmp_path), None)
    recorder.ask_first(up, observe.Health("http", port, "/", 200))
    assert recorder.lines == ("listening",)
    assert len(lines) > 1


@pytest.mark.parametrize("fails", [*range(1, 6), None], ids=lambda at: f"request {at} fails" if at else "none fails")
def test_what_answers_at_random_is_not_held(tmp_path, fails):
    asked = itertools.count(1)

    class Unstable(Answering):
        def do_GET(self) -> None:
            unstable = self.path == "/unstable" and next(asked) == fails
            self.answer(503 if unstable else 200, b"ok")

    written(tmp_path, {"Dockerfile": "FROM scratch\n", "app.py": '@app.get("/unstable")\n@app.get("/prices")\n'})
    with served(Unstable) as server:
        connect = functools.partial(socket.create_connection, ("127.0.0.1", server.server_port))
        route = Route("address", "127.0.0.1", server.server_port, connect)
        up = SimpleNamespace(http=lambda _port: route, logs=lambda _most: (), listeners=lambda: ())
        recorder, health = Recorder(read_tree(tmp_path), None), observe.Health("http", server.server_port, "/", 200)
        recorder.ask_first(up, health)
        recorder.ask_again(up, health)
    (found,) = find_services(read_tree(tmp_path))
    held = recorder.recorded(first_draft(found, "app"), observe.Observation(health))
    assert {each.path for each in held.api} == {"/", "/prices", *(() if fails else ("/unstable",))}


# How long a service is waited for, and what is told where it does not come up.


class Starting:
    """A container with a clock of its own. It opens each port after so many seconds, and says a line every ten."""

    def __init__(self, opens: dict[int, float], says) -> None:
        self.now, self.started, self.opens, self.says, self.name = 0.0, 0.0, opens, says, "x"

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def state(self):
        return SimpleNamespace(running=True)

    def listeners(self):
        return [SimpleNamespace(loopback=False, port=port) for port, takes in self.opens.items() if self.now >= takes]

    def logs(self, lines=None):
        return [self.says(number) for number in range(int(self.now / 10) + 1)]


@pytest.mark.parametrize(("opens", "says", "ports", "until"), [
    ({8080: 80.0}, lambda _: "retrying", (8080,), 81),
    ({8080: 200.0}, lambda number: f"bean {'x' * number} is made", (8080,), 201),
    ({8080: 1000.0}, lambda number: f"bean {'x' * number} is made", (), 240),
    ({8080: 200.0}, lambda number: f"2026-11-28 10:00:{number} not there yet, try {number}", (), 90),
    ({8080: 200.0}, lambda number: "bean " + "x" * min(number, 6), (), 133),
    ({8081: 1.0, 8080: 5.0}, str, (8080, 8081), 6),
    ({8081: 1.0, 8080: 1000.0}, str, (8081,), 1 + observe.DECLARED_SECONDS + 1),
])  # fmt: skip
def test_who_says_something_new_is_waited_for_and_each_declared_port_is(monkeypatch, opens, says, ports, until):
    container = Starting(opens, says)
    monkeypatch.setattr(observe, "time", container)
    with contextlib.nullcontext() if ports else pytest.raises(observe.NotUp) as caught:
        assert observe.wait_listening(container, (8080,), declared=opens) == ports
    assert ports or codes(caught.value.message) == ["down.said", "down.not_listening"]
    assert abs(container.now - until) < 3


WARNING = """\
INFO Mapped "{[/error]}" onto public BasicErrorController.error()
WARN cannot connect to the database
INFO Closing"""
FRAMES = """\
[1] [ERROR] Exception in worker process
Traceback (most recent call last):
  File "/app/run.py", line 1, in <module>
ImportError: cannot import name 'escape' from 'jinja2'
Worker exiting
Shutting down: Master
Reason: Worker failed to boot."""


@pytest.mark.parametrize(("log", "cause"), [
    pytest.param(WARNING, "WARN cannot connect to the database | INFO Mapped", id="a line for information is none"),
    pytest.param(FRAMES, f"{FRAMES.splitlines()[3]} | Worker exiting | ", id="the exception below its frames"),
])  # fmt: skip
def test_the_line_that_tells_the_cause_comes_first(log, cause):
    code, fields = parts(observe.with_cause("it ended", log.splitlines()))
    assert (code, fields["reason"]) == ("down.said", "it ended")
    assert fields["lines"].startswith(cause)
