"""The records of a report's history: what of an earlier report is kept."""

from __future__ import annotations

from dataclasses import dataclass, field

from deadweight.report.quantities import Bytes, Count, Seconds


@dataclass(frozen=True)
class HeldRecord:
    """How many of the attacks that were tried in a posture were blocked."""

    held: Count
    tried: Count


@dataclass(frozen=True)
class HistoryPoint:
    """One variant's figures in an earlier report: ``image`` is the config's digest, ``findings`` the vulnerabilities that count,
    ``attacks`` by posture. None is "not measured"; no image: not built."""

    image: str | None = None
    size_bytes: Bytes | None = None
    findings: Count | None = None
    dead_weight: Count | None = None
    attacks: dict[str, HeldRecord] = field(default_factory=dict)
    startup_seconds: Seconds | None = None
    build_seconds: Seconds | None = None
    stand_in: bool = False


@dataclass(frozen=True)
class HistoryEntry:
    """One report in the history. ``at`` is ISO 8601 in UTC; ``dirty``: files that git knows differed from the commit."""

    at: str
    commit: str | None
    dirty: bool
    suite: str
    tool_version: str
    variants: dict[str, HistoryPoint]
