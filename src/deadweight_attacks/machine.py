"""Probe which Linux capabilities a container engine can grant, and whether it takes device rules and enforces resource limits."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError
from deadweight.engine import api
from deadweight.engine.faults import CannotStart
from deadweight.engine.options import RunOptions
from deadweight_attacks.walls import TABLES

if TYPE_CHECKING:
    from deadweight.engine.client import Engine
    from deadweight.engine.container import Container

# Which limits an engine really puts on containers: attacks on resources are only sent where all of them hold.
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
        host = api.document_once(engine.host, api.PODMAN_INFO, engine.certificates).get("host") or {}
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


Start = Callable[[RunOptions], "Container"]
NO_RULES = "device cgroup rules are not supported"
"""Podman 5 without root says so when the container is created; others when it is to start."""
_UNKNOWN = re.compile(r'unknown capability: "CAP_(\w+)"')

_probing = threading.Lock()
_known: dict[str, tuple[tuple[str, ...], bool]] = {}


def can_start(start: Start, host: str, args: Sequence[str], userns: str | None = None) -> tuple[tuple[str, ...], bool]:
    """The capabilities that the engine at ``host`` cannot give, and whether it takes device rules.

    ``userns`` is the mode of a container in no user namespace of its own: in one of its own it gets every capability.
    """
    with _probing:
        if host not in _known:
            plain = RunOptions(
                user="0:0", network="none", seccomp="unconfined", args=tuple(args), memory_bytes=512 * 2**20, pids=64,
                userns_mode=userns,
            )  # fmt: skip
            _known[host] = _unstartable(start, plain), _starts(start, plain.but(device_rules=("b *:* r",)))
        return _known[host]


def _unstartable(start: Start, plain: RunOptions) -> tuple[str, ...]:
    if _starts(start, plain.but(cap_add=("ALL",))):
        return ()
    suspects = [name for number, name in enumerate(CAPABILITIES) if not _bounding_set() >> number & 1]
    while suspects:
        try:
            if _starts(start, plain.but(cap_add=("ALL",), cap_drop=tuple(suspects))):
                return tuple(suspects)
            break
        except _Unknown as error:
            suspects = [name for name in suspects if name != error.capability]
    return tuple(name for name in CAPABILITIES if not _gives(start, plain, name))


def _gives(start: Start, plain: RunOptions, name: str) -> bool:
    """One that the engine does not know is none that it cannot give: it is not among all of its."""
    try:
        return _starts(start, plain.but(cap_add=(name,)))
    except _Unknown:
        return True


class _Unknown(DeadweightError):
    """An engine in a container knows the capabilities that the container has, and refuses the names of others."""

    def __init__(self, error: DeadweightError, capability: str) -> None:
        super().__init__(error.message, hint=error.hint)
        self.capability = capability


def _starts(start: Start, tried: RunOptions) -> bool:
    try:
        start(tried).remove()
    except CannotStart:
        return False
    except DeadweightError as error:
        if tried.device_rules and NO_RULES in error.message:
            return False
        unknown = _UNKNOWN.search(error.message)
        if unknown is None:
            raise
        raise _Unknown(error, unknown[1]) from error
    return True


def _bounding_set() -> int:
    """Our own bounding set (capabilities(7)): a machine whose init lacks a capability cannot give it to a container."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return -1
    return next((int(line.split()[1], 16) for line in lines if line.startswith("CapBnd:")), -1)


CAPABILITIES: tuple[str, ...] = (*TABLES["capabilities"],)
"""In the kernel's own order (linux/capability.h)."""
