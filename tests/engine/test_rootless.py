"""What is measured in an engine without root, Podman's and Docker's: attacks, system calls, and which files a service reaches. Root
of ours is asked for nothing there. Podman's bridges are in a network namespace that its user owns: they are cut off too."""

import contextlib
import itertools
import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from deadweight._errors import DeadweightError
from deadweight._run import run
from deadweight.checks.protocol import Subject
from deadweight.checks.scan.reachability import Observation, observed
from deadweight.engine import netns
from deadweight.engine.client import Engine
from deadweight.engine.options import RunOptions, bridge_of, hardened_for
from deadweight.engine.own import machine
from deadweight.engine.seccomp import profile, refused_calls
from deadweight_attacks import walls
from deadweight_attacks.containers import Yard
from deadweight_attacks.deliver import Shot
from deadweight_attacks.harden.trial import PURPOSE, attempt
from deadweight_attacks.lab import Lab
from deadweight_attacks.seccomp import floor, recorder
from deadweight_attacks.sequence import fire_one
from tests.support import ROOT, TESTS
from tests.support.attack_grounds import ADDS, castle, left, listening, payload, quiet_lab
from tests.support.codes import raises
from tests.support.invoking import invoke
from tests.support.processes import engine_at
from tests.support.small_images import docker_archive, go_program, program, reference
from tests.support.small_project import own_leftovers
from tests.support.trees import written

pytestmark = [
    *(pytest.mark.engines, pytest.mark.engine, pytest.mark.tools),
    pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="to become another user needs root"),
]
HOST = ("host-read", "host-write", "breach-host-read", "breach-host-write", "breach-engine-socket", "breach-token")
"""Attacks on what is handed in of this machine."""
NEIGHBOUR = ("breach-other-processes", "breach-shared-memory")
OTHERS = ("breach-reverse-shell", "breach-raw-socket", "breach-metadata", "breach-disk", "write-root")
# Engines of users who are not root: with user numbers of their own, a store and a run folder; nothing else here is changed.
START = """
set -e
for name in passwd group subuid subgid; do mount --bind "$1/etc/$name" "/etc/$name"; done
mount -t tmpfs tmpfs /dev/net && mknod -m 666 /dev/net/tun c 10 200
cd /
folder=$1 user=$2
shift 2
exec setpriv --reuid $user --regid $user --clear-groups env -i HOME="$folder/home" XDG_RUNTIME_DIR="$folder/run" PATH="$PATH" "$@"
"""


@dataclass(frozen=True)
class User:
    """By number; ``subordinate`` is the first of 65536 that are its own beside that."""

    number: int
    subordinate: int

    def files(self, home: str) -> dict[str, str]:
        """What lies over the files in ``/etc`` of the engine's own mounts."""
        known = "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"
        passwd = f"{known}rootless:x:{self.number}:{self.number}::{home}:/bin/sh\n"
        group = f"root:x:0:\nnogroup:x:65534:\nrootless:x:{self.number}:\n"
        beside = f"rootless:{self.subordinate}:65536\n"
        return {"passwd": passwd, "group": group, "subuid": beside, "subgid": beside}


@contextlib.contextmanager
def engine_of(user: User, argv: Sequence[str]) -> Iterator[str]:
    """Start it with these words, in which ``FOLDER`` is its folder; gives where it listens. It is gone afterwards, with all that it
    started."""
    # not where only root enters, nor in /run, over which Podman mounts
    folder = Path(f"/var/tmp/dw-rootless-{os.getpid()}-{user.number}")
    written(folder / "etc", user.files(str(folder / "home")))
    for part in ("home", "run"):
        (folder / part).mkdir(0o700)
        os.chown(folder / part, user.number, user.number)
    host = f"unix://{folder}/run/engine.sock"
    words = [word.replace("FOLDER", str(folder)) for word in argv]
    start = ["unshare", "--mount", "sh", "-c", START, "sh", str(folder), str(user.number), *words]
    try:
        with engine_at(host, start, folder / "log"):
            yield host
    finally:
        users = {user.number, *range(user.subordinate, user.subordinate + 65536)}
        for process in machine.everyone():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{process.pid}").stat().st_uid in users:
                    os.kill(process.pid, signal.SIGKILL)
        machine.unmount_below(folder)
        shutil.rmtree(folder, ignore_errors=True)
        Path(f"/dev/shm/libpod_rootless_lock_{user.number}").unlink(missing_ok=True)


DOCKER_SCRIPT = shutil.which("dockerd-rootless.sh") or "/usr/share/docker.io/contrib/dockerd-rootless.sh"
"""On PATH, or in Debian's place."""
RUNC = shutil.which("runc") or "runc"
LISTENS = "unix://FOLDER/run/engine.sock"
ENGINES = {
    "podman": (
        User(61000, 7_000_000), ("podman", "runc"),
        f"podman --cgroup-manager cgroupfs --runtime {RUNC} --storage-driver overlay system service --time=0 {LISTENS}",
    ),
    "docker": (
        User(61001, 7_300_000), ("dockerd", "rootlesskit", DOCKER_SCRIPT),
        f"{DOCKER_SCRIPT} --data-root FOLDER/home/docker --exec-root FOLDER/run/docker --host {LISTENS}",
    ),
}  # fmt: skip
"""Whose each is, which programs it needs beside those of all, and how it is started."""


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    """The demo service with this machine's awk. Its folders are in it: Docker without root makes others for root alone."""
    folder = tmp_path_factory.mktemp("playground")
    files = {"/app": go_program(ROOT / "src/vulnerable-awk-playground", folder / "app"), **program("awk")}
    folders = {f"{parent}/": "0" for path in files for parent in Path(path).parents if parent != Path("/")}
    config = {"Entrypoint": ["/app"], "User": "65534:65534", "Env": ["PATH=/usr/bin:/bin"]}
    return docker_archive(folder / "image.tar", reference("rootless"), [{**folders, **files}], config)


@pytest.fixture(scope="module", params=ENGINES)
def engine(request, archive) -> Iterator[Engine]:
    user, programs, words = ENGINES[request.param]
    lacking = [name for name in (*programs, "newuidmap", "setpriv", "unshare") if shutil.which(name) is None]
    if lacking or not any(map(shutil.which, ("slirp4netns", "pasta"))):
        pytest.skip(f"not installed: {', '.join(lacking) or 'slirp4netns'}")
    with engine_of(user, words.split()) as host, Engine.connect(host, project="deadweight-rootless") as connected:
        connected.images.load(archive, reference("rootless"))
        yield connected
        assert [leftover.name for leftover in own_leftovers(connected) if leftover.kind == "container"] == []


@pytest.fixture(scope="module")
def subject(engine, archive, tmp_path_factory) -> Iterator[Subject]:
    yaml = f"checks: {{api: [{ADDS}]}}"
    made = castle(tmp_path_factory.mktemp("rootless"), engine, archive, yaml, reference("rootless"))
    yield made
    made.service.close()


def otherwise(lab: Lab, posture: walls.Posture, names: Sequence[str], seen: str = "failed") -> dict[str, Shot]:
    """Which of these attacks end otherwise than ``seen`` in this posture, and how."""
    with Yard(lab, posture) as yard:
        assert yard.session.difference() == {}
        shots = {name: fire_one(lab, yard, payload(name)) for name in names}
    return {name: shot for name, shot in shots.items() if shot.seen != seen}


def test_attacks_are_carried_out_and_stopped(subject):
    """Also those on a folder and a socket of this machine, on a neighbour, on the cloud's metadata and on the disk."""
    attacks = (*HOST, *NEIGHBOUR, *OTHERS)
    with quiet_lab(subject) as lab:
        assert lab.far
        assert lab.notes["elsewhere"].endswith("through the engine"), "nothing is left out"
        assert otherwise(lab, walls.OPEN, attacks, "succeeded") == {}
        assert otherwise(lab, walls.only("host-mounts"), HOST) == {}
        assert otherwise(lab, walls.only("pid-namespace"), NEIGHBOUR[:1]) == {}
        assert otherwise(lab, walls.HARDENED, [name for name in attacks if name != "breach-disk"]) == {}
    assert left(subject.engine()) == []


def test_an_attacker_that_was_started_anew_is_none(subject):
    """Podman starts one that has ended with the next container that shares its processes, in another network: what is sent to it
    then would look as if a wall had stopped it."""
    with quiet_lab(subject) as lab:
        attacker = lab.attacker.container
        os.kill(attacker.state().pid, signal.SIGKILL)
        attacker.wait_ended(10)
        subject.engine().api.start(attacker.id)
        with raises(DeadweightError, "attacker.restarted"):
            lab.attacker.check()


def test_the_service_its_awk_and_its_libraries_are_seen(subject):
    observation = observed(subject, may_run=True)
    assert isinstance(observation, Observation), observation
    names = {path.rpartition("/")[2] for path in observation.opened}
    assert {"/app", "/usr/bin/awk"} <= set(observation.executed)
    assert any(name.startswith("libc.so") for name in names)
    assert not any(path.startswith(("/proc/", "/sys/", "/.deadweight")) for path in observation.opened)


def test_a_profile_of_what_was_recorded_lets_the_service_work_and_nothing_else_through(subject, tmp_path: Path):
    """Recorded, completed by what the runtime needs, and tried, as the search does before it leaves calls out."""
    runtime = refused_calls.runtime_of(subject.engine())
    needed = floor.kept_floor(runtime) or floor.find_floor(runtime)
    with subject.engine().network(PURPOSE) as network:
        options = hardened_for(subject.variant).but(network=network)
        engines = recorder.allowed(subject, options, "amd64")
        trial, recording = recorder.recorded(subject, options, None, "amd64")
        assert trial.problem == ""
        assert [phase.name for phase in recording.phases] == ["start", "adds", "idle", "end"]
        assert recording.seen_in("listen") == ("start",)
        assert recording.linker.startswith("/lib64/ld-linux") or not recording.linker
        calls = {*needed.calls, *(recording.calls & {*engines, *profile.STARTERS, *profile.EVERYDAY})}
        assert len(calls) < 100 < len(engines)
        for refused, works in (("", True), ("listen", False)):
            file = profile.write(tmp_path / "p.json", floor.document(calls - {refused}, recording.families, "amd64"))
            seen = attempt(subject, options.but(seccomp=str(file)))
            assert (seen.problem == "") is works, seen.problem


def test_a_profile_under_which_nothing_starts_names_the_call(subject, tmp_path: Path):
    """Tried with the runtime itself: the engine may wait for ever for one that is refused a call."""
    everything = set(profile.numbers("amd64")) - {"execve"}
    file = profile.write(tmp_path / "p.json", floor.document(everything, range(64), "amd64"))
    with raises(refused_calls.StoppedByProfile, "seccomp.stops", calls="execve"):
        refused_calls.check(subject.engine(), hardened_for(subject.variant).but(seccomp=str(file)))


def test_what_the_attackers_program_needs_is_recorded(subject):
    assert {"execve", "prctl", "write"} <= recorder.rehearsed(subject, hardened_for(subject.variant), "amd64").calls


def test_a_program_that_is_not_there_is_told_as_it_says_itself(subject):
    """It ends before anybody can listen."""
    options = hardened_for(subject.variant).but(entrypoint=("/nowhere",))
    trial, recording = recorder.recorded(subject, options, None, "amd64")
    assert "/nowhere: no such file or directory" in trial.problem
    assert recording.calls == frozenset()


NOWHERE = "/nowhere/rootless-netns"
# Podman's network, and its store.
IN_PODMAN = pytest.mark.parametrize("engine", ["podman"], indirect=True)
TRIES = """
ip link set eth0 up
for address in {addresses}; do
  ip route replace "$address/32" dev eth0
  ip neigh replace "$address" lladdr {mac} dev eth0
done
"""


def bridges(folder: Path) -> Path:
    """The file of the network namespace in which Podman's bridges are, as its own mounts have it."""
    pause = (folder / "run/libpod/tmp/pause.pid").read_text().strip()
    return next(Path(f"/proc/{pause}/root{folder}/run/netns").glob("rootless-netns-*"))


def folder_of(engine: Engine) -> Path:
    """Of the user whose engine it is."""
    return Path(engine.host.removeprefix("unix://")).parents[1]


@IN_PODMAN
@pytest.mark.parametrize(("place", "message"), [(f"ns:{NOWHERE}", NOWHERE), ("host", "/conf/dw-")])
def test_where_its_bridges_are_not_found_nothing_counts_as_cut_off(engine, monkeypatch, place, message):
    """No namespace at all, or one without the bridge: then attacks are not measured, with what was said as the reason."""
    monkeypatch.setattr(engine.dialect, "namespaces", lambda: (place,))
    with pytest.raises(DeadweightError, match=message):
        engine.tunnels.by_bridges(("cut-off", bridge_of("deadweight-attack-0")))


@IN_PODMAN
@pytest.mark.parametrize("masked", [True, False])
def test_with_nothing_masked_its_kernel_settings_can_be_written(engine, masked):
    """Podman does not look at the lists in which Docker is told what to mask."""
    options = RunOptions(args=("wait",), network="none", masked_paths=masked)
    with engine.start(engine.tunnels.loaded(), options) as one:
        assert (" /proc/sys " in Path(f"/proc/{one.state().pid}/mountinfo").read_text()) is masked


def addresses(namespace: str) -> list[str]:
    lines = run([*namespace.split(), "ip", "-4", "-o", "address"]).output.splitlines()
    return [address for line in lines if not (address := line.split()[3].split("/")[0]).startswith("127.")]


def knock(to: list[str], ports: list[int]) -> None:
    """At each of these addresses and ports, by TCP and UDP; the answer does not matter."""
    for place in itertools.product(to, ports):
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
            datagram.sendto(b"word", place)
        with contextlib.suppress(OSError):
            socket.create_connection(place, 0.2).close()


@IN_PODMAN
@pytest.mark.parametrize("cut", [True, False], ids=["cut off", "as Podman makes it"])
def test_nothing_inside_reaches_the_users_network_or_this_machine(engine, subject, cut):
    """Tried with all rights of this machine's root over a container's network, which no attack has: routes, and the bridge's own
    address among the neighbours, so that nothing has to be asked for. The second run is the control."""
    with contextlib.ExitStack() as stack:
        if cut:
            name = stack.enter_context(quiet_lab(subject)).network
        else:
            name = f"deadweight-attack-{os.urandom(6).hex()}"
            engine.api.create_network(name, driver="bridge", internal=True, labels=engine.marks("attack"),
                                      options={"com.docker.network.bridge.name": bridge_of(name)})  # fmt: skip
            stack.callback(engine.remove_network, name)
        inside = engine.start(engine.tunnels.loaded(), RunOptions(args=("wait",), network=name))
        stack.enter_context(inside)
        users = stack.enter_context(bridges(folder_of(engine)).open("rb"))
        enter = f"nsenter --net={bridges(folder_of(engine))}"
        link = run([*enter.split(), "ip", "-o", "link", "show", bridge_of(name)]).output
        there = [*addresses(enter), *addresses("env"), "192.0.2.77"]
        theirs = stack.enter_context(listening(lambda made: netns.inside(users.fileno(), made)))
        ours = stack.enter_context(listening())
        pid = inside.state().pid
        script = TRIES.format(addresses=" ".join(there), mac=link.split("link/ether ")[1].split()[0])
        run(["nsenter", "-t", str(pid), "-n", "sh", "-ec", script])
        netns.within(pid, lambda: knock(there, [*theirs[1], *ours[1]]))
        assert bool(theirs[0]) is not cut, theirs[0]
        if cut:
            assert ours[0] == []


DOCKERFILE = 'FROM scratch\nCOPY app /app\nUSER 65532\nEXPOSE 8080\nENTRYPOINT ["/app"]\n'
SUITE = """\
name: theirs
variants:
  v: {builder: dockerfile, dockerfile: Dockerfile, port: 8080, health: {path: /healthz}}
"""


@IN_PODMAN
def test_root_builds_nothing_in_it_and_its_user_goes_on(engine, tmp_path):
    """Root may write to its store: what ``podman build`` left there of root's, kept that Podman from answering anybody."""
    go_program(TESTS / "services" / "misbehave", tmp_path / "app")
    written(tmp_path, {"Dockerfile": DOCKERFILE, "deadweight.yaml": SUITE})
    before, store = theirs(engine), engine.images.need(reference("rootless"))
    done = invoke(tmp_path, "build", env={"DOCKER_HOST": engine.host})
    assert done.returncode not in (0, 130), done.stdout
    assert engine.host in done.stderr
    assert theirs(engine) == before
    assert engine.images.need(reference("rootless")) == store
    with engine.start(reference("rootless"), RunOptions(network="none")) as one:
        assert one.state().running


def theirs(engine: Engine) -> dict[str, int]:
    """Whose what lies below its home is. Root's is nothing of it, and was nothing before."""
    owners = {str(path): path.lstat().st_uid for path in (folder_of(engine) / "home").rglob("*")}
    assert [name for name, owner in owners.items() if owner == 0] == []
    return {name: owner for name, owner in owners.items() if "/overlay/" not in name and "lock" not in name}
