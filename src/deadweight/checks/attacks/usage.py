"""What a container uses at a moment, by the engine's counters and the kernel's own."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deadweight.engine import netns
from deadweight.engine.faults import translated

if TYPE_CHECKING:
    from deadweight.engine.container import Container


@dataclass(frozen=True)
class Use:
    """What a container uses at a moment. ``cpu_seconds`` is the sum since its start, ``waited_seconds`` what its processes would
    have taken beside that, had other load not held a processor (0 where that cannot be seen from here). ``pids`` is 0 where the
    engine tells nothing: what runs is one process at least."""

    memory_bytes: int
    pids: int
    cpu_seconds: float
    waited_seconds: float
    at: float


def use(container: Container, beside: Sequence[int] = ()) -> Use:
    """The engine's counters of a container, on either version of cgroups. Memory counts without what the kernel can drop.

    ``beside``: processes in it that the service did not start.
    """
    read: Callable[..., Any] = container.api.stats
    with translated(f"counters of container {container.name}"):
        document = read(container.id, stream=False, one_shot=True)
    memory = document.get("memory_stats") or {}
    inner = memory.get("stats") or {}
    cache = int(inner.get("total_inactive_file") or inner.get("inactive_file") or 0)
    return Use(
        memory_bytes=max(0, int(memory.get("usage") or 0) - cache),
        pids=int((document.get("pids_stats") or {}).get("current") or 0),
        cpu_seconds=int(((document.get("cpu_stats") or {}).get("cpu_usage") or {}).get("total_usage") or 0) / 1e9,
        waited_seconds=_waited(container, beside),
        at=time.monotonic(),
    )


def _waited(container: Container, beside: Sequence[int]) -> float:
    pid = container.state().pid
    if not netns.is_process_of(pid, container.id):  # of an engine elsewhere: here the number is anybody's
        return 0.0
    return sum(waited(each) for first in (pid, *beside) for each in _tree(first))


def waited(pid: int) -> float:
    """Seconds for which a process was ready to run and had no processor (``run_delay``, Linux, sched-stats)."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def _tree(pid: int) -> Iterator[int]:
    """A process of this machine and all that it started."""
    yield pid
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in file.read_text().split():
                yield from _tree(int(child))
