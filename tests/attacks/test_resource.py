"""Attacks on resources take turns on the machine, and tell what they saw: by the kernel's own counters (both versions of cgroups)
of a container, or by the engine's."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from deadweight import _run
from deadweight._errors import DeadweightError, Interrupted, MissingError
from deadweight.engine import netns
from deadweight.engine.container import Container
from deadweight.engine.faults import Ended
from deadweight.engine.http import Answer
from deadweight.engine.options import RunOptions
from deadweight.suite.model import Health
from deadweight_attacks import consumption, deliver, listeners, resource
from deadweight_attacks.resource import resource_lock
from tests.support.attack_grounds import payload
from tests.support.codes import raises
from tests.support.fault_project import wait_for
from tests.support.marks import NEEDS_ROOT
from tests.support.trees import written

pytestmark = pytest.mark.system

SERVE = listeners.Serving._serve
ALONE, BESIDE = "--exclusive", "--shared"
"""How others hold the machine (flock(1))."""


@contextlib.contextmanager
def another(how: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has the machine, until its input ends: through sudo, each variant is attacked by one of its own."""
    argv = ["flock", how, resource.MACHINE, "sh", "-c", "echo held; exec cat"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.stdin.close()


def taking(order: list[str], name: str, **how: bool) -> threading.Thread:
    """A thread that writes its name down once it has the machine."""

    def work() -> None:
        with resource_lock(**how):
            order.append(name)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.fixture(autouse=True)
def _machine(tmp_path, monkeypatch):
    monkeypatch.setattr(resource, "MACHINE", tmp_path / "machine.lock")


@pytest.mark.parametrize(("theirs", "alone"), [(ALONE, True), (ALONE, False), (BESIDE, True)])
def test_they_take_turns_whoever_sends_them(theirs, alone):
    with another(theirs) as other:
        threading.Timer(1.0, other.stdin.close).start()
        started = time.monotonic()
        with resource_lock(alone=alone):
            assert time.monotonic() - started > 0.7


def test_one_takes_processors_at_a_time_and_memory_beside_it():
    order: list[str] = []
    with resource_lock(alone=False, processors=True):
        second = taking(order, "second", alone=False, processors=True)
        with resource_lock(alone=False):
            second.join(0.2)
            assert order == []
    second.join(20)
    assert order == ["second"]


def test_those_that_falsify_nothing_of_one_another_go_side_by_side():
    with another(BESIDE) as other, resource_lock(alone=False):
        assert other.poll() is None


def test_who_waits_to_be_alone_lets_nobody_else_begin():
    """Else one after another could begin, and it would wait for ever."""
    order: list[str] = []
    with another(BESIDE) as other:
        first = taking(order, "alone", alone=True)
        asks = ["flock", "--nonblock", resource.MACHINE.with_suffix(".next"), "true"]
        wait_for(lambda: subprocess.run(asks).returncode)  # it is held
        second = taking(order, "beside", alone=False)
        second.join(0.3)
        assert order == []
        other.stdin.close()
        first.join(20)
        second.join(20)
    assert order == ["alone", "beside"]


@pytest.mark.usefixtures("cancelling")
def test_who_waits_for_the_machine_can_be_interrupted():
    with another(ALONE):
        _run.cancel_all()
        with pytest.raises(Interrupted), resource_lock(alone=False):
            pass


def test_a_lock_that_cannot_be_made_is_told_with_its_place(monkeypatch, tmp_path):
    nowhere = tmp_path / "nowhere" / "machine.lock"
    monkeypatch.setattr(resource, "MACHINE", nowhere)
    with raises(DeadweightError, "engine.no_lock", file=nowhere.with_suffix(".next")), resource_lock(alone=True):
        pass


@pytest.mark.parametrize(("taken", "refused", "held"), [
    pytest.param([61, 64, 64, 64, 64, 64], "......", [5], id="at the limit"),
    pytest.param([10, 20, 30, 40, 50, 56], "......", [], id="still growing"),
    pytest.param([64, 64, 64, 12, 64, 64], "......", [], id="fell back"),
    pytest.param([64, 64, 64, 90, 90, 90], "......", [], id="above it"),
    pytest.param([20] * 6, "xxxxxx", [5], id="refused: a bomb whose processes end of it never has nearly all"),
    pytest.param([20] * 6, "xxx.xx", [], id="refused now and then"),
    pytest.param([90] * 9, "xxxxxxxxx", [], id="refused above it"),
])  # fmt: skip
def test_a_limit_holds_what_takes_all_that_is_granted_or_is_refused_for_a_while(taken, refused, held):
    hold, steps = consumption.Hold(64.0), enumerate(zip(taken, refused, strict=True))
    assert [number for number, (amount, no) in steps if hold.holds(amount, number / 10, no == "x")] == held


@pytest.mark.parametrize(("walls", "taken", "throttled", "waited", "seconds", "held", "proven"), [
    pytest.param({"limits"}, 1.0, 0, 0.0, 0.8, True, False, id="all that is granted"),
    pytest.param({"limits"}, 0.7, 6, 0.0, 0.8, True, False, id="its limit was met in most periods"),
    pytest.param({"limits"}, 0.7, 2, 0.0, 0.8, False, False, id="other load, perhaps"),
    pytest.param({"limits"}, 1.4, 6, 0.0, 0.8, False, True, id="more than granted"),
    pytest.param(set(), 0.7, 0, 2.0, 0.8, False, True, id="it waited, and no limit stands in its way"),
    pytest.param(set(), 1.5, 0, 0.0, 0.4, False, True, id="a short slice, and no limit stands in its way"),
    pytest.param({"limits"}, 1.5, 0, 0.0, 0.4, False, False, id="a short slice of what a limit grants a period at a time"),
])  # fmt: skip
def test_processors_are_judged(monkeypatch, walls, taken, throttled, waited, seconds, held, proven):
    """By the counters of the limit, whatever else runs on the machine: so such an attack need not be alone."""
    counters(monkeypatch, counted(0.0, 0, 0.0), counted(taken * seconds, throttled, seconds), waited=waited)
    watch = watching(walls, "cpu")
    assert (watch.sample() is not None, watch.held) == (proven, held)


@pytest.mark.parametrize(("refused", "status"), [(3, 0), (0, 503)])
def test_an_attack_that_met_its_limit_arrived_whatever_the_service_answers(monkeypatch, refused, status):
    """A Java service that has no process left to start answers 503: it looked as if nothing had come."""
    counters(monkeypatch, counted(0.0, 0, 0.0), replace(counted(0.0, 0, 0.1), pids=60, refused=refused))
    watch, answer = watching({"limits"}, "pids"), Future[Any]()
    answer.set_result(Answer(503, {}, b"could not be started", 0.1))
    assert watch.sample() is None
    assert watch.failed([answer]).status == status


@pytest.mark.parametrize(("of", "asked"), [("memory", 1), ("answers", 4)])
def test_a_service_is_not_kept_busy_by_questions(monkeypatch, of, asked):
    """How long its answers take is what some attacks are for; others must not be measured by our own load."""
    counters(monkeypatch, *[counted(0.0, 0, 0.0)] * 5)
    questions: list[float] = []
    watch = watching({"limits"}, of, questions.append)
    for _ in range(4):
        watch.sample()
    assert len(questions) == asked


def watching(walls: set[str], of: str, question: Callable[[float], object] = lambda _limit: "") -> consumption.Watch:
    posture = SimpleNamespace(walls=walls)
    yard = SimpleNamespace(attacker_pids=(), alive=lambda: True, posture=posture, options=SimpleNamespace(cpus=2.0))
    ground, variant = SimpleNamespace(memory_bytes=1, pids=64, cpus=1.0), SimpleNamespace(health=Health(), port=8080)
    lab = SimpleNamespace(ground=ground, variant=variant)
    return consumption.Watch(lab, yard, SimpleNamespace(question=lambda *_: question), of)


def counters(monkeypatch, *read: consumption.Use, waited: float = 0.0) -> None:
    """What the kernel counts, in turn, and how long processes waited for processors by the second time."""
    uses, waits = iter(read), iter((0.0, waited))
    kernel = SimpleNamespace(read=lambda: next(uses), waited_seconds=lambda _beside: next(waits))
    monkeypatch.setattr(consumption, "Counters", lambda _container: kernel)


def counted(cpu_seconds: float, throttled: int, at: float) -> consumption.Use:
    return consumption.Use(0, 5, cpu_seconds, throttled, 0, 0, at)


def test_a_service_that_died_before_anything_was_counted_has_no_peak_of_0():
    container = SimpleNamespace(state=lambda: SimpleNamespace(outcome=lambda: "ended with exit code 2"))
    assert consumption._crashed(container, 0.0, 64.0).detail == {"granted": 64.0}
    assert consumption._crashed(container, 61.0, 64.0).detail == {"peak": 61.0, "granted": 64.0}


def test_the_folders_that_were_tried_are_told_by_name(monkeypatch):
    monkeypatch.setattr(deliver, "_deliver", lambda *_: deliver.Shot("failed", "refused", status=200))
    shot = deliver.fire(SimpleNamespace(app_folder="/opt/app", worked={}), SimpleNamespace(), payload("fill-disk"))
    assert "; /opt/app: refused; /: refused" in shot.text


def test_a_service_that_ends_while_it_is_asked_is_not_exchanged_for_another():
    """The yard put a new container in its place, and the counters of the one that was attacked were gone: not measured."""
    assert consumption._answer_seconds(Mock(side_effect=Ended("container 1 does not run")), 3.0) == 3.0


@pytest.mark.parametrize("does", ["collect", "datagram"])
def test_what_has_come_and_was_not_read_yet_is_waited_for(does, monkeypatch):
    """On a busy machine a wall got the credit for a listener whose thread had no turn."""
    held = threading.Event()
    monkeypatch.setattr(listeners.Serving, "_serve", lambda self: held.wait(20) and SERVE(self))
    listener = listeners.Listener.inside(lambda made: made(), listeners.Word("aaaa", "bbbb"), does)
    deadline = time.monotonic() - 1
    assert deliver._late(deadline, listener)
    with socket.socket(socket.AF_INET, {"collect": socket.SOCK_STREAM, "datagram": socket.SOCK_DGRAM}[does]) as sender:
        sender.connect(("127.0.0.1", listener.port))
        sender.send(b"aaaabbbb")
        assert not deliver._late(deadline, listener)
    held.set()
    wait_for(lambda: listener.word_received)
    listener.close()
    assert deliver._late(deadline, listener)


# what the kernel and the engine count

ID = "5498648cc94645d5eeef1540ec5a458ebfea8a4281ace92e595ad0123456789a"
OLD = {
    "memory/memory.usage_in_bytes": "5000000\n",
    "memory/memory.stat": "cache 9\ntotal_inactive_file 1000000\ninactive_file 7\n",
    "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    "pids/pids.current": "40\n",
    "pids/pids.events": "max 7\n",
    "cpu/cpu.stat": "nr_periods 9\nnr_throttled 4\nthrottled_time 12345\n",
    "cpuacct/cpuacct.usage": "1500000000\n",
}
NEW = {
    "memory.current": "5000000\n",
    "memory.stat": "anon 9\ninactive_file 1000000\n",
    "memory.events": "low 0\nhigh 0\nmax 31\noom 3\noom_kill 2\n",
    "pids.current": "40\n",
    "pids.events": "max 7\n",
    "cpu.stat": "usage_usec 1500000\nuser_usec 1\nnr_periods 9\nnr_throttled 4\n",
}


@pytest.mark.parametrize(("files", "old"), [(OLD, True), (NEW, False)], ids=["version 1", "version 2"])
def test_the_kernel_tells_what_is_used_and_what_limits_refused(tmp_path, files, old):
    written(tmp_path, files)
    used = consumption._by_kernel({name: tmp_path / name if old else tmp_path for name in consumption.CONTROLLERS})
    assert used == consumption.Use(4000000, 40, 1.5, throttled=4, refused=7, killed=2, at=used.at)


def test_limits_stand_at_the_containers_own_group():
    scope = f"/machine.slice/libpod-{ID}.scope"
    groups = {f"/docker/{ID}": f"/docker/{ID}", f"{scope}/container": scope, "/elsewhere": "/elsewhere"}
    assert {path: consumption._of_container(path, ID) for path in groups} == groups


def test_mounts_and_groups_are_read_as_the_kernel_writes_them():
    mounts = (
        "32 31 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
        "33 31 0:29 /lxc/a /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw,memory\n"
        "34 31 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n"
        "35 31 0:31 / /proc rw - proc proc rw\n"
    )
    places = {name: ("/", f"/sys/fs/cgroup/{at}") for name, at in (("cpu", "cpu"), ("cpuacct", "cpu"), ("", "unified"))}
    assert dict(consumption._mounted(mounts)) == {**places, "memory": ("/lxc/a", "/sys/fs/cgroup/memory")}
    paths = dict(consumption._paths("4:memory:/a:b\n3:cpu,cpuacct:/c\n0::/d\n"))
    assert paths == {"memory": "/a:b", "cpu": "/c", "cpuacct": "/c", "": "/d"}


def test_of_an_engine_elsewhere_its_own_counters_are_asked(monkeypatch):
    """The number of its process is that of anything here."""
    cpu = {"cpu_usage": {"total_usage": 2e9}, "throttling_data": {"throttled_periods": 5}}
    memory = {"usage": 90, "stats": {"inactive_file": 40}}
    document = {"pids_stats": {"current": 3}, "memory_stats": memory, "cpu_stats": cpu}
    container = SimpleNamespace(id=ID, name="it", pid=os.getpid(), api=SimpleNamespace(stats=lambda *_, **__: document))
    read = consumption.Counters(container)
    used = read.read()
    assert used == consumption.Use(50, 3, 2.0, throttled=5, refused=0, killed=0, at=used.at)
    assert read.waited_seconds() == 0.0


def test_both_tell_the_same_of_a_real_container(engine, playground_image):
    with engine.start(playground_image, RunOptions(memory_bytes=64 * 2**20, cpus=0.5, pids=64)) as container:
        read = consumption.Counters(container)
        if not read._folders:
            pytest.skip("the cgroups of this engine cannot be seen from here")
        wait_for(lambda: read.read().pids > 1)
        ours, theirs = read.read(), consumption._by_engine(container)
        assert 0 < ours.pids <= 64
        assert abs(ours.pids - theirs.pids) <= 5
        assert ours.memory_bytes == pytest.approx(theirs.memory_bytes, abs=8 * 2**20)
        assert 0 < ours.cpu_seconds <= theirs.cpu_seconds
        container.signal("SIGKILL")
        container.wait_ended(10)
        assert read.read().pids == 0


def held(pid: int) -> Container:
    keeper = Mock(api=Mock(inspect_container=lambda _: {"State": {"Running": True, "Pid": pid}}))
    return Container(keeper, ID, "", RunOptions())


def test_a_process_that_ends_is_noticed_at_once(monkeypatch):
    monkeypatch.setattr(netns, "is_process_of", lambda *_: True)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        container = held(process.pid)
        assert container.kernel_says_running()
        process.stdin.close()
        assert container.kernel_says_running(20) is False
        container.remove()
        assert container.kernel_says_running() is None


def test_no_hold_is_kept_of_a_process_that_is_none_of_the_container():
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert held(os.getpid()).kernel_says_running() is None
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@NEEDS_ROOT
@pytest.mark.parametrize("error", [OSError(5, "an error of the kernel's"), MissingError("iptables is not there")])
def test_what_work_in_another_network_gives_or_raises_is_given_or_raised_here(error):
    def work() -> None:
        raise error

    with pytest.raises(type(error), match=r"error of the kernel|iptables is not there"):
        netns.within(os.getpid(), work)
    assert netns.within(os.getpid(), lambda: 42) == 42
