"""What a database knows of an image, told from the names of its buckets. Nothing found in what it does not know is no zero."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deadweight.checks.scan.model import Coverage, Covered, ScannedImage
from deadweight.records import store

_NAMES = {
    "redhat": ("red hat",),
    "centos": ("red hat",),
    "oracle": ("oracle linux",),
    "amazon": ("amazon linux",),
    "photon": ("photon os",),
    "cbl-mariner": ("cbl-mariner",),
    "azurelinux": ("azure linux",),
    "opensuse.leap": ("opensuse leap",),
    "opensuse.tumbleweed": ("opensuse tumbleweed",),
    "suse linux enterprise server": ("suse linux enterprise",),
}
"""How the scanner's names of families are written in its database, where the two differ."""

_ECOSYSTEMS = {
    "gobinary": "go",
    "gomod": "go",
    "jar": "maven",
    "pom": "maven",
    "node-pkg": "npm",
    "npm": "npm",
    "python-pkg": "pip",
    "conda-pkg": "conda",
    "gemspec": "rubygems",
    "rustbinary": "cargo",
    "composer-vendor": "composer",
    "dotnet-core": "nuget",
}
_SPOKEN = {"go": "Go", "maven": "Java", "npm": "Node.js", "pip": "Python", "rubygems": "Ruby", "cargo": "Rust"}


def covers_os(buckets: Iterable[str], family: str, version: str) -> bool:
    """Whether there is a bucket for this distribution: by its name alone, or with its version, whole or the first numbers."""
    return bool(_buckets_of_os(buckets, family, version))


def _buckets_of_os(buckets: Iterable[str], family: str, version: str) -> list[str]:
    if not family or family == "none":
        return []
    numbers = re.split(r"[.\-]", version)
    versions = {".".join(numbers[:length]) for length in range(1, len(numbers) + 1)} | {version}
    wanted: set[str] = set()
    for name in _NAMES.get(family.lower(), (family.lower(),)):
        wanted |= {name, *(f"{name} {each.lower()}" for each in versions if each)}
    return [bucket for bucket in buckets if bucket.casefold() in wanted]


def coverage(
    image: ScannedImage, buckets: Iterable[str], *, has_os: bool, lacks: Mapping[str, str] | None = None
) -> Coverage:
    """What of this image the database knows. ``has_os``: the image has an operating system, whether or not the scanner knew it.

    ``lacks`` says by bucket what one that is not whole lacks.
    """
    names = frozenset(buckets)
    gaps: list[str] = []
    os = _os(image, names, has_os, gaps, lacks or {})
    languages = {_ECOSYSTEMS.get(kind, kind) for kind in image.languages}
    known = {name for name in languages if any(bucket.startswith(f"{name}::") for bucket in names)}
    gaps += [f"{_SPOKEN.get(name, name)} packages" for name in sorted(languages - known)]
    language: Covered = "none"
    if languages:
        language = "covered" if known == languages else "partly_covered" if known else "not_covered"
    return Coverage(os, language, tuple(gaps))


def _os(
    image: ScannedImage, buckets: frozenset[str], has_os: bool, gaps: list[str], lacks: Mapping[str, str]
) -> Covered:
    if image.os_family:
        if known := _buckets_of_os(buckets, image.os_family, image.os_version):
            parts = [f"{name} beyond what is in it ({lacks[name]})" for name in known if name in lacks]
            gaps += parts
            return "partly_covered" if parts else "covered"
        gaps.append(f"{image.os_family} {image.os_version}".strip())
        return "not_covered"
    if has_os or image.hides_os:
        gaps.append("the operating system (the scanner does not know it)")
        return "not_covered"
    return "none"


# What a vulnerability database that was made here says of itself: ``coverage.json`` beside it.
COVERAGE = "coverage.json"
LICENCES = ("go-vulndb-LICENSE", "go-vulndb-NOTICES")
"""The licence of the Go vulnerability database and its sources, which CC-BY 4.0 asks to keep with what is made of it."""


@dataclass(frozen=True)
class Part:
    """One of the database's buckets: ``what`` it covers, from where, the day of its newest content (ISO 8601), its licence.

    ``lacks`` says in words what a scan by it cannot find; None where it is whole.
    """

    bucket: str
    what: str
    source: str
    date: str
    licence: str
    lacks: str | None = None


@dataclass(frozen=True)
class Contents:
    """What ``coverage.json`` says. ``made_at`` is when the database was made, ISO 8601 in UTC."""

    made_at: str
    parts: tuple[Part, ...]
    severities: str = "unknown for nearly all: neither source tells them"


def contents_of(folder: Path) -> Contents | None:
    """Of a database in this folder; None for one that was not made here."""
    return store.load(Contents, folder / COVERAGE)
