"""Read a container's current resource use: from its cgroup if it runs on this machine, else from the engine.

Docker samples its counters once a second, and a request waits for the next sample, ``one-shot`` or not. So it misses anything
shorter, and each read takes a second. The kernel's counters take less than a millisecond (cgroup-v1 and cgroup-v2 in its manual).
"""

from __future__ import annotations

import contextlib
import posixpath
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deadweight.engine import netns
from deadweight.engine.faults import translated

if TYPE_CHECKING:
    from deadweight.engine.container import Container

CONTROLLERS = ("memory", "pids", "cpu", "cpuacct")


@dataclass(frozen=True)
class Use:
    """What a container uses at a moment ``at``. Memory counts without what the kernel can drop. ``pids`` is 0 where nobody tells:
    what runs is one process at least.

    Since its start: ``cpu_seconds``; ``throttled`` periods in which it had used up its share of the processors; processes that were
    ``refused``, as its limit left no room; those ``killed`` for its limit on memory (both 0 where only the engine tells).
    """

    memory_bytes: int
    pids: int
    cpu_seconds: float
    throttled: int
    refused: int
    killed: int
    at: float


class Counters:
    """The counters of one running container."""

    def __init__(self, container: Container) -> None:
        self._container, self._pid = container, container.pid
        self._own = netns.is_process_of(self._pid, container.id)  # else the number is anybody's
        self._folders = cgroups(self._pid, container.id) if self._own else {}

    def read(self) -> Use:
        """What it uses now; of one that has ended, nothing. Raises DeadweightError where the engine does not tell."""
        if self._folders:
            with contextlib.suppress(OSError, ValueError, KeyError):  # it has ended, or this kernel counts otherwise
                return _by_kernel(self._folders)
        return _by_engine(self._container)

    def waited_seconds(self, beside: Sequence[int] = ()) -> float:
        """How long its processes were ready to run since their start, and had no processor, for as many as run now; 0 where that
        cannot be seen from here. ``beside``: processes in it that the service did not start."""
        if not self._own:
            return 0.0
        return sum(waited(each) for first in (self._pid, *beside) for each in _tree(first))


def cgroups(pid: int, container: str) -> dict[str, Path]:
    """The folder of each controller for the container of a process of this machine; nothing where they cannot be seen from here."""
    try:
        mounted = dict(_mounted(Path("/proc/self/mountinfo").read_text()))
        paths = dict(_paths(Path(f"/proc/{pid}/cgroup").read_text()))
    except (OSError, ValueError):
        return {}
    found = {}
    for name in CONTROLLERS:
        kind = name if name in paths else ""
        if kind not in paths or kind not in mounted:
            return {}
        root, point = mounted[kind]
        found[name] = Path(point) / posixpath.relpath(_of_container(paths[kind], container), root)
    return found if all(each.is_dir() for each in found.values()) else {}


def _mounted(text: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Each controller (empty: all of version 2), with the root of its mount and where that is (proc(5), ``mountinfo``)."""
    for line in text.splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.split(" ", 2)
        root, point = fields.split(" ")[3:5]
        if kind == "cgroup2":
            yield "", (root, point)
        elif kind == "cgroup":
            yield from ((name, (root, point)) for name in options.split(",") if name in CONTROLLERS)


def _paths(text: str) -> Iterator[tuple[str, str]]:
    """Each controller (empty: version 2) and the path there, of a process (cgroups(7), ``/proc/PID/cgroup``)."""
    for line in text.splitlines():
        _, names, path = line.split(":", 2)
        yield from ((name, path) for name in names.split(","))


def _of_container(path: str, container: str) -> str:
    """The container's own group: its runtime may have made further ones in it, where limits do not stand."""
    parts = path.split("/")
    last = max((number for number, part in enumerate(parts) if container in part), default=len(parts))
    return "/".join(parts[: last + 1]) or "/"


def _by_kernel(folders: Mapping[str, Path]) -> Use:
    memory, pids, cpu = folders["memory"], folders["pids"], folders["cpu"]
    slices, detail = _pairs(cpu / "cpu.stat"), _pairs(memory / "memory.stat")
    if (memory / "memory.current").exists():
        used, cache = _number(memory / "memory.current"), detail["inactive_file"]
        busy, killed = slices["usage_usec"] / 1e6, _pairs(memory / "memory.events").get("oom_kill", 0)
    else:
        used, cache = _number(memory / "memory.usage_in_bytes"), detail["total_inactive_file"]
        busy = _number(folders["cpuacct"] / "cpuacct.usage") / 1e9
        killed = _pairs(memory / "memory.oom_control").get("oom_kill", 0)
    return Use(
        memory_bytes=max(0, used - cache),
        pids=_number(pids / "pids.current"),
        cpu_seconds=busy,
        throttled=slices.get("nr_throttled", 0),
        refused=_pairs(pids / "pids.events")["max"],
        killed=killed,
        at=time.monotonic(),
    )


def _number(file: Path) -> int:
    return int(file.read_text())


def _pairs(file: Path) -> dict[str, int]:
    """A file of names with a number each."""
    lines = (line.split() for line in file.read_text().splitlines())
    return {words[0]: int(words[1]) for words in lines if len(words) == 2}


def _by_engine(container: Container) -> Use:
    read: Callable[..., Any] = container.api.stats
    with translated(f"counters of container {container.name}"):
        document = read(container.id, stream=False, one_shot=True)
    memory, cpu = document.get("memory_stats") or {}, document.get("cpu_stats") or {}
    inner = memory.get("stats") or {}
    cache = int(inner.get("total_inactive_file") or inner.get("inactive_file") or 0)
    return Use(
        memory_bytes=max(0, int(memory.get("usage") or 0) - cache),
        pids=int((document.get("pids_stats") or {}).get("current") or 0),
        cpu_seconds=int((cpu.get("cpu_usage") or {}).get("total_usage") or 0) / 1e9,
        throttled=int((cpu.get("throttling_data") or {}).get("throttled_periods") or 0),
        refused=0,
        killed=0,
        at=time.monotonic(),
    )


def waited(pid: int) -> float:
    """Seconds for which the threads of a process were ready to run and had no processor (``run_delay``, Linux, sched-stats)."""
    total = 0
    for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            total += int(file.read_text().split()[1])
    return total / 1e9


def _tree(pid: int) -> Iterator[int]:
    """A process of this machine and all that it started."""
    yield pid
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in file.read_text().split():
                yield from _tree(int(child))
