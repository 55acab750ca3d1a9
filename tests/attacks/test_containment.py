"""What keeps attacks where they are: no way out, bounds on memory, disk and time, and nothing left behind, even after kill -9."""

import contextlib
import fcntl
import ipaddress
import os
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deadweight._errors import DeadweightError
from deadweight.engine import api, labels, netns
from deadweight.engine.options import RunOptions, bridge_of
from deadweight.engine.own.machine import everyone
from deadweight.project.clean import clean
from deadweight.project.workspace import Workspace
from deadweight.suite.model import Health
from deadweight_attacks import containers as yard, guard, helper, host, lab, machine, network, run_options, walls
from deadweight_attacks.containers import Yard
from deadweight_attacks.listeners import Listener, Word
from deadweight_attacks.request import PRELUDE
from deadweight_attacks.run import attack
from deadweight_attacks.sequence import fire_one
from tests.support.attack_grounds import castle, left, listening, payload
from tests.support.codes import codes, raises
from tests.support.fault_project import wait_for
from tests.support.invoking import start
from tests.support.small_project import own_leftovers

pytestmark = pytest.mark.usefixtures("playground_image", "nothing_left")
WORD = Word("aaaa", "bbbb")


@pytest.fixture
def bridge(shared):
    """The bridge of the shared laboratory, fenced and cut off again after a test that opens it."""
    name = bridge_of(shared.network)
    yield name
    network.unfence(name)
    network.cut_off(name)
    network.fence(name)


def host_addresses() -> list[str]:
    """Every IPv4 address of this machine (``/proc/net/fib_trie`` has it as /32 host LOCAL) but loopback's, which inside is the
    container itself."""
    lines = Path("/proc/net/fib_trie").read_text().splitlines()
    addresses = {lines[i - 1].split()[-1] for i, line in enumerate(lines) if "/32 host LOCAL" in line}
    return sorted(address for address in addresses if not address.startswith("127."))


def connect(castle_yard: Yard, address: tuple[str, int], seconds: float = 1.0) -> tuple[Any, ...]:
    """From inside what is attacked: from where to where, and in which network."""

    def ends() -> tuple[Any, ...]:
        with socket.create_connection(address, seconds) as made:
            return made.getsockname(), made.getpeername(), str(Path("/proc/thread-self/ns/net").readlink())

    return netns.within(castle_yard.get().state().pid, ends)


def reached(castle_yard: Yard, address: tuple[str, int]) -> tuple[Any, ...]:
    """From where to where a connection was made from inside, and in which network; empty where none was."""
    with contextlib.suppress(OSError):
        return connect(castle_yard, address)
    return ()


@pytest.fixture
def attacker(shared) -> Iterator[Listener]:
    """What listens where attacks call."""
    with contextlib.closing(shared.listen(WORD, "collect")) as listener:
        yield listener


@pytest.mark.parametrize("name", ["open", "default", "only-limits"])
def test_nothing_inside_reaches_a_listener_of_the_host(shared, attacker, name):
    """The host listens on all its interfaces; from inside, none of its addresses answers, and there is no way out. The same
    connection leads to the attacker."""
    with contextlib.closing(Listener(socket.create_server(("", 0), backlog=4), WORD, "collect")) as listener:
        with Yard(shared, walls.posture(name)) as yard:
            outside = ("198.51.100.1", 80)  # RFC 5737: nobody's
            addresses = (*((host, listener.port) for host in host_addresses()), outside)
            assert reached(yard, ("127.0.0.1", shared.variant.port)), "the service itself is reached from there"
            assert [connection for address in addresses if (connection := reached(yard, address))] == []
            connect(yard, (shared.attacker.host, attacker.port), 2.0)
        wait_for(lambda: attacker.connected, 20)
        assert not listener.connected


@pytest.mark.slow
def test_the_engines_name_server_asks_nobody(shared):
    """What is asked of it inside goes nowhere: Docker before 23.0.11, 25.0.4 and 26.0.0 would hand it on (CVE-2024-29018)."""

    def answers() -> int:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client, contextlib.suppress(OSError):
            client.settimeout(2.0)
            client.connect(("127.0.0.11", 53))
            client.send(b"\x12\x34\x01\0\0\1\0\0\0\0\0\0\7example\3com\0\0\1\0\1")
            return int.from_bytes(client.recv(512)[6:8], "big")
        return 0

    assert shared.attacker.container.inspect()["HostConfig"]["Dns"] == ["192.0.2.53"]
    for name in ("open", "default", "only-limits"):
        with Yard(shared, walls.posture(name)) as castle_yard:
            assert castle_yard.get().inspect()["HostConfig"]["Dns"] == ["192.0.2.53"]
            assert netns.within(castle_yard.get().state().pid, answers) == 0


WAYS = """
both() {{ echo word | run nc -w 1 $1 {tcp} & echo word | run nc -u -w 1 $1 {udp} & }}
run ip link set eth0 up
run ip route replace default via ${gateway} dev eth0 onlink
for address in {addresses}; do
  run ip route replace $address/32 dev eth0
  both $address
done
wait
run ip route del default
run ip route replace default dev eth0
both {elsewhere}
wait
echo 0 > /proc/sys/net/ipv6/conf/all/disable_ipv6
echo 0 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6
sleep 2
for address in {six}; do both $address%eth0; done
wait
"""


@pytest.fixture(scope="module")
def with_tools(tmp_path_factory, engine, playground_image, playground_archive, local_source):
    """The laboratory with a static busybox to bind in, and the posture that has all rights over its network."""
    local_source.prepare((helper.IMAGE,), apk=False, say=print)
    with lab.Lab(castle(tmp_path_factory.mktemp("tools"), engine, playground_archive)) as built:
        yield built


@pytest.fixture
def heard():
    with listening() as pair:
        yield pair


@pytest.mark.parametrize("cut", [True, False], ids=["cut off", "as the engine makes it"])
def test_with_all_rights_over_its_network_nothing_inside_reaches_this_machine(with_tools, heard, cut):
    """Tried from inside by its own tools: routes of its own, TCP and UDP, every address of the host, IPv6 of the bridge.

    The second run is the control: where the bridge is as the engine makes it, the same tries do get through.
    """
    heard, (tcp, udp) = heard
    bridge = bridge_of(with_tools.network)
    if not cut:
        network.unfence(bridge)
        for pattern in network.SETTINGS:
            Path("/proc/sys/net", pattern.format(bridge)).write_text("0")
        wait_for(lambda: settled(bridge))
    links = [str(ipaddress.IPv6Address(bytes.fromhex(words[0]))) for words in six(bridge)]
    mac = Path(f"/sys/class/net/{bridge}/address").read_text().split(":")
    links.append(f"fe80::{int(mac[0], 16) ^ 2:x}{mac[1]}:{mac[2]}ff:fe{mac[3]}:{mac[4]}{mac[5].strip()}")
    addresses = host_addresses()
    names = {"elsewhere": "192.0.2.77", "six": " ".join(dict.fromkeys(links)), "tcp": tcp, "udp": udp}
    script = WAYS.replace("${gateway}", addresses[0]).format(addresses=" ".join(addresses), **names)
    with Yard(with_tools, walls.OPEN.with_shell()) as castle_yard:
        done = castle_yard.get().exec(["/bin/sh", "-c", PRELUDE + script], user="0:0", seconds=120)
        asked = ["/bin/sh", "-c", PRELUDE + "run ip route"]
        wait_for(lambda: b"default dev eth0" in castle_yard.get().exec(asked, user="0:0").output)
    assert b"applet not found" not in done.errors
    assert bool(heard) is not cut, f"{heard} {done.errors.decode()}"


def six(bridge: str) -> list[list[str]]:
    """Its lines in the kernel's table of IPv6 addresses."""
    lines = map(str.split, Path("/proc/net/if_inet6").read_text().splitlines())
    return [words for words in lines if words[5] == bridge]


def settled(bridge: str) -> bool:
    """Whether it has addresses of IPv6, and none is tentative any more (IFA_F_TENTATIVE in linux/if_addr.h)."""
    flags = [int(words[4], 16) for words in six(bridge)]
    return bool(flags) and not any(flag & 0x40 for flag in flags)


def firewall(*words: str) -> list[str]:
    done = subprocess.run(["iptables", "--wait", "10", *words], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def need_filtered_bridges() -> None:
    if not network.filters_bridges():
        pytest.skip("this kernel does not show bridged packets to iptables (no br_netfilter)")


@contextlib.contextmanager
def strict_firewall(bridge: str) -> Iterator[None]:
    """Bridged packets are dropped unless our rule lets them pass, as where one engine has set Docker's policy and another one
    made the network. An engine that is alone sets a rule for the network itself: the drop stands between that one and ours."""
    need_filtered_bridges()
    rules = [line for line in firewall("-S", "FORWARD") if line.startswith("-A")]
    (ours,) = [number for number, line in enumerate(rules, 1) if bridge in line and network.MARK in line]
    rule = ["-i", bridge, "-o", bridge, "-j", "DROP"]
    firewall("-I", "FORWARD", str(ours + 1), *rule)
    try:
        yield
    finally:
        firewall("-D", "FORWARD", *rule)


@pytest.mark.slow
def test_what_the_firewall_drops_elsewhere_passes_on_the_attack_network(shared, attacker, bridge):
    """Else every attack over the network would be "not measured" on such a machine. Without our rule it is dropped."""
    with strict_firewall(bridge), Yard(shared, walls.OPEN) as castle_yard:
        address = (shared.attacker.host, attacker.port)
        connect(castle_yard, address)
        network.unfence(bridge)
        with pytest.raises(TimeoutError):
            connect(castle_yard, address)


@pytest.mark.slow
def test_trials_of_harden_reach_what_they_need_beside_another_engine(engine, misbehaving_image):
    """Podman beside Docker, as root: of two containers on harden's own network one did not reach the other."""
    with network.trial_network(engine, "harden") as name:
        bridge = bridge_of(name)
        start = partial(engine.start, misbehaving_image, RunOptions(env={"MODE": "good"}, network=name))
        with strict_firewall(bridge), start() as one, start() as other:
            assert one.wait_healthy(Health(path="/healthz"), 8080).healthy
            address = (one.inspect()["NetworkSettings"]["Networks"][name]["IPAddress"], 8080)
            netns.within(other.pid, lambda: socket.create_connection(address, 5.0)).close()
    assert [line for line in firewall("-S") if bridge in line] == []


@pytest.mark.slow
def test_the_firewall_keeps_no_rule_of_ours_and_the_guard_knows_all_that_is_started(subject, monkeypatch):
    """Also the containers that try what the machine can start."""
    started, start = [], lab.Starts.start
    monkeypatch.setattr(machine, "_known", {})
    monkeypatch.setattr(lab.Starts, "start", lambda *given: started.append(given[2]) or start(*given))
    with lab.Lab(subject) as built:
        assert len(started) >= 3  # the attacker, and a container for each try
        assert all(marks == {guard.LAB: built._mark} for marks in started)
        bridge = bridge_of(built.network)
        there = [line for line in firewall("-S") if bridge in line and network.MARK in line]
        assert len(there) == 1 + network.filters_bridges()
    assert [line for line in firewall("-S") if bridge in line] == []


def shout(port: int) -> None:
    """A datagram to everybody, from an interface that has no address any more."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        fcntl.ioctl(own, 0x8916, struct.pack("16sH14x", b"eth0", socket.AF_INET))  # SIOCSIFADDR (linux/sockios.h)
        own.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        own.sendto(b"word", ("255.255.255.255", port))


@pytest.mark.parametrize("fenced", [True, False], ids=["fenced", "without the rule"])
def test_what_comes_from_no_address_and_goes_to_all_stays_inside(shared, bridge, heard, fenced):
    """No route and no ARP is asked for it. Without the rule this machine hears it."""
    heard, (_, udp) = heard
    if not fenced:
        network.unfence(bridge)
    with Yard(shared, walls.OPEN) as castle_yard:
        netns.within(castle_yard.get().state().pid, lambda: shout(udp))
        time.sleep(0.5)  # fenced, nothing is to come
        wait_for(lambda: heard or fenced, 20)
    assert bool(heard) is not fenced, heard


def test_a_rule_whose_bridge_is_gone_is_swept():
    """As a run that was killed together with its guard leaves it; others' rules stay."""
    need_filtered_bridges()
    theirs = ["FORWARD", "-i", "br-notthere", "-o", "br-notthere", "-j", "ACCEPT"]
    firewall("-A", *theirs)
    try:
        network.fence("br-alsonotthere")
        network.unfence()
        rules = firewall("-S", "FORWARD") + firewall("-S", "INPUT")
    finally:
        firewall("-D", *theirs)
    assert f"-A {' '.join(theirs)}" in rules
    assert not any("br-alsonotthere" in rule for rule in rules)


@pytest.mark.slow
def test_a_firewall_that_takes_no_rule_and_a_disk_that_cannot_be_seen_are_told(subject, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(lab, "disks_of", lambda _info: ())
    with lab.Lab(subject) as built:
        assert built.no_room_on_disk() == built.notes["disk"] == walls.wording("untried.disk")
        assert codes(built.notes["network"])[0] == "untried.firewall"
        assert "iptables" in built.notes["network"]


@pytest.mark.parametrize("name", ["open", "default", "hardened"])
def test_the_engine_holds_postures_within_the_bound(shared, name):
    with Yard(shared, walls.posture(name)) as yard:
        config = yard.get().inspect()["HostConfig"]
    assert 0 < config["Memory"] == config["MemorySwap"] <= 512 * 2**20
    assert 0 < config["PidsLimit"] <= 256
    assert config["NanoCpus"] > 0
    assert {"Name": "fsize", "Soft": run_options.FILE_BYTES, "Hard": run_options.FILE_BYTES} in config["Ulimits"]
    assert not config["PortBindings"]
    assert config["NetworkMode"] in (shared.network, "none")


def test_a_full_disk_stops_the_attack_that_would_fill_it(shared, monkeypatch):
    monkeypatch.setattr(lab, "RESERVE_BYTES", 2**60)
    with Yard(shared, walls.OPEN) as castle_yard:
        shot = fire_one(shared, castle_yard, payload("fill-disk"))
    assert (shot.seen, castle_yard.started) == ("not_measured", 0)
    assert codes(shot.text) == ["untried.disk_full"]


def test_where_the_engine_discards_limits_nothing_is_sent_that_needs_them(subject, few, monkeypatch):
    """Such an engine says so; this one is asked through a document in which one limit is missing. What writes to a disk ends by
    itself, writes no large file, and is watched."""
    few("memory-bomb", "fill-disk", "environ")
    version, info = subject.engine().documents
    monkeypatch.setitem(subject.engine().__dict__, "documents", (version, {**info, "PidsLimit": False}))
    data = attack(subject, postures=("open",)).data
    cells, reason = data["postures"]["open"], machine.not_held(("processes",))
    assert [cells[name]["outcome"] for name in ("environ", "fill-disk")] == ["succeeded", "succeeded"]
    assert (cells["memory-bomb"]["outcome"], cells["memory-bomb"]["reason"]) == ("not_measured", reason)
    assert data["notes"]["limits"] == walls.wording("untried.limits", reason=reason)


@pytest.mark.parametrize(("podman", "cgroup", "usable", "discarded", "limits"), [
    (True, "1", [], (), ("memory", "processes", "processors")),
    (True, "1", ["cpu", "memory", "pids"], ("CpuCfsQuota",), ("processors",)),
    (True, "2", ["memory", "pids"], (), ("processors",)), (True, "2", ["cpu", "memory", "pids"], ("CpuCfsQuota",), ()),
    (False, "2", [], (), ()), (False, "2", [], ("CpuCfsQuota",), ("processors",)),
])  # fmt: skip
def test_podman_without_root_holds_only_what_it_was_handed(monkeypatch, podman, cgroup, usable, discarded, limits):
    """Its ``/info`` says that it has all: on version 1 of cgroups a bomb would have had the whole machine. On version 2 it says
    that it has none on processors, for it looks for the files of version 1: 4.3.1 holds them all the same."""
    monkeypatch.setattr(api, "document_once", lambda *_: {"host": {"cgroupControllers": usable}})
    document = {key: key not in discarded for key in machine.LIMITS}
    info = SimpleNamespace(podman=podman, cgroup=cgroup)
    engine = SimpleNamespace(documents=({}, document), info=info, host="unix:///nowhere", certificates=None)
    assert machine.unenforced(engine) == limits


# disk and time


def ended_within(seconds: float, castle_yard: Yard) -> bool:
    """Whether the container goes away by itself."""
    container = castle_yard.get()
    with contextlib.suppress(AssertionError):
        wait_for(lambda: container.id not in {entry.id for entry in labels.find_leftovers(container.api)}, seconds)
        return True
    return False


@pytest.mark.slow
def test_where_disk_runs_out_everything_is_ended_and_nothing_is_believed(subject, monkeypatch):
    """The floor is above what this machine has free: the guard acts as it would on a disk that an attack fills."""
    with lab.Lab(subject) as calm, Yard(calm, walls.OPEN) as held:
        assert not ended_within(1.0, held)
        assert held.alive()
    monkeypatch.setattr(guard, "FLOOR_BYTES", 2**60)
    disk_low = raises(lab.NoService, "service.disk_low", floor=str(2**60))  # the yard may not even be made
    with disk_low, lab.Lab(subject) as built, Yard(built, walls.OPEN) as failing:
        assert ended_within(10.0, failing)
        failing.lab.starts.guarded(failing.options)
    evidence = attack(subject, postures=("hardened",))
    assert (evidence.status, evidence.data) == ("not_measured", {})
    assert codes(evidence.reason) == ["gate.nothing_at_all", "service.disk_low"]


def test_what_the_engine_refuses_once_all_was_ended_is_no_fault_of_its(subject):
    """A container that the guard takes away while it starts is refused in the engine's words: they are not the reason."""
    with lab.Lab(subject) as built:
        nowhere = built.options(walls.OPEN).but(network="deadweight-nowhere")
        with pytest.raises(DeadweightError, match="deadweight-nowhere") as plain:
            built.starts.start(nowhere)
        assert not isinstance(plain.value, lab.NoService)
        (built.host.path / "ended").write_text("17", encoding="utf-8")
        with raises(lab.NoService, "service.disk_low", floor="17"):
            built.starts.start(nowhere)
        with raises(lab.NoService, "service.disk_low", floor="17"), built.starts.believed():
            raise lab.NoService("No such container")  # what a caller made of such a refusal


@pytest.mark.slow
def test_a_container_has_its_time_and_no_more(shared, monkeypatch):
    monkeypatch.setattr(guard, "CONTAINER_SECONDS", 1)
    with Yard(shared, walls.OPEN) as castle_yard:
        assert ended_within(guard.LISTING_SECONDS + 8, castle_yard)
        monkeypatch.setattr(yard, "CONTAINER_SECONDS", 1)
        with raises(DeadweightError, "service.over_time", seconds=1):
            castle_yard.alive()
        monkeypatch.setattr(guard, "CONTAINER_SECONDS", 600)
        assert castle_yard.get().state().running  # the next attack has a new one
    assert shared.attacker.container.state().running


def test_an_old_container_is_replaced_between_attacks(shared, monkeypatch):
    with Yard(shared, walls.OPEN) as castle_yard:
        first = castle_yard.get()
        assert castle_yard.get() is first
        monkeypatch.setattr(yard, "CONTAINER_SECONDS", 0)
        assert castle_yard.get() is not first


def test_without_its_guard_nothing_is_attacked(laboratory):
    laboratory.starts.guard._process.kill()
    laboratory.starts.guard._process.wait()
    with Yard(laboratory, walls.OPEN) as castle_yard, raises(lab.NoService, "service.guard_ended"):
        castle_yard.get()


def test_the_disk_that_is_watched_is_the_engines(engine):
    (folder, *_) = guard.disks_of(engine.info)
    assert folder == Path(engine.info.root_dir)


# the host folder


def test_what_is_written_to_the_host_folder_is_bounded(shared):
    """As the container has it, by its own root folder: a file system in memory that is full at 16 MiB."""
    with Yard(shared, walls.OPEN) as castle_yard:
        pid = castle_yard.get().state().pid
        lines = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
        assert [" - tmpfs " in line for line in lines if line.split()[4] == host.HOST_TARGET] == [True]
        inside = Path(f"/proc/{pid}/root{host.HOST_TARGET}")
        (inside / "half").write_bytes(b"\0" * (host.SIZE_BYTES // 2))
        with pytest.raises(OSError, match="No space left"):
            (inside / "rest").write_bytes(b"\0" * (host.SIZE_BYTES // 2))
        for name in ("half", "rest"):
            (inside / name).unlink()


def test_a_link_or_a_pipe_in_the_host_folder_is_not_followed(shared, tmp_path):
    (tmp_path / "elsewhere").write_text(WORD.whole)
    mounted = shared.host.mounted
    (mounted / "link").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(mounted / "pipe")
    (mounted / "file").write_text(WORD.whole)
    assert [shared.host.holds(name, WORD) for name in ("file", "link", "pipe")] == [True, False, False]


def test_a_folder_without_an_owner_is_swept_once_it_is_old(tmp_path):
    old, new = (tmp_path / f"{host.PREFIX}{name}" for name in ("old", "new"))
    old.mkdir()
    new.mkdir()
    os.utime(old, (1, 1))
    assert (host.sweep_host_folders(tmp_path), list(tmp_path.iterdir())) == (1, [new])


def test_the_container_that_the_shell_is_read_from_is_labelled(engine, playground_image, monkeypatch):
    """A kill at that moment leaves something that the next start finds."""
    before = set(left(engine))
    monkeypatch.setattr(helper, "read_file", lambda *_: set(left(engine)) - before)
    assert len(helper._extracted(engine, playground_image)) == 1


# nothing is left behind


@pytest.fixture
def run(subject, engine, tmp_path):
    """An attack run in a process of its own, amid its attacks."""
    env = {"DOCKER_HOST": engine.host}
    with start(tmp_path, "attack", "--variant", "castle", env=env, stdout=None, stderr=None) as process:
        wait_for(lambda: guards_of(process.pid))
        wait_for(lambda: {leftover.kind for leftover in own_leftovers(engine, process.pid)} >= {"container", "network"})
        yield process
        process.kill()


def guards_of(pid: int) -> list[int]:
    return [process.pid for process in everyone() if process.parent == pid and "attacks.guard" in process.command]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_attack_run_that_is_ended_leaves_nothing(run, engine, number):
    run.send_signal(number)
    assert (run.wait(30), left(engine, run.pid)) == (128 + number, [])


def test_after_kill_9_the_guard_ends_the_attacks(run, engine):
    """In a moment, and without anybody starting anything."""
    run.kill()
    run.wait(30)
    wait_for(lambda: not left(engine, run.pid), 10)


def test_the_guard_goes_on_until_nothing_is_left(monkeypatch):
    """A container comes to be after the first were listed, and one that is being removed still holds the network."""
    there: list[list[Any]] = [[["first"], False], [["late"], False], [[], False], [[], True]]
    asked: list[str] = []

    def listing(_host, _path, _certificates):
        return [{"Id": name, "Labels": {}} for name in there[0][0]]

    def delete(_host, path, _certificates):
        asked.append(path)
        return there.pop(0)[1] if path.startswith("/networks/") else True

    monkeypatch.setattr(guard, "wire", SimpleNamespace(listing=listing, delete=delete))
    guard.clear(guard.At("unix:///nowhere"), "lab", "moat")
    assert there == []
    assert [path.split("/")[2].partition("?")[0] for path in asked] == ["first", "moat", "late", *["moat"] * 3]


@pytest.mark.slow
def test_after_kill_9_of_the_guard_too_clean_leaves_nothing(run, engine, subject, tmp_path):
    (guard_pid,) = guards_of(run.pid)
    os.kill(guard_pid, signal.SIGKILL)
    there = left(engine, run.pid)  # while it lives: the next attack on this machine sweeps the folder of a dead owner
    run.kill()
    run.wait(30)
    assert any(name.startswith("/") for name in there)
    assert len(there) >= 3, "a folder, a network and containers"
    workspace = Workspace.open(print, tmp_path / "deadweight.yaml")
    workspace.__dict__["_engine"] = engine
    assert clean(workspace).containers >= 2
    # the engine may still make a container that the run had asked for
    wait_for(lambda: clean(workspace) and not left(engine, run.pid), 10)
    mounts = Path("/proc/self/mountinfo").read_text()
    assert not any(name in mounts for name in there if name.startswith("/"))


def test_the_mounted_socket_is_no_engine(shared):
    """What the attacks talk to in place of the engine only listens."""
    (socket_mount,) = [mount for mount in shared.ground.mounts if mount.target == host.SOCKET_TARGET]
    assert socket_mount.source != Path("/var/run/docker.sock")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(socket_mount.source))
        client.sendall(b"GET /containers/json HTTP/1.0\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.0 404")
