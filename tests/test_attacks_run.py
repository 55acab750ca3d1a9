"""Attacks on real containers: outcomes, walls, gates, a service that dies or never comes up, and that nothing is left behind."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from small_images import reference
from small_project import put_built, subject_of, write_suite

from deadweight._errors import ConfigError
from deadweight.checks.attacks import check, lab, walls
from deadweight.checks.attacks.deliver import fire
from deadweight.checks.attacks.listeners import Listener, Word
from deadweight.checks.attacks.load import load_payloads
from deadweight.checks.attacks.yard import Yard
from deadweight.checks.runner import keep
from deadweight.engine import netns, owner
from deadweight.engine.options import Mount
from deadweight.records.paths import State
from deadweight.sources.choose import remember

PLAYGROUND = reference("playground")
GATES = "checks: {attacks: {gates: [{posture: hardened, blocked: [%s]}]}}"
pytestmark = pytest.mark.usefixtures("playground_image")


@pytest.fixture
def make(tmp_path, engine, playground_archive):
    """A subject of the demo service: ``make("variant's YAML")``; further files of the project as ``files``."""

    def build(yaml: str = "", reference: str = PLAYGROUND, archive: Path = playground_archive, **files: str):
        for name, text in files.items():
            (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
        suite = write_suite(tmp_path, f"name: p\nvariants:\n  castle:\n    builder: ko\n    {yaml}\n")
        remember(suite, State(tmp_path), "local")
        built = put_built(suite, "castle", archive, reference)
        return subject_of(suite, "castle", built, archive, engine)

    return build


@pytest.fixture(autouse=True)
def _nothing_left(engine):
    """Containers, networks and folders are gone, whatever came of an attack."""
    yield
    assert left(engine) == []


def left(engine, pid: int | None = None) -> list[str]:
    """What attacks of this process (or that one) left behind; others may be attacking on the same machine."""
    mine = f"{pid or os.getpid()}:"
    things = [
        each.name
        for each in engine.leftovers()
        if each.labels[owner.PURPOSE] == lab.PURPOSE and each.labels[owner.OWNER].startswith(mine)
    ]
    for folder in Path(tempfile.gettempdir()).glob("deadweight-host-*"):
        with contextlib.suppress(OSError):
            if json.loads((folder / "owner.json").read_text())[owner.OWNER].startswith(mine):
                things.append(str(folder))
    return things


@pytest.fixture(scope="module")
def shell(local_source):
    """The static shell, from the local source as in real life."""
    local_source.prepare(("busybox:1.36.1-musl",), apk=False, say=print)


@pytest.fixture
def few(monkeypatch):
    """Only these of our attacks (and all of the project's own), to keep a test short."""

    def choose(*names: str) -> None:
        def load(files=()):
            loaded = load_payloads(files)
            ours = {each.id for each in load_payloads().payloads}
            kept = tuple(each for each in loaded.payloads if each.id in names or each.id not in ours)
            return dataclasses.replace(loaded, payloads=kept)

        monkeypatch.setattr(check, "load_payloads", load)

    return choose


def attacked(subject, *postures: str, **options):
    found = check.attack(subject, postures=postures, **options)
    assert found.data, found.reason
    return found, found.data["postures"]


@pytest.mark.tools
@pytest.mark.usefixtures("shell")
def test_the_walls_of_an_image_without_a_shell(make, few):
    """mawk on nothing: AWK's own powers work, the shell's only with one bound in, and each wall shows its worth."""
    few(
        "option-injection", "environ", "coprocess", "reverse-shell", "system", "write-root", "run-root", "download",
        "host-read", "core-pattern", "memory-bomb", "read-shadow",
    )  # fmt: skip
    found, postures = attacked(make())
    outcome = {name: {attack: cell["outcome"] for attack, cell in cells.items()} for name, cells in postures.items()}
    assert outcome["open"]["option-injection"] == "succeeded"
    assert outcome["open"]["environ"] == outcome["hardened"]["environ"] == "succeeded"
    assert outcome["open"]["coprocess"] == outcome["hardened"]["reverse-shell"] == "not_applicable"
    assert postures["open"]["system"]["walls"] == postures["hardened"]["system"]["walls"] == ["image"]
    assert postures["open"]["system"]["evidence"]["control"]["proof"].endswith("came back")
    assert outcome["open"]["write-root"] == "succeeded"
    assert postures["hardened"]["write-root"]["walls"] == ["non-root", "read-only"]
    assert postures["hardened"]["write-root"]["depth"] == 2
    assert postures["hardened"]["run-root"]["walls"] == ["image", "non-root", "read-only"]
    assert postures["hardened"]["download"]["walls"] == ["image", "no-network"]
    assert postures["hardened"]["host-read"]["walls"] == ["host-mounts"]
    assert postures["default"]["host-read"]["walls"] == ["host-mounts"]
    assert postures["hardened"]["core-pattern"]["walls"] == ["non-root", "masked-paths"]
    assert outcome["open"]["memory-bomb"] == outcome["default"]["memory-bomb"] == "succeeded"
    assert postures["hardened"]["memory-bomb"]["walls"] == ["limits"]
    assert postures["hardened"]["read-shadow"]["reason"] == "the image has no /etc/shadow, or nothing in it"
    missing = found.data["walls_not_there"]
    assert all(text in found.reason for text in missing.values())
    assert found.status == "pass"


@pytest.mark.tools
@pytest.mark.usefixtures("shell")
def test_verify_tries_less_and_keeps_what_a_longer_run_found(make, few):
    few("write-root", "host-read", "memory-bomb")
    subject = make(GATES % "write-root, host-read")
    before = check.attack(subject, postures=("open", "hardened", "only-read-only"))
    longer = dataclasses.replace(before, data={**before.data})
    longer.data["postures"]["hardened"]["write-root"] |= {"walls": ["read-only"], "depth": 1}
    keep(subject, longer)
    found = check.CHECK.run(subject)
    assert found.status == "pass"
    assert list(found.data["postures"]) == ["open", "default", "hardened", "only-read-only"]
    assert found.data["postures"]["hardened"]["write-root"]["walls"] == ["read-only"]
    assert found.data["postures"]["hardened"]["memory-bomb"]["evidence"]["measured_at"] == before.provenance.at


def test_a_broken_gate_fails_and_names_the_attack(make, few, monkeypatch):
    few("environ", "write-root")
    monkeypatch.setattr(lab, "static_shell", lambda _subject: ())
    found, _ = attacked(make(GATES % "environ, write-root"), "hardened")
    assert found.status == "fail"
    assert found.reason.startswith("environ succeeded in hardened. ")
    assert found.data["breaches"] == ["environ succeeded in hardened"]


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ("{posture: moat, blocked: [system]}", "attacks: gates: no posture 'moat'"),
        ("{posture: hardened, blocked: [sistem]}", "attacks: gates: no attack 'sistem'"),
    ],
)
def test_a_gate_that_names_nothing_is_refused_before_anything_starts(make, gate, said):
    with pytest.raises(ConfigError, match=said):
        check.CHECK.run(make(f"checks: {{attacks: {{gates: [{gate}]}}}}"))


def test_a_machine_without_a_shell_at_hand_says_so(make, few, monkeypatch):
    few("system")
    from deadweight._errors import MissingError

    def none(_subject):
        raise MissingError("no registry in reach")

    monkeypatch.setattr(lab, "static_shell", none)
    found, postures = attacked(make(), "open")
    assert postures["open"]["system"]["outcome"] == "not_measured"
    assert found.data["notes"]["image"] == "what having no shell is worth was not measured: no registry in reach"


DEADLY = """\
payloads:
  - id: killer
    title: end the service
    attack: T1499.004
    request: {path: /eat}
    seconds: 20
    evidence: {kind: output}
  - id: zz-echo
    title: an answer of the service
    attack: T1190
    request: {method: POST, path: /echo, body: "@a@ @b@"}
    evidence: {kind: output}
"""


def test_a_service_that_dies_is_an_outcome_and_the_matrix_goes_on(make, few, misbehaving_image, misbehaving_archive):
    few("system")
    subject = make("checks: {attacks: {payload_files: [own.yaml]}}", misbehaving_image, misbehaving_archive, own=DEADLY)
    _, postures = attacked(subject, "open", "hardened")
    for cells in postures.values():
        assert (cells["killer"]["outcome"], cells["killer"]["reason"] or "the service died") == (
            "crashed",
            "the service died",
        )
        # the next one had a new container; an echo of the halves is no proof
        assert cells["zz-echo"]["outcome"] == "not_measured"
        assert cells["system"]["outcome"] == "not_measured"


@pytest.mark.parametrize(("gates", "status"), [("", "not_measured"), (GATES % "system", "fail")])
def test_a_service_that_never_comes_up_is_never_a_success(
    make, misbehaving_image, misbehaving_archive, monkeypatch, gates, status
):
    yaml = "run: {env: {MODE: never-healthy}}\n    health: {within_seconds: 0.5}"
    subject = make(f"{yaml}\n    {gates}" if gates else yaml, misbehaving_image, misbehaving_archive)
    found = check.attack(subject, postures=("hardened",))
    assert (found.status, found.data) == (status, {})
    assert found.reason.startswith("nothing was measured: open: not healthy within 0.5 s")


def test_a_posture_that_the_machine_cannot_start_is_not_measured(make, few, monkeypatch):
    few("write-root")
    monkeypatch.setattr(lab, "static_shell", lambda _subject: ())
    subject = make()
    found, postures = attacked(subject, "privileged")
    if "open" in found.data["notes"]:  # the machine lacks a capability, so that --privileged cannot start either
        assert postures["privileged"]["write-root"]["outcome"] == "not_measured"
        assert "cannot be started" in postures["privileged"]["write-root"]["reason"]
        assert postures["open"]["write-root"]["outcome"] == "succeeded"
    else:
        assert postures["privileged"]["write-root"]["outcome"] == "succeeded"


# containment


@pytest.fixture
def laboratory(make, monkeypatch):
    monkeypatch.setattr(lab, "static_shell", lambda _subject: ())
    with lab.Lab(make()) as built:
        yield built


def host_addresses() -> list[str]:
    """Every IPv4 address of this machine (``/proc/net/fib_trie`` lists local ones as /32 host LOCAL)."""
    lines = Path("/proc/net/fib_trie").read_text().splitlines()
    found = {lines[i - 1].split()[-1] for i, line in enumerate(lines) if "/32 host LOCAL" in line}
    return sorted(found)


@pytest.mark.parametrize("name", ["open", "default", "only-limits"])
def test_nothing_inside_reaches_a_listener_of_the_host(laboratory, name):
    """The host listens on all its interfaces; from inside, none of its addresses answers, and there is no way out."""
    word = Word("aaaa", "bbbb")
    listener = Listener(socket.create_server(("", 0), backlog=4), word, "collect")
    try:
        with Yard(laboratory, walls.posture(name)) as yard:
            pid = yard.get().state().pid
            for address in host_addresses():
                if address.startswith("127."):
                    continue  # inside, that is the container itself
                with pytest.raises(OSError):
                    netns.within(pid, lambda address=address: socket.create_connection((address, listener.port), 1.0))
            with pytest.raises(OSError):
                netns.within(pid, lambda: socket.create_connection(("192.0.2.1", 80), 1.0))  # RFC 5737: nobody's
        assert not listener.connected
    finally:
        listener.close()


def test_inside_reaches_the_attackers_listener(laboratory):
    """The control of the test above: the same connection leads to the attacker."""
    word = Word("aaaa", "bbbb")
    listener = laboratory.listen(word, "collect")
    try:
        with Yard(laboratory, walls.OPEN) as yard:
            pid = yard.get().state().pid
            address = (laboratory.attacker_host, listener.port)
            netns.within(pid, lambda: socket.create_connection(address, 2.0)).close()
        time.sleep(0.3)
        assert listener.connected
    finally:
        listener.close()


@pytest.mark.parametrize("name", walls.names())
def test_the_engine_holds_every_posture_within_the_bound(laboratory, name):
    options = laboratory.options(walls.posture(name))
    if name not in ("open", "default", "hardened"):
        assert options.memory_bytes <= 512 * 2**20  # what the engine makes of it is seen below
        return
    with Yard(laboratory, walls.posture(name)) as yard:
        config = yard.get().inspect()["HostConfig"]
    assert 0 < config["Memory"] <= 512 * 2**20
    assert config["MemorySwap"] == config["Memory"]
    assert 0 < config["PidsLimit"] <= 256
    assert config["NanoCpus"] > 0
    assert {limit["Name"]: limit["Hard"] for limit in config["Ulimits"]}["fsize"] == walls.FILE_BYTES
    assert not config["PortBindings"]
    assert config["NetworkMode"] in (laboratory.network, "none")


def test_a_full_disk_stops_the_attack_that_would_fill_it(laboratory, monkeypatch):
    from deadweight.checks.attacks.matrix import Runner

    monkeypatch.setattr(lab, "RESERVE_BYTES", 2**60)
    catalogue = load_payloads()
    fill = next(each for each in catalogue.payloads if each.id == "fill-disk")
    with Yard(laboratory, walls.OPEN) as yard:
        shot = Runner(laboratory, catalogue)._shot(yard, fill)
    assert (shot.seen, shot.said) == ("not_measured", "this machine has too little free disk space to try it")


def test_a_proof_needs_the_whole_word(laboratory):
    """A script that only prints the halves' text, as an error message would, proves nothing."""
    payload = next(each for each in load_payloads().payloads if each.id == "option-injection")
    harmless = payload.model_copy(update={"input": 'BEGIN { print "@a@ @b@" }'})
    with Yard(laboratory, walls.OPEN) as yard:
        assert fire(laboratory, yard, payload).seen == "succeeded"
        assert fire(laboratory, yard, harmless).seen == "failed"


# nothing is left behind

SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from small_project import subject_of
from deadweight.checks.attacks import lab
from deadweight.checks.attacks.many import attack_all
from deadweight.engine.client import Engine
from deadweight.records.built import BuiltImage
from deadweight.records.store import load
from deadweight.suite.load import load_suite
from deadweight.tasks._task import guard

lab.static_shell = lambda _subject: ()
root = Path({root!r})
def work():
    with Engine.connect({host!r}, project="deadweight-tests") as engine:
        built = load(BuiltImage, root / ".deadweight/images/castle/built.json")
        subject = subject_of(load_suite(root / "deadweight.yaml"), "castle", built, Path({archive!r}), engine)
        attack_all([subject], told=lambda line: print(line, flush=True))
sys.exit(guard(work))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)])
def test_an_attack_run_that_is_ended_leaves_nothing(make, engine, tmp_path, playground_archive, number, code):
    """By Ctrl-C and SIGTERM at once; after kill -9 with the next start."""
    subject = make()
    text = SCRIPT.format(
        tests=str(Path(__file__).parent), root=str(tmp_path), host=engine.host, archive=str(playground_archive)
    )
    process = subprocess.Popen(
        [sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=os.environ, text=True
    )
    with process:
        line = process.stdout.readline()
        assert line.startswith("castle: open"), line
        time.sleep(1.0)
        mine = [each for each in engine.leftovers() if each.labels[owner.OWNER].startswith(f"{process.pid}:")]
        assert {each.kind for each in mine} == {"container", "network"}
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        assert process.returncode == code
    if number == signal.SIGKILL:
        assert left(engine, process.pid) != []
        engine.cleanup_stale()
        lab.sweep_host_folders()
    assert left(engine, process.pid) == []
    assert subject.variant.name == "castle"


def test_the_mounted_socket_is_no_engine(laboratory):
    """What the attacks talk to in place of the engine only listens."""
    (socket_mount,) = [mount for mount in laboratory.ground.mounts if mount.target == lab.SOCKET_TARGET]
    assert isinstance(socket_mount, Mount)
    assert socket_mount.source != Path("/var/run/docker.sock")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(socket_mount.source))
        client.sendall(b"GET /containers/json HTTP/1.0\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.0 404")
