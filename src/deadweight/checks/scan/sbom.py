"""Write a variant's SBOMs (SPDX, CycloneDX), and compare the builder's SBOM with the image's real content.

The scanner makes both from the image. It omits packages of a distribution it does not know; those are added from the image's
package database. Our own reader lists the image's content, so neither the scanner nor the builder (ko and apko write SPDX) is
trusted.
"""

from __future__ import annotations

import json
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deadweight._errors import DeadweightError, UsageError, wording
from deadweight.checks.scan import cache, sbom_documents, trivy
from deadweight.checks.scan.sbom_documents import Part, stated
from deadweight.records.store import write_atomically

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject
    from deadweight_images.findings import LayersReport

MEDIA_TYPES = {"spdx": "application/spdx+json", "cyclonedx": "application/vnd.cyclonedx+json"}
SUFFIXES = {"spdx": "spdx.json", "cyclonedx": "cdx.json"}
ADDED = ("apk", "deb", "generic", "maven")
"""What the scanner may leave out: packages of a system that it does not know, the Java runtime, and jars that do not tell their
Maven group."""

_NO_DISTRIBUTION = {"apk": "unknown", "deb": "unknown"}
MAX_BYTES = 256 * 2**20


@dataclass(frozen=True)
class SbomFile:
    """One SBOM on disk. ``by`` is who made it, ``packages`` how many packages it lists, ``added`` how many we added."""

    form: str
    path: str
    by: str
    packages: int
    added: int = 0


@dataclass(frozen=True)
class Sboms:
    """The SBOMs of a variant. ``absent``: the builder claims it and the image lacks it; ``unclaimed``: the other way round.

    ``compared`` is False where the builder wrote no SBOM; there is nothing to compare then.
    """

    variant: str
    files: tuple[SbomFile, ...]
    compared: bool
    absent: tuple[str, ...] = ()
    unclaimed: tuple[str, ...] = ()


def forms(asked: str | None) -> tuple[str, ...]:
    """What ``--sbom`` names. Raises UsageError."""
    if asked in (None, "both"):
        return tuple(SUFFIXES)
    if asked not in SUFFIXES:
        raise UsageError(wording("scan.unknown_sbom_form", known=", ".join(SUFFIXES), found=asked))
    return (str(asked),)


def write_sboms(subject: Subject, wanted: Sequence[str] = ("spdx", "cyclonedx")) -> Sboms:
    """Write SBOMs to ``.deadweight/sbom`` and compare. Raises MissingError (no scanner), ArchiveError, CommandError."""
    from deadweight._packages import images

    report = images.analyse(subject.archive(), scan="no", cache_dir=subject.state.cache / "image")
    present = tuple(sorted(set(in_image(report))))
    claimed, listed = _builders(subject), (*present, *_java(subject))
    files = tuple(_write(subject, form, listed) for form in wanted)
    if claimed is None:
        return Sboms(subject.variant.name, files, compared=False)
    absent, unclaimed = compare(tuple(sbom_documents.parts(claimed)), present)
    return Sboms(subject.variant.name, files, True, tuple(map(str, absent)), tuple(map(str, unclaimed)))


def _write(subject: Subject, form: str, present: Sequence[Part]) -> SbomFile:
    target = subject.state.folder / "sbom" / f"{subject.variant.name}.{SUFFIXES[form]}"
    document, added = _from_image(subject, form, present)
    write_atomically(target, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    by = f"trivy {trivy.scanner().version}"
    return SbomFile(form, str(target), by, sbom_documents.packages(document), added)


def in_image(report: LayersReport) -> Iterator[Part]:
    """What our reader saw: packages of the operating system, modules linked into Go binaries with the standard library, jars."""
    for package in report.packages:
        if package.kind in ("deb", "apk"):
            yield Part(package.kind, package.name, package.version)
        elif package.kind == "jar":
            group, _, name = package.name.rpartition(":")
            yield Part("maven", name, stated(package.version), group)
        elif package.kind == "go":
            yield Part("golang", package.name, stated(package.version))
            for name, version in package.modules:
                yield Part("golang", name, stated(version))
            if package.go_version:
                yield Part("golang", "stdlib", "v" + package.go_version.removeprefix("go").split(" ")[0].lstrip("v"))


def _java(subject: Subject) -> tuple[Part, ...]:
    """The Java that the image runs, as its ``release`` file says it: often no package manager put it there."""
    from deadweight._packages import images

    found = images.runtime(subject.archive(), cache_dir=subject.state.cache / "image")
    return (Part("generic", "openjdk", found.version),) if found.name in ("JRE", "JDK") and found.version else ()


def compare(claimed: Sequence[Part], present: Sequence[Part]) -> tuple[list[Part], list[Part]]:
    """What is claimed and absent, and what is present and not claimed. A version that one side lacks matches every version."""
    return _lacking(claimed, present), _lacking(present, claimed)


def _lacking(these: Sequence[Part], those: Sequence[Part]) -> list[Part]:
    versions: dict[tuple[str, str], set[str]] = {}
    for part in those:
        versions.setdefault((part.type, part.name), set()).add(part.version)
    return sorted(
        {
            part
            for part in these
            if (part.type, part.name) not in versions
            or (
                part.version
                and "" not in versions[part.type, part.name]
                and part.version not in versions[part.type, part.name]
            )
        }
    )


def _builders(subject: Subject) -> dict[str, Any] | None:
    """The builder's SPDX document on the image, which is the one that names most packages (others describe an index)."""
    found: list[dict[str, Any]] = []
    for name in subject.built.sbom:
        file = subject.state.image(subject.variant.name) / name
        try:
            document = json.loads(file.read_bytes()) if file.stat().st_size <= MAX_BYTES else None
        except (OSError, ValueError, RecursionError) as error:
            raise DeadweightError(wording("scan.sbom_unreadable", file=file, problem=error)) from error
        if isinstance(document, dict) and str(document.get("spdxVersion", "")).startswith("SPDX-"):
            found.append(document)
    return max(found, key=lambda document: len(set(sbom_documents.parts(document))), default=None)


def _from_image(subject: Subject, form: str, present: Sequence[Part]) -> tuple[dict[str, Any], int]:
    """The scanner's SBOM, named after the variant and dated by the build, with the packages that the scanner left out."""
    title = f"{subject.suite.name}/{subject.variant.name}"
    with tempfile.TemporaryDirectory(prefix="deadweight-sbom-") as folder:
        document = trivy.convert(cache.packages(subject), form, Path(folder), name=title)
    document = sbom_documents.without_twins(document)
    known = tuple(sbom_documents.parts(document))
    spaces = {part.type: part.namespace for part in known if part.type in ("apk", "deb")}
    missing = [
        replace(part, namespace=part.namespace or spaces.get(part.type, _NO_DISTRIBUTION.get(part.type, "")))
        for part in _lacking(present, known)
        if part.type in ADDED
    ]
    identity = str(uuid.uuid5(uuid.NAMESPACE_OID, subject.built.config_digest))
    if form == "cyclonedx":
        document["serialNumber"] = f"urn:uuid:{identity}"
        metadata = document.setdefault("metadata", {})
        metadata["timestamp"] = subject.built.built_at
        metadata.setdefault("component", {"type": "container"}).update(name=title, version=subject.built.config_digest)
    else:
        document["name"] = title
        document["documentNamespace"] = f"https://deadweight.invalid/spdx/{identity}"
        document.setdefault("creationInfo", {})["created"] = _spdx_time(subject.built.built_at)
    sbom_documents.add(document, missing)
    return document, len(missing)


def _spdx_time(built_at: str) -> str:
    """SPDX 2.3 wants UTC with a Z and whole seconds (clause 6.9)."""
    from datetime import UTC, datetime

    return datetime.fromisoformat(built_at).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
