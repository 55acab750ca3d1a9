"""Which limits an engine really puts on containers: attacks on resources are only sent where all of them hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from deadweight.engine import libpod

if TYPE_CHECKING:
    from deadweight.engine.client import Engine

MEMORY, PROCESSES, PROCESSORS = "memory", "processes", "processors"
LIMITS = {"MemoryLimit": MEMORY, "PidsLimit": PROCESSES, "CpuCfsQuota": PROCESSORS}
"""The outer bound rests on these, by the engine's own names in its ``/info``."""
CONTROLLERS = {"memory": MEMORY, "pids": PROCESSES, "cpu": PROCESSORS}
"""The same by the names of the kernel's controllers (cgroups(7))."""


def unenforced(engine: Engine) -> tuple[str, ...]:
    """The limits that this engine takes and discards (its kernel lacks the cgroup controller, or it may not use it).

    Podman's ``/info`` tells of the machine, and of version 1 alone: of version 2 it says that processors cannot be limited. Without
    root it holds none on version 1, and of version 2 those whose controllers it was handed (``/libpod/info``).
    """
    _, document = engine.documents
    lacking = [limit for key, limit in LIMITS.items() if not document.get(key)]
    if engine.info.podman:
        host = libpod.described(engine.host, engine.certificates).get("host") or {}
        usable = host.get("cgroupControllers") or ()
        kept = lacking if engine.info.cgroup == "1" else []
        lacking = [*kept, *(limit for key, limit in CONTROLLERS.items() if key not in usable)]
    return tuple(dict.fromkeys(lacking))


def not_held(limits: Sequence[str]) -> str:
    """The reason that is told for what is not tried then."""
    return f"this engine does not enforce limits on {listed(limits)}"


def listed(limits: Sequence[str]) -> str:
    """Their names in a sentence."""
    return " and ".join(part for part in (", ".join(limits[:-1]), *limits[-1:]) if part)
