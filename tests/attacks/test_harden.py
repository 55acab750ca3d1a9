"""The tightest posture: found by trying on real services, and written in forms that their platforms take."""

import contextlib
import dataclasses
import itertools
import json
import os
import signal
import socketserver
import threading
import time
from ipaddress import ip_network
from unittest.mock import Mock

import pytest
import yaml

from deadweight._errors import CheckFailed, CommandError, DeadweightError, MissingError, UsageError
from deadweight.checks import service
from deadweight.checks.protocol import Subject
from deadweight.checks.runs import CLEAN_EXITS, WATCH_SECONDS
from deadweight.engine import http, labels
from deadweight.engine.options import RunOptions, Tmpfs, hardened_for
from deadweight.engine.seccomp.profile import numbers
from deadweight_attacks.harden import health_command, search, trial
from deadweight_attacks.harden.result import Hardened
from deadweight_attacks.harden.search import _least, tightest
from deadweight_attacks.harden.trial import KILLED, PURPOSE, Trial, WrittenFolders, attempt
from deadweight_attacks.harden.write import render
from deadweight_attacks.harden.write.model import Request
from deadweight_attacks.seccomp import floor
from deadweight_attacks.seccomp.recorder import Hindered
from deadweight_attacks.walls import wording
from deadweight_workload.api import Api
from tests.support.attack_grounds import castle
from tests.support.codes import codes, parts, raises
from tests.support.fault_project import wait_for
from tests.support.invoking import start
from tests.support.small_project import own_leftovers

LEAST = {"LEAST_MEMORY_BYTES": search.LEAST_MEMORY_BYTES, "LEAST_PIDS": search.LEAST_PIDS}


@pytest.fixture(scope="module", autouse=True)
def _brief():
    """A trial watches a service as long as `verify` does; none of those here ends by itself, but where a test is of just that.
    What most suites here grant is not tried to be halved: that is for the demo service. That they are steady is known
    (``test_wavering.py`` is of those that are not)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial, "WATCH_SECONDS", 0.1)
        patch.setattr(search, "LEAST_MEMORY_BYTES", 16 * 2**20)
        patch.setattr(search, "LEAST_PIDS", 12)
        patch.setattr(search, "ENOUGH", 1)
        patch.setattr(search, "BEFORE_LIMITS", 1)
        yield


@pytest.fixture
def make(tmp_path, engine, misbehaving_image, misbehaving_archive):
    """A subject of the service that misbehaves, with these lines of YAML."""
    built = (tmp_path, engine, misbehaving_archive)
    yield lambda yaml_text="": castle(*built, yaml_text.lstrip(), reference=misbehaving_image, awk=False)
    assert [leftover for leftover in own_leftovers(engine, os.getpid()) if PURPOSE in leftover.name] == []


def pretend(monkeypatch, problem) -> list[RunOptions]:
    """Trials that start nothing: ``problem(options, exits)`` says what goes wrong. Gives the options as they are tried."""
    tried = []

    def tell(_subject, options, exits, **_more):
        tried.append(options)
        return Trial(problem(options, exits), str(options.user), WrittenFolders(("/state",), ("/state",)), exit_code=5)

    monkeypatch.setattr(search, "attempt", tell)
    monkeypatch.setattr(health_command, "find_command", lambda *_: ())
    return tried


SUM = '{method: POST, path: /api/v1/awk, json: {script: "BEGIN { print 6 * 7 }"}}, expect: {json: {stdout: "42\\n"}}'
AWK = f"run: {{user: nobody, tmpfs: []}}\n    checks: {{api: [{{name: sum, request: {SUM}}}]}}\n"

ENV = {"PW": "a$HOME${X}b$$c$(PW)", "NUMBER": "1e3", "LINES": "one\n\"two\" 'three'", "EMPTY": ""}
VALUES = json.dumps({"env": ENV, "args": ["--x=$Y", "a  b", "y", ""]})
WRITER = f"""\
    run: {{memory: 16MiB, pids: 12, read_only: false, tmpfs: [], user: '0', {VALUES[1:-1]}}}
    checks:
      api:
        - {{name: networked, request: {{path: /address}}}}
        - {{name: keep, request: {{path: '/write?path=/state/kept'}}, expect: {{status: 200}}}}
        - {{name: given, request: {{path: /given}}, expect: {{json: {VALUES}}}}}
"""


@pytest.mark.usefixtures("playground_image")
def test_a_service_that_needs_nothing_gets_nothing(tmp_path, engine, playground_archive, monkeypatch):
    for name, least in LEAST.items():
        monkeypatch.setattr(search, name, least)
    got = tightest(castle(tmp_path, engine, playground_archive, AWK, awk=False))
    options = got.options
    assert (options.read_only, options.tmpfs, options.cap_drop, options.cap_add) == (True, (), ("ALL",), ())
    assert (options.no_new_privileges, got.outgoing, options.user) == (True, False, "65534:65534")
    # twice the least that is tried, 1 MiB for bodies, and eight processes
    assert (options.memory_bytes, options.pids) == (129 * 2**20, 40)
    assert (got.tried[0], got.tried[-1][1]) == (("strictest settings", ""), "")
    posture = got.document()["posture"]
    assert (posture["user"], posture["network"], posture["published_on"]) == ("65534:65534", "internal", None)


@pytest.mark.slow
def test_a_service_that_writes_gets_its_folder_and_no_more(make):
    """It is given all its settings whichever wall is tried, hard to write as they are. What the suite grants is not what it needs;
    and for one that only needs a network, one without a way out does."""
    got = tightest(make(WRITER))
    assert [(tmpfs.path, tmpfs.noexec) for tmpfs in got.options.tmpfs] == [("/state", True)]
    assert (got.options.read_only, got.options.cap_drop) == (True, ("ALL",))
    assert (got.options.user, got.outgoing) == ("65532:65532", False)


def test_capabilities_that_only_root_needs_go_with_root(make, monkeypatch):
    """As of an entrypoint that becomes somebody else where it is root."""

    def problem(options, _exits):
        becomes = options.user == "0:0" and options.cap_drop and "SETGID" not in options.cap_add
        return "fails" if becomes or (options.read_only and not options.tmpfs) else ""

    pretend(monkeypatch, problem)
    options = tightest(make()).options
    assert (options.user, options.cap_drop, options.cap_add) == ("65532:65532", ("ALL",), ())


def test_a_service_that_never_ends_in_good_order_is_held_to_how_it_ends_anyway(make, monkeypatch):
    """`verify` warns of it; a trial that ends in another way than the plain container does not pass."""
    tried = pretend(monkeypatch, lambda _options, exits: "" if exits is None or 5 in exits else "exit code 5")
    got = tightest(make())
    assert "exit code 5" in got.tried[0][1]
    assert (got.options.read_only, got.options.user, got.outgoing) == (True, "65532:65532", False)
    assert tried[-1] == got.options


# the network


@pytest.mark.slow
def test_a_service_that_needs_a_way_out_gets_it(make, engine):
    """Here the way leads to this machine by an address that the network without a way out has no route to."""
    ours = engine.api.inspect_network("bridge")["IPAM"]["Config"][0]
    # an engine that made the bridge itself does not name its own address there before it was started again
    gateway = ours.get("Gateway") or str(next(ip_network(ours["Subnet"]).hosts()))
    # it takes each connection: what waits for somebody to take it is soon too many, since eight are made at a time
    with socketserver.ThreadingTCPServer((gateway, 0), socketserver.BaseRequestHandler) as listener:
        threading.Thread(target=listener.serve_forever, args=(0.1,), daemon=True).start()
        address = f"{gateway}:{listener.server_address[1]}"
        api = f"{{name: out, request: {{path: '/dial?address={address}'}}}}"
        got = tightest(make(f"    run: {{memory: 16MiB, pids: 12}}\n    checks: {{api: [{api}]}}"))
        listener.shutdown()
    assert (got.outgoing, got.document()["posture"]["network"]) == (True, "any")
    assert (got.options.read_only, got.options.cap_drop, got.options.user) == (True, ("ALL",), "65532:65532")


def test_who_cannot_reach_a_service_is_told_so(make, monkeypatch):
    """And not that the service does not even pass in a plain container."""
    monkeypatch.setattr(http, "can_enter_namespace", lambda *_: False)
    fault = MissingError("go is not here")
    # it may be loaded already
    monkeypatch.setattr("deadweight.engine.sidecars.Tunnels.loaded", Mock(side_effect=fault))
    with pytest.raises(MissingError, match="go is not here"):
        tightest(make())


# one trial


@pytest.mark.slow
@pytest.mark.parametrize(("watch_seconds", "settings", "expected"), [
    # however busy the machine is
    (2 * WATCH_SECONDS, "run: {env: {MODE: dies, DIES_AFTER: 2500ms}}", ["harden.ended_later", "engine.ended"]),
    (0.1, "run: {env: {MODE: ugly}}", ["harden.exit_code"]),
    (0.1, "{run: {env: {MODE: stubborn}}, checks: {runs: {stops_within_seconds: 0.3}}}", [KILLED]),
    (0.1, "{run: {env: {MODE: stubborn}}, checks: {runs: {if_killed: warn}}}", []),
    (0.1, "checks: {budget: {startup_seconds: {hard: 0.0001}}}", ["checks.over_limit"]),
])  # fmt: skip
def test_a_trial_judges_start_and_end_as_verify_does(make, watch_seconds, settings, expected, monkeypatch):
    monkeypatch.setattr(trial, "WATCH_SECONDS", watch_seconds)
    subject = make("\n".join(f"    {key}: {json.dumps(value)}" for key, value in yaml.safe_load(settings).items()))
    assert codes(attempt(subject, hardened_for(subject.variant), CLEAN_EXITS).problem)[:2] == expected


def test_folders_that_the_suite_grants_stay(make):
    """A request that nobody thought of wrote to one that no check had missed."""
    run = "run: {user: '65532:65532', memory: 16MiB, pids: 12, tmpfs: [/unused, /data]}"
    keep = "{name: keep, request: {path: '/write?path=/data/kept'}, expect: {status: 200}}"
    got = tightest(make(f"    {run}\n    checks: {{api: [{keep}]}}"))
    assert ([mount.path for mount in got.options.tmpfs], got.options.user) == (["/unused", "/data"], "65532:65532")
    assert got.tried[0] == ("strictest settings", "")


def test_a_folder_of_another_name_each_time_is_known_by_its_parent(make):
    """One that is called like the engine's own is none of these."""
    paths = ("/scratch/RANDOM/kept", "/scratch/RANDOM/a/b/kept", "/devices/kept")
    api = ", ".join(f"{{name: w{n}, request: {{path: '/write?path={path}'}}}}" for n, path in enumerate(paths))
    subject = make(f"    checks: {{api: [{api}]}}")
    plain = hardened_for(subject.variant).but(read_only=False, user="0:0", tmpfs=())
    seen = attempt(subject, plain).written
    assert (seen.lasting, "/devices" in seen.exact) == (("/devices", "/scratch"), True)
    tight = plain.but(read_only=True, user="65532:65532", tmpfs=tuple(Tmpfs(path, 2**20) for path in seen.lasting))
    assert attempt(subject, tight).problem == ""


def test_where_a_service_writes_is_told_once_and_by_what_is_there_before_it():
    """As the engine told it of a Tomcat, and of a service that changes what its image holds."""
    tomcat, java = "/tmp/tomcat.8080.69495517230910997", "/tmp/hsperfdata_app"
    jsp = "/".join((tomcat, "work"))
    kinds = {
        "/tmp": 0, java: 1, f"{java}/1": 1, tomcat: 1, jsp: 1, f"{jsp}/Tomcat": 1, "/opt/state/db": 0,
        "/new/x": 1, "/new": 1, "/gone": 2, "/dev/shm/x": 1, "/lone": 1,
    }  # fmt: skip
    got = trial.written_paths({"Path": path, "Kind": kind} for path, kind in kinds.items())
    assert (got.lasting, got.exact) == (("/new", "/opt/state", "/tmp"), ("/new", "/opt/state", java, jsp))


def test_what_was_found_is_kept_until_something_of_it_changes(make, monkeypatch):
    """The image, what the suite asks and grants, and the engine; a format is none of these."""
    tried = pretend(monkeypatch, lambda _options, _exits: "")
    lines: list[str] = []

    def trials(subject, **again) -> tuple[Hardened, int]:
        tried.clear()
        return search.find_posture(subject, lines.append, **again), len(tried)

    first = make("    run: {memory: 16MiB, pids: 12}")
    result, count = trials(first)
    assert count > 0
    assert (trials(first), codes(lines[-1])) == ((result, 0), ["harden.known"])
    assert trials(first, again=True)[1] == count
    other = make("    run: {memory: 16MiB, pids: 12}\n    checks: {api: [{name: up, request: {path: /healthz}}]}")
    newer = dataclasses.replace(other, built=dataclasses.replace(other.built, config_digest="sha256:" + "0" * 64))
    assert 0 not in [trials(subject)[1] for subject in (other, newer)]


@pytest.mark.parametrize(("fault", "kept_so"), [
    (DeadweightError("the service needs a set-uid program"), True),
    (Hindered("deadweight-recorder is running"), False),
    (CommandError(["recorder"], exit_code_of_command=97, reason="failed"), False),
    (MissingError("go is not installed"), False),
])  # fmt: skip
def test_a_hitch_is_no_reason_to_have_no_profile_for_good(make, monkeypatch, fault, kept_so):
    """A busy machine kept every later format without one, until somebody thought of --force."""
    pretend(monkeypatch, lambda _options, _exits: "")
    monkeypatch.setattr(search, "find", find := Mock(side_effect=fault))
    subject = make("    run: {memory: 15MiB, pids: 7}")
    for _ in range(2):
        assert search.find_posture(subject, lambda _line: None, seccomp=True).no_seccomp == fault.message
    assert find.call_count == (1 if kept_so else 2)


@pytest.mark.parametrize(("fails", "passed", "trials"), [
    ({1, 3}, 1, 2),  # the strictest, then the plain one
    ({1, 4}, 2, 3),
    ({3, 5}, 20, 21),  # a limit that held when tried again
])  # fmt: skip
def test_checks_that_pass_only_sometimes_find_nothing(make, monkeypatch, fails, passed, trials):
    """A service that failed one trial of three got every capability, and a text that trials had shown that it needs them."""
    numbers = itertools.count(1)
    pretend(monkeypatch, lambda _options, _exits: "maybe" if next(numbers) in fails else "")
    with raises(CheckFailed, "harden.wavers", passed=passed, trials=trials, problem="maybe"):
        tightest(make("    run: {memory: 32MiB, pids: 8}"))


def test_one_hitch_of_the_machine_is_no_wavering(make, monkeypatch):
    numbers = itertools.count(1)
    pretend(monkeypatch, lambda _options, _exits: "hitch" if next(numbers) == 3 else "")
    got = tightest(make("    run: {memory: 32MiB, pids: 8}"))
    assert [what for what, _ in got.tried][-2:] == ["all together, again"] * 2
    assert got.options.cap_drop == ("ALL",)


@pytest.fixture
def named(tmp_path, engine, monkeypatch):
    """Writes the profile that the suite names, which refuses some calls, and all but some families of sockets."""
    monkeypatch.setattr(engine, "root", str(tmp_path))

    def write(*refused: str, families=range(64)) -> None:
        allowed = set(numbers("amd64")) - set(refused)
        (tmp_path / "tight.json").write_text(json.dumps(floor.document(allowed, families, "amd64")))

    return write


NAMED = "    run: {seccomp: tight.json, memory: 32MiB, pids: 8}"


def test_harden_names_the_call_and_goes_on_without_the_profile(make, monkeypatch, named):
    """All other walls are as tight as they were: the profile alone is at fault."""
    named("listen")
    pretend(monkeypatch, lambda options, _exits: "down" if options.seccomp == "tight.json" else "")
    monkeypatch.setattr("deadweight.engine.seccomp.refused_calls.explained", lambda *_: "the call listen is refused")
    got = tightest(make(NAMED))
    refusals = (("seccomp=tight.json", "the call listen is refused"),)
    assert got.tried[:3] == (("strictest settings", "down"), ("strictest settings, seccomp=default", ""), *refusals)
    assert (got.options.seccomp, got.options.cap_drop, got.profiled) == ("default", ("ALL",), False)


@pytest.mark.skipif(os.geteuid() != 0, reason="the runtime is tried as root")
def test_harden_asks_no_engine_for_what_the_runtime_cannot_start(make, monkeypatch, named):
    named("execve")
    tried = pretend(monkeypatch, lambda _options, _exits: "")
    what, why = tightest(make(NAMED)).tried[0]
    code, fields = parts(why)
    assert (what, code, fields["calls"]) == ("seccomp=tight.json", "seccomp.stops", "execve")
    assert {options.seccomp for options in tried} == {"default"}


def test_a_profile_of_the_suites_that_fits_stays(make, monkeypatch, named):
    named()
    pretend(monkeypatch, lambda _options, _exits: "")
    got = tightest(make(NAMED))
    assert (got.options.seccomp, got.profiled) == ("tight.json", True)
    assert "seccomp=deploy/tight.json" in render(got, "run", Request(profile="deploy/tight.json"))


@pytest.mark.parametrize(("problem", "code"), [(wording(KILLED), "plain_killed"), ("gone: status: 404", "plain_fails")])
def test_a_service_that_fails_anyway_is_told_so_and_how_to_have_a_kill_accepted(make, monkeypatch, problem, code):
    pretend(monkeypatch, lambda _options, _exits: problem)
    with raises(CheckFailed, f"harden.{code}", variant="castle", problem=problem):
        tightest(make())


def test_what_is_no_service_is_refused(make):
    with raises(UsageError, "harden.not_runnable", variant="castle"):
        tightest(make("    runnable: false"))


FIRST_HALVED = {"memory": "memory 128 MiB", "processes": "32 processes"}


@pytest.mark.parametrize(("unheld", "halved", "names"), [
    (("memory", "processes", "processors"), set(), "memory, processes and processors"),
    (("memory", "processes"), set(), "memory and processes"), (("processes",), {"memory"}, "processes"),
    ((), {"memory", "processes"}, ""),
])  # fmt: skip
def test_limits_that_the_engine_discards_are_not_tried_and_stay_the_suites(make, monkeypatch, unheld, halved, names):
    """As Podman without root on cgroup version 1: a service would seem to need next to nothing."""
    monkeypatch.setattr(search, "unenforced", lambda _engine: unheld)
    pretend(monkeypatch, lambda _options, _exits: "")
    result = tightest(make())
    words = {what for what, _ in result.tried}
    assert {name for name, first in FIRST_HALVED.items() if first in words} == halved
    memory, pids = "memory" in halved, "processes" in halved
    assert (result.options.memory_bytes < 256 * 2**20, result.options.pids < 64) == (memory, pids)
    text = render(result, "run")
    limits = [(parts(line)[1], line in text) for line in result.notes() if codes(line) == ["harden.limits_not_tried"]]
    assert (limits, "# Memory" in text) == ([({"limits": names}, True)] * bool(names), memory)
    document = result.document()
    assert document["limits_not_tried"] == list(unheld)
    assert [document["posture"][name] is not None for name in ("memory_headroom", "pids_headroom")] == [memory, pids]


JUDGED = """\
    run: {memory: 256MiB, pids: 64, read_only: false, user: "0"}
    checks:
      holdout: [GET /hold, GET /write, GET /alone]
      api:
        - {name: up, request: {path: /healthz}}
        - {name: address, request: {path: /address}}
        - {name: given, request: {path: /given}}
        - {name: hold, request: {path: '/hold?mib=90'}}
        - {name: keep, request: {path: '/write?path=/state/kept'}}
        - {name: alone, request: {path: /alone}}
"""


@pytest.mark.slow
def test_held_out_requests_get_what_they_miss_and_are_told_with_it(make):
    """Of 35 operations that no suite named, 24 broke under the settings that were learned from its requests."""
    got = tightest(make(JUDGED))
    assert (got.ledger.learned, got.ledger.judged) == (3, 3)
    assert {(entry.operation, entry.wall) for entry in got.broken} == {
        ("GET /hold", "memory"),
        ("GET /write", "tmpfs"),
    }
    assert (got.options.read_only, {"/state"} <= {folder.path for folder in got.options.tmpfs}) == (True, True)
    assert 90 * 2**20 < got.options.memory_bytes <= 256 * 2**20
    document = got.document()
    assert (document["ledger"]["operations_judged"], len(document["broken"])) == (3, 2)
    assert set(got.warnings()) < set(document["notes"])
    assert str(got.ledger) in render(got, "compose")


@pytest.mark.slow
def test_limits_do_for_as_many_at_once_as_the_suites_own(make, monkeypatch):
    """Seven of three hundred requests failed side by side: every trial had asked one at a time. What fails side by side anyway is
    no limit's fault, and finds a posture all the same."""
    monkeypatch.setattr(search, "LEAST_MEMORY_BYTES", 8 * 2**20)
    api = "[{name: hold, request: {path: '/hold?mib=12'}}, {name: alone, request: {path: /alone}}]"
    subject = make(f"    run: {{memory: 256MiB}}\n    checks: {{api: {api}}}")
    got = tightest(subject)
    assert got.at_once == ("hold",)
    assert got.options.memory_bytes == 256 * 2**20  # eight times 12 MiB at once, and one of them in 32
    alone = attempt(subject, hardened_for(subject.variant).but(memory_bytes=32 * 2**20))
    assert (alone.problem, got.document()["sent_at_once"]) == ("", ["hold"])


WALLED = """\
    run: {seccomp: tight.json, user: '0:0', pids: 16, memory: 64MiB, tmpfs: []}
    checks:
      api:
        - {name: up, request: {path: /healthz}}
        - {name: address, request: {path: /address}}
        - {name: children, request: {path: /children}}
        - {name: hold, request: {path: '/hold?mib=90'}}
        - {name: keep, request: {path: '/write?path=/tmp/kept'}}
        - {name: deep, request: {path: '/write?path=/state/kept'}}
        - {name: gone, request: {path: /gone}}
"""


def asked(subject: Subject) -> list[dict]:
    """What comes of its requests."""
    with contextlib.closing(subject.service):
        return Api().run(subject).data["items"]


@pytest.mark.slow
def test_verify_names_the_wall_that_a_request_fails_at(make, named):
    """All that was told was that 200 was expected, and 500 came. What fails without any wall is the service's own fault."""
    named("capset", families=(2, 10))  # without it, nothing starts without no-new-privileges
    items = {row["name"]: row for row in asked(make(WALLED))}
    assert {name: row["walls"] for name, row in items.items()} == {
        "up": (), "address": ("seccomp",), "children": ("pids",), "hold": ("memory",), "keep": ("read_only", "tmpfs"),
        "deep": ("read_only",), "gone": (),
    }  # fmt: skip
    assert "tight.json (it refuses socket)" in items["address"]["reason"]
    assert "(it writes to /" in items["deep"]["reason"]


@pytest.mark.slow
def test_verify_names_walls_that_only_together_keep_a_request_from_working(make):
    """A user who may write nowhere, on a root file system that nobody may write to."""
    api = "[{name: up, request: {path: /healthz}}, {name: deep, request: {path: '/write?path=/state/kept'}}]"
    up, deep = asked(make(f"    run: {{user: '65532:65532', tmpfs: []}}\n    checks: {{api: {api}}}"))
    assert (up["walls"], deep["walls"]) == ((), ("several",))
    assert "run.read_only: true and run.user: 65532:65532" in deep["reason"]


def test_a_trial_waits_for_no_end_while_the_service_lives(make, monkeypatch):
    """An engine is given a second to tell of a death; asked before each request, that made a search take minutes."""
    monkeypatch.setattr(service, "MOURNING_SECONDS", 90.0)
    subject = make("    checks: {api: [{name: a, request: {path: /healthz}}, {name: b, request: {path: /healthz}}]}")
    started = time.monotonic()
    assert attempt(subject, hardened_for(subject.variant)).problem == ""
    assert time.monotonic() - started < 90.0


@pytest.mark.parametrize(("need", "least"), [(20, 32), (24, 32), (28, 32), (33, 64), (1, 8), (64, 64), (57, 64)])
def test_the_least_is_found_by_halving(need, least):
    """Two searches on a service whose need is 24 MiB today and 28 tomorrow come to the same."""
    tried = []
    assert _least(64, 8, lambda amount: tried.append(amount) or amount >= need) == least
    assert all(8 <= amount < 64 for amount in tried)


def test_one_failure_of_the_machines_does_not_double_the_memory():
    answers = iter([False, True, False, False])
    assert _least(64, 8, lambda _amount: next(answers)) == 32


# as people call it


FREEZE = "    checks: {api: [{name: never, request: {path: /freeze}}, {name: answers, request: {path: /healthz}}]}"


@pytest.mark.slow
@pytest.mark.parametrize(("number", "yaml_text"), [(signal.SIGINT, ""), (signal.SIGTERM, ""), (signal.SIGINT, FREEZE)])
def test_a_search_that_is_ended_leaves_nothing(make, engine, tmp_path, number, yaml_text):
    """Between two trials, or while a service does not answer."""
    make(yaml_text)
    with start(tmp_path, "harden", "--variant", "castle", env={"DOCKER_HOST": engine.host}, stdout=None) as run:
        wait_for(lambda: len(own_leftovers(engine, run.pid)) >= 2)
        time.sleep(1)
        sent = time.time()
        run.send_signal(number)
        line = run.stderr.read().splitlines()[-1]
        # how it ended; that containers were removed (between two trials there may be none); what to do
        assert len(line.split("; ")) in ((3,) if yaml_text else (2, 3)), line
        assert ("SIGTERM" in line) is (number == signal.SIGTERM)
        assert run.wait() == 128 + number
    assert own_leftovers(engine, run.pid) == []
    assert made_since(engine, run.pid, sent - 60)
    assert len(made_since(engine, run.pid, sent)) <= 1, "it went on trying (one may have been under way)"


def made_since(engine, pid: int, when: float) -> list[str]:
    filters = {"type": "container", "event": "create"}
    events = engine.api.events(since=int(when), until=int(time.time()) + 1, filters=filters, decode=True)
    made = [event["Actor"]["Attributes"] for event in events if event["timeNano"] > when * 1e9]
    return [attributes["name"] for attributes in made if attributes.get(labels.OWNER, "").startswith(f"{pid}:")]
