"""Attacks on real containers: outcomes, walls, gates, a service that dies or never comes up, and that nothing is left behind."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
from attack_grounds import castle, left
from small_images import reference

from deadweight._errors import ConfigError
from deadweight.checks.attacks import check, lab, walls
from deadweight.checks.attacks.deliver import fire
from deadweight.checks.attacks.load import load_payloads
from deadweight.checks.attacks.matrix import Cell, Runner
from deadweight.checks.attacks.resource import fire_resource
from deadweight.checks.attacks.yard import Yard
from deadweight.checks.runner import keep

PLAYGROUND = reference("playground")
GATES = "checks: {attacks: {gates: [{posture: hardened, blocked: [%s]}]}}"
pytestmark = pytest.mark.usefixtures("playground_image")


@pytest.fixture
def make(tmp_path, engine, playground_archive):
    """A subject of the demo service: ``make("variant's YAML")``; further files of the project as ``files``."""
    return lambda yaml="", archive=playground_archive, **rest: castle(tmp_path, engine, archive, yaml, **rest)


@pytest.fixture(autouse=True)
def _nothing_left(engine):
    """Containers, networks and folders are gone, whatever came of an attack."""
    yield
    assert left(engine) == []


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


NEVER = """\
payloads:
  - id: never
    title: what no shell can do
    attack: T1059.004
    shell: "echo because of this; false && echo @a@''@b@"
    evidence: {kind: output}
"""


@pytest.mark.tools
@pytest.mark.usefixtures("shell")
def test_what_works_with_no_shell_either_tells_what_the_shell_said(make, few):
    """Without one there is nothing to be said: the reason is what came of the attack where it could run."""
    few()
    _, postures = attacked(make("checks: {attacks: {payload_files: [own.yaml]}}", own=NEVER), "open", "hardened")
    for cells in postures.values():
        assert cells["never"]["outcome"] == "not_measured"
        assert cells["never"]["reason"].endswith("and a shell at hand either: exit code 0: because of this")


def test_a_crash_that_comes_and_goes_is_not_put_down_to_a_wall(monkeypatch):
    """A bomb ends the service now and then; only where it does so whenever the wall is missing does that wall count."""
    bomb = next(each for each in load_payloads().payloads if each.id == "fork-bomb")
    runner = Runner.__new__(Runner)
    posture = walls.HARDENED.minus("no-network")
    for outcomes, told in ((["crashed", "blocked"], "blocked"), (["crashed"] * 3, "crashed")):
        coming = iter(outcomes)
        monkeypatch.setattr(runner, "_measured", lambda *_: {bomb.id: Cell(next(coming))}, raising=False)  # noqa: B023
        assert runner._confirmed(posture, [bomb])[bomb.id].outcome == told
        assert list(coming) == []


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
        ("{posture: moat, blocked: [system]}", r"deadweight.yaml:5: .*gates\[0\].posture: no posture 'moat'"),
        ("{posture: hardened, blocked: [sistem]}", r"deadweight.yaml:5: .*gates\[0\].blocked\[0\]: no attack 'sistem'"),
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
    request: {path: "/eat?@a@=@b@"}
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
    yaml = "checks: {attacks: {payload_files: [own.yaml]}}"
    subject = make(yaml, reference=misbehaving_image, archive=misbehaving_archive, own=DEADLY)
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
    whole = f"{yaml}\n    {gates}" if gates else yaml
    subject = make(whole, reference=misbehaving_image, archive=misbehaving_archive)
    found = check.attack(subject, postures=("hardened",))
    assert (found.status, found.data) == (status, {})
    assert found.reason.startswith("nothing was measured: open: not healthy within 0.5 s")


def test_a_posture_that_the_machine_cannot_start_is_not_measured(make, few, monkeypatch):
    few("write-root")
    monkeypatch.setattr(lab, "static_shell", lambda _subject: ())
    subject = make()
    found, postures = attacked(subject, "privileged")
    if "open" in found.data["notes"]:  # the machine lacks a capability, so that --privileged cannot start either
        assert postures["privileged"]["write-root"]["reason"].endswith("; the nearest that starts is open")
        assert postures["privileged"]["write-root"]["outcome"] == "not_measured"
        assert "cannot be started" in postures["privileged"]["write-root"]["reason"]
        assert postures["open"]["write-root"]["outcome"] == "succeeded"
    else:
        assert postures["privileged"]["write-root"]["outcome"] == "succeeded"


@pytest.fixture
def laboratory(make, monkeypatch):
    monkeypatch.setattr(lab, "static_shell", lambda _subject: ())
    with lab.Lab(make()) as built:
        yield built


def test_a_proof_needs_the_whole_word(laboratory):
    """A script that only prints the halves' text, as an error message would, proves nothing."""
    payload = next(each for each in load_payloads().payloads if each.id == "option-injection")
    harmless = payload.model_copy(update={"input": 'BEGIN { print "@a@ @b@" }'})
    with Yard(laboratory, walls.OPEN) as yard:
        assert fire(laboratory, yard, payload).seen == "succeeded"
        assert fire(laboratory, yard, harmless).seen == "failed"


def pinned(container) -> None:
    """Leave a container one processor of this machine, as other load would."""
    pid = container.state().pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {min(os.sched_getaffinity(0))})


@pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2, reason="this machine has one processor: it can grant no second one"
)
@pytest.mark.parametrize(("name", "seen"), [("open", "succeeded"), ("only-limits", "failed")])
def test_other_load_is_no_wall(laboratory, name, seen):
    """Four loops on one processor want four: without a limit nothing but other load holds them; with one, the limit does."""
    loop = next(each for each in load_payloads().payloads if each.id == "endless-loop")
    with Yard(laboratory, walls.posture(name)) as yard:
        pinned(yard.get())
        shot = fire_resource(laboratory, yard, loop)
    assert shot.seen == seen, shot
    assert shot.detail["peak"] < 1.15
    if seen == "succeeded":
        assert shot.detail["proof"].startswith("wanted ")
        assert "only other load held it to" in shot.detail["proof"]
