"""What a container uses, by the kernel's own counters (both versions of cgroups) and by the engine's; work in its network."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from deadweight._errors import MissingError
from deadweight.engine import netns
from deadweight.engine.container import Container
from deadweight.engine.options import RunOptions
from deadweight_attacks import counters
from tests.support.fault_project import wait_for

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
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    used = counters._by_kernel({name: tmp_path / name if old else tmp_path for name in counters.CONTROLLERS})
    assert used == counters.Use(4000000, 40, 1.5, throttled=4, refused=7, killed=2, at=used.at)


@pytest.mark.parametrize(
    ("path", "own"),
    [
        (f"/docker/{ID}", f"/docker/{ID}"),
        (f"/machine.slice/libpod-{ID}.scope/container", f"/machine.slice/libpod-{ID}.scope"),
        ("/elsewhere", "/elsewhere"),
    ],
)
def test_limits_stand_at_the_containers_own_group(path, own):
    assert counters._of_container(path, ID) == own


def test_mounts_and_groups_are_read_as_the_kernel_writes_them():
    mounts = (
        "32 31 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
        "33 31 0:29 /lxc/a /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw,memory\n"
        "34 31 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n"
        "35 31 0:31 / /proc rw - proc proc rw\n"
    )
    assert dict(counters._mounted(mounts)) == {
        "cpu": ("/", "/sys/fs/cgroup/cpu"),
        "cpuacct": ("/", "/sys/fs/cgroup/cpu"),
        "memory": ("/lxc/a", "/sys/fs/cgroup/memory"),
        "": ("/", "/sys/fs/cgroup/unified"),
    }
    paths = dict(counters._paths("4:memory:/a:b\n3:cpu,cpuacct:/c\n0::/d\n"))
    assert paths == {"memory": "/a:b", "cpu": "/c", "cpuacct": "/c", "": "/d"}


def test_of_an_engine_elsewhere_its_own_counters_are_asked(monkeypatch):
    """The number of its process is that of anything here."""
    document = {
        "pids_stats": {"current": 3},
        "memory_stats": {"usage": 90, "stats": {"inactive_file": 40}},
        "cpu_stats": {"cpu_usage": {"total_usage": 2e9}, "throttling_data": {"throttled_periods": 5}},
    }
    container = SimpleNamespace(id=ID, name="it", pid=os.getpid(), api=SimpleNamespace(stats=lambda *_, **__: document))
    read = counters.Counters(container)
    used = read.read()
    assert used == counters.Use(50, 3, 2.0, throttled=5, refused=0, killed=0, at=used.at)
    assert read.waited_seconds() == 0.0


@pytest.mark.engine
def test_both_tell_the_same_of_a_real_container(engine, playground_image):
    from deadweight.engine.options import RunOptions

    with engine.start(playground_image, RunOptions(memory_bytes=64 * 2**20, cpus=0.5, pids=64)) as container:
        read = counters.Counters(container)
        if not read._folders:
            pytest.skip("the cgroups of this engine cannot be seen from here")
        wait_for(lambda: read.read().pids > 1)
        ours, theirs = read.read(), counters._by_engine(container)
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


@pytest.mark.system
@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root enters a namespace")
@pytest.mark.parametrize("error", [OSError(5, "an error of the kernel's"), MissingError("iptables is not there")])
def test_what_work_in_another_network_gives_or_raises_is_given_or_raised_here(error):
    def work() -> None:
        raise error

    with pytest.raises(type(error), match=r"error of the kernel|iptables is not there"):
        netns.within(os.getpid(), work)
    assert netns.within(os.getpid(), lambda: 42) == 42
