"""That an attack network is cut off in a Podman without root, whose bridges are in a network namespace that its user owns."""

import contextlib
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deadweight._errors import DeadweightError
from deadweight.checks.protocol import Subject
from deadweight.engine import netns
from deadweight.engine.client import Engine
from deadweight.engine.options import RunOptions, bridge_of
from deadweight_attacks.lab import Lab
from tests.support import TESTS
from tests.support.attack_grounds import castle, quiet_lab
from tests.support.invoking import TASKS, invoke
from tests.support.rootless import bridges, podman_lacks, rootless_podman
from tests.support.small_images import go_program, reference

pytestmark = [
    pytest.mark.engines,
    pytest.mark.engine,
    pytest.mark.tools,
    pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="to become another user needs root"),
    pytest.mark.skipif(bool(podman_lacks()), reason=f"not installed: {podman_lacks()}"),
]
TRIES = """
ip link set eth0 up
for address in {addresses}; do
  ip route replace "$address/32" dev eth0
  ip neigh replace "$address" lladdr {mac} dev eth0
done
"""


@pytest.fixture(scope="module")
def podman(playground_archive) -> Iterator[tuple[Engine, Path]]:
    with rootless_podman() as (host, folder), Engine.connect(host, project="deadweight-rootless") as engine:
        engine.images.load(playground_archive, reference("playground"))
        yield engine, folder


@pytest.fixture(scope="module")
def built(podman, playground_archive, tmp_path_factory) -> Iterator[Lab]:
    subject: Subject = castle(tmp_path_factory.mktemp("rootless"), podman[0], playground_archive)
    with quiet_lab(subject) as lab:
        yield lab


@pytest.mark.parametrize(
    ("place", "told"), [("ns:/nowhere/rootless-netns", "/nowhere/rootless-netns"), ("host", "/conf/dw-")]
)
def test_where_its_bridges_are_not_found_nothing_counts_as_cut_off(podman, built, monkeypatch, place, told):
    """No namespace at all, or one without the bridge: then attacks are not measured, with what was said as the reason."""
    engine, _ = podman
    monkeypatch.setattr(engine.dialect, "namespaces", lambda: (place,))
    with pytest.raises(DeadweightError, match=told):
        engine.tunnels.by_bridges(("cut-off", bridge_of(built.network)))


def test_with_nothing_masked_its_kernel_settings_can_be_written(podman, built):
    """Podman does not look at the lists in which Docker is told what to mask."""
    engine, _ = podman
    tables = {}
    for masked in (True, False):
        with engine.start(
            engine.tunnels.loaded(), RunOptions(args=("wait",), network="none", masked_paths=masked)
        ) as one:
            tables[masked] = Path(f"/proc/{one.state().pid}/mountinfo").read_text()
    assert [" /proc/sys " in tables[masked] for masked in (True, False)] == [True, False]


@contextlib.contextmanager
def listening(entered: Callable[[Callable[[], socket.socket]], socket.socket]) -> Iterator[tuple[list[str], int]]:
    """All that comes to a port, by TCP and UDP, at any address of a network that ``entered`` makes sockets in."""
    heard: list[str] = []
    tcp = entered(lambda: socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True))
    port = tcp.getsockname()[1]

    def datagrams() -> socket.socket:
        made = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        made.bind(("::", port))
        return made

    udp, closing = entered(datagrams), threading.Event()

    def serve() -> None:
        while not closing.is_set():
            for ready in select.select([tcp, udp], [], [], 0.05)[0]:
                if ready is tcp:
                    connection, who = tcp.accept()
                    connection.close()
                else:
                    who = udp.recvfrom(100)[1]
                heard.append(str(who))

    thread = threading.Thread(target=serve)
    thread.start()
    with tcp, udp:
        yield heard, port
        closing.set()
        thread.join()


def addresses(namespace: str) -> list[str]:
    words = subprocess.run(
        [*namespace.split(), "ip", "-4", "-o", "address"], capture_output=True, text=True, check=True
    )
    found = [line.split()[3].split("/")[0] for line in words.stdout.splitlines()]
    return [each for each in found if not each.startswith("127.")]


def knock(to: list[str], ports: list[int]) -> None:
    """At each of these addresses and ports, by TCP and UDP; the answer does not matter."""
    for address in to:
        for port in ports:
            with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
                datagram.sendto(b"word", (address, port))
            with contextlib.suppress(OSError):
                socket.create_connection((address, port), 0.2).close()


@pytest.mark.parametrize("cut", [True, False], ids=["cut off", "as Podman makes it"])
def test_nothing_inside_reaches_the_users_network_or_this_machine(podman, built, cut):
    """Tried with all rights of this machine's root over a container's network, which no attack has: routes, and the bridge's own
    address among the neighbours, so that nothing has to be asked for. The second run is the control."""
    engine, folder = podman
    with contextlib.ExitStack() as stack:
        name = built.network
        if not cut:
            name = f"deadweight-attack-{os.urandom(6).hex()}"
            engine.api.create_network(name, driver="bridge", internal=True, labels=engine.marks("attack"),
                                      options={"com.docker.network.bridge.name": bridge_of(name)})  # fmt: skip
            stack.callback(engine.remove_network, name)
        inside = engine.start(engine.tunnels.loaded(), RunOptions(args=("wait",), network=name))
        stack.enter_context(inside)
        users = stack.enter_context(bridges(folder).open("rb"))
        enter = f"nsenter --net={bridges(folder)}"
        link = subprocess.run(
            [*enter.split(), "ip", "-o", "link", "show", bridge_of(name)], capture_output=True, text=True
        )
        there = [*addresses(enter), *addresses("env"), "192.0.2.77"]
        theirs = stack.enter_context(listening(lambda made: netns.inside(users.fileno(), made)))
        ours = stack.enter_context(listening(lambda made: made()))
        pid = inside.state().pid
        script = TRIES.format(addresses=" ".join(there), mac=link.stdout.split("link/ether ")[1].split()[0])
        subprocess.run(["nsenter", "-t", str(pid), "-n", "sh", "-ec", script], check=True, capture_output=True)
        netns.within(pid, lambda: knock(there, [theirs[1], ours[1]]))
        assert bool(theirs[0]) is not cut, theirs[0]
        if cut:
            assert ours[0] == []


DOCKERFILE = 'FROM scratch\nCOPY app /app\nUSER 65532\nEXPOSE 8080\nENTRYPOINT ["/app"]\n'
SUITE = """\
name: theirs
variants:
  v: {builder: dockerfile, dockerfile: Dockerfile, port: 8080, health: {path: /healthz}}
"""


def test_root_builds_nothing_in_it_and_its_user_goes_on(podman, tmp_path):
    """Root may write to its store: what ``podman build`` left there of root's, kept that Podman from answering anybody."""
    engine, folder = podman
    go_program(TESTS / "services" / "misbehave", tmp_path / "app")
    for name, text in {"Dockerfile": DOCKERFILE, "deadweight.yaml": SUITE, "tasks.py": TASKS}.items():
        (tmp_path / name).write_text(text)
    before, store = theirs(folder), engine.images.need(reference("playground"))
    done = invoke(tmp_path, "build", env={"DOCKER_HOST": engine.host})
    assert done.returncode not in (0, 130), done.stdout
    assert engine.host in done.stderr
    assert "Traceback" not in done.stderr
    assert theirs(folder) == before
    assert engine.images.need(reference("playground")) == store
    with engine.start(reference("playground"), RunOptions(network="none")) as one:
        assert one.state().running


def theirs(folder: Path) -> dict[str, int]:
    """Whose what lies below its home is. Root's is nothing of it, and was nothing before."""
    found = {str(each): each.lstat().st_uid for each in (folder / "home").rglob("*")}
    assert [name for name, owner in found.items() if owner == 0] == []
    return {name: owner for name, owner in found.items() if "/overlay/" not in name and "lock" not in name}
