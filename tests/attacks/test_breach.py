"""Attacks of who runs beside the service already: on a service that knows no AWK, behind the very walls that the service has."""

import dataclasses
import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from deadweight._errors import ConfigError, wording
from deadweight.report.attacks import DELIVERIES as HEADINGS
from deadweight.report.collect import attack_notes
from deadweight.report.html import render_html
from deadweight.report.model import AttackRecord, PayloadRecord
from deadweight_attacks import helper, run, session, walls
from deadweight_attacks.awk import AwkRequest
from deadweight_attacks.containers import Yard
from deadweight_attacks.host import PURPOSE
from deadweight_attacks.lab import Lab
from deadweight_attacks.load import Catalogue, check_gates, load_payloads
from deadweight_attacks.matrix import Runner
from deadweight_attacks.model import Payload, Proof
from deadweight_attacks.outcomes import DELIVERED, Matrix, Plan
from deadweight_attacks.request import prepared
from deadweight_attacks.resource import fire_resource
from deadweight_attacks.summary import unmeasured
from deadweight_attacks.walls import DEFAULT, HARDENED, OPEN, posture
from tests.support.attack_grounds import castle, matrix, only, own_attacks, payload, service_image
from tests.support.codes import codes, raises
from tests.support.fault_project import wait_for
from tests.support.processes import killed
from tests.support.report_samples import full_report
from tests.support.small_images import program

pytestmark = pytest.mark.tools

WORKS, HELD = "succeeded", "blocked"
THROUGH = {
    "breach-shell", "breach-interpreter", "breach-environ", "breach-neighbours", "breach-read-passwd", "breach-write-any",
    "breach-memfd",
}  # fmt: skip
"""What works hardened as well: all else is stopped there, and nothing is where no wall stands."""
DEPENDS = {"breach-ptrace", "breach-io-uring"}
"""Hardened, on the engine's seccomp profile or the kernel's own settings."""
KERNELS = {
    "breach-keyring", "breach-bpf", "breach-io-uring", "breach-userfaultfd", "breach-perf", "breach-module", "breach-block-device",
    "breach-core-pattern", "breach-handle", "breach-ptrace", "breach-loops", "breach-user-namespace",
}  # fmt: skip
"""What a kernel may lack or forbid to all; then it is not measured in ``hardened`` either."""


@pytest.fixture(scope="module")
def built(engine, tmp_path_factory):
    """A service without any AWK, with a shell of its own."""
    files = {
        "/etc/shadow": b"root:!password-of-nobody:19000::::::\n", "/tmp/": b"",
        **program("dash", at="/bin/sh"), **program("perl"), **program("bash"),
    }  # fmt: skip
    folder = tmp_path_factory.mktemp("plain")
    with service_image(engine, folder, "plain", "tests/services/misbehave", files, "MODE=good") as made:
        yield made


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory, engine, built) -> Iterator[Lab]:
    with Lab(castle(tmp_path_factory.mktemp("castle"), engine, built[0], reference=built[1], awk=False)) as made:
        yield made


def breach(*names: str) -> Catalogue:
    return only(*names, packs=["breach"])


@pytest.fixture(scope="module")
def results(laboratory) -> Matrix:
    return Runner(laboratory, load_payloads(packs=["breach"])).run(Plan((OPEN, HARDENED), alone=False))


@pytest.mark.slow
def test_what_is_started_beside_the_service_has_its_walls(laboratory):
    """Not believed: looked at, in the postures that differ the most. This test's own process has others."""
    for chosen in (OPEN, DEFAULT, HARDENED):
        with Yard(laboratory, chosen) as yard:
            ours = yard.session
            assert ours.difference() == {}
            status = Path(f"/proc/{ours.pid}/status").read_text()
            seccomp = 0 if chosen is OPEN or not laboratory.engine.info.seccomp else 2
            assert f"Seccomp:\t{seccomp}" in status
            assert f"NoNewPrivs:\t{int(chosen is HARDENED)}" in status
            differences = session.difference(yard.get().state().pid, os.getpid())
    assert {"Uid", "CapBnd", "NoNewPrivs", "namespace net", "namespace mnt"} <= differences.keys()
    assert codes(session.describe_differences(differences)) == ["attacker.unlike"]


def test_a_program_without_the_services_walls_proves_nothing(laboratory, monkeypatch):
    """Every attack would look as if no wall stopped it: nothing is measured then, in ``open`` or elsewhere."""
    monkeypatch.setattr(session.Session, "difference", lambda _self: {"Seccomp": "2 → 0"})
    results = Runner(laboratory, load_payloads(packs=["breach"])).run(Plan((OPEN, HARDENED), alone=False))
    assert {cell.outcome for cells in results.cells.values() for cell in cells.values()} == {"not_measured"}
    (line,) = results.nothing_in()
    assert line.endswith(session.describe_differences({"Seccomp": "2 → 0"}))


def test_the_way_to_the_metadata_lasts_when_another_network_is_made(laboratory, engine):
    """An engine then sets its rules anew, above ours, and drops what comes from an address of no network of its own."""
    with Yard(laboratory, OPEN) as yard:
        yard.get()
        with engine.network(PURPOSE):
            text = yard.session.obey(session.Order(("get/connect", "169.254.169.254", "80", "/")), 8).text()
    assert laboratory.planted.metadata in text, text


@pytest.mark.slow
def test_an_order_that_never_ends_is_ended_and_the_service_stays_without_what_it_started(laboratory):
    with Yard(laboratory, HARDENED) as yard:
        first = yard.session
        assert "killed" in first.obey(session.Order(("loops/threads", "2")), 0.5).text()
        yard.hang_up()
        with pytest.raises(OSError, match=r"."):
            first.obey(session.Order(("hello", "a", "b")), 2)
        assert yard.session.obey(session.Order(("hello", "a", "b")), 5).text().strip() == "ab"
        assert yard.complaint() == ""
        yard.session.obey(session.Order(("processes/fork",)), 5)
        pid = yard.get().state().pid
        assert Path(f"/proc/{pid}/task/{pid}/children").read_text() == "", "they count against the service's own limit"


@pytest.mark.slow
def test_a_service_that_ends_before_the_attack_is_exchanged(laboratory):
    """It may be dying of the attack before; the whole run ended with it."""
    with Yard(laboratory, OPEN) as yard:
        first = yard.get()
        alive, yard.alive = yard.alive, lambda wait=0.0: True if not wait else alive(wait)
        first.signal("SIGKILL")
        first.wait_ended(5)
        shot = fire_resource(laboratory, yard, payload("breach-processes"))
        assert yard.started == 2
    assert shot.seen in ("succeeded", "failed"), shot
    assert shot.status in (0, 200), shot  # a busy engine counts too late


@pytest.mark.parametrize("payload", [payload.id for payload in load_payloads(packs=["breach"]).payloads])
def test_every_payload_comes_to_what_it_must(results, payload):
    cells = [results.cells[name][payload] for name in ("open", "hardened")]
    texts, outcomes = list(map(str, cells)), tuple(cell.outcome for cell in cells)
    wanted = (WORKS, outcomes[1] if payload in DEPENDS else WORKS if payload in THROUGH else HELD)
    if payload in KERNELS and outcomes[0] == "not_measured":
        assert outcomes[1] == "not_measured", texts
    elif outcomes[1] == "crashed" and payload in {"breach-processes", "breach-memory"}:
        assert outcomes[0] == WORKS, texts
    else:
        assert outcomes == wanted, texts


def test_what_worked_is_named_and_what_did_not_was_tried_in_every_way(results):
    """One technique that fails is no attack that is stopped."""
    attacks = [payload for payload in load_payloads(packs=["breach"]).payloads if payload.techniques]
    for attack, cells in itertools.product(attacks, results.cells.values()):
        cell = cells[attack.id]
        if cell.outcome == WORKS:
            assert cell.evidence.get("technique") in attack.techniques, (attack.id, cell)
        elif cell.outcome == HELD:
            assert tuple(cell.evidence.get("tried") or ()) == attack.techniques, (attack.id, cell)


@pytest.mark.slow
def test_the_service_is_read_in_another_way_where_one_is_refused(laboratory):
    """The engine's profile refuses ``process_vm_readv``, and ``/proc/PID/mem`` reads the same."""
    results = Runner(laboratory, breach("breach-ptrace")).run(Plan((OPEN, DEFAULT, HARDENED), alone=False))
    worked = {name: cells["breach-ptrace"].evidence.get("technique") for name, cells in results.cells.items()}
    with Yard(laboratory, HARDENED) as yard:
        yard.session.obey(session.Order(("memory-of-service", "DEADWEIGHT_PLANTED"), ("process_vm_readv", "mem")), 8)
        first, *others = yard.session.tries
    if not others or others[0].code:
        pytest.skip(f"this kernel or engine refuses no single way: {first.output[:80]}")
    assert worked == {"open": "process_vm_readv", "default": "mem", "hardened": "mem"}


def test_every_technique_is_one_of_the_helpers_and_none_of_its_is_left_out():
    source = (helper.SOURCE / "main.go").read_text(encoding="utf-8")
    theirs = set(re.findall(r'(?:^\s*|, )"([a-z-]+/[\w.-]+)":', source, re.MULTILINE))
    pack = load_payloads(packs=["breach"]).payloads
    ours = {f"{attack.breach[0]}/{technique}" for attack in pack if attack.breach for technique in attack.techniques}
    assert theirs == ours


TRACING = Path("/proc/sys/kernel/yama/ptrace_scope")
NAMED = (
    "breach-other-processes", "breach-shared-memory", "breach-ptrace", "breach-write-root", "breach-connect", "breach-dns",
    "breach-bind-shell", "breach-host-read", "breach-memfd",
)  # fmt: skip


@pytest.fixture(scope="module")
def wall_by_wall(laboratory) -> Matrix:
    names = ("hardened", "without-pid-namespace", "without-ipc-namespace", "only-landlock", "landlock")
    return Runner(laboratory, breach(*NAMED)).run(Plan(tuple(posture(name) for name in names), alone=False))


@pytest.mark.parametrize(("name", "through"), [
    ("hardened", {"breach-memfd", "breach-ptrace"}),
    ("without-pid-namespace", {"breach-memfd", "breach-ptrace", "breach-other-processes"}),
    ("without-ipc-namespace", {"breach-memfd", "breach-ptrace", "breach-shared-memory"}),
    # Landlock's rules for ports are asked for plain TCP by bind(2) and connect(2): not for multipath TCP, nor for TCP Fast Open
    ("only-landlock", {"breach-memfd", "breach-shared-memory", "breach-dns", "breach-connect", "breach-bind-shell"}),
    ("landlock", {"breach-memfd"}),
])  # fmt: skip
def test_each_namespace_hides_its_neighbour_and_landlock_what_it_can(wall_by_wall, laboratory, name, through):
    """A neighbour's processes and memory; files and mounted folders; but no datagrams, and no TCP that is called otherwise."""
    if "landlock" in name and not laboratory.ground.landlocked:
        assert {cell.outcome for cell in wall_by_wall.cells[name].values()} == {"not_measured"}
        return
    # newer kernels let who may measure everything (CAP_PERFMON) read others' memory all the same
    unsure = {"breach-other-processes"} if name == "only-landlock" else set()
    if TRACING.is_file() and int(TRACING.read_text()):  # this kernel lets nobody read another process (Yama)
        unsure |= {"breach-ptrace"}
    cells = {attack: cell for attack, cell in wall_by_wall.cells[name].items() if attack not in unsure}
    assert {attack for attack, cell in cells.items() if cell.outcome == WORKS} == through - unsure, cells
    untold = {attack for attack, cell in cells.items() if cell.outcome == "not_measured"}
    assert untold == ({"breach-ptrace"} & cells.keys() if "landlock" in name else set()), cells


SUITE = "checks: {attacks: {%s}}"


def test_a_service_without_awk_gets_what_applies_to_it_and_passes(service, few):
    """It got 37 attacks through an AWK that it does not have, none of them measured."""
    few("breach-write-root", "breach-host-read")
    gates = SUITE % "gates: [{posture: hardened, blocked: [breach-write-root, breach-host-read]}]"
    evidence = run.attack(service(gates), brief=True)
    assert evidence.status == "pass", evidence.reason
    assert evidence.reason.startswith(f"open {DELIVERED['breach']}: 1 {WORKS}; "), "a folder of the host is handed in"
    record = evidence.data["payloads"]["breach-host-read"]
    assert (record["delivery"], record["pack"]) == ("breach", "breach")


def test_an_image_that_cannot_hold_the_program_is_attacked_through_the_service_and_says_so(service, tmp_path):
    """As where no file system allows programs to run. Nothing at all was measured: the attacker itself did not start."""
    file = tmp_path / "helper"
    file.write_bytes(b"no program")
    file.chmod(0o644)
    with Lab(service(), helper_from=lambda _subject: helper.mounts_of(file)) as built:
        attacks = only("http-environment", "breach-write-root", packs=["http", "breach"])
        results = Runner(built, attacks).run(Plan((OPEN,), alone=False))
    assert results.cells["open"]["http-environment"].outcome == "not_applicable"
    cell = results.cells["open"]["breach-write-root"]
    assert (cell.outcome, "permission denied" in cell.reason) == ("not_measured", True)
    assert cell.code == "untried.breach_in_image"
    assert results.nothing_in() == [walls.wording("gate.nothing_in", places="open", reason=cell.reason)]


def test_a_service_that_only_runs_as_the_first_process_keeps_to_itself(service):
    """As the supervisors of many images do; what does not go for a neighbour is measured all the same."""
    attacks = breach("breach-write-root", "breach-other-processes")
    results = matrix(service("run: {env: {MODE: first}}"), attacks, OPEN)
    outcomes = {name: cell.outcome for name, cell in results.cells["open"].items()}
    assert outcomes == {"breach-write-root": WORKS, "breach-other-processes": "not_measured"}
    alone = "can only run as process 1" in results.notes["neighbour"]
    assert (codes(results.notes["neighbour"])[0], alone) == ("untried.neighbour", True)


def test_a_service_that_dies_of_company_is_said_to_and_nothing_is_measured_after_a_breach(service, few):
    few("breach-write-root")
    evidence = run.attack(service("run: {env: {MODE: lonely}}"), postures=("open",), brief=True)
    assert (evidence.status, "not alone" in evidence.reason) == ("not_measured", True)
    assert codes(evidence.reason)[:2] == ["gate.nothing_in", "cell.died"]


@pytest.mark.parametrize(("keys", "message"), [
    ("packs: [awk]", re.escape(wording("suite.pack_awk_key"))), ("packs: []", r"attacks\.packs"),
    ("packs: [sql]", r"attacks\.packs\[0\]: .*" + re.escape(wording("suite.one_of", choices="breach, awk, http"))),
    ("awk: {}", r"attacks\.awk: " + re.escape(wording("suite.key_missing", name="path"))),
    ("awk: {path: /run, encoding: raw, args: words}", "awk.args: .*" + walls.wording("payload.raw_script_alone")),
])  # fmt: skip
def test_what_is_wrong_with_packs_is_told_with_its_place(tmp_path, engine, playground_archive, keys, message):
    with pytest.raises(ConfigError, match=message):  # noqa: PT012 - the first says some, the second the rest
        subject = castle(tmp_path, engine, playground_archive, SUITE % keys, awk=False)
        check_gates(subject.suite, subject.variant, subject.variant.checks.attacks)


def test_a_script_of_ones_own_needs_a_way_to_the_services_awk(tmp_path, engine, playground_archive):
    own = own_attacks({"x": {"script": 'BEGIN { print "@a@" "@b@" }'}})
    subject = castle(tmp_path, engine, playground_archive, SUITE % "payload_files: [own.yaml]", awk=False, own=own)
    with raises(ConfigError, "payload.no_awk", file=str(tmp_path / "own.yaml"), line=2, key="payloads[0]"):
        run.check_request(subject, ())


@pytest.mark.parametrize(("awk", "path", "body"), [
    ("{path: /run}", "/run", b'{"script": "BEGIN"}'),
    ("{path: /run, encoding: form, field: code, args: word}", "/run", b"code=BEGIN&word=-f&word=x"),
    ("{path: '/run?x=1', method: GET, encoding: query, field: q}", "/run?x=1&q=BEGIN", None),
    ("{path: /run, encoding: raw}", "/run", b"BEGIN"),
])  # fmt: skip
def test_a_script_is_sent_as_the_suite_says(awk, path, body):
    proof = Proof(kind="resource", of="cpu")
    own = Payload(id="x", title="ours", attack="T1059", script="BEGIN", args=("-f", "x"), evidence=proof)
    sent = prepared(own, {}, Path(), AwkRequest.model_validate(yaml.safe_load(awk)))
    assert (sent.path, sent.body) == (path, body)


def test_both_ways_in_are_told_apart_on_the_page():
    """One list of eighty attacks says nothing of where they come from."""
    deliveries = {"system": "service", "breach-memfd": "breach"}
    known = {name: PayloadRecord(f"tries {name}", delivery=way) for name, way in deliveries.items()}
    report, through = full_report(), {"open": dict.fromkeys(known, AttackRecord("succeeded"))}
    variants = {name: dataclasses.replace(variant, attacks=through) for name, variant in report.variants.items()}
    report = dataclasses.replace(report, variants=variants, payloads=known)
    text = render_html(report)
    first, then = (text.index(HEADINGS[way].partition("'")[0]) for way in ("service", "breach"))
    assert first < text.index("tries system") < then < text.index("tries breach-memfd", then)


@pytest.mark.parametrize(("groups", "fields"), [("--groups=1", set()), ("--groups=1,7", {"Groups"})])
def test_a_group_that_a_process_has_anyway_makes_no_difference(groups, fields):
    """Podman's exec names the group itself among the further ones, Docker's does not."""
    words = ("setpriv", "--reuid=65534", "--regid=1")
    with killed(*words, "--clear-groups", "sleep", "30") as one, killed(*words, groups, "sleep", "30") as other:
        pids = (one.pid, other.pid)
        wait_for(lambda: all(Path(f"/proc/{pid}/comm").read_text() == "sleep\n" for pid in pids), 5)
        assert set(session.difference(*pids)) == fields


def test_what_was_not_measured_of_one_variant_is_told_with_its_reason_once():
    untold = {"outcome": "not_measured", "evidence": None}
    nothing = {name: {**untold, "reason": f"no {name[-1]}"} for name in ("x_a", "x_b", "y_b")}
    postures = {"open": {**nothing, "x_a": {"outcome": WORKS, "evidence": None}}}
    postures["hardened"] = {**nothing, "more": {"outcome": HELD, "evidence": None}}
    assert unmeasured(SimpleNamespace(data={"postures": postures})) == ["x_b, y_b: no b", "hardened: x_a: no a"]


@pytest.mark.parametrize(("ways", "expected"), [(("breach",), True), (("breach", "service"), False), ((), False)])
def test_who_got_no_attack_through_the_service_is_told_what_to_write(ways, expected):
    """On the terminal, on the page and in Markdown."""
    notes = attack_notes({"payloads": {way: {"delivery": way} for way in ways}})
    assert any("packs: [breach, http]" in note for note in notes) is expected
