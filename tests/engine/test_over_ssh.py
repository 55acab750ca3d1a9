"""An engine that is reached over SSH: a real client, a real server, and the tests' engine behind them."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deadweight._errors import MissingError
from deadweight.engine import api as wire
from deadweight.engine import daemon
from deadweight.engine.api import Endpoint
from deadweight.engine.client import Engine
from deadweight.engine.options import RunOptions
from deadweight.suite.model import Health
from tests.support.fault_project import wait_for
from tests.support.ssh_server import ssh_server


@pytest.fixture(scope="module")
def served(tmp_path_factory, engine) -> Iterator[tuple[Path, int]]:
    folder = tmp_path_factory.mktemp("ssh")
    with ssh_server(folder, engine.host) as port:
        yield folder, port


@pytest.fixture
def host(served, monkeypatch) -> str:
    folder, port = served
    monkeypatch.setenv("PATH", f"{folder}/bin:{os.environ['PATH']}")
    return f"ssh://root@127.0.0.1:{port}"


def of_ssh() -> list[str]:
    """Connections that are open."""
    found = subprocess.run(["pgrep", "-f", "ssh .*system dial-stdio"], capture_output=True, text=True, check=False)
    return found.stdout.split()


@pytest.mark.slow
def test_a_container_runs_there_and_is_asked_and_removed(host, misbehaving_image):
    before = set(of_ssh())
    with Engine.connect(Endpoint(host, ours=False), project="deadweight-tests-ssh") as engine:
        with engine.start(misbehaving_image, RunOptions(publish=8080)) as container:
            assert container.wait_healthy(Health(path="/healthz", within_seconds=20)).healthy
            route = container.http()
            assert (route.way, route.request("GET", "/json").status) == ("engine", 200)
            assert container.exec(["/service", "--help"], seconds=10).exit_code is not None
            assert set(of_ssh()) - before
        assert [each for each in engine.leftovers() if each.id == container.id] == []
    wait_for(lambda: set(of_ssh()) <= before)


def test_it_is_found_and_dockers_client_is_led_there_too(host, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", host)
    found, _ = daemon.search()
    assert (found.host, dict(found.cli_env)["DOCKER_HOST"]) == (host, host)
    assert wire.document(host, "/version")["ApiVersion"]


def test_a_key_that_the_other_side_does_not_know_is_told(host, served, monkeypatch, tmp_path):
    """From a cache of its own, whose path is too long for a shared login."""
    monkeypatch.setenv("DEADWEIGHT_CACHE_DIR", str(tmp_path / ("long" * 10)))
    monkeypatch.setenv("TEST_SSH_KEY", f"{served[0]}/stranger")
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(MissingError) as caught:
        daemon.search()
    assert "root@127.0.0.1: Permission denied (publickey" in caught.value.fields["problem"]
    assert caught.value.hint.code == "engine.connect_by_ssh"
    assert f"ssh -p {served[1]} root@127.0.0.1 docker version" in caught.value.hint


def test_no_engine_behind_it_is_told_in_its_own_words(host):
    with pytest.raises(MissingError) as caught:
        Engine.connect(Endpoint(f"{host}/run/none.sock", ours=False))
    assert "/run/none.sock" in caught.value.message
    assert "connect" in caught.value.message.lower()


def test_nothing_in_an_address_becomes_an_option_or_a_command_of_the_shell():
    argv = wire.ssh_command("ssh://-oProxyCommand=x@host/run/a%20b;c.sock")
    assert argv[argv.index("-l") + 1] == "-oProxyCommand=x"
    assert argv[-3:] == ["--", "host", "docker --host 'unix:///run/a b;c.sock' system dial-stdio"]
