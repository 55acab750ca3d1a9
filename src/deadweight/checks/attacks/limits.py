"""Which limits an engine really puts on containers: attacks on resources are only sent where all of them hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from deadweight.engine.faults import translated

if TYPE_CHECKING:
    from deadweight.engine.client import Engine

LIMITS = {"MemoryLimit": "memory", "PidsLimit": "processes", "CpuCfsQuota": "processors"}
"""The outer bound rests on these, by the engine's own names in its ``/info``."""


def unenforced(engine: Engine) -> tuple[str, ...]:
    """The limits that this engine takes and discards (its kernel lacks the cgroup controller)."""
    with translated("ask which limits hold"):
        document = engine.api.info()
    return tuple(limit for key, limit in LIMITS.items() if not document.get(key))


def not_held(limits: Sequence[str]) -> str:
    """The reason that is told for what is not tried then."""
    return f"this engine does not enforce limits on {' and '.join(limits)}"
