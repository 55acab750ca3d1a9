"""The records of a scan. Counts exist only where something was really looked up; the rest says what it is instead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Severity = Literal["critical", "high", "medium", "low", "unknown"]
SEVERITIES: tuple[Severity, ...] = ("critical", "high", "medium", "low", "unknown")
Kind = Literal["os", "language", "kernel_headers"]
Covered = Literal["covered", "partly_covered", "not_covered", "none"]


@dataclass(frozen=True)
class Found:
    """One vulnerability in one package at one place: one row of the scanner's own list.

    ``path`` is the file in the image that the package stands in, empty for packages of the operating system. ``aliases`` are
    other ids of the same flaw (``GO-2024-2887``).
    """

    id: str
    package: str
    version: str
    severity: Severity
    kind: Kind
    fixed_version: str | None = None
    path: str = ""
    ecosystem: str = ""
    purl: str = ""
    title: str = ""
    url: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it the same finding in two scans, whatever the package's version."""
        return self.id, self.kind, self.package

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """What makes it the same finding in two places of one image."""
        return self.id, self.kind, self.package, self.version


@dataclass(frozen=True)
class ScannedImage:
    """What the scanner said of one image. ``os_family`` is empty where it knew no operating system.

    ``os_packages`` is how many packages of the operating system it could read; ``languages`` maps its name of a package type
    (``gobinary``) to how many packages it read. ``owners`` maps the packages that have findings to their files.
    ``hides_os``: there is an operating system in the image, and the scanner does not know it.
    """

    image_digest: str
    tool_version: str
    os_family: str
    os_version: str
    os_packages: int
    languages: Mapping[str, int]
    findings: tuple[Found, ...]
    owners: Mapping[str, tuple[str, ...]]
    hides_os: bool = False


@dataclass(frozen=True)
class Coverage:
    """What the database knows of this image. ``gaps`` names what it does not, in words."""

    os: Covered
    language: Covered
    gaps: tuple[str, ...] = ()

    @property
    def anything(self) -> bool:
        return {self.os, self.language} & {"covered", "partly_covered"} != set() or self.nothing_to_know

    @property
    def nothing_to_know(self) -> bool:
        """No operating system and no language package: an image with nothing that could be looked up."""
        return self.os == self.language == "none"


@dataclass(frozen=True)
class Counts:
    """Distinct findings (id, package, version), by severity; ``copies`` are the places in the image that they were found in.
    ``fixable``: a newer version of the package has it fixed."""

    total: int
    copies: int
    by_severity: Mapping[Severity, int]
    fixable: int
    ids: int


@dataclass(frozen=True)
class Reach:
    """How many findings lie in what the running service touched. ``undecided`` ones cannot be told apart by files."""

    status: Literal["measured", "not_measured"]
    reachable: int | None = None
    dead_weight: int | None = None
    undecided: int | None = None
    reason: str | None = None
    files: int | None = None
    requests: int | None = None
    touched: tuple[str, ...] = field(default=())


def distinct(findings: Iterable[Found]) -> tuple[Found, ...]:
    """Each finding once, however many programs of the image hold a copy of the package."""
    return tuple({row.identity: row for row in findings}.values())


def count(findings: Iterable[Found]) -> Counts:
    """The counts of these rows."""
    copies = tuple(findings)
    rows = distinct(copies)
    severities = Counter(row.severity for row in rows)
    return Counts(
        total=len(rows),
        copies=len(copies),
        by_severity={severity: severities[severity] for severity in SEVERITIES},
        fixable=sum(row.fixed_version is not None for row in rows),
        ids=len({row.id for row in rows}),
    )
