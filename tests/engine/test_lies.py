"""Engines that tell of themselves what is not so, or makes no sense: what they can do is used, and what cannot be is one error."""

from collections.abc import Iterator

import pytest

from deadweight._errors import MissingError
from deadweight.engine import api, daemon
from deadweight.engine.api import Endpoint
from deadweight.engine.client import Engine
from tests.support.codes import codes, details, raises
from tests.support.pretended_engine import HONEST, Lies, Pretended, lying, pretended

pytestmark = pytest.mark.engine  # of a pretended one, behind a socket


@pytest.fixture
def told(tmp_path) -> Iterator[Pretended]:
    with pretended(tmp_path) as server:
        yield server


@pytest.fixture
def there(told) -> Endpoint:
    return Endpoint(told.host, ours=False)


@pytest.mark.parametrize(
    "version",
    [{}, [], "banana", None, {**HONEST, "ApiVersion": "banana"}, {**HONEST, "ApiVersion": None},
     {**HONEST, "ApiVersion": 1.51}, {**HONEST, "ApiVersion": ["1.51"]}, {**HONEST, "ApiVersion": "1.12"}],
)  # fmt: skip
def test_an_engine_without_a_version_of_its_api_that_can_be_spoken_is_one_error(told, there, version):
    told.documents["/version"] = version
    with raises(MissingError, "engine.api_unusable", host=there.host):
        Engine.connect(there)


@pytest.mark.parametrize("key", ["Version", "Components", "MinAPIVersion"])
@pytest.mark.parametrize("value", [None, 7, "banana", ["x"], [{"Name": 7}], {}])
def test_what_else_it_says_of_its_version_breaks_nothing(told, there, key, value):
    told.documents["/version"] = {**HONEST, key: value}
    with Engine.connect(there) as engine:
        assert engine.api.api_version == "1.51"
        assert not engine.info.podman
    daemon.client_too_old(there)
    assert isinstance(daemon.server_version(there), str | None)


@pytest.mark.parametrize(
    "key", ["SecurityOptions", "DriverStatus", "NCPU", "MemTotal", "CgroupVersion", "OperatingSystem", "DockerRootDir"]
)
@pytest.mark.parametrize("value", [None, 7, "banana", [7], [None], [["x"]], {}])
def test_what_it_says_of_its_machine_breaks_nothing(told, there, key, value):
    told.documents["/info"] = {"Architecture": "x86_64", key: value}
    with Engine.connect(there) as engine:
        assert engine.info.architecture == "x86_64"


@pytest.mark.parametrize("info", [[], "banana", None, 7])
def test_no_document_of_its_machine_is_one_error(told, there, info):
    told.documents["/info"] = info
    with Engine.connect(there) as engine, raises(MissingError, "engine.not_an_engine", host=there.host):
        assert engine.info


def test_an_engine_without_buildkit_is_found_out_before_a_build(there):
    """Where it has none, buildx would start one from a public registry."""
    assert codes(api.buildkit_trouble(there.host)) == ["engine.no_grpc"]


@pytest.mark.engine
def test_a_real_engine_behind_something_that_lies(endpoint, tmp_path):
    socket = endpoint.host.removeprefix("unix://")
    refused = Lies(refused=("/grpc", "/session"))
    newer = Lies({"/version": lambda said: {**said, "ApiVersion": "1.99"}})
    assert api.buildkit_trouble(endpoint.host) == ""
    with lying(socket, tmp_path, refused) as host:
        assert details(api.buildkit_trouble(host)).fields == {"status": 404}
        with Engine.connect(host) as engine:
            assert engine.images.get("deadweight-tests/none:1") is None
    with (
        lying(socket, tmp_path, newer) as host,
        Engine.connect(host) as engine,
        raises(MissingError, "engine.api_refused") as caught,
    ):
        engine.images.get("deadweight-tests/none:1")
    assert "1.99" in caught.value.fields["problem"]
