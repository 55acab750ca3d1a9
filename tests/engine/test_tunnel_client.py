"""A container that cannot be reached from here is reached through its engine."""

import json
import socket
import urllib.request
from collections.abc import Iterator

import pytest

from deadweight._errors import DeadweightError, MissingError
from deadweight.engine import labels
from deadweight.engine.api import Endpoint
from deadweight.engine.client import Engine
from deadweight.engine.faults import Unreachable
from deadweight.engine.foreground import forwarded
from deadweight.engine.options import RunOptions
from deadweight.suite.model import Health
from deadweight.toolchain import golang
from tests.support.codes import codes, raises
from tests.support.tls_engine import elsewhere

HEALTH = Health(path="/healthz", within_seconds=15)


@pytest.fixture(scope="module")
def remote(engine, tmp_path_factory) -> Iterator[Endpoint]:
    """The tests' engine, as one on another machine is reached."""
    folder = tmp_path_factory.mktemp("tls")
    with elsewhere(engine.host.removeprefix("unix://"), folder) as host:
        yield Endpoint(host, ours=False, certificates=str(folder))


@pytest.fixture
def there(remote, monkeypatch) -> Iterator[Engine]:
    """As on a machine of a company that has an authority of its own: what its variables name does not know the engine's."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/ssl/certs/ca-certificates.crt")
    monkeypatch.setenv("CURL_CA_BUNDLE", "/etc/ssl/certs/ca-certificates.crt")
    with Engine.connect(remote, project="deadweight-tests-through") as engine:
        yield engine


def of_tunnels(engine: Engine) -> list[str]:
    """Of this test's project: other tests have tunnels in the same engine."""
    found = [each for each in engine.leftovers() if each.labels.get(labels.PROJECT) == engine.project]
    return [each.id for each in found if each.kind == "container" and "tunnel" in each.name]


@pytest.mark.slow
def test_a_service_in_an_engine_elsewhere_is_asked_through_the_engine(there, misbehaving_image):
    with there.start(misbehaving_image, RunOptions(publish=8080)) as container:
        assert container.wait_healthy(HEALTH).healthy
        route = container.http()
        assert route.way == "engine"
        body = json.dumps({"long": "x" * 300_000}).encode()
        assert route.request("POST", "/echo", body=body).json()["length"] == len(body)
        assert [route.request("GET", "/json").status for _ in range(5)] == [200] * 5
        with route.dial(10) as connection:  # a client that ends its half first still gets its answer
            connection.sendall(b"GET /json HTTP/1.0\r\n\r\n")
            connection.shutdown(socket.SHUT_WR)
            assert connection.makefile("rb").read().startswith(b"HTTP/1.0 200")
        with pytest.raises(ConnectionRefusedError):
            container.http(9).request("GET", "/")
        found = container.listeners()
        assert found is not None
        assert 8080 in [each.port for each in found]
        assert [each for each in of_tunnels(there) if each != container.id]
    assert of_tunnels(there) == []


@pytest.mark.slow
def test_a_port_of_this_machine_leads_there(there, misbehaving_image):
    """What ``invoke run`` names is for a browser."""
    with there.start(misbehaving_image, RunOptions(publish=8080)) as container:
        assert container.wait_healthy(HEALTH).healthy
        with forwarded(container.http()) as port:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=10) as answer:
                assert json.load(answer)["count"] == 3
            with raises(DeadweightError, "engine.port_in_use", port=port), forwarded(container.http(), port):
                pass


def test_a_container_without_a_network_is_reached_too(there, misbehaving_image):
    with there.start(misbehaving_image, RunOptions(publish=8080, network="none")) as container:
        assert container.wait_healthy(HEALTH).healthy


def test_the_program_is_gone_from_the_engine_afterwards(remote, engine, misbehaving_image):
    with (
        Engine.connect(remote, project="deadweight-tests-through") as there,
        there.start(misbehaving_image, RunOptions(publish=8080)) as container,
    ):
        assert container.wait_healthy(HEALTH).healthy
        name = there.tunnels.loaded()
        assert engine.images.get(name) is not None
    assert engine.images.get(name) is None


def test_where_nothing_can_stand_beside_it_nothing_is_said_of_the_service(there, misbehaving_image, monkeypatch):
    """No answer is no finding about the image."""

    def no_go(*_: object) -> None:
        raise MissingError("go is not here", hint="invoke setup")

    monkeypatch.setattr(golang, "built", no_go)
    with there.start(misbehaving_image, RunOptions(publish=8080)) as container:
        with raises(Unreachable, "engine.unreachable", problem="go is not here") as caught:
            container.wait_healthy(HEALTH)
        assert (caught.value.exit_code, caught.value.hint) == (3, "invoke setup")


def test_a_container_that_ended_is_told_as_that(there, misbehaving_image):
    with there.start(misbehaving_image, RunOptions(publish=8080)) as container:
        container.signal("KILL")
        container.wait_ended(10)
        assert codes(container.wait_healthy(HEALTH).reason)[0] == "engine.ended_early"
