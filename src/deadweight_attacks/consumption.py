"""Measure the memory, processes and processor time that an attacked container takes beyond its limits.

Load from other processes proves nothing. The limit's own counters show what a limit holds back. The time spent ready to run
shows what only other load holds back.

What a container uses is read from its cgroup if it runs on this machine, else from the engine. Docker samples its counters once a
second, and a request waits for the next sample, ``one-shot`` or not. So it misses anything shorter, and each read takes a second.
The kernel's counters take less than a millisecond (cgroup-v1 and cgroup-v2 in its manual).
"""

from __future__ import annotations

import contextlib
import posixpath
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deadweight._errors import DeadweightError
from deadweight.engine import netns
from deadweight.engine.faults import Ended, translated
from deadweight.engine.health import NO_ANSWER
from deadweight_attacks.containers import NOTICE_SECONDS, Yard, answer_seconds
from deadweight_attacks.deliver import Reply, Shot, answer_line, status_of
from deadweight_attacks.lab import Lab
from deadweight_attacks.run_options import MARGIN
from deadweight_attacks.walls import wording

if TYPE_CHECKING:
    from deadweight.engine.container import Container
    from deadweight.engine.health import Question

# The counters of a container.
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
        return sum(waited(pid) for first in (self._pid, *beside) for pid in _tree(first))


def cgroups(pid: int, container: str) -> dict[str, Path]:
    """The folder of each controller for the container of a process of this machine; nothing where they cannot be seen from here."""
    try:
        mounted = dict(_mounted(Path("/proc/self/mountinfo").read_text()))
        paths = dict(_paths(Path(f"/proc/{pid}/cgroup").read_text()))
    except (OSError, ValueError):
        return {}
    folders = {}
    for name in CONTROLLERS:
        kind = name if name in paths else ""
        if kind not in paths or kind not in mounted:
            return {}
        root, point = mounted[kind]
        folders[name] = Path(point) / posixpath.relpath(_of_container(paths[kind], container), root)
    return folders if all(folder.is_dir() for folder in folders.values()) else {}


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


# What is made of them.
ASK_SECONDS = 0.2
"""How often the service is asked meanwhile: each question takes of the machine what the attack is measured by."""
PERIOD_SECONDS = 0.1
"""For so long engines grant processors at a time (``cpu.cfs_period_us``)."""
SLICE_SECONDS = 0.7
"""Processor time is averaged over so long at least: who uses a share up at the start of each period takes at most a seventh more in
such a slice, wherever it begins, and that is within the margin."""
BRISK_SECONDS = 0.3
"""Where no limit is set there are no such periods, and less time tells as much."""

NEAR, HELD_SECONDS = 0.9, 0.5
"""What takes nearly all that is granted, and no more, or is refused more, for so long is held by the limit."""


@dataclass
class Hold:
    """Whether a limit holds what asks for more: for a while nearly all that is granted is taken, or the limit itself counts what it
    refuses, and no more is taken."""

    granted: float
    since: float | None = None

    def holds(self, taken: float, at: float, refused: bool = False) -> bool:
        """``taken`` at a moment. ``refused``: the limit was met since the last one."""
        near = refused or self.granted * NEAR <= taken
        self.since = (at if self.since is None else self.since) if near and taken <= self.granted * MARGIN else None
        return self.since is not None and at - self.since >= HELD_SECONDS


class Watch:
    """What was seen of a container under attack. ``held``: a limit holds what the attack takes."""

    def __init__(self, lab: Lab, yard: Yard, container: Container, of: str) -> None:
        self._yard, self._container, self._of = yard, container, of
        granted = {"memory": lab.ground.memory_bytes, "pids": lab.ground.pids, "cpu": lab.ground.cpus, "answers": 1}
        self._granted, self._limit = float(granted[of]), answer_seconds(lab.variant.health)
        self._ask = container.question(lab.variant.health, lab.variant.port)
        self._asked = 0.0
        self._counters = Counters(container)
        self._before = self._last = self._counters.read()
        self._waited = self._counters.waited_seconds(yard.attacker_pids) if of == "cpu" else 0.0
        self._hold, self.held, self._met = Hold(self._granted), False, False
        self._slice_seconds = SLICE_SECONDS if "limits" in yard.posture.walls else BRISK_SECONDS
        self._peak = self._wanted = self._slowest = 0.0
        self.begun = time.monotonic()
        if not self._before.pids and yard.alive():
            raise DeadweightError(wording("engine.no_statistics"))

    def sample(self) -> Shot | None:
        """Look once; what that proves, if anything."""
        if not self._yard.alive():
            return _crashed(self._container, self._peak, self._granted)
        now = self._counters.read()
        taken = _amount(self._before, now, self._of, self._slice_seconds)
        self._peak = max(self._peak, taken or 0.0)
        if self._of != "cpu":
            refused = _refused(self._last, now, self._of)
            self._met = self._met or refused
            self.held = self._hold.holds(taken or 0.0, now.at, refused)
        elif taken is not None:
            self._slice(taken, now)
        self._last = now
        if self._peak > self._granted * MARGIN:
            return self._succeeded()
        self._slowest = max(self._slowest, self._answer_delay())
        if self._slowest >= self._limit:
            if not self._yard.alive(NOTICE_SECONDS):
                return _crashed(self._container, self._peak, self._granted)
            return self._succeeded(f"the service did not answer within {self._limit:g} s")
        return self._held_by_others()

    def _answer_delay(self) -> float:
        """How long the service took to say that it is healthy, in seconds; 0 where it was asked a moment ago."""
        now = time.monotonic()
        if now - self._asked < ASK_SECONDS and self._of != "answers":
            return 0.0
        self._asked = now
        return _answer_seconds(self._ask, self._limit)

    def _slice(self, taken: float, now: Use) -> None:
        """A slice of time is over: how many processors were kept busy or waited for, and whether the limit was met in most of its
        periods, or all that is granted was taken. A new one begins."""
        elapsed, waited = now.at - self._before.at, self._counters.waited_seconds(self._yard.attacker_pids)
        busy = now.cpu_seconds - self._before.cpu_seconds + max(0.0, waited - self._waited)
        throttled = (now.throttled - self._before.throttled) * PERIOD_SECONDS > elapsed / 2
        self.held = (throttled or self._granted * NEAR <= taken) and taken <= self._granted * MARGIN
        self._wanted = max(self._wanted, busy / elapsed)
        self._before, self._waited = now, waited

    def _held_by_others(self) -> Shot | None:
        """It wanted more than granted, and no limit stands in its way."""
        most = self._granted * MARGIN
        # a limit makes processes wait too
        limited = "limits" in self._yard.posture.walls or (self._yard.options.cpus or 0.0) <= most
        if self._of != "cpu" or self._wanted <= most or limited:
            return None
        wanted, granted = _shown(self._of, self._wanted), _shown(self._of, self._granted)
        return self._succeeded(wording("cell.other_load", wanted=wanted, granted=granted, peak=self._peak))

    def _succeeded(self, proof: str = "") -> Shot:
        detail = self._detail()
        return Shot("succeeded", "", {**detail, "proof": proof or detail["proof"]})

    def failed(self, sent: Sequence[Future[Reply]]) -> Shot:
        """Nothing was proven. ``sent`` is what was sent, of which some may be at work still."""
        ended = bool(sent) and all(future.done() for future in sent)
        took = f"took {_shown(self._of, self._peak)} of the {_shown(self._of, self._granted)} granted; "
        last = f"; the attack ended: {answer_line(sent[0].result())}" if ended else ""
        text = f"{'' if self._of == 'answers' else took}the service answered within {self._slowest:.2f} s{last}"
        # One that is still at work arrived, whatever became of the others; so did one that met its limit, which may be why the
        # service answers that it cannot do more.
        status = min((status_of(future.result()) for future in sent), default=0) if ended and not self._met else 0
        return Shot("failed", text, {**self._detail(), "proof": None}, status=status)

    def _detail(self) -> dict[str, Any]:
        return {
            "proof": f"took {_shown(self._of, self._peak)}, where {_shown(self._of, self._granted)} are granted",
            "peak": round(self._peak, 2),
            "granted": self._granted,
            "slowest_answer_seconds": round(self._slowest, 3),
        }


def _crashed(container: Container, peak: float, granted: float) -> Shot:
    """The peak is told where there was time to see one."""
    seen = {"peak": round(peak, 2)} if peak else {}
    return Shot("crashed", f"the service {container.state().outcome()}", {**seen, "granted": granted})


def _amount(before: Use, now: Use, of: str, slice_seconds: float) -> float | None:
    """Bytes, processes, or processors kept busy on average over a slice; None where it is too early to tell."""
    if of == "memory":
        return float(now.memory_bytes)
    if of == "pids":
        return float(now.pids)
    elapsed = now.at - before.at
    return (now.cpu_seconds - before.cpu_seconds) / elapsed if of == "cpu" and elapsed > slice_seconds else None


def _refused(before: Use, now: Use, of: str) -> bool:
    """Whether the limit itself counted since then that it was met."""
    return {"memory": now.killed > before.killed, "pids": now.refused > before.refused}.get(of, False)


def _shown(of: str, amount: float) -> str:
    from deadweight.suite.values import format_bytes

    if of == "memory":
        return format_bytes(int(amount))
    return f"{amount:.0f} processes" if of == "pids" else f"{amount:.2f} processors"


def _answer_seconds(ask: Question, limit: float) -> float:
    """How long the service takes to say that it is healthy; the limit where it does not, and where it has ended.

    ``ask`` asks the container under attack, never the yard, which would put a new one in the place of one that has ended.
    """
    started = time.monotonic()
    try:
        ask(limit)
    except (*NO_ANSWER, Ended):
        return limit
    return time.monotonic() - started
