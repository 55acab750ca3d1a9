"""Define the check protocol: one built image in, one piece of evidence out."""

from __future__ import annotations

import functools
import importlib.metadata
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from deadweight.records.evidence import Evidence, Provenance, Status

if TYPE_CHECKING:
    from deadweight.checks.service import Service
    from deadweight.engine.client import Engine
    from deadweight.records.built_image import BuiltImage
    from deadweight.records.paths import State
    from deadweight.suite.model import Suite, Variant


@dataclass(frozen=True)
class Subject:
    """The image under test. ``archive`` and ``engine`` are created on the first call, so static checks need no engine.

    ``engine_image`` gives the image's reference in the engine, loading the archive first where it is not there.
    ``need_image`` gives the image of one of ``run.needs``, by its name.
    ``subject_of`` gives another variant's subject (for ``smaller_than``), or None where it is not built.
    ``public_image`` gives any public image's reference in the engine, fetched where it is not there.
    ``place`` is the engine's name in the pool, empty where there is one engine alone.
    ``service`` is the hardened container that the checks share; whoever runs the checks closes it (``runner.run_checks`` does).
    """

    suite: Suite
    variant: Variant
    built: BuiltImage
    state: State
    archive: Callable[[], Path]
    engine: Callable[[], Engine]
    engine_image: Callable[[], str]
    subject_of: Callable[[str], Subject | None]
    need_image: Callable[[str], str]
    say: Callable[[str], None] = lambda _line: None
    place: str = ""
    public_image: Callable[[str], str] = str
    service: Service = field(default=None, repr=False, compare=False)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.service is None:  # one of its own, which is started when a check first asks for it
            from deadweight.checks.service import Service

            service = Service(self.variant, self.engine, self.engine_image, self.need_image, self.suite.root)
            object.__setattr__(self, "service", service)


@dataclass(frozen=True)
class Gate:
    """One gate of the suite and how it ended. ``warning`` marks what is told but fails nothing."""

    name: str
    held: bool
    reason: str
    warning: bool = False


class Check(Protocol):
    """One kind of evidence. Plug-ins register theirs under the entry point group ``deadweight.checks``.

    A plug-in's check runs where a suite names it under ``checks.other``: its ``applies`` is not called, and it may leave it out.
    """

    name: str
    needs_engine: bool = False

    def applies(self, variant: Variant) -> bool:
        """Whether the suite enables this check for this variant."""
        return bool(getattr(variant.checks, self.name)) and (variant.runnable or not self.needs_engine)

    def run(self, subject: Subject) -> Evidence:
        """Measure and judge. Raises only DeadweightError; a service that misbehaves is evidence, not an error."""
        ...


# Makes Evidence: who measured, what, when.


@functools.cache
def own_version() -> str:
    return importlib.metadata.version("deadweight")


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
    """One finding. ``started`` is the monotonic time at which the check began. The runner, not the check, sets ``expected``."""
    return Evidence(
        variant=subject.variant.name,
        check=check,
        status=status,
        reason=reason,
        provenance=provenance or Provenance(subject.built.config_digest, "deadweight", own_version(), now()),
        seconds=0.0 if started is None else round(time.monotonic() - started, 3),
        data=data or {},
        gated=gated,
        code=getattr(reason, "code", ""),
    )
