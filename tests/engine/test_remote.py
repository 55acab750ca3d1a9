"""What can be measured in an engine whose processes, mounts and networks are not this machine's, over TCP with TLS."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from deadweight._errors import DeadweightError, MissingError
from deadweight.checks.protocol import Subject
from deadweight.checks.scan.reachability import Observation, observed
from deadweight.engine.api import Endpoint
from deadweight.engine.client import Engine
from deadweight.engine.options import hardened_for
from deadweight.engine.seccomp.refused_calls import runtime_of
from deadweight_attacks import walls
from deadweight_attacks.containers import Yard
from deadweight_attacks.deliver import fire
from deadweight_attacks.lab import Lab
from deadweight_attacks.seccomp import recorder
from tests.support.attack_grounds import ADDS, castle, left, payload
from tests.support.codes import raises
from tests.support.marks import NEEDS_DOCKERD
from tests.support.small_images import reference
from tests.support.tls_engine import apart_engine, elsewhere

pytestmark = [pytest.mark.engine, pytest.mark.tools, pytest.mark.slow, NEEDS_DOCKERD]
WORK = {
    "breach-connect": "came to the listener",
    "breach-dns": "came to the listener",
    "breach-download": "came back",
    "breach-reverse-shell": "as a shell's answer",
    "breach-bind-shell": "a shell on port",
    "breach-ptrace": "the planted secret came back",
    "breach-write-any": "came back",
    "breach-metadata": "the planted secret came back",
}
"""Attacks that work with all walls down, each way of proof at least once, and what tells that they did."""
UNTOLD = {"breach-host-read": "the folder of this machine", "breach-other-processes": "told apart"}


@pytest.fixture(scope="module")
def there(tmp_path_factory, playground_archive) -> Iterator[Engine]:
    folder, keys = tmp_path_factory.mktemp("apart"), tmp_path_factory.mktemp("keys")
    with (
        apart_engine(folder) as host,
        elsewhere(host.removeprefix("unix://"), keys) as address,
        Engine.connect(Endpoint(address, ours=False, certificates=str(keys)), project="deadweight-apart") as engine,
    ):
        engine.images.load(playground_archive, reference("playground"))
        yield engine


@pytest.fixture
def subject(there, tmp_path, playground_archive) -> Subject:
    return castle(tmp_path, there, playground_archive, f"checks: {{api: [{ADDS}]}}")


def test_attacks_are_carried_out_through_the_engine(there, subject):
    with Lab(subject) as lab:
        assert lab.far
        assert "through the engine" in lab.notes["elsewhere"]
        with Yard(lab, walls.OPEN) as yard:
            assert yard.session.difference() == {}
            for name, text in WORK.items():
                shot = fire(lab, yard, payload(name))
                assert (shot.seen, text in shot.detail.get("proof", "")) == ("succeeded", True), (name, shot)
        with Yard(lab, walls.HARDENED) as yard:
            assert yard.session.difference() == {}
            assert fire(lab, yard, payload("breach-reverse-shell")).seen == "failed", "it has no network"
            for name, text in UNTOLD.items():
                with pytest.raises(DeadweightError, match=text):
                    fire(lab, yard, payload(name))
    assert left(there) == []
    assert [tag for image in there.api.images() for tag in image["RepoTags"] or () if "attacked" in tag] == []


def test_what_it_reads_and_its_system_calls_are_seen_from_beside_it(there, subject):
    """Over TLS, where its processes and files are not seen from here; in a trial of harden, on a network that nothing leads into.
    The attacker's program may tell its walls under a tight profile: nobody else can here, and without these calls no attack after
    a breach is measured under it."""
    observation = observed(subject, may_run=True)
    assert isinstance(observation, Observation), observation
    assert {"/app", "/usr/bin/awk"} <= set(observation.executed)
    with there.network("harden") as network:
        options = hardened_for(subject.variant, "").but(network=network)
        trial, recording = recorder.recorded(subject, options, None, "amd64")
    assert (trial.problem, trial.user) == ("", "65532:65532")
    assert recording.seen_in("listen") == ("start",)
    assert {"readlinkat", "write"} <= recorder.rehearsed(subject, hardened_for(subject.variant, ""), "amd64").calls


def test_its_runtime_is_tried_here_where_this_machine_has_the_same(there, monkeypatch):
    """The same version of the same one, and with Docker alone: Podman reads a profile from a file of its own machine."""
    assert runtime_of(there).name == "runc"
    version, info = there.documents
    other = {**version, "Components": [{"Name": "runc", "Version": "0.9"}]}
    monkeypatch.setitem(there.__dict__, "documents", (other, info))
    with raises(MissingError, "seccomp.other_runtime", name="runc", version="0.9"):
        runtime_of(there)
    monkeypatch.setitem(there.__dict__, "info", replace(there.info, name="Podman"))
    with raises(MissingError, "seccomp.profile_elsewhere"):
        runtime_of(there)
