"""What a running service touches: seen in a real container, also where a program lives for milliseconds."""

from dataclasses import replace

import pytest

from deadweight.checks.scan import reachability
from deadweight.checks.scan.model import ScanRow, count
from deadweight.checks.scan.reachability import Observation, observed, reachable
from deadweight.checks.vulnerabilities import severity_gates
from deadweight.engine import sidecars
from deadweight.engine.seccomp import profile
from deadweight.suite.checks import VulnerabilitiesCheck
from deadweight_workload.model import Ledger
from tests.support.codes import codes
from tests.support.small_project import built_subject, write_suite

SUITE = """\
name: demo
defaults: {port: 8080, health: {path: /healthz}, builder: ko, base: example.com/base}
variants:
  app:
    checks: {api: [{name: adds, request: {method: POST, path: /api/v1/awk, json: {script: 'BEGIN { print 6 * 7 }'}}}]}
  silent: {}
"""


@pytest.fixture
def subject(tmp_path, engine, playground_image, playground_archive):
    made = built_subject(write_suite(tmp_path, SUITE), "app", playground_archive, playground_image, engine)
    yield made
    made.service.close()


@pytest.mark.slow
def test_the_service_its_awk_and_its_libraries_are_seen(subject):
    observation = observed(subject, may_run=True)
    assert isinstance(observation, Observation), observation
    assert "/app" in observation.executed
    assert {path.rpartition("/")[2] for path in observation.executed} & {"awk", "mawk", "gawk"}
    assert any(path.rpartition("/")[2].startswith("libc.so") for path in observation.opened)
    assert observed(subject, may_run=False) == observation  # kept for the same image and requests
    for label in ("deadweight.variant=app", "deadweight.purpose=recorder"):
        assert not subject.engine().api.containers(filters={"label": label})


@pytest.mark.slow
def test_a_kernel_that_tells_of_no_calls_is_named(subject, monkeypatch, tmp_path):
    """As such a kernel answers who asks for a listener."""
    monkeypatch.setattr(sidecars, "JOIN_SECONDS", 5.0)
    calls = {"names": ["seccomp"], "args": [{"index": 1, "value": 8, "valueTwo": 8, "op": "SCMP_CMP_MASKED_EQ"}]}
    rule = {**calls, "action": "SCMP_ACT_ERRNO", "errnoRet": 22}
    file = profile.write(tmp_path / "p.json", {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]})
    roomier = sidecars.roomier
    monkeypatch.setattr(reachability, "roomier", lambda options: roomier(options).but(seccomp=str(file)))
    reason = observed(subject, may_run=True)
    assert (reason.code, reason.fields["problem"]) == ("scan.kernel_tells_nothing", "invalid argument")


def test_without_a_run_or_a_request_it_is_not_measured(subject, playground_image, playground_archive):
    assert codes(observed(subject, may_run=False)) == ["scan.not_run_yet"]
    silent = built_subject(subject.suite, "silent", playground_archive, playground_image, subject.engine())
    assert codes(observed(silent, may_run=True)) == ["scan.no_requests"]


def test_a_service_that_does_not_come_up_is_not_measured(tmp_path, engine, misbehaving_image, misbehaving_archive):
    dying = "app:\n    run: {env: {MODE: dies-at-once}}\n    health: {within_seconds: 2}"
    suite = write_suite(tmp_path, SUITE.replace("app:", dying, 1))
    reason = observed(built_subject(suite, "app", misbehaving_archive, misbehaving_image, engine), may_run=True)
    assert codes(reason)[0] == "scan.service_not_run"


def finding(kind: str, package: str, path: str = "", ecosystem: str = "") -> ScanRow:
    return ScanRow("CVE-1", package, "1", "low", kind, path=path, ecosystem=ecosystem)


@pytest.mark.parametrize(("row", "flag"), [
    (finding("os", "used"), True),
    (finding("os", "old-spelling"), True),
    (finding("os", "unused"), False),
    (finding("os", "no-files"), None),
    (finding("language", "stdlib", "app", "gobinary"), True),
    (finding("language", "stdlib", "usr/local/go/bin/go", "gobinary"), False),
    (finding("language", "lib", "srv/lib.jar", "jar"), True),
    (finding("language", "other", "srv/other.jar", "jar"), False),
    (finding("language", "dep", "srv/node_modules/dep/package.json", "node-pkg"), True),
    (finding("language", "idle", "srv/node_modules/idle/package.json", "node-pkg"), False),
    (finding("language", "flask", "usr/lib/python3/flask.dist-info/METADATA", "python-pkg"), None),
    (finding("language", "nowhere", "", "jar"), None),
])  # fmt: skip
def test_which_findings_are_in_touched_files(row, flag):
    touched = ("/app", "/usr/lib/x/libused.so.1", "/usr/bin/tool", "/srv/lib.jar", "/srv/node_modules/dep/lib/index.js")
    owners = {
        "used": ("/usr/lib/x/libused.so.1", "/usr/share/doc/used"),
        "old-spelling": ("/bin/tool",),
        "unused": ("/usr/bin/unused",),
        "no-files": (),
    }
    assert reachable([row], owners, Observation("k", touched, ("/app",))) == (flag,)


def test_kernel_headers_are_in_no_count_of_reached_and_dead():
    rows = [finding("kernel_headers", "linux-libc-dev"), *(finding("os", name) for name in ("used", "unused", "odd"))]
    figures = reachability.reachability(
        (False, True, False, None), rows, Observation("k", ("/a",), ("/a",)), Ledger(3, 0)
    )
    assert (figures.reachable, figures.dead_weight, figures.undecided) == (1, 1, 1)


# A finding is counted once, however many programs of an image hold a copy of its package.
ROW = ScanRow("CVE-2030-1", "stdlib", "1.21.3", "critical", "language", "1.21.4", "usr/bin/0", "gobinary")
COPIES = tuple(replace(ROW, path=f"usr/bin/{number}") for number in range(20))
OTHER = replace(ROW, version="1.26.0", fixed_version=None)


def test_copies_are_a_figure_of_their_own():
    """84 ids in 20 programs of the Go compiler were called 1,680 findings."""
    counts = count((*COPIES, OTHER))
    assert (counts.total, counts.copies, counts.fixable, counts.ids) == (2, 21, 1, 1)
    assert counts.by_severity["critical"] == 2


def test_a_gate_counts_each_once():
    (gate,) = severity_gates(VulnerabilitiesCheck(max={"critical": 1}), COPIES, None)
    assert gate.held


def test_findings_without_a_severity_are_told_beside_a_limit_on_severities():
    """A limit on critical ones passed, whatever they were."""
    unrated = [replace(ROW, severity="unknown")]
    gates = severity_gates(VulnerabilitiesCheck(max={"critical": 0}), unrated, None)
    assert [(gate.name, gate.held, gate.warning) for gate in gates] == [
        ("max.critical", True, False), ("severities", False, True),
    ]  # fmt: skip
    assert all(gate.held for gate in severity_gates(VulnerabilitiesCheck(max={"unknown": 1}), unrated, None))


def test_one_touched_copy_is_enough_and_none_is_not_touched():
    seen = Observation("k", ("/usr/bin/0",), ("/usr/bin/0",))
    figures = reachability.reachability((True, *[False] * 19, False), (*COPIES, OTHER), seen, Ledger(4, 2))
    assert (figures.reachable, figures.dead_weight, figures.undecided, figures.operations) == (1, 1, 0, 6)
    assert figures.held_out_added is None
    fewer = reachability.reachability((True, *[False] * 19, False), (*COPIES, OTHER), seen, Ledger(4, 2), [False] * 21)
    assert fewer.held_out_added == 1
    unsure = reachability.reachability((None, *[False] * 19), COPIES, seen, Ledger(4, 2))
    assert (unsure.reachable, unsure.dead_weight, unsure.undecided) == (0, 0, 1)
