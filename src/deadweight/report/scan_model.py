"""The records of a scan for known vulnerabilities in ``report.json``: figures, findings, and what the database covers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from deadweight.report.quantities import Count

Severity = Literal["critical", "high", "medium", "low", "unknown"]
SEVERITIES: tuple[Severity, ...] = ("critical", "high", "medium", "low", "unknown")


@dataclass(frozen=True)
class Coverage:
    """What the database knows about this image: its operating system, and the languages of its programs."""

    os: str = "not_scanned"
    language: str = "not_scanned"

    def lacks(self, *, partly: bool = True) -> str:
        """What a count does not hold (``OS partly, language not covered``); with ``partly=False`` only what it holds nothing of."""
        words = {"not_covered": "not covered", **({"partly_covered": "partly"} if partly else {})}
        told = (("OS", self.os), ("language", self.language))
        return ", ".join(f"{what} {words[state]}" for what, state in told if state in words)


@dataclass(frozen=True)
class DatabasePart:
    """A part of a database that was made here. ``lacks`` says what a scan by it cannot find; None where it is whole."""

    bucket: str
    what: str
    source: str
    date: str
    licence: str
    lacks: str | None = None


@dataclass(frozen=True)
class DatabaseContents:
    """What a database that was made here says of itself."""

    made_at: str
    parts: tuple[DatabasePart, ...] = ()
    severities: str | None = None


@dataclass(frozen=True)
class Database:
    """The database of a scan. ``origin`` is ``local`` for one that was made here, whose ``contents`` say what it covers."""

    updated_at: str | None = None
    origin: str | None = None
    contents: DatabaseContents | None = None


@dataclass(frozen=True)
class KernelHeaders:
    """Findings in kernel header packages: counted apart, for no kernel runs in an image."""

    total: Count | None = None
    by_severity: dict[Severity, Count] = field(default_factory=dict)


@dataclass(frozen=True)
class Reachability:
    """How many findings lie in packages that the running service was seen to touch, and how many in those (``dead_weight``) that
    none of the ``requests`` that were sent made it touch: a lower bound, and an upper one."""

    status: Literal["measured", "not_measured"] = "not_measured"
    reachable: Count | None = None
    dead_weight: Count | None = None
    requests: Count | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Finding:
    """One vulnerability in one package."""

    id: str
    package: str
    severity: Severity = "unknown"
    version: str | None = None
    fixed_version: str | None = None
    kind: str = "os"
    reachable: bool | None = None
    title: str | None = None
    exception: str | None = None


@dataclass(frozen=True)
class VulnerabilitiesRecord:
    """A scan. ``not_scanned`` and ``not_covered`` carry no counts at all. ``total`` and all counts are of distinct findings (id,
    package, version); ``copies`` is in how many places they were found: None in reports of before they were told apart."""

    status: Literal["scanned", "not_scanned", "not_covered"] = "not_scanned"
    coverage: Coverage = field(default_factory=Coverage)
    total: Count | None = None
    by_severity: dict[Severity, Count] = field(default_factory=dict)
    database: Database = field(default_factory=Database)
    fixable: Count | None = None
    kernel_headers: KernelHeaders = field(default_factory=KernelHeaders)
    reachability: Reachability = field(default_factory=Reachability)
    findings: tuple[Finding, ...] = ()
    reason: str | None = None
    copies: Count | None = None
