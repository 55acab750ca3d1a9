"""Postures as run options: what each wall changes, and the outer bound that none of them can leave."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deadweight._errors import DeadweightError, UsageError
from deadweight.engine.api import parse_info
from deadweight.engine.faults import CannotStart
from deadweight.engine.options import Mount, RunOptions, hardened
from deadweight.suite.checks import AttackGate, AttacksCheck
from deadweight.suite.model import RunSettings, Variant
from deadweight_attacks import check, machine, run as attacking, run_options as g, walls as w
from deadweight_attacks.load import load_payloads
from deadweight_attacks.outcomes import Cell, Matrix, completed, data
from deadweight_attacks.run import breaches, plan_for, unmeasured
from tests.support.codes import codes, parts, raises

INFO = replace(parse_info({}, {}), seccomp=True, apparmor=True, user_namespaces=True, cpus=2, memory_bytes=8 * 2**30)
GROUND = g.Ground(
    hard=hardened(RunSettings()), network="attack-net", mounts=(Mount(Path("/planted"), "/host", read_only=False),),
    shell=(Mount(Path("/busybox"), "/bin/sh"),), unstartable=("SYS_RESOURCE",), env={"DEADWEIGHT_PLANTED": "x"}, info=INFO,
    neighbour="f00", landlocked=("/helper", "landlock", "--"), command=("/app", "serve"),
)  # fmt: skip
GIB = 2**30
EVERY = [w.posture(name) for name in w.names()] + [w.OPEN.with_shell(), w.HARDENED.with_shell()]


@pytest.mark.parametrize("posture", EVERY, ids=lambda posture: posture.name)
def test_every_posture_is_within_the_outer_bound(posture):
    options = g.options(posture, GROUND)
    assert 0 < options.memory_bytes <= 2 * 256 * 2**20
    assert 0 < options.pids <= 256
    assert 0 < options.cpus <= 2
    limits = {limit.name: limit.hard for limit in options.ulimits}
    assert (options.swap_bytes, limits["fsize"], limits["core"]) == (0, g.FILE_BYTES, 0)
    assert all(0 < tmpfs.size_bytes <= 64 * 2**20 for tmpfs in options.tmpfs)
    assert options.network in ("attack-net", "none")
    assert options.dns == (() if options.network == "none" else ("192.0.2.53",)), "a name server that is not there"
    assert options.publish is None


def test_open_has_no_wall():
    options = g.options(w.OPEN, GROUND)
    assert (options.user, options.read_only, options.tmpfs) == ("0:0", False, ())
    assert (options.seccomp, options.apparmor, options.masked_paths) == ("unconfined", "unconfined", False)
    assert (options.cap_add, options.cap_drop) == (("ALL",), ("SYS_RESOURCE",))
    assert (options.no_new_privileges, options.mounts, options.device_rules) == (False, GROUND.mounts, ("b *:* r",))
    assert (options.pid_mode, options.ipc_mode, options.userns_mode) == ("container:f00", "container:f00", "host")


def test_hardened_is_what_checks_run_in_and_has_no_network():
    limits = (*GROUND.hard.ulimits, *g.options(w.OPEN, GROUND).ulimits)
    own = {"network": "none", "env": GROUND.env, "apparmor": "default", "ulimits": limits}
    assert g.options(w.HARDENED, GROUND) == GROUND.hard.but(**own)


def test_default_is_a_plain_run():
    options = g.options(w.DEFAULT, GROUND)
    assert (options.user, options.read_only, options.cap_add, options.cap_drop) == (None, False, (), ())
    assert (options.seccomp, options.masked_paths, options.mounts) == ("default", True, ())


@pytest.mark.parametrize("wall", [wall for wall in w.WALLS if wall != "image"])
def test_each_wall_alone_changes_something_on_top_of_open(wall):
    assert g.options(w.only(wall), GROUND) != g.options(w.OPEN, GROUND)
    assert g.options(w.HARDENED.minus(wall), GROUND) != g.options(w.HARDENED, GROUND)


def test_without_the_image_wall_a_shell_is_bound_in_read_only():
    assert g.options(w.posture("without-image"), GROUND).mounts == GROUND.shell
    assert all(mount.read_only for mount in GROUND.shell)


def test_read_only_alone_leaves_memory_that_may_hold_programs():
    for wall, noexec in (("read-only", False), ("noexec-tmpfs", True)):
        assert [tmpfs.noexec for tmpfs in g.options(w.only(wall), GROUND).tmpfs] == [noexec]


@pytest.mark.parametrize("posture", [w.OPEN, w.DEFAULT, w.only("non-root")])
def test_a_folder_of_the_services_own_can_be_written_to_without_any_wall_too(posture):
    """As a volume would be; where everybody writes anyway, the image's own folder stays."""
    (data,) = g.options(posture, replace(GROUND, hard=hardened(RunSettings(tmpfs=("/tmp", "/data"))))).tmpfs
    assert (data.path, data.noexec) == ("/data", False)


SHARES = [(8 * GIB, 8 * GIB, 2 * GIB), (8 * GIB, GIB, 2 * GIB), (GIB, GIB // 4, GIB // 4), (0, GIB, 64 * 2**20)]


@pytest.mark.parametrize(("machine", "granted", "most"), SHARES)
def test_the_outer_bound_is_a_share_of_the_machine_whatever_the_suite_grants(machine, granted, most):
    info = replace(INFO, memory_bytes=machine)
    ground = replace(GROUND, hard=hardened(RunSettings(memory=granted, pids=4096)), info=info)
    for posture in EVERY:
        options = g.options(posture, ground)
        assert 0 < options.memory_bytes <= most
        assert 0 < options.pids <= 8192
    assert g.options(w.OPEN, ground).pids > 1.15 * 4096
    # where no attack can take more than granted, nobody can tell whether something held it
    assert bool(ground.too_much) is (most < granted * 1.15)
    assert not GROUND.too_much


def test_a_suite_that_runs_as_root_loses_no_wall():
    for user in ("root", "0", "0:0"):
        ground = replace(GROUND, hard=hardened(RunSettings(user=user)))
        assert g.options(w.HARDENED, ground).user == g.options(w.only("non-root"), ground).user == "65532:65532"
        assert g.options(w.HARDENED.minus("non-root"), ground).user == "0:0"


@pytest.mark.parametrize("name", ["bastion", "only-", "without-moat", "only-image", ""])
def test_a_posture_that_does_not_exist_is_refused(name):
    with raises(UsageError, "posture.unknown", name=name):
        plan_for([name], ())


def test_all_is_every_posture_and_what_a_gate_names_is_tried_whatever_is_asked_for():
    main, more = ["open", "default", "hardened", "privileged"], ["only-seccomp", "without-read-only"]
    for asked, gated, names in (
        (["all"], [], main),
        (["all", "only-seccomp"], ["without-read-only", "hardened"], [*main, *more]),
        (["open"], more, ["open", *more]),
    ):
        plan = plan_for(asked, gated)
        assert [posture.name for posture in plan.postures] == names
        assert plan.alone is plan.without is ("all" in asked)


def test_a_gate_of_which_nothing_was_measured_is_neither_broken_nor_held():
    gate = AttackGate(posture="without-read-only", blocked=("system",))
    assert breaches([gate], Matrix()) == []
    assert list(map(parts, unmeasured([gate], Matrix()))) == [("gate.not_tried", {"posture": gate.posture})]
    other = Cell("blocked")
    silent = Matrix(cells={"without-read-only": {"system": Cell("not_measured", "no answer"), "environ": other}})
    fields = {"posture": gate.posture, "attacks": "system", "reason": "no answer"}
    assert [parts(line) for line in unmeasured([gate], silent)] == [("gate.not_measured", fields)]
    tried = Matrix(cells={"without-read-only": {"system": Cell("not_applicable"), "environ": other}})
    assert breaches([gate], tried) == unmeasured([gate], tried) == []


def test_postures_that_came_to_nothing_are_told_by_reason():
    nothing, held = Cell("not_measured", "no AWK"), Cell("blocked")
    matrix = Matrix(cells={"open": {"a": nothing}, "hardened": {"a": nothing, "b": Cell("not_applicable")}})
    (line,) = matrix.nothing_in()
    assert parts(line) == ("gate.nothing_in", {"places": "open, hardened", "reason": "no AWK"})
    for first in (nothing, Cell("not_measured", w.wording("cell.not_tried"))):
        assert Matrix(cells={"open": {"a": first, "b": held}}).nothing_in() == []


def test_what_the_engine_cannot_build_is_said_and_not_counted():
    bare = replace(INFO, seccomp=False, apparmor=False)
    assert [parts(why)[0] for why in w.absent(bare).values()] == ["seccomp.no_engine", "engine.no_apparmor"]
    for rootless, code in ((True, "engine.rootless"), (False, "engine.no_userns_remap")):
        assert codes(w.absent(replace(INFO, user_namespaces=False, rootless=rootless))["user-namespace"]) == [code]
    assert not {"seccomp", "apparmor"} & set(w.standing("hardened", "", bare))
    assert {"seccomp", "apparmor"} <= set(w.standing("hardened", "", INFO))
    for posture in EVERY:
        named = {"only-seccomp", "without-seccomp", "only-apparmor", "without-apparmor"}
        assert bool(w.unbuilt(posture, bare)) is (posture.name in named)
        assert not w.unbuilt(posture, INFO)


def test_landlock_stands_before_the_service_and_beside_no_new_privileges():
    options = g.options(w.posture("only-landlock"), GROUND)
    assert (options.entrypoint, options.args) == (("/helper", "landlock", "--"), ("/app", "serve"))
    assert options.no_new_privileges
    hard = g.options(w.posture("landlock"), GROUND)
    assert hard == g.options(w.HARDENED, GROUND).but(entrypoint=options.entrypoint, args=options.args)


def test_who_has_no_neighbour_shares_nothing():
    """Without the attacker's program nobody knows what lies in its memory."""
    options = g.options(w.OPEN, replace(GROUND, neighbour=""))
    assert (options.pid_mode, options.ipc_mode) == (None, None)


def test_a_plain_run_has_the_walls_of_engine_and_image():
    assert "non-root" not in w.standing("default", "", INFO)
    assert "non-root" in w.standing("default", "65532", INFO)
    assert "capabilities" not in w.standing("default", "65532", INFO)


def startable(monkeypatch, problem: Callable[[RunOptions], Exception | None], *users: str) -> Any:
    """What a machine can start where ``problem(options)`` is what starting says, and in which user namespaces it was tried."""
    tried: list[str | None] = []

    def start(options: RunOptions) -> Any:
        tried.append(options.userns_mode)
        if error := problem(options):
            raise error
        return SimpleNamespace(remove=lambda: None)

    monkeypatch.setattr(machine, "_known", {})
    return machine.can_start(start, "unix:///x", (), *users), tried


def test_what_a_machine_can_start_is_tried_without_a_user_namespace(monkeypatch):
    """In one of its own a container gets every capability: `open`, which has none, could then not be started (userns-remap)."""
    assert startable(monkeypatch, lambda _options: None, "host")[1] == ["host", "host"]


def test_capabilities_that_an_engine_in_a_container_does_not_know_are_not_dropped(monkeypatch):
    """As Docker 20.10 refuses them where its own container lacks them: `open` could then not be made."""
    lacks, unknown = {"SYS_RESOURCE", "MAC_ADMIN"}, {"PERFMON", "BPF"}
    bounding = sum(1 << number for number, name in enumerate(machine.CAPABILITIES) if name not in lacks | unknown)

    def problem(options: RunOptions) -> Exception | None:
        if refused := unknown & set(options.cap_drop):
            return DeadweightError(f'engine: create x: invalid CapDrop: unknown capability: "CAP_{min(refused)}"')
        if "ALL" in options.cap_add and not lacks <= set(options.cap_drop):
            return CannotStart("unable to apply caps: operation not permitted")
        return None

    monkeypatch.setattr(machine, "_bounding_set", lambda: bounding)
    assert set(startable(monkeypatch, problem)[0][0]) == lacks


def test_device_rules_that_an_engine_refuses_are_not_given(monkeypatch):
    """Podman 5 without root refuses them when a container is created: no attack at all was carried out there."""
    refused = DeadweightError("engine: create a container of x: device cgroup rules are not supported in rootless mode")
    assert startable(monkeypatch, lambda options: refused if options.device_rules else None)[0] == ((), False)


def test_the_profile_that_the_suite_names_stands_where_the_engines_would():
    ground = replace(GROUND, named=Path("/named.json"))
    seccomp = {name: g.options(w.posture(name), ground).seccomp for name in w.names()}
    assert seccomp["hardened"] == seccomp["only-seccomp"] == seccomp["landlock"] == "/named.json"
    assert seccomp["default"] == "default", "a plain docker run knows of no suite"
    assert {seccomp[name] for name in ("open", "without-seccomp", "only-non-root")} == {"unconfined"}
    assert g.options(w.only("seccomp"), ground).no_new_privileges, "a container starts under none without"
    assert not g.options(w.only("seccomp"), GROUND).no_new_privileges
    assert g.options(w.TIGHTENED, replace(ground, profile=Path("/found.json"))).seccomp == "/found.json"


# Several variants side by side.


def test_what_takes_longest_begins_first_and_evidence_keeps_its_order(monkeypatch):
    """Else the last one runs alone, with a processor idle."""
    began: list[str] = []
    monkeypatch.setattr(check, "run_check", lambda _check, subject: began.append(subject.name) or subject.name)
    memories = (("a", 1), ("b", 3), ("c", 1), ("d", 2))
    runs = ((name, SimpleNamespace(run=SimpleNamespace(memory=memory))) for name, memory in memories)
    subjects: Any = [SimpleNamespace(name=name, variant=variant) for name, variant in runs]
    results: Any = check.attack_all(subjects, jobs=1)
    assert (results, began) == (["a", "b", "c", "d"], ["b", "d", "a", "c"])


# What a run keeps of an earlier, longer one, and from when that is.


FIRST, SECOND = "2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00"


def cell(outcome: str = "blocked", **changes: Any) -> dict[str, Any]:
    return {"outcome": outcome, "walls": [], "depth": None, "reason": "refused", "evidence": {"said": "no"}, **changes}


def run(**postures: dict[str, Any]) -> dict[str, Any]:
    return {"payloads": {"mount": {}}, "postures": {name: {"mount": one} for name, one in postures.items()}}


def long() -> dict[str, Any]:
    """As of a run that put up each wall alone, and took each away."""
    walls = {"alone": {"read-only": "blocked"}, "without": {"read-only": "succeeded"}, "single_points": ["read-only"]}
    return cell(walls=["read-only"], depth=1, evidence={"said": "no", **walls})


def test_what_was_not_tried_again_is_kept_with_the_time_of_its_measurement_however_often():
    once = completed(run(hardened=cell()), run(hardened=long(), default=cell("succeeded")), FIRST)
    for postures in (once["postures"], completed(run(hardened=cell()), once, SECOND)["postures"]):
        assert postures["default"]["mount"]["evidence"] == {"measured_at": FIRST, "said": "no"}
        assert (postures["hardened"]["mount"]["walls"], postures["hardened"]["mount"]["depth"]) == (["read-only"], 1)
        assert postures["hardened"]["mount"]["evidence"]["walls_measured_at"] == FIRST


def test_walls_that_were_tried_now_are_not_replaced():
    """An earlier run may have taken away walls too, which this one did not."""
    now = cell(walls=["non-root"], depth=1, evidence={"said": "no", "alone": {"non-root": "blocked"}})
    mount = completed(run(hardened=now), run(hardened=long()), FIRST)["postures"]["hardened"]["mount"]
    assert (mount["walls"], mount["depth"]) == (["non-root"], 1)
    assert [mount["evidence"][key] for key in ("alone", "single_points")] == [{"non-root": "blocked"}, ["read-only"]]


def test_an_outcome_that_changed_keeps_nothing():
    mount = completed(run(hardened=cell("succeeded")), run(hardened=long()), FIRST)["postures"]["hardened"]["mount"]
    assert mount == cell("succeeded")


def test_that_walls_stop_it_only_together_is_still_said():
    document = run(hardened=cell(depth=1, reason="of an older version", evidence={"alone": {"read-only": "succeeded"}}))
    for at in (FIRST, SECOND):
        document = completed(run(hardened=cell()), document, at)
        assert parts(document["postures"]["hardened"]["mount"]["reason"]) == ("cell.together", {"reason": "refused"})


CHANGES = [{"apparmor": True}, {"seccomp": False}, {"kernel": "6.9"}, {"version": "29"}, {"cpus": 1}, {}]


@pytest.mark.parametrize("change", CHANGES)
def test_what_another_machine_found_is_not_kept(tmp_path, change):
    """Evidence may come from a cache; with AppArmor switched on, or another kernel, it would be another's."""

    def digest(**changes: Any) -> str:
        info = replace(parse_info({}, {"NCPU": 2, "SecurityOptions": ["name=seccomp"]}), **changes)
        variant, suite = Variant(name="castle", builder="ko", port=8080), SimpleNamespace(root=tmp_path)
        engine, built = SimpleNamespace(info=info), SimpleNamespace(config_digest="sha256:1")
        subject = SimpleNamespace(variant=variant, engine=lambda: engine, suite=suite, built=built)
        return attacking._measured_with(subject, AttacksCheck())

    assert (digest() == digest(**change)) is (change == {})


ALONE = [("succeeded", 1, True), ("crashed", None, False), ("not_measured", None, False), ("blocked", 1, False)]


@pytest.mark.parametrize(("limits", "depth", "together"), ALONE)
def test_that_no_wall_stops_it_alone_is_only_said_where_all_let_it_through(limits, depth, together):
    """Under one wall alone the service may have died, which is neither."""
    alone = {"fork-bomb": {"image": "succeeded", "non-root": "succeeded", "limits": limits}}
    held = Matrix(cells={"hardened": {"fork-bomb": Cell("blocked", "held")}}, alone=alone)
    engine = SimpleNamespace(seccomp=True, apparmor=True, user_namespaces=True, rootless=False)
    bomb = data(held, load_payloads(), "", engine)["postures"]["hardened"]["fork-bomb"]
    assert (bomb["depth"], bomb["walls"]) == (depth, ["limits"] if limits == "blocked" else [])
    assert (bomb["code"] == "cell.together") is together
