"""What is measured in an engine without root, Podman's and Docker's: attacks, system calls, and which files a service reaches. Root
of ours is asked for nothing there."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deadweight._errors import DeadweightError
from deadweight.checks.protocol import Subject
from deadweight.checks.scan.reachability import Observation, observed
from deadweight.engine.client import Engine
from deadweight.engine.options import hardened_for
from deadweight.engine.seccomp import profile, refused_calls
from deadweight.engine.seccomp.profile import HELD, numbers
from deadweight.engine.seccomp.refused_calls import runtime_of
from deadweight_attacks import walls
from deadweight_attacks.containers import Yard
from deadweight_attacks.deliver import Shot
from deadweight_attacks.harden.trial import PURPOSE, attempt
from deadweight_attacks.lab import Lab
from deadweight_attacks.load import load_payloads
from deadweight_attacks.seccomp import floor, recorder
from deadweight_attacks.sequence import fire_one
from tests.support import ROOT
from tests.support.attack_grounds import castle, left, quiet_lab
from tests.support.codes import raises
from tests.support.rootless import docker_lacks, podman_lacks, rootless_docker, rootless_podman
from tests.support.small_images import docker_archive, go_program, program, reference
from tests.support.small_project import own_leftovers

pytestmark = [
    pytest.mark.engines,
    pytest.mark.engine,
    pytest.mark.tools,
    pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="to become another user needs root"),
]
API = "{name: adds, request: {method: POST, path: /api/v1/awk, json: {script: 'BEGIN { print 6 * 7 }'}}}"
HOST = ("host-read", "host-write", "breach-host-read", "breach-host-write", "breach-engine-socket", "breach-token")
"""Attacks on what is handed in of this machine."""
NEIGHBOUR = ("breach-other-processes", "breach-shared-memory")
OTHERS = ("breach-reverse-shell", "breach-raw-socket", "breach-metadata", "breach-disk", "write-root")
ENGINES = {"podman": (podman_lacks, rootless_podman), "docker": (docker_lacks, rootless_docker)}


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    """The demo service with this machine's awk. Its folders are in it: Docker without root makes others for root alone."""
    folder = tmp_path_factory.mktemp("playground")
    files = {"/app": go_program(ROOT / "src/vulnerable-awk-playground", folder / "app"), **program("awk")}
    folders = {f"{each}/": "0" for path in files for each in Path(path).parents if each != Path("/")}
    config = {"Entrypoint": ["/app"], "User": "65534:65534", "Env": ["PATH=/usr/bin:/bin"]}
    return docker_archive(folder / "image.tar", reference("rootless"), [{**folders, **files}], config)


@pytest.fixture(scope="module", params=sorted(ENGINES))
def engine(request, archive) -> Iterator[Engine]:
    lacks, starting = ENGINES[request.param]
    if without := lacks():
        pytest.skip(f"not installed: {without}")
    with starting() as (host, _), Engine.connect(host, project="deadweight-rootless") as connected:
        connected.images.load(archive, reference("rootless"))
        yield connected
        assert [each.name for each in own_leftovers(connected) if each.kind == "container"] == []


@pytest.fixture(scope="module")
def subject(engine, archive, tmp_path_factory) -> Iterator[Subject]:
    yaml = f"checks: {{api: [{API}]}}"
    made = castle(tmp_path_factory.mktemp("rootless"), engine, archive, yaml, reference("rootless"))
    yield made
    made.service.close()


def fired(lab: Lab, posture: walls.Posture, names: tuple[str, ...]) -> dict[str, Shot]:
    payloads = {each.id: each for each in load_payloads().payloads}
    with Yard(lab, posture) as yard:
        assert yard.session.difference() == {}
        return {name: fire_one(lab, yard, payloads[name]) for name in names}


def test_attacks_are_carried_out_and_stopped(subject):
    """Also those on a folder and a socket of this machine, on a neighbour, on the cloud's metadata and on the disk."""
    attacks = (*HOST, *NEIGHBOUR, *OTHERS)
    with quiet_lab(subject) as lab:
        assert lab.far
        assert lab.notes["elsewhere"].endswith("through the engine"), "nothing is left out"
        there = fired(lab, walls.OPEN, attacks)
        assert {name: shot for name, shot in there.items() if shot.seen != "succeeded"} == {}
        alone = fired(lab, walls.only("host-mounts"), HOST)
        assert {name: shot for name, shot in alone.items() if shot.seen != "failed"} == {}
        apart = fired(lab, walls.only("pid-namespace"), NEIGHBOUR[:1])
        assert {name: shot for name, shot in apart.items() if shot.seen != "failed"} == {}
        stopped = fired(lab, walls.HARDENED, tuple(each for each in attacks if each != "breach-disk"))
        assert {name: shot for name, shot in stopped.items() if shot.seen != "failed"} == {}
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
    found = observed(subject, may_run=True)
    assert isinstance(found, Observation), found
    names = {path.rpartition("/")[2] for path in found.opened}
    assert {"/app", "/usr/bin/awk"} <= set(found.executed)
    assert any(name.startswith("libc.so") for name in names)
    assert not any(path.startswith(("/proc/", "/sys/", "/.deadweight")) for path in found.opened)


def test_a_profile_of_what_was_recorded_lets_the_service_work_and_nothing_else_through(subject, tmp_path: Path):
    """Recorded, completed by what the runtime needs, and tried, as the search does before it leaves calls out."""
    runtime = runtime_of(subject.engine())
    needed = floor.kept_floor(runtime) or floor.find_floor(runtime)
    with subject.engine().network(PURPOSE) as network:
        options = hardened_for(subject.variant).but(network=network)
        engines = recorder.allowed(subject, options, "amd64")
        trial, recording = recorder.recorded(subject, options, None, "amd64")
        assert trial.problem == ""
        assert [phase.name for phase in recording.phases] == ["start", "adds", "idle", "end"]
        assert recording.seen_in("listen") == ("start",)
        assert recording.linker.startswith("/lib64/ld-linux") or not recording.linker
        calls = {*needed.calls, *(recording.calls & {*engines, *HELD})}
        assert len(calls) < 100 < len(engines)
        for refused, works in (("", True), ("listen", False)):
            file = profile.write(tmp_path / "p.json", floor.document(calls - {refused}, recording.families, "amd64"))
            seen = attempt(subject, options.but(seccomp=str(file)))
            assert (seen.problem == "") is works, seen.problem


def test_a_profile_under_which_nothing_starts_names_the_call(subject, tmp_path: Path):
    """Tried with the runtime itself: the engine may wait for ever for one that is refused a call."""
    everything = set(numbers("amd64")) - {"execve"}
    file = profile.write(tmp_path / "p.json", floor.document(everything, range(64), "amd64"))
    with raises(refused_calls.StoppedByProfile, "seccomp.stops", calls="execve"):
        refused_calls.check(subject.engine(), hardened_for(subject.variant).but(seccomp=str(file)))


def test_what_the_attackers_program_needs_is_recorded(subject):
    calls = recorder.rehearsed(subject, hardened_for(subject.variant), "amd64").calls
    assert {"execve", "prctl", "write"} <= calls


def test_a_program_that_is_not_there_is_told_as_it_says_itself(subject):
    """It ends before anybody can listen."""
    options = hardened_for(subject.variant).but(entrypoint=("/nowhere",))
    trial, recording = recorder.recorded(subject, options, None, "amd64")
    assert "/nowhere: no such file or directory" in trial.problem
    assert recording.calls == frozenset()
