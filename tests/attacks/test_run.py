"""Attacks on real containers: outcomes, walls, gates, a service that dies or never comes up, and that nothing is left behind."""

import contextlib
import dataclasses
import itertools
import os
import re
import time
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from deadweight._errors import ConfigError, MissingError
from deadweight.checks.runner import keep
from deadweight.report.attacks import with_splits
from deadweight.report.collect import attacks as attacks_of
from deadweight.tasks.verify import raise_if_bad
from deadweight_attacks import consumption, control as control_module, lab, run as attacking, sequence, walls
from deadweight_attacks.check import CHECK
from deadweight_attacks.containers import DIED, Yard
from deadweight_attacks.deliver import Shot
from deadweight_attacks.helper import IMAGE
from deadweight_attacks.load import load_payloads
from deadweight_attacks.matrix import Runner
from deadweight_attacks.outcomes import Cell, Matrix, Plan
from deadweight_attacks.resource import fire_resource
from tests.support import report_samples
from tests.support.attack_grounds import only, own_attacks, payload
from tests.support.codes import codes, details, parts, raises

GATES = "checks: {attacks: {gates: [{posture: hardened, blocked: [%s]}]}}"
OWN = "checks: {attacks: {payload_files: [own.yaml]}}"
pytestmark = pytest.mark.usefixtures("playground_image", "nothing_left")


@pytest.fixture
def misbehaving(make, misbehaving_image, misbehaving_archive):
    """A subject of the service that misbehaves, with these lines of YAML; ``own`` are attacks of its own."""

    def subject(*lines: str, own: str = ""):
        yaml = "\n    ".join([*lines, *([OWN] if own and "own.yaml" not in "".join(lines) else [])])
        return make(yaml, reference=misbehaving_image, archive=misbehaving_archive, own=own)

    return subject


@pytest.fixture
def shelled(make, local_source):
    """``make``, with the static shell to bind in, from the local source as in real life."""
    local_source.prepare((IMAGE,), apk=False, say=print)
    return make


def attacked(subject, *postures: str, **options):
    evidence = attacking.attack(subject, postures=postures, **options)
    assert evidence.data, evidence.reason
    return evidence, evidence.data["postures"]


def test_the_walls_of_an_image_without_a_shell(shelled, few):
    """mawk on nothing: AWK's own powers work, the shell's only with one bound in, and each wall shows its worth."""
    few(
        "option-injection", "environ", "coprocess", "reverse-shell", "system", "write-root", "run-root", "download",
        "host-read", "core-pattern", "memory-bomb", "read-shadow",
    )  # fmt: skip
    evidence, postures = attacked(shelled())
    opened, hardened, default = (postures[name] for name in ("open", "hardened", "default"))
    through = {
        "open": {"option-injection", "environ", "write-root", "memory-bomb"}, "hardened": {"environ"}, "default": {"memory-bomb"},
    }  # fmt: skip
    for posture, names in through.items():
        assert {postures[posture][name]["outcome"] for name in names} == {"succeeded"}
    assert opened["coprocess"]["outcome"] == hardened["reverse-shell"]["outcome"] == "not_applicable"
    walls_of = {
        "system": ["image"], "write-root": ["non-root", "read-only"], "run-root": ["image", "non-root", "read-only"],
        "download": ["image", "no-network"], "host-read": ["host-mounts"], "core-pattern": ["non-root", "masked-paths"],
        "memory-bomb": ["limits"],
    }  # fmt: skip
    assert {name: hardened[name]["walls"] for name in walls_of} == walls_of
    assert (opened["system"]["walls"], default["host-read"]["walls"]) == (["image"], ["host-mounts"])
    assert opened["system"]["evidence"]["control"]["proof"].endswith("came back")
    assert hardened["write-root"]["depth"] == 2
    assert parts(hardened["read-shadow"]["reason"]) == ("cell.no_file", {"path": "/etc/shadow"})
    assert all(text in evidence.reason for text in evidence.data["walls_not_there"].values())
    assert evidence.status == "pass"


def test_what_the_images_user_stops_is_the_images_doing_though_no_wall_was_tried_alone(make, few):
    """It was counted as the engine's: nobody may write to root's files, whatever the engine does."""
    few("write-root", "breach-keyring")
    evidence, _ = attacked(make(), "default", brief=True)
    split = with_splits({"castle": report_samples.variant(attacks=attacks_of(evidence))})["castle"].attack_split
    assert (split.of, split.by_image, split.by_engine) == (2, 1, 1)


def test_who_asks_for_less_loses_nothing(shelled, few, monkeypatch):
    """One posture looked at once more, or ``verify``, takes neither the others nor the walls from the report."""
    few("write-root", "host-read", "memory-bomb")
    monkeypatch.setattr(walls, "WALLS", ("image", "non-root", "read-only", "masked-paths"))
    subject = shelled(GATES % "write-root, host-read")
    keep(subject, attacking.attack(subject))
    evidence = keep(subject, attacking.attack(subject, postures=("hardened",)))
    verified = CHECK.run(subject)
    assert verified.status == "pass"
    once, again = evidence.data["postures"], verified.data["postures"]
    assert (list(once), list(again)) == (["open", "hardened", "default"], ["open", "default", "hardened"])
    assert [matrix["hardened"]["write-root"]["walls"] for matrix in (once, again)] == [["non-root", "read-only"]] * 2
    assert once["hardened"]["write-root"]["evidence"]["walls_measured_at"]
    assert once["default"]["host-read"]["evidence"]["measured_at"]
    assert again["hardened"]["memory-bomb"]["evidence"]["measured_at"] == evidence.provenance.at


def test_no_wall_is_credited_for_want_of_a_folder(shelled, few, monkeypatch):
    """Without a writable /tmp, what only needs some place takes another."""
    few("mount", "kernel-module")
    monkeypatch.setattr(walls, "WALLS", ("image", "read-only", "noexec-tmpfs"))
    _, postures = attacked(shelled("run: {tmpfs: []}"))
    assert postures["open"]["mount"]["evidence"]["control"]["proof"].endswith("came back")
    for cell in postures["hardened"].values():
        if cell["outcome"] == "blocked":
            assert cell["evidence"]["alone"]["read-only"] == "succeeded"
            assert "read-only" not in cell["walls"]


def bare_runner():
    """One that has no laboratory."""
    return Runner.__new__(Runner)


def test_a_crash_that_comes_and_goes_is_not_put_down_to_a_wall():
    """A bomb ends the service now and then; only where it does so whenever the wall is missing does that wall count."""
    runner, bomb = bare_runner(), payload("fork-bomb")
    runner.catalogue, posture = SimpleNamespace(packs={}), walls.HARDENED.minus("no-network")
    for outcomes, verdict in ((["crashed", "blocked"], "blocked"), (["crashed"] * 3, "crashed")):
        coming = iter([*outcomes, *outcomes])
        runner._measured = lambda *_, **__: {bomb.id: Cell(next(coming))}  # noqa: B023
        assert runner._confirmed(posture, [bomb])[bomb.id].outcome == verdict
        runner.matrix = Matrix(control={bomb.id: walls.OPEN}, alone={bomb.id: {}})
        runner._for_both(walls.only("limits"), [bomb], "limits")
        assert (runner.matrix.alone, list(coming)) == ({bomb.id: {"limits": verdict}}, [])


def test_walls_are_tried_in_one_container_where_an_attack_needs_a_shell():
    """Half of the containers of an image without a shell were there for one attack. A project's own may look for a shell."""
    runner, names = bare_runner(), ("system", "environ", "of-our-own")
    fired, some = [], [SimpleNamespace(id=name) for name in names]
    runner.catalogue = SimpleNamespace(packs={"system": "awk", "environ": "awk"})

    def confirmed(posture, payloads, *, surely):
        fired.append((posture.title, [payload.id for payload in payloads]))
        return {payload.id: Cell("blocked") for payload in payloads}

    runner._confirmed = confirmed
    beside = [("only-limits (with shell)", ["environ", "system"]), ("only-limits", ["of-our-own"])]
    for first, postures in ((walls.OPEN.with_shell(), beside), (walls.OPEN, [("only-limits", list(names))])):
        control = (first, walls.OPEN, walls.OPEN)
        fired.clear()
        runner.matrix = Matrix(control=dict(zip(names, control, strict=True)), alone={name: {} for name in names})
        runner._for_both(walls.only("limits"), some, "limits")
        assert (fired, runner.matrix.alone) == (postures, {name: {"limits": "blocked"} for name in names})


def test_a_broken_gate_fails_and_names_the_attack(make, few, no_shell):
    few("environ", "write-root")
    evidence, _ = attacked(make(GATES % "environ, write-root"), "hardened")
    assert (evidence.status, evidence.data["breaches"]) == ("fail", ["environ succeeded in hardened"])
    assert evidence.reason.startswith("environ succeeded in hardened. ")


@pytest.mark.parametrize(("gate", "key", "code", "name"), [
    ("{posture: moat, blocked: [system]}", "gates[0].posture", "posture.unknown", "moat"),
    ("{posture: hardened, blocked: [sistem]}", "gates[0].blocked[0]", "gate.no_attack", "sistem"),
    ("{posture: all, blocked: [system]}", "gates[0].posture", "posture.unknown", "all"),
    ("{posture: hardened}", "gates[0]", None, ""),
    ("{posture: hardened, blocked: []}", "gates[0].blocked", None, ""),
])  # fmt: skip
def test_a_gate_that_names_nothing_is_refused_before_anything_starts(make, gate, key, code, name):
    with pytest.raises(ConfigError) as caught:
        CHECK.run(make(f"checks: {{attacks: {{gates: [{gate}]}}}}"))
    assert (caught.value.line, caught.value.key.partition("attacks.")[2]) == (6, key)
    if code:
        hinted = re.findall(r"[\w-]+", caught.value.hint)
        assert (caught.value.code, caught.value.fields) == (code, {"name": name})
        assert ("without-image" in hinted, "all" in hinted) == (code == "posture.unknown", False)


def test_a_machine_without_a_shell_at_hand_or_without_go_says_so(make, few, monkeypatch):
    few("system", "breach-write-root")
    monkeypatch.setattr(lab, "static_shell", Mock(side_effect=MissingError("no registry in reach")))
    monkeypatch.setattr(lab, "own_helper", Mock(side_effect=MissingError("go is not installed")))
    evidence, postures = attacked(make(), brief=True)
    assert {cell["outcome"] for cells in postures.values() for cell in cells.values()} == {"not_measured"}
    assert evidence.data["notes"]["image"] == walls.wording("untried.shell", reason="no registry in reach")
    reason = walls.wording("untried.breach", reason="go is not installed")
    assert evidence.data["notes"]["breach"] == postures["open"]["breach-write-root"]["reason"] == reason
    assert evidence.status == "not_measured"


@pytest.mark.parametrize("gates", ["", GATES % "write-root"])
def test_a_service_that_is_no_awk_is_not_measured_and_no_pass(misbehaving, few, no_shell, gates):
    """Every attack "not measured", and the result was a pass."""
    few("write-root", "environ")
    subject = misbehaving(gates)
    evidence = CHECK.run(subject)
    outcomes = {cell["outcome"] for cells in evidence.data["postures"].values() for cell in cells.values()}
    assert (outcomes, evidence.status) == ({"not_measured"}, "not_measured")
    assert (evidence.code, details(evidence.reason).fields["places"]) == ("gate.nothing_in", "open, default, hardened")
    with pytest.raises(MissingError, match="castle/attacks"):
        raise_if_bad([keep(subject, evidence)])


def test_a_service_that_dies_is_an_outcome_and_the_matrix_goes_on(misbehaving, few):
    few("system")
    echo = {"request": {"method": "POST", "path": "/echo", "body": "@a@ @b@"}}
    own = own_attacks({"killer": {"request": {"path": "/eat?@a@=@b@"}, "seconds": 20}, "zz-echo": echo})
    _, postures = attacked(misbehaving(own=own), "open", "hardened")
    for cells in postures.values():
        killer = cells["killer"]
        assert (killer["outcome"], killer["reason"] or "the service died") == ("crashed", "the service died")
        # the next one had a new container; an echo of the halves is no proof
        assert cells["zz-echo"]["outcome"] == cells["system"]["outcome"] == "not_measured"


@pytest.fixture
def dying(misbehaving, few, monkeypatch):
    """What comes of these attacks on a service that ends a moment after it has answered the first; the second works, the third does
    not. ``after`` is done after each."""
    few()
    paths = {"a-killer": "/last-words?@a@=@b@", "b-join": "/join?a=@a@&b=@b@", "c-words": "/given?@a@=@b@"}
    real, shots = sequence.fire_one, dict[str, Shot]()

    def fired(after, *names: str):
        subject = misbehaving(own=own_attacks({name: {"request": {"path": paths[name]}} for name in names}))
        monkeypatch.setattr(sequence, "fire_one", lambda *given: (real(*given), after(given[1]))[0])
        with lab.Lab(subject) as built, Yard(built, walls.OPEN) as yard:
            sequence.fire_all(built, yard, attacking.check_request(subject, ["open"])[0].payloads, shots)
        return shots

    return fired


def test_the_attack_of_which_the_service_died_later_is_found_among_those_it_answered(dying):
    shots = dying(lambda _yard: time.sleep(0.6), "a-killer", "b-join", "c-words")
    assert shots["a-killer"].seen == "crashed"
    assert shots["a-killer"].text in (sequence.LATER, DIED)  # on a busy machine it is dead when it is asked how it is
    assert (shots["b-join"].seen, shots["c-words"].seen) == ("succeeded", "failed")


def test_one_death_of_the_service_blames_no_attack(dying):
    """It dies of its own accord, or is ended from outside: the attack before it did nothing."""
    numbers = itertools.count(1)

    def end(yard: Yard) -> None:
        if next(numbers) <= 2:  # after each of the two, once
            container = yard.get()
            container.signal("SIGKILL")
            container.wait_ended(5)

    shots = dying(end, "b-join", "c-words")
    assert (shots["b-join"].seen, shots["c-words"].seen) == ("succeeded", "failed")
    assert shots["c-words"].detail["afterwards"] == sequence.ONCE


ARRIVES = {
    "join": {"script": 'BEGIN { attack = 1; print "@a@" "@b@" }'},
    "gawk-join": {"script": 'BEGIN { print "@a@" "@b@" }', "needs": ["gawk"]},
    "request": {"request": {"path": "/as-root?a=@a@&b=@b@"}},
}
"""What works where the service runs as root: by a script, by one for gawk, by a request of its own."""


@pytest.mark.parametrize(("busy_for", "reason"), [("print", "cell.no_awk"), ("attack", "cell.astray")])
def test_what_did_not_arrive_is_not_blocked(misbehaving, few, busy_for, reason):
    """It answers 503 in one posture only, to all scripts or to the attack: no wall is credited, no gate said to hold."""
    few()
    env = f'run: {{env: {{AWK_NEVER: "^$", AWK_ROOT_ONLY: {busy_for}}}}}'
    attacks = "payload_files: [own.yaml], gates: [{posture: hardened, blocked: [join, request]}]"
    subject = misbehaving(env, f"checks: {{attacks: {{{attacks}}}}}", own=own_attacks(ARRIVES))
    evidence, postures = attacked(subject, "open", "only-non-root")
    assert {cell["outcome"] for cell in postures["open"].values()} == {"succeeded"}
    for posture in ("only-non-root", "hardened"):
        for name, code in (("join", reason), ("request", "cell.astray")):
            assert (postures[posture][name]["outcome"], postures[posture][name]["code"]) == ("not_measured", code)
    assert (evidence.status, evidence.data["breaches"]) == ("not_measured", [])
    assert evidence.code in ("gate.nothing_in", "gate.not_measured")


@pytest.mark.parametrize(("never", "features", "outcome", "fields"), [
    ("PROCINFO", {}, "not_measured", {"feature": "gawk", "said": "busy"}),
    ("^$", {"gawk": 'BEGIN { print "@b@" "@a@" }'}, "not_applicable", {"features": "gawk"}),
])  # fmt: skip
def test_a_question_that_is_not_answered_is_no_dialect(misbehaving, few, never, features, outcome, fields):
    few()
    subject = misbehaving(f'run: {{env: {{AWK_NEVER: "{never}"}}}}', own=own_attacks(ARRIVES, features=features))
    cell = attacked(subject, "open")[1]["open"]["gawk-join"]
    assert cell["code"] == ("cell.awk_silent" if outcome == "not_measured" else "cell.awk_lacks")
    assert (cell["outcome"], details(cell["reason"]).fields) == (outcome, {"awk": "this awk", **fields})


OPEN, SHELLED = "open", "open (with shell)"


@pytest.mark.parametrize(("payload", "seen", "outcome"), [
    ("write-root", [(OPEN, "failed"), (SHELLED, "succeeded"), (OPEN, "succeeded")], "succeeded"),
    ("system", [(OPEN, "failed"), (SHELLED, "succeeded"), (OPEN, "failed")], "blocked"),
    ("system", [(OPEN, "failed"), (SHELLED, "failed")], "not_measured"),
    ("memory-bomb", [(OPEN, "failed"), (OPEN, "failed")], "not_measured"),
    ("memory-bomb", [(OPEN, "failed"), (OPEN, "succeeded")], "succeeded"),
    ("fork-bomb", [(OPEN, "failed"), (SHELLED, "succeeded"), (OPEN, "failed")], "blocked"),
])  # fmt: skip
def test_one_failure_with_all_walls_down_is_no_image_wall(monkeypatch, payload, seen, outcome):
    """Credited is the image where an attack fails twice without a shell and works with one; a bomb that needs none never. The shots
    are given, in the order of the containers that they are fired at. What does not work with a shell either tells what came of it
    there: without one there is nothing to be said."""
    coming, matrix = iter(seen), Matrix()

    def fire(_lab, posture, payloads, shots):
        name, outcome = next(coming)
        assert posture.title == name
        shots |= {attack.id: Shot(outcome, f"said in {name}", status=200) for attack in payloads}

    monkeypatch.setattr(control_module.Control, "_settle", lambda *_: None)
    nothing = {"awk_dialect": lambda _yard: "", "awk_features": lambda *_: {}, "fire_all": fire}
    for name, fake in {**nothing, "opened": lambda _lab, posture, _: contextlib.nullcontext(posture)}.items():
        monkeypatch.setattr(control_module, name, fake)
    with_shell = SimpleNamespace(takes_nothing=False, ground=SimpleNamespace(shell=("a shell",)), awk=None)
    control_module.Control(with_shell, only(payload), matrix, print).run(Plan((walls.OPEN,)))
    cell = matrix.cells["open"][payload]
    assert (list(coming), cell.outcome) == ([], outcome)
    assert outcome != "not_measured" or cell.reason.endswith(f": said in {seen[-1][0]}")
    assert (payload in matrix.control) is (outcome != "not_measured")


def test_a_service_that_must_be_root_is_told_what_to_gate(misbehaving, few):
    """``run.user: root`` takes no wall away: the service then does not come up behind it."""
    few()
    run = "run: {user: '0', env: {MODE: writer, AWK_NEVER: ^$}}"
    subject = misbehaving(run, "health: {within_seconds: 2}", own=own_attacks(ARRIVES))
    _, postures = attacked(subject, "open", "only-non-root")
    assert postures["open"]["join"]["outcome"] == "succeeded"
    join = postures["only-non-root"]["join"]
    assert (join["outcome"], "GET /healthz returned 503" in join["reason"]) == ("not_measured", True)
    assert codes(join["reason"])[:2] == ["service.as_root", "service.not_up"]


def test_a_posture_whose_wall_this_engine_cannot_build_is_not_measured(make, few, no_shell, monkeypatch):
    """Under its name would stand what ``open`` or ``hardened`` gives anyway."""
    few("environ")
    subject = make("checks: {attacks: {gates: [{posture: only-apparmor, blocked: [environ]}]}}")
    engine = subject.engine()
    monkeypatch.setitem(engine.__dict__, "info", dataclasses.replace(engine.info, apparmor=False))
    evidence, postures = attacked(subject, "without-apparmor")
    for name in ("only-apparmor", "without-apparmor"):
        assert postures[name]["environ"]["outcome"] == "not_measured"
        assert postures[name]["environ"]["code"] == "engine.no_apparmor"
    assert (evidence.status, evidence.data["breaches"]) == ("not_measured", [])
    fields = {"places": "without-apparmor, only-apparmor", "reason": walls.wording("engine.no_apparmor")}
    assert parts(evidence.reason) == ("gate.nothing_in", fields)


NOT_UP = "engine.not_healthy_advice"


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "seconds", "gates", "code"), [
    ("dies-at-once", 2, "", "engine.ended_early"),
    ("never-healthy", 0.5, "", NOT_UP), ("never-healthy", 0.5, GATES % "system", NOT_UP),
])  # fmt: skip
def test_a_service_that_does_not_come_up_is_said_and_never_a_success(misbehaving, mode, seconds, gates, code):
    subject = misbehaving(f"run: {{env: {{MODE: {mode}}}}}", f"health: {{within_seconds: {seconds}}}", gates)
    evidence = attacking.attack(subject, postures=("open", "hardened"))
    assert (evidence.status, evidence.data) == ("not_measured", {})
    assert codes(evidence.reason)[:3] == ["gate.nothing_at_all", "service.not_up", code]
    assert mode != "dies-at-once" or "cannot open /etc/absent.conf" in evidence.reason


def test_a_service_that_ends_by_itself_ends_no_run(misbehaving, few):
    few("connect", "system")
    subject = misbehaving("run: {env: {MODE: dies, DIES_AFTER: 700ms}}", "health: {within_seconds: 2}")
    evidence = attacking.attack(subject, postures=("open", "hardened"))
    cells = [cell for cells in evidence.data.get("postures", {}).values() for cell in cells.values()]
    assert {cell["outcome"] for cell in cells} <= {"not_measured", "crashed"}


def test_a_posture_that_the_machine_cannot_start_is_not_measured(subject, few):
    few("write-root")
    evidence, postures = attacked(subject, "privileged")
    cell = postures["privileged"]["write-root"]
    if "open" in evidence.data["notes"]:  # the machine lacks a capability, so that --privileged cannot start either
        assert codes(cell["reason"]) == ["cell.only_open_starts", "engine.cannot_start"]
        assert postures["open"]["write-root"]["outcome"] == "succeeded"
        assert (cell["outcome"], evidence.status) == ("not_measured", "not_measured")
        assert evidence.code == "gate.nothing_in"
    else:
        assert cell["outcome"] == "succeeded"


@pytest.mark.parametrize(("name", "seen"), [("breach-bind-shell", "succeeded"), ("breach-read-shadow", "not_measured")])
def test_what_is_not_at_work_in_the_service_costs_no_container(shared, name, seen):
    """A shell that ends with the attacker's program, and a file that the image lacks: neither has an answer, both are over."""
    with Yard(shared, walls.OPEN) as yard:
        assert [sequence.fire_one(shared, yard, payload(name)).seen for _ in range(2)] == [seen] * 2
        assert (yard.is_reused, yard.started) == (True, 1)


def test_an_engine_that_counts_nothing_takes_no_attack_for_blocked(shared, monkeypatch):
    """Where it cannot read its cgroups, an engine answers with zeros."""
    monkeypatch.setattr(consumption, "cgroups", lambda *_: {})
    monkeypatch.setattr(shared.engine.api, "stats", lambda *_args, **_named: {"pids_stats": {}, "memory_stats": {}})
    with Yard(shared, walls.OPEN) as yard:
        shot = sequence.fire_one(shared, yard, payload("memory-bomb"))
    assert (shot.seen, shot.text) == ("not_measured", walls.wording("engine.no_statistics"))


@pytest.mark.parametrize(("shot", "astray"), [
    (Shot("failed", "", status=504), True), (Shot("failed", "", status=0), True),
    (Shot("failed", "", status=503), True),
    (Shot("failed", "", status=504, called=True), False),  # a reverse shell that finds no shell waits for orders
    (Shot("failed", "", status=200), False), (Shot("succeeded", "", status=0), False),
])  # fmt: skip
def test_what_called_the_attacker_arrived(shot, astray):
    control = control_module.Control(SimpleNamespace(), load_payloads(), Matrix(), print)
    control.statuses = {"reverse-shell": 200, "bind-shell": 200}
    assert control.astray(payload("reverse-shell"), shot) is astray
    waiting = shot.status in (0, 504)
    assert control.astray(payload("bind-shell"), shot) is (astray and not waiting)  # it waits for the attacker anyway


@pytest.mark.slow
def test_an_attacker_that_has_ended_takes_no_attack_for_blocked(laboratory):
    laboratory.attacker.container.signal("SIGKILL")
    laboratory.attacker.container.wait_ended(5)
    for name in ("connect", "bind-shell"):
        with Yard(laboratory, walls.OPEN) as yard:
            shot = sequence.fire_one(laboratory, yard, payload(name))
        assert shot.seen == "not_measured"
        assert codes(shot.text)[0] == "attacker.ended"


def test_a_request_that_brings_the_files_content_itself_is_refused(make, tmp_path):
    request = {"method": "POST", "path": "/api/v1/awk", "json": {"script": "root:x:0:0::/root:/bin/false"}}
    own = own_attacks({"echo": {"request": request, "evidence": {"kind": "image-file", "path": "/etc/passwd"}}})
    subject = make(OWN, own=own)
    where = {"file": str(tmp_path / "own.yaml"), "line": 2, "key": "payloads[0]"}
    with raises(ConfigError, "payload.contains_proof", place="/etc/passwd", **where):
        attacking.attack(subject, postures=("open",))


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="a machine of one processor can grant no second one")
@pytest.mark.parametrize(("name", "seen"), [("open", "succeeded"), ("only-limits", "failed")])
def test_other_load_is_no_wall(shared, name, seen):
    """Four loops on one processor want four: without a limit nothing but other load holds them; with one, the limit does."""
    with Yard(shared, walls.posture(name)) as yard:
        for task in Path(f"/proc/{yard.get().state().pid}/task").iterdir():  # one processor is left, as by other load
            os.sched_setaffinity(int(task.name), {min(os.sched_getaffinity(0))})
        shot = fire_resource(shared, yard, payload("endless-loop"))
    assert shot.seen == seen, shot
    assert shot.detail["peak"] < 1.15
    assert seen == "failed" or codes(shot.detail["proof"]) == ["cell.other_load"]
