"""Makes Evidence: who measured, what, when."""

from __future__ import annotations

import functools
import importlib.metadata
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from deadweight.records.evidence import Evidence, Provenance, Status

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject


@functools.cache
def own_version() -> str:
    return importlib.metadata.version("deadweight")


def by_us(subject: Subject) -> Provenance:
    """Measured by our own code, from the image's archive."""
    return Provenance(subject.built.config_digest, "deadweight", own_version(), now())


def by_engine(subject: Subject) -> Provenance:
    """Measured on a container of this engine."""
    info = subject.engine().info
    place = subject.place or None
    return Provenance(subject.built.config_digest, f"{info.name} engine", info.version, now(), place=place)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def evidence(
    subject: Subject,
    check: str,
    status: Status,
    reason: str,
    *,
    provenance: Provenance | None = None,
    started: float | None = None,
    data: dict[str, Any] | None = None,
    gated: bool = True,
) -> Evidence:
    """One finding. ``started`` is the monotonic time at which the check began; ``expected`` is judged by the runner."""
    return Evidence(
        variant=subject.variant.name,
        check=check,
        status=status,
        reason=reason,
        provenance=provenance or by_us(subject),
        seconds=0.0 if started is None else round(time.monotonic() - started, 3),
        data=data or {},
        gated=gated,
    )
