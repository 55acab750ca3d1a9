"""Define the records of a scan. It has counts only if something was really looked up."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from deadweight._errors import wording

Severity = Literal["critical", "high", "medium", "low", "unknown"]
SEVERITIES: tuple[Severity, ...] = ("critical", "high", "medium", "low", "unknown")
Kind = Literal["os", "language", "kernel_headers"]
Covered = Literal["covered", "partly_covered", "not_covered", "none"]


@dataclass(frozen=True)
class ScanRow:
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
    findings: tuple[ScanRow, ...]
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
        """Something is known, or the image has nothing that could be looked up: no operating system and no language package."""
        return {self.os, self.language} - {"not_covered", "none"} != set() or self.os == self.language == "none"


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
    """How many findings lie in what the running service reached. ``undecided`` ones cannot be told apart by files. ``operations``
    were asked; ``held_out_added`` of the ``reachable`` findings are reached by the held-out ones alone. ``ledger`` counts them."""

    status: Literal["measured", "not_measured"]
    reachable: int | None = None
    dead_weight: int | None = None
    undecided: int | None = None
    reason: str | None = None
    files: int | None = None
    operations: int | None = None
    held_out_added: int | None = None
    executed: tuple[str, ...] = ()
    ledger: Mapping[str, Any] = field(default_factory=dict)


def distinct(findings: Iterable[ScanRow]) -> tuple[ScanRow, ...]:
    """Each finding once, however many programs of the image hold a copy of the package."""
    return tuple({row.identity: row for row in findings}.values())


def count(findings: Iterable[ScanRow]) -> Counts:
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


# What a database knows of an image, told from the names of its buckets. Nothing found in what it does not know is no zero.

_TABLE = tomllib.loads(Path(__file__).with_name("ecosystems.toml").read_text(encoding="utf-8"))


def buckets_of_os(buckets: Iterable[str], family: str, version: str) -> list[str]:
    """The buckets for this distribution: by its name alone, or with its version, whole or the first numbers."""
    if not family or family == "none":
        return []
    numbers = re.split(r"[.\-]", version)
    versions = {".".join(numbers[:length]) for length in range(1, len(numbers) + 1)} | {version}
    name = _TABLE["distributions"].get(family.lower(), family.lower())
    wanted = {name, *(f"{name} {release.lower()}" for release in versions if release)}
    return [bucket for bucket in buckets if bucket.casefold() in wanted]


def coverage(image: ScannedImage, buckets: Iterable[str], *, has_os: bool, lacks: Mapping[str, str]) -> Coverage:
    """What of this image the database knows. ``has_os``: the image has an operating system, whether or not the scanner knew it.

    ``lacks`` says by bucket what one that is not whole lacks.
    """
    names = frozenset(buckets)
    os, gaps = _coverage_of_os(image, names, has_os, lacks)
    languages = {_TABLE["ecosystems"].get(kind, kind) for kind in image.languages}
    known = {name for name in languages if any(bucket.startswith(f"{name}::") for bucket in names)}
    gaps += [f"{_TABLE['languages'].get(name, name)} packages" for name in sorted(languages - known)]
    language: Covered = "none"
    if languages:
        language = "covered" if known == languages else "partly_covered" if known else "not_covered"
    return Coverage(os, language, tuple(gaps))


def _coverage_of_os(
    image: ScannedImage, buckets: frozenset[str], has_os: bool, lacks: Mapping[str, str]
) -> tuple[Covered, list[str]]:
    if image.os_family:
        if known := buckets_of_os(buckets, image.os_family, image.os_version):
            parts = [f"{name} beyond what is in it ({lacks[name]})" for name in known if name in lacks]
            return "partly_covered" if parts else "covered", parts
        return "not_covered", [f"{image.os_family} {image.os_version}".strip()]
    if has_os or image.hides_os:
        return "not_covered", [wording("scan.unknown_system")]
    return "none", []


# What a vulnerability database that was made here says of itself: ``coverage.json`` beside it.
COVERAGE = "coverage.json"
LICENCES = ("go-vulndb-LICENSE", "go-vulndb-NOTICES")
"""The licence of the Go vulnerability database and its sources, which CC-BY 4.0 asks to keep with what is made of it."""


@dataclass(frozen=True)
class Part:
    """One of the database's buckets: ``what`` it covers, its ``source``, the ``date`` of its newest content (ISO 8601), and its
    ``licence``.

    ``lacks`` describes what a scan with it cannot find; None if it is complete.
    """

    bucket: str
    what: str
    source: str
    date: str
    licence: str
    lacks: str | None = None


@dataclass(frozen=True)
class Contents:
    """The contents of ``coverage.json``. ``made_at`` is when the database was made, an ISO 8601 time in UTC."""

    made_at: str
    parts: tuple[Part, ...] = ()
    severities: str | None = "unknown for nearly all findings: neither source provides them"
