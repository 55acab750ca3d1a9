"""An engine elsewhere, over TLS and over SSH: a container that cannot be reached from here is reached through its engine."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest
import requests

from deadweight._errors import DeadweightError, MissingError
from deadweight.engine import api, daemon, labels
from deadweight.engine.client import Engine
from deadweight.engine.container import Container
from deadweight.engine.faults import Unreachable
from deadweight.engine.forward import forwarded
from deadweight.engine.options import RunOptions
from deadweight.suite.model import Health
from tests.support.codes import codes, raises
from tests.support.fault_project import wait_for
from tests.support.tls_engine import cuttable, elsewhere
from tests.support.trees import shell_script, written

HEALTH = Health(path="/healthz", within_seconds=20)


@pytest.fixture(scope="module")
def remote(engine, tmp_path_factory) -> Iterator[api.Endpoint]:
    """The tests' engine, as one on another machine is reached."""
    folder = tmp_path_factory.mktemp("tls")
    with elsewhere(engine.host.removeprefix("unix://"), folder) as host:
        yield api.Endpoint(host, ours=False, certificates=str(folder))


@pytest.fixture
def there(remote, monkeypatch) -> Iterator[Engine]:
    """As on a machine of a company that has an authority of its own: what its variables name does not know the engine's."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/ssl/certs/ca-certificates.crt")
    monkeypatch.setenv("CURL_CA_BUNDLE", "/etc/ssl/certs/ca-certificates.crt")
    with Engine.connect(remote, project="deadweight-tests-through") as engine:
        yield engine


@pytest.fixture
def service(there, misbehaving_image) -> Iterator[Container]:
    with there.start(misbehaving_image, RunOptions(publish=8080)) as container:
        yield container


def of_tunnels(engine: Engine) -> list[str]:
    """Of this test's project: other tests have tunnels in the same engine."""
    ours = [leftover for leftover in engine.leftovers() if leftover.labels.get(labels.PROJECT) == engine.project]
    return [leftover.id for leftover in ours if leftover.kind == "container" and "tunnel" in leftover.name]


@pytest.mark.slow
def test_a_service_in_an_engine_elsewhere_and_a_port_of_this_machine_lead_through_the_engine(there, misbehaving_image):
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
        with forwarded(route) as port:  # what ``invoke run`` names is for a browser
            assert requests.get(f"http://127.0.0.1:{port}/json", timeout=10).json()["count"] == 3
            assert requests.get(f"{container.base_url}/json", timeout=10).json()["count"] == 3
            with raises(DeadweightError, "engine.port_in_use", port=port), forwarded(route, port):
                pass
        with pytest.raises(ConnectionRefusedError):
            container.http(9).request("GET", "/")
        assert 8080 in [listener.port for listener in container.listeners()]
        assert [tunnel for tunnel in of_tunnels(there) if tunnel != container.id]
    assert of_tunnels(there) == []


@pytest.mark.slow
@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
def test_what_comes_in_one_piece_with_the_head_of_the_answer_is_read(engine, misbehaving_image, tmp_path, tls):
    """A busy machine reads both at once: output, and a tunnel's first word, would be lost."""
    socket = engine.host.removeprefix("unix://")
    with contextlib.ExitStack() as stack:
        if tls:
            host = stack.enter_context(elsewhere(socket, tmp_path, gather=1.0))
        else:
            host, _ = stack.enter_context(cuttable(socket, gather=1.0))
        endpoint = api.Endpoint(host, ours=False, certificates=str(tmp_path) if tls else None)
        there = stack.enter_context(Engine.connect(endpoint, project="deadweight-tests-pieces"))
        container = stack.enter_context(there.start(misbehaving_image, RunOptions(publish=8080)))
        assert container.exec(["/app"]).output.startswith(b"misbehave: mode")
        assert container.http().request("GET", "/json", timeout=10).status == 200


def test_a_container_without_a_network_is_reached_and_the_program_is_gone_then(remote, engine, misbehaving_image):
    with (
        Engine.connect(remote, project="deadweight-tests-through") as there,
        there.start(misbehaving_image, RunOptions(publish=8080, network="none")) as container,
    ):
        assert container.wait_healthy(HEALTH).healthy
        name = there.tunnels.loaded()
        assert engine.images.get(name) is not None
    assert engine.images.get(name) is None


def test_where_nothing_can_stand_beside_it_nothing_is_said_of_the_service(service, monkeypatch):
    """No answer is no finding about the image."""
    fault = MissingError("go is not here", hint="invoke setup")
    monkeypatch.setattr("deadweight.toolchain.golang.built", Mock(side_effect=fault))
    with raises(Unreachable, "engine.unreachable", problem="go is not here", exit_code=3, hint="invoke setup"):
        service.wait_healthy(HEALTH)


def test_a_container_that_ended_is_told_as_that(service):
    service.signal("KILL")
    service.wait_ended(10)
    assert codes(service.wait_healthy(HEALTH).reason)[0] == "engine.ended_early"


# Over SSH: a real client, a real server, and the tests' engine behind them.
PORT = 2222
SERVE = """
test "$*" = "127.0.0.1 {port}" && exec env -i LD_LIBRARY_PATH={libraries} PATH={path} unshare --mount sh -ec '
mount --make-rprivate /
mount --bind {folder}/passwd /etc/passwd
mkdir -p /run/sshd
exec {folder}/root/usr/sbin/sshd -i -e -f {folder}/config 2>>{folder}/log'
"""
"""An sshd for one connection, as inetd starts it. It wants a user of its own, and finds it in a file that only its own mount
namespace has."""


@pytest.fixture(scope="module")
def served(tmp_path_factory, engine) -> Path:
    """An SSH server of the operating system's, on loopback as its client sees it; nothing is installed. ``folder/bin/ssh`` is a
    client that starts it, knows it and has a key; root's commands run here, and have the tests' engine as DOCKER_HOST."""
    folder = tmp_path_factory.mktemp("ssh")
    for package in ("openssh-server", "libwrap0"):
        subprocess.run(["apt-get", "download", "-q", package], cwd=folder, check=True, capture_output=True)
    for archive in folder.glob("*.deb"):
        subprocess.run(["dpkg", "-x", str(archive), str(folder / "root")], check=True)
    (library,) = (folder / "root").glob("**/libwrap.so.0")
    docker = shutil.which("docker")
    path = f"{Path(docker).parent if docker else '/usr/bin'}:/usr/sbin:/usr/bin:/sbin:/bin"
    for name in ("host", "key", "stranger"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    users = [line for line in Path("/etc/passwd").read_text().splitlines() if not line.startswith("sshd:")]
    config = (
        f"HostKey {folder}/host\nAuthorizedKeysFile {folder}/key.pub\nStrictModes no\n"
        f"PidFile none\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\n"
        f"SetEnv PATH={path} DOCKER_HOST={engine.host}\n"
    )
    passwd = "\n".join([*users, "sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin", ""])
    known = f"[127.0.0.1]:{PORT} {' '.join((folder / 'host.pub').read_text().split()[:2])}\n"
    written(folder, {"passwd": passwd, "config": config, "known": known})
    serve = shell_script(folder / "serve", SERVE.format(port=PORT, libraries=library.parent, path=path, folder=folder))
    key = f'-i "${{TEST_SSH_KEY:-{folder}/key}}" -o IdentitiesOnly=yes -o IdentityAgent=none'
    client = f'exec {shutil.which("ssh")} -F none {key} -o UserKnownHostsFile={folder}/known -o ProxyCommand="{serve} %h %p" "$@"'
    shell_script(folder / "bin" / "ssh", client)
    return folder


@pytest.fixture
def host(served, monkeypatch) -> str:
    monkeypatch.setenv("PATH", f"{served}/bin:{os.environ['PATH']}")
    return f"ssh://root@127.0.0.1:{PORT}"


def of_ssh() -> list[str]:
    """Connections that are open."""
    command = ["pgrep", "-f", "ssh .*system dial-stdio"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()


@pytest.mark.slow
def test_a_container_runs_there_and_is_asked_and_removed(host, misbehaving_image):
    before = set(of_ssh())
    with Engine.connect(api.Endpoint(host, ours=False), project="deadweight-tests-ssh") as engine:
        with engine.start(misbehaving_image, RunOptions(publish=8080)) as container:
            assert container.wait_healthy(HEALTH).healthy
            route = container.http()
            assert (route.way, route.request("GET", "/json").status) == ("engine", 200)
            assert container.exec(["/service", "--help"], seconds=10).exit_code is not None
            assert set(of_ssh()) - before
        assert [leftover for leftover in engine.leftovers() if leftover.id == container.id] == []
    wait_for(lambda: set(of_ssh()) <= before)


def test_it_is_found_and_dockers_client_is_led_there_too(host, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", host)
    endpoint, _ = daemon.search()
    assert (endpoint.host, dict(endpoint.cli_env)["DOCKER_HOST"]) == (host, host)
    assert api.document(host, "/version")["ApiVersion"]


def test_a_key_that_the_other_side_does_not_know_is_told(host, served, monkeypatch, tmp_path):
    """From a cache of its own, whose path is too long for a shared login."""
    monkeypatch.setenv("DEADWEIGHT_CACHE_DIR", str(tmp_path / ("long" * 10)))
    monkeypatch.setenv("TEST_SSH_KEY", f"{served}/stranger")
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(MissingError) as caught:
        daemon.search()
    assert "root@127.0.0.1: Permission denied (publickey" in caught.value.fields["problem"]
    assert codes(caught.value.hint) == ["engine.connect_by_ssh", "engine.try_ssh"]
    assert f"ssh -p {PORT} root@127.0.0.1 docker version" == caught.value.hint.fields["advice"].fields["command"]


def test_no_engine_behind_it_is_told_in_its_own_words(host):
    with pytest.raises(MissingError, match=r"(?i)(?=.*connect).*/run/none\.sock"):
        Engine.connect(api.Endpoint(f"{host}/run/none.sock", ours=False))


def test_nothing_in_an_address_becomes_an_option_or_a_command_of_the_shell():
    argv = api.ssh_command("ssh://-oProxyCommand=x@host/run/a%20b;c.sock")
    assert argv[argv.index("-l") + 1] == "-oProxyCommand=x"
    assert argv[-3:] == ["--", "host", "docker --host 'unix:///run/a b;c.sock' system dial-stdio"]
