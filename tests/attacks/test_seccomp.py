"""A service's own seccomp profile: recorded, made smaller by trying, proven; and what it stops."""

import itertools
import json
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as some

from deadweight._errors import CheckFailed, DeadweightError
from deadweight.checks.protocol import Subject
from deadweight.engine import sidecars
from deadweight.engine.options import RunOptions, Tmpfs, hardened_for
from deadweight.engine.seccomp import profile, refused_calls
from deadweight.records import store
from deadweight.suite.model import Need, Variant
from deadweight.toolchain import golang
from deadweight_attacks import run as attacking, walls
from deadweight_attacks.harden.result import Hardened
from deadweight_attacks.harden.trial import PURPOSE, Trial, attempt
from deadweight_attacks.load import load_payloads
from deadweight_attacks.profile import ToAttack, profile_files
from deadweight_attacks.seccomp import find, floor, model, recorder, search
from deadweight_attacks.seccomp.model import Call, Seccomp, Stopped
from deadweight_attacks.seccomp.recorder import Phase, Recording
from deadweight_workload.judge import Judge
from deadweight_workload.model import Workload
from deadweight_workload.sources import suite_steps
from tests.support.attack_grounds import castle
from tests.support.codes import parts, raises
from tests.support.processes import killed
from tests.support.small_images import PASSWD, docker_archive
from tests.support.small_project import own_leftovers

SERVICE = """run: {memory: 64MiB, pids: 32}
    checks:
      api:
        - {name: up, request: {path: /healthz}}
        - {name: keep, request: {path: '/write?path=/state/deep/kept'}, expect: {status: 200}}"""


# the fewest of many


@given(some.sets(some.integers(0, 40)), some.integers(1, 12))
def test_exactly_what_is_needed_is_left(needed, group):
    assert set(floor.find_fewest(range(41), lambda kept: needed <= set(kept), group)) == needed


# the profile


def test_a_profile_allows_no_namespaces_and_only_the_families_that_were_seen():
    document = floor.document(("read", "clone", "clone3", "socket"), (2, 10), "amd64")
    assert (document["defaultAction"], document["architectures"]) == ("SCMP_ACT_ERRNO", ["SCMP_ARCH_X86_64"])
    rules = document["syscalls"]
    assert len({(rule["names"][0], json.dumps(rule.get("args", []))) for rule in rules}) == len(rules)
    names = ("socket", "clone", "clone3")
    sockets, (clone,), (clone3,) = ([rule for rule in rules if name in rule["names"]] for name in names)
    assert [rule["args"][0]["value"] for rule in sockets] == [2, 10]
    assert (clone["args"][0]["value"], clone["args"][0]["op"]) == (0x7E020000, "SCMP_CMP_MASKED_EQ")
    assert (clone3["action"], clone3["errnoRet"]) == ("SCMP_ACT_ERRNO", 38)


def test_system_calls_are_known_by_name_on_both_architectures():
    for architecture, some_numbers in (("amd64", {"read": 0, "openat2": 437}), ("arm64", {"read": 63, "openat2": 437})):
        known = profile.numbers(architecture)
        assert {name: known[name] for name in some_numbers} == some_numbers
        assert len(set(known.values())) == len(known)
    assert "open" not in profile.numbers("arm64")


def test_the_kernel_tells_which_it_has():
    there = profile.of_kernel("amd64") or pytest.skip("this kernel shows no symbols")
    assert {"read", "newfstatat", "stat", "uname", "clone"} <= set(there)
    assert "query_module" not in there


# the search, on a service that is made up: a trial works where its profile has what is needed


NEEDED = frozenset({"accept4", "bind", "close", "execve", "listen", "socket", "write"})
FLOOR = floor.Floor("runc 1", "amd64", "6.1", ("close", "execve", "exit"), ("futex",), 9)


@pytest.fixture
def log() -> list[Any]:
    """What a search told."""
    return []


@pytest.fixture
def searching(tmp_path, monkeypatch, log):
    """A search whose trials start nothing. ``needed`` is what the service cannot do without."""
    archive = docker_archive(tmp_path / "image.tar", "none:1", [{"/etc/passwd": PASSWD}], {})
    subject = castle(tmp_path, None, archive, SERVICE, reference="none:1", awk=False)

    def make(needed=NEEDED, flaky=lambda _number: False):
        numbers = itertools.count(1)

        def tell(_subject, options, _exits=None, **_more):
            number, document = next(numbers), json.loads(Path(options.seccomp).read_text(encoding="utf-8"))
            rules = [rule for rule in document["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW"]
            missing = sorted(needed - {name for rule in rules for name in rule["names"]})
            return Trial(f"up: {missing[0]} is refused" if missing else "busy" if flaky(number) else "")

        monkeypatch.setattr(search, "attempt", tell)
        options = RunOptions(no_new_privileges=True)
        result = Hardened(options, {}, 2, (), variant=subject.variant, suite="p", image="image")
        return search._Search(subject, result, log.append)

    return make


EVERY = frozenset(profile.numbers("amd64"))


def found(looking, recordings: Sequence[Recording], folder: Path, engines=EVERY) -> Seccomp:
    return looking._found(list(recordings), FLOOR, engines, folder / "p")


def recorded(*names: str, phase: str = "start", linker: str = "") -> Recording:
    return Recording((Phase(phase, dict.fromkeys(names, 1), {2: 1} if "socket" in names else {}),), linker)


def test_what_only_attacks_miss_is_left_out_and_why_the_others_stay_is_told(searching, tmp_path):
    seen = recorded(*NEEDED, "ptrace", "mincore", "connect", "semget", linker="/lib/ld-musl-x86_64.so.1")
    got = found(searching({*NEEDED, "connect"}), [seen, seen, recorded(*NEEDED, "connect", "semget")], tmp_path)
    by_name = {call.name: call for call in got.calls}
    assert (got.left_out, {"memfd_create", "shmget"} & set(got.names)) == (("ptrace",), set())
    assert (by_name["connect"].why, by_name["bind"].seen) == (
        "recorded", 3,
    )  # fmt: skip
    assert (by_name["mincore"].seen, by_name["semget"].why) == (2, "recorded")
    assert [by_name[name].why for name in ("unlinkat", "renameat2", "close", "exit")] == [
        "everyday", "everyday", "runtime", "runtime",
    ]  # fmt: skip
    assert (got.sure()["some runs"], set(got.sure()["runtime only"])) == (("mincore",), {"exit", "futex"})
    assert (got.families, got.libc) == ((2, 10), "musl (ld-musl-x86_64.so.1)")


def test_only_calls_that_the_engine_allows_are_everyday(searching, tmp_path):
    got = found(searching(), [recorded(*NEEDED)], tmp_path, EVERY - {"unlinkat"})
    assert "unlinkat" not in got.names


def test_the_way_to_what_a_service_needs_stays(searching, tmp_path):
    """`connect` was recorded and left out, for no check missed it, of a service whose suite names a sidecar."""
    looking = searching()
    run = looking.subject.variant.run.model_copy(update={"needs": {"db": Need(image="db:1", port=5432)}})
    looking.subject = replace(looking.subject, variant=looking.subject.variant.model_copy(update={"run": run}))
    got = found(looking, [recorded(*NEEDED, "connect", "ptrace")] * 3, tmp_path)
    assert {"connect", "sendto"} <= set(got.names)
    assert got.left_out == ("ptrace",)


class Judging:
    """A judge of a service that is made up: its held-out requests, by name, want these calls."""

    def __init__(self, **wants: str) -> None:
        self.wants = wants

    def operations(self, names):
        return tuple(f"GET /{name}" for name in sorted(names))

    def passing(self, options):
        document = json.loads(Path(options.seccomp).read_text(encoding="utf-8"))
        rules = [rule for rule in document["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW"]
        allowed = {name for rule in rules for name in rule["names"] if name != "socket"}
        allowed |= {
            f"socket {profile.family(rule['args'][0]['value'])}" for rule in rules if rule["names"] == ["socket"]
        }
        return {name for name, call in self.wants.items() if call in allowed}

    def failing(self, options):
        return frozenset(self.wants) - self.passing(options)


def test_held_out_requests_get_their_calls_and_are_told_with_them(searching, tmp_path):
    looking = searching()
    looking.judge = Judging(a="semget", b="read", c="socket AF_UNIX", d="semget")
    got, broken = looking._judged(found(looking, [recorded(*NEEDED)], tmp_path), EVERY, tmp_path / "p")
    assert [(entry.operation, entry.added) for entry in broken] == [
        ("GET /a", "semget"), ("GET /d", "semget"), ("GET /c", "socket AF_UNIX"),
    ]  # fmt: skip
    assert ([call.name for call in got.calls if call.why == "judged"], got.families) == (["semget"], (1, 2, 10))


def test_what_no_call_mends_leaves_no_profile(searching, tmp_path):
    looking = searching()
    looking.judge = Judging(a="mount")
    with raises(DeadweightError, "seccomp.all_calls_fail", problem="GET /a"):
        looking._judged(found(looking, [recorded(*NEEDED)], tmp_path), EVERY - {"mount"}, tmp_path / "p")


def test_a_call_that_no_recording_has_is_found_and_named(searching, log, tmp_path):
    got = found(searching(), [recorded(*(NEEDED - {"bind"}))], tmp_path)
    assert [call.name for call in got.calls if call.why == "unseen"] == ["bind"]
    assert ("seccomp.unseen", {"calls": "bind", "problem": "up: bind is refused", "what": "castle"}) in map(parts, log)


def test_where_nothing_but_another_profile_would_do_that_is_said(searching, tmp_path):
    with raises(DeadweightError, "seccomp.all_calls_fail", problem="up: bind is refused"):
        found(searching(), [recorded(*(NEEDED - {"bind"}))], tmp_path, EVERY - {"bind"})


def test_a_profile_that_does_not_last_keeps_every_call_that_was_seen(searching, log, tmp_path):
    needed = set(NEEDED)
    looking = searching(needed)
    real = looking._proven
    looking._proven = lambda *words: needed.add("ptrace") or real(*words)  # then it wants what no trial missed
    assert "ptrace" in found(looking, [recorded(*NEEDED, "ptrace")], tmp_path).names
    assert "seccomp.not_proven" in [line.code for line in log]


def test_checks_that_waver_prove_nothing(searching, monkeypatch, tmp_path):
    outcomes = iter([Trial(""), Trial("sum: status: expected 200, got 500"), Trial(""), Trial("")])
    monkeypatch.setattr(recorder, "recorded", lambda *_words: (next(outcomes), recorded("read")))
    with raises(CheckFailed, "seccomp.wavers", problem="sum: status: expected 200, got 500"):
        searching()._recordings("amd64")
    with raises(CheckFailed, "seccomp.wavers_allowed", problem="busy"):
        found(searching(flaky=lambda number: number > 1), [recorded(*NEEDED)], tmp_path)


@pytest.mark.parametrize("works", [True, False])
def test_what_asks_inside_the_container_is_asked_under_the_profile(searching, monkeypatch, tmp_path, works):
    """wget makes calls that no check needs: a health check that the profile refuses would call every container unhealthy."""
    made, words = searching({"read", "write"}), ("wget", "http://127.0.0.1/")
    made.result = replace(made.result, asks=words)
    under = []

    def asked(_subject, options):
        under.append(json.loads(Path(options.seccomp).read_text())["syscalls"][0]["names"])
        return words if works else ()

    monkeypatch.setattr("deadweight_attacks.harden.health_command.find_command", asked)
    got = Seccomp("amd64", "6.1", "", "runc 1", (Call("read", "recorded", 3),), (), (), 3, 9, 3)
    assert (made._health_command(got, tmp_path / "p.json"), under) == (words if works else (), [["read"]])


def test_a_recording_that_slows_the_service_is_made_again_without_what_is_known(searching, monkeypatch):
    asked = []

    def slow(_subject, _options, _exits, _architecture, known, _at_once):
        asked.append(set(known))
        return Trial("" if known else "too late"), Recording((Phase("start", {"read": 9000, "bind": 1}, {}),))

    monkeypatch.setattr(recorder, "recorded", slow)
    passed = searching()._recordings("amd64")
    assert asked[:2] == [set(), {"read"}]
    assert all({"read", "bind"} <= recording.calls for recording in passed)


def test_a_service_that_needs_new_privileges_has_no_profile():
    options = RunOptions(no_new_privileges=False)
    result = Hardened(options, {}, 2, (), variant=Variant(name="v", builder="ko"), suite="p", image="i")
    with raises(DeadweightError, "seccomp.set_uid"):
        search.search(Judge(None, Workload(())), result, print)


# what the runtime needs


@pytest.fixture
def runtime(engine) -> refused_calls.Runtime:
    return refused_calls.runtime_of(engine)


@pytest.mark.parametrize("name", ["OCI Runtime (runc)", "OCI Runtime (/usr/sbin/runc)"])
def test_podman_tells_its_runtime_by_name_or_by_path(name):
    assert refused_calls._name({"Components": [{"Name": name}]}, {}) == "runc"


def test_the_runtime_is_the_one_that_starts_the_containers(runtime):
    assert runtime.name in ("runc", "crun")
    assert refused_calls.version_of(runtime.path) == runtime.version
    assert runtime.version[0].isdigit()


def test_a_runtime_starts_nothing_without_a_call_that_it_needs(runtime, tmp_path):
    everything = tuple(profile.numbers(runtime.architecture))
    assert floor.starting(runtime, tmp_path, everything, 20.0) == ""
    assert floor.starting(runtime, tmp_path, tuple(set(everything) - {"execve"}), 20.0) != ""
    assert shutil.rmtree(tmp_path) is None, "nothing of it is mounted or in use any more"


@pytest.mark.slow
def test_the_fewest_calls_that_a_container_starts_with_are_found(runtime, monkeypatch):
    """Among a few that the runtime needs for sure, and some that it does not: the whole search takes half a minute."""
    needed = (floor.kept_floor(runtime) or floor.find_floor(runtime)).needed
    monkeypatch.setattr(floor, "STARTERS", (*needed, *profile.BY_TIMING, "sethostname", "swapon"))
    got = floor.find_floor(runtime)
    assert ({"execve", "exit"} <= set(got.calls), set(got.needed) <= set(needed)) == (True, True)
    assert not {"sethostname", "swapon"} & set(got.calls)


# real services


@pytest.fixture(scope="module")
def subject(tmp_path_factory, engine, misbehaving_image, misbehaving_archive) -> Subject:
    built = (tmp_path_factory.mktemp("seccomp"), engine, misbehaving_archive)
    return castle(*built, SERVICE, reference=misbehaving_image, awk=False)


@pytest.fixture(scope="module")
def posture(subject, engine) -> Iterator[Hardened]:
    options = hardened_for(subject.variant).but(network="some", tmpfs=(Tmpfs("/state", 2**20),))
    cut_off, image = dict(engine.dialect.cut_off), subject.engine_image()
    yield Hardened(options, cut_off, 2, (), variant=subject.variant, suite="p", image=image)
    assert [leftover.name for leftover in own_leftovers(engine) if PURPOSE in leftover.name] == []


@pytest.fixture(scope="module")
def searched(subject, posture) -> Seccomp:
    """The search takes a while, so it is made once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "RUNS", 2)
        judge = Judge(subject, Workload(suite_steps(subject.variant)))
        return search.search(judge, posture, print, floor.kept_floor(refused_calls.runtime_of(subject.engine())))[0]


@pytest.mark.slow
def test_every_call_is_counted_and_in_which_part_of_a_trial(subject, posture, engine):
    with engine.network(PURPOSE) as network:
        trial, recording = recorder.recorded(subject, posture.options.but(network=network), None, "amd64")
    assert trial.problem == ""
    assert [phase.name for phase in recording.phases] == ["start", "up", "keep", "idle", "end"]
    assert (recording.seen_in("listen"), recording.seen_in("mkdirat")) == (("start",), ("keep",))
    assert {2, 10} & recording.families
    assert recording.linker == ""


def test_the_engines_own_profile_is_asked_call_by_call_and_none_is_carried_out(subject, posture):
    allowed = recorder.allowed(subject, posture.options, "amd64")
    assert {"read", "clone", "execve", "exit_group", "kill"} <= allowed
    assert not {"mount", "bpf", "init_module", "keyctl", "reboot", "clone3"} & allowed
    # asked for with no filter at all: and the machine still runs
    open_to_all = recorder.allowed(subject, posture.options.but(seccomp="unconfined"), "amd64")
    assert {"mount", "reboot", "init_module"} < open_to_all


def test_a_signal_does_not_hold_up_the_program_that_asks():
    """Go's scheduler sends them on a busy machine: one that came before there was a listener was waited for without end."""
    words = [golang.built("amd64", sidecars.RECORDER), "ask", *map(str, range(300))]
    for _ in range(30):
        with killed(*words) as asked:
            deadline = time.monotonic() + 20
            while asked.poll() is None and time.monotonic() < deadline:
                asked.send_signal(signal.SIGURG)
                time.sleep(0.0002)
            assert asked.poll() == 0


NO_LISTENER = {"names": ["seccomp"], "args": [{"index": 1, "value": 8, "valueTwo": 8, "op": "SCMP_CMP_MASKED_EQ"}]}
NO_GOING_ON = {"names": ["ioctl"], "args": [{"index": 1, "value": 0xC0182101, "op": "SCMP_CMP_EQ"}]}


@pytest.mark.parametrize("refused", [NO_LISTENER, NO_GOING_ON], ids=["before Linux 5.0", "before Linux 5.5"])
def test_a_kernel_that_tells_of_no_calls_is_told_in_one_sentence(subject, posture, tmp_path, refused):
    """As such kernels answer: to who asks for a listener, or has a call go on. On the latter it waited for a minute."""
    rule = {**refused, "action": "SCMP_ACT_ERRNO", "errnoRet": 22}
    file = profile.write(tmp_path / "p.json", {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]})
    kernel = subject.engine().info.kernel
    with raises(DeadweightError, "seccomp.kernel", kernel=kernel, reason="invalid argument") as raised:
        recorder.allowed(subject, posture.options.but(seccomp=str(file)), "amd64")
    assert not isinstance(raised.value, recorder.Hindered), "nothing to be tried once more"


def test_the_profile_holds_and_lets_nothing_else_through(subject, posture, searched, engine, tmp_path):
    assert {"accept4", "bind", "listen", "mkdirat", "write"} <= set(searched.names)
    assert not {"ptrace", "mount", "memfd_create", "process_vm_readv", "connect"} & set(searched.names)
    assert len(searched.calls) < (searched.engine_allows or 0) - 60
    file = profile.write(tmp_path / "p.json", searched.profile())
    with engine.network(PURPOSE) as network:
        options = posture.options.but(network=network, seccomp=str(file))
        assert attempt(subject, options).problem == ""
        for call in ("listen", "mkdirat"):
            lesser = profile.write(file, without(call, searched.profile()))
            assert attempt(subject, options.but(seccomp=str(lesser))).problem != ""
    asking = floor.document({*searched.names, *OF_ASKING}, searched.families, searched.architecture)
    allowed = recorder.allowed(subject, posture.options.but(seccomp=str(profile.write(file, asking))), "amd64")
    assert allowed == (set(searched.names) | OF_ASKING) - {"clone3", "socket"}  # a socket is asked for without a family


def without(call: str, document: dict[str, Any]) -> dict[str, Any]:
    rules = [{**rule, "names": [name for name in rule["names"] if name != call]} for rule in document["syscalls"]]
    return {**document, "syscalls": rules}


OF_ASKING = {
    "seccomp", "ioctl", "prctl", "ppoll", "arch_prctl", "sched_getaffinity", "openat", "read", "close", "fcntl", "getrlimit",
    "prlimit64", "uname", "rt_sigaction", "pread64", "eventfd2", "epoll_create1", "epoll_ctl", "readlinkat", "clone",
    *profile.BY_TIMING,
}  # fmt: skip
"""What the program that asks cannot do without itself."""


def test_what_was_found_is_told_with_its_circumstances(searched):
    document = searched.document()
    assert (document["libc"], document["architecture"]) == ("none (a static program)", "amd64")
    assert document["runtime"].startswith(("runc ", "crun "))
    assert document["allowed"] == len(document["calls"]) < document["engine_allows"]
    mkdirat = next(call for call in document["calls"] if call["name"] == "mkdirat")
    assert (mkdirat["seen_in_runs"], mkdirat["phases"]) == (2, ["keep"])
    assert mkdirat["why"] in ("recorded", "runtime")  # a busy machine's runtime may seem to need more
    first, *_ = model.lines(searched)
    code, fields = parts(first)
    assert (code, fields["calls"]) == ("seccomp.allowed", len(searched.calls))
    assert parts(fields["engine"]) == ("seccomp.engine_allows", {"calls": searched.engine_allows})


def test_attacks_are_made_under_either_profile(subject, searched):
    """For real: a map of BPF, and more. What is read through files, and code in memory, no list of calls stops."""
    find.leave(subject, searched)
    stopped = find._stopped(subject, print)
    assert (stopped.unmeasured, set(stopped.by_posture)) == ("", set(find.POSTURES))
    alone, engines = walls.only(walls.TIGHT).name, walls.only("seccomp").name
    assert "breach-bpf" in stopped.more(alone, engines)
    apart = {payload.id for payload in load_payloads().payloads if payload.handed_in}
    assert apart.isdisjoint(name for names in stopped.by_posture.values() for name in names)
    assert not {"breach-ptrace", "breach-memfd"} & set(stopped.by_posture[alone])
    # a busy runtime makes calls of its own meanwhile, and of these keyctl, once it is allowed, lets an attack through
    kept = {"breach-keyring"} if "keyctl" in searched.names else set()
    assert set(stopped.by_posture[engines]) - kept <= set(stopped.by_posture[alone])
    assert set(stopped.by_posture[walls.HARDENED.name]) - kept <= set(stopped.by_posture[walls.TIGHT])
    assert "breach-io-uring" in stopped.by_posture[walls.TIGHT]


def test_without_a_profile_of_this_image_the_posture_is_not_measured(subject, searched):
    find.leave(subject, searched)
    newer = replace(subject, built=replace(subject.built, config_digest="sha256:" + "0" * 64))
    with profile_files(subject) as (file, _), profile_files(newer) as (none, _):
        assert file is not None
        assert none is None


@pytest.mark.parametrize(("call", "problem"), [("listen", "listen"), ("execve", "operation not permitted")])
def test_a_profile_that_has_become_too_tight_is_told_with_what_searches_again(subject, searched, few, call, problem):
    """As after an update of the runtime, or of the kernel, under either."""
    tighter = without(call, searched.profile_to_attack())
    kept = ToAttack(subject.built.config_digest, tighter, "runc 1.0.0 on Linux 5.10")
    store.save(kept, subject.state.seccomp_to_attack("castle"))
    few("breach-write-root")
    evidence = attacking.attack(subject, postures=(walls.TIGHT,), brief=True)
    known = "The seccomp profile was found for runc 1.0.0 on Linux 5.10; invoke harden --force --variant castle searches again"
    assert evidence.status == "not_measured"
    for text in (problem, f"castle.seccomp.json: it blocks {call}, ", known):
        assert text in evidence.reason


def test_what_more_is_stopped_is_named():
    alone, engines = walls.only(walls.TIGHT).name, walls.only("seccomp").name
    stopped = Stopped(3, {walls.TIGHT: ("a", "b"), walls.HARDENED.name: ("a",), alone: ("b",), engines: ()})
    assert [parts(line) for line in model.stopped(stopped)] == [
        ("seccomp.stops_alone", {"ours": 1, "tried": 3, "theirs": 0, "more": "b"}),
        ("seccomp.stops_with_others", {"ours": 2, "tried": 3, "theirs": 1, "more": "b"}),
    ]
    (unmeasured,) = model.stopped(Stopped(unmeasured="no engine"))
    assert parts(unmeasured) == ("seccomp.attacks_not_measured", {"reason": "no engine"})
