"""A seccomp profile under which nothing starts: the call that it refuses is found by starting containers, and named."""

import itertools
import json
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from deadweight._errors import ConfigError, UsageError
from deadweight.checks.protocol import Subject
from deadweight.checks.runs import Runs
from deadweight.engine.options import RunOptions, hardened_for
from deadweight.engine.seccomp import profile, refused_calls
from deadweight.project.workspace import refuse_no_profile
from deadweight.suite.model import Health
from deadweight_attacks.matrix import refused_by_profile
from deadweight_attacks.profile import ATTACKERS, for_attacks
from deadweight_attacks.seccomp import floor
from tests.support.codes import codes, details, parts, raises
from tests.support.marks import NEEDS_ROOT
from tests.support.small_project import built_subject, write_suite

HERE = profile.Where("amd64", "6.1.0-13-amd64")
EVERYTHING = frozenset(profile.numbers("amd64"))


def without(*calls: str) -> dict[str, object]:
    return floor.document(EVERYTHING - set(calls), range(64), "amd64")


@pytest.mark.parametrize(
    ("needed", "most"), [((), 4), (("a",), 4), (("d", "j"), 4), (("a", "b", "c"), 4), (tuple("bdfhj"), 4)]
)
def test_what_is_missing_is_found_by_halving(needed, most):
    works = Mock(side_effect=lambda some: set(needed) <= set(some))
    calls, whole = refused_calls.find_missing(tuple("abcdefghij"), works, most)
    assert (calls, whole) == (needed[-most:], len(needed) <= most)
    assert works.call_count <= 6 * (len(needed) + 1)


def test_what_a_profile_refuses_is_read_with_its_conditions():
    document = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
        "syscalls": [
            {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
            {"name": "close", "action": "SCMP_ACT_ALLOW"},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]},
            {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
            {"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "7.0"}},
            {"names": ["stat"], "action": "SCMP_ACT_ALLOW", "excludes": {"arches": ["amd64"]}},
        ],
    }
    calls = profile.refused(document, HERE)
    assert EVERYTHING - set(calls) == {"read", "write", "close", "ptrace"}
    assert "clone" in calls, "with some arguments is not with all"
    stronger = profile.Where("amd64", "7.1", frozenset({"SYS_ADMIN"}))
    assert EVERYTHING - set(profile.refused(document, stronger)) == {"read", "write", "close", "ptrace", "mount", "bpf"}
    handed = profile.for_runtime(document, HERE)
    assert handed["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    assert [rule["names"] for rule in handed["syscalls"]] == [["read", "write"], ["close"], ["clone"], ["ptrace"]]


def test_a_profile_that_forbids_a_few_calls_is_read_the_other_way_round():
    rule = {"names": ["bpf", "nonsense"], "action": "SCMP_ACT_ERRNO"}
    document = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    assert profile.refused(document, HERE) == ("bpf",)
    assert profile.refused(profile.allowing(document, ["bpf"]), HERE) == ()


def test_with_more_calls_a_profile_is_otherwise_the_same():
    more = profile.allowing(without("listen", "clone3"), ["listen", "clone"])
    assert "clone3" in profile.refused(more, HERE)
    assert not {"listen", "clone"} & set(profile.refused(more, HERE))


def test_what_the_attackers_program_needs_opens_no_more():
    """With clone allowed whatever its arguments, a namespace of users was to be had under a profile that forbids it."""
    tight = floor.document({"read", "clone"}, (), "amd64")
    before, after = (profile.refused(document, HERE) for document in (tight, for_attacks(tight, HERE)))
    assert set(before) - set(after) == set(ATTACKERS) - {"clone", "read"}
    assert [rule["args"] for rule in for_attacks(tight, HERE)["syscalls"] if rule["names"] == ["clone"]] == [
        [{"index": 0, "value": floor.NEW_NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]
    ]
    without_it = for_attacks(floor.document({"read"}, (), "amd64"), HERE)
    assert "clone" in profile.refused(without_it, HERE)
    assert "clone" not in profile.refused(without_it, HERE, wholly=True)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"defaultAction": "allow"}', '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{}]}']
)
def test_what_is_no_profile_is_told_with_its_line(tmp_path, text):
    (tmp_path / "tight.json").write_text(text)
    yaml = "name: p\nvariants:\n  tight:\n    builder: ko\n    run:\n      seccomp: tight.json\n"
    suite = write_suite(tmp_path, yaml)
    with raises(ConfigError, "seccomp.not_a_profile", line=6, key="variants.tight.run.seccomp"):
        refuse_no_profile(suite, suite.variants[0])
    (tmp_path / "tight.json").unlink()
    with raises(UsageError, "seccomp.no_such_file", file=tmp_path / "tight.json"):
        refuse_no_profile(suite, suite.variants[0])


@pytest.mark.parametrize(("calls", "whole", "named"), [
    (("listen",), True, "listen"), (("a", "b"), True, "a, b"), (("a", "b"), False, "a, b, …"),
])  # fmt: skip
def test_the_calls_are_told_in_one_sentence(calls, whole, named):
    text = refused_calls.refusal_text("p.json", refused_calls.Refused(calls, "the program", all_told=whole))
    fields = {"file": "p.json", "calls": named, "user": "the program", "problem": "", "advice": ""}
    assert parts(text) == ("seccomp.stops", fields)


def test_what_a_runtime_makes_now_and_then_is_told_so(monkeypatch):
    """One start passes, the next hangs: no search finds that."""
    turns = itertools.cycle(["", "no answer", "no answer"])

    def starting(_runtime, _bundle, document):
        return next(turns) if "futex" in profile.refused(document, HERE) else ""

    monkeypatch.setattr(refused_calls, "starting_under", starting)
    runc = refused_calls.Runtime("runc", "1.1.5", "/usr/sbin/runc", "amd64")
    cause = refused_calls._of_runtime(runc, json.dumps(without("futex", "listen")), HERE)
    assert (cause.calls, cause.problem, codes(cause.whom)) == (("futex",), "no answer", ["seccomp.runtime_at_times"])


@pytest.mark.parametrize(("problem", "whom"), [
    ("python3: error while loading shared libraries: cannot apply additional memory protection", "seccomp.loader"),
    ("Error loading shared library libz.so.1: Operation not permitted (needed by /usr/bin/node)", "seccomp.loader"),
    ("listen tcp :8080: listen: operation not permitted", "seccomp.program"),
])  # fmt: skip
def test_who_needs_a_call_is_told_by_what_is_said_without_it(problem, whom):
    program = refused_calls._OfProgram(SimpleNamespace(), "", RunOptions(), Health(), 8080)  # type: ignore[arg-type]

    def works(_more):
        program.problem = problem
        return False

    assert codes(program._needed_by(works, ("a", "b"), "a")) == [whom]


# real ones


@pytest.fixture
def service(tmp_path, engine, misbehaving_image, misbehaving_archive, monkeypatch):
    monkeypatch.setattr(engine, "root", str(tmp_path))

    def build(*refused: str) -> Subject:
        (tmp_path / "tight.json").write_text(json.dumps(without(*refused)))
        yaml = "name: p\ndefaults: {port: 8080, health: {path: /healthz, within_seconds: 8}}\n"
        yaml += "variants:\n  tight: {builder: ko, run: {seccomp: tight.json}}\n"
        return built_subject(write_suite(tmp_path, yaml), "tight", misbehaving_archive, misbehaving_image, engine)

    return build


@pytest.mark.slow
def test_a_call_that_the_program_needs_is_named(service):
    subject = service("listen")
    evidence = Runs().run(subject)
    subject.service.close()
    assert (evidence.status, details(evidence.reason).fields["calls"]) == ("fail", "listen")
    assert codes(evidence.reason) == [evidence.code, "seccomp.program", "seccomp.advice"]
    assert (evidence.code, evidence.data["posture"]["seccomp"]) == ("seccomp.stops", "tight.json")


@NEEDS_ROOT
def test_a_call_that_the_runtime_needs_is_named_before_an_engine_waits_for_it(service, engine, monkeypatch):
    subject = service("execve")
    monkeypatch.setattr(engine, "start", lambda *_, **__: pytest.fail("nothing is started in the engine"))
    evidence = Runs().run(subject)
    subject.service.close()
    assert (evidence.status, evidence.code) == ("fail", "seccomp.stops")
    assert details(evidence.reason).fields["calls"] == "execve"
    assert "seccomp.runtime_always" in codes(evidence.reason)


@pytest.mark.slow
def test_attacks_under_a_profile_that_stops_the_start_are_not_measured_for_that_call(service, engine):
    """Tried as it is: what the attacker's program needs would be allowed beside it, and hide what is missing."""
    subject = service("listen")
    lab = SimpleNamespace(
        variant=subject.variant, engine=engine, image=subject.engine_image(),
        named=hardened_for(subject.variant).but(publish=None, network="none"),
    )  # fmt: skip
    reason = refused_by_profile(lab)  # type: ignore[arg-type]
    assert (details(reason).fields["file"], details(reason).fields["calls"]) == ("tight.json", "listen")
    assert codes(reason) == ["seccomp.stops", "seccomp.program", "seccomp.advice"]
    lab.named = lab.named.but(seccomp="default")
    assert refused_by_profile(lab) == ""  # type: ignore[arg-type]


def test_a_service_that_fails_anyway_is_not_blamed_on_its_profile(service, engine):
    subject = service()
    options = subject.service.options()
    broken = subject.variant.health.model_copy(update={"path": "/gone", "within_seconds": 1.0})
    assert refused_calls.explained(engine, subject.engine_image(), options, broken, 8080) == ""
    unnamed = SimpleNamespace(seccomp="default")
    assert refused_calls.explained(engine, "", unnamed, broken, 8080) == ""  # type: ignore[arg-type]
    subject.service.close()
