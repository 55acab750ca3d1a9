"""SBOMs of a variant in SPDX and CycloneDX, and what the builder's SBOM claims against what is in the image.

The builder's own SBOM is taken where it wrote one of that format (ko and apko write SPDX); otherwise the scanner makes one from the
image. The scanner leaves out packages of a distribution it does not know; those are added from the image's package database.
What is in the image is read by our own reader, so neither of the two is believed.
"""

from __future__ import annotations

import json
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote, unquote

from deadweight._errors import DeadweightError, UsageError
from deadweight.checks.scan import kept, trivy
from deadweight.records.store import write_atomically

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject
    from deadweight.image.findings import LayersReport

Form = Literal["spdx", "cyclonedx"]
MEDIA_TYPES = {"spdx": "application/spdx+json", "cyclonedx": "application/vnd.cyclonedx+json"}
SUFFIXES = {"spdx": "spdx.json", "cyclonedx": "cdx.json"}
COMPARED = ("apk", "deb", "golang", "maven")
MAX_BYTES = 256 * 2**20


@dataclass(frozen=True, order=True)
class Part:
    """One package. ``version`` is empty where an SBOM does not say it; ``type`` is that of package URLs."""

    type: str
    name: str
    version: str

    @property
    def purl(self) -> str:
        namespace = "unknown/" if self.type in ("apk", "deb") else ""
        return f"pkg:{self.type}/{namespace}{quote(self.name, safe='/')}" + (
            f"@{quote(self.version)}" if self.version else ""
        )

    def __str__(self) -> str:
        return f"{self.type} {self.name} {self.version}".strip()


@dataclass(frozen=True)
class SbomFile:
    """One SBOM on disk. ``by`` is who made it, ``packages`` how many packages it names, ``added`` how many we added."""

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
        raise UsageError(f"--sbom: expected one of {', '.join(SUFFIXES)}, both; found {asked!r}")
    return (str(asked),)


def write_sboms(subject: Subject, wanted: Sequence[str] = ("spdx", "cyclonedx")) -> Sboms:
    """Write SBOMs to ``.deadweight/sbom`` and compare. Raises MissingError (no scanner), ArchiveError, CommandError."""
    from deadweight.image.look.analyse import analyse

    report = analyse(subject.archive(), scan="no", cache_dir=subject.state.cache / "image")
    present = tuple(sorted(set(in_image(report))))
    claimed = _builders(subject)
    files = []
    for form in wanted:
        target = subject.state.folder / "sbom" / f"{subject.variant.name}.{SUFFIXES[form]}"
        if form == "spdx" and claimed is not None:
            document, by, added = claimed, subject.built.tool, 0
        else:
            document, added = _from_image(subject, form, present)
            by = f"trivy {trivy.scanner().version}"
        write_atomically(target, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        files.append(SbomFile(form, str(target), by, len(set(parts(document))), added))
    if claimed is None:
        return Sboms(subject.variant.name, tuple(files), compared=False)
    absent, unclaimed = compare(tuple(parts(claimed)), present)
    return Sboms(subject.variant.name, tuple(files), True, tuple(map(str, absent)), tuple(map(str, unclaimed)))


def in_image(report: LayersReport) -> Iterator[Part]:
    """What our reader saw: packages of the operating system, modules linked into Go binaries with the standard library, jars."""
    for package in report.packages:
        if package.kind in ("deb", "apk"):
            yield Part(package.kind, package.name, package.version)
        elif package.kind == "jar":
            yield Part("maven", package.name, package.version)
        elif package.kind == "go":
            yield Part("golang", package.name, _version(package.version))
            for name, version in package.modules:
                yield Part("golang", name, _version(version))
            if package.go_version:
                yield Part("golang", "stdlib", "v" + package.go_version.removeprefix("go").split(" ")[0].lstrip("v"))


def parts(document: Mapping[str, Any]) -> Iterator[Part]:
    """The packages that an SBOM names by package URL, of the kinds that can be compared."""
    if document.get("bomFormat") == "CycloneDX":
        purls = [component.get("purl") for component in document.get("components") or []]
    else:
        references = [each for package in document.get("packages") or [] for each in package.get("externalRefs") or []]
        purls = [each.get("referenceLocator") for each in references if each.get("referenceType") == "purl"]
    for purl in purls:
        part = _part(str(purl or ""))
        if part is not None:
            yield part


def _part(purl: str) -> Part | None:
    bare = purl.partition("#")[0].partition("?")[0].removeprefix("pkg:")
    kind, _, rest = bare.partition("/")
    name, at, version = rest.rpartition("@")
    if not at or "/" in version:
        name, version = rest, ""
    name = unquote(name)
    if kind != "golang":  # a Go module's path is its name; elsewhere what stands before it is a distribution or a group
        name = name.rpartition("/")[2]
    return Part(kind, name, _version(unquote(version))) if kind in COMPARED and name else None


def _version(version: str) -> str:
    return "" if version in ("(devel)", "devel", "unknown") else version


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
        except (OSError, ValueError) as error:
            raise DeadweightError(f"{file}: the builder's SBOM cannot be read: {error}", hint="invoke build") from error
        if isinstance(document, dict) and str(document.get("spdxVersion", "")).startswith("SPDX-"):
            found.append(document)
    return max(found, key=lambda document: len(set(parts(document))), default=None)


def _from_image(subject: Subject, form: str, present: Sequence[Part]) -> tuple[dict[str, Any], int]:
    """The scanner's SBOM, named after the variant and dated by the build, with the packages that the scanner left out."""
    title = f"{subject.suite.name}/{subject.variant.name}"
    with tempfile.TemporaryDirectory(prefix="deadweight-sbom-") as folder:
        document = trivy.convert(kept.packages(subject), form, Path(folder), name=title)
    missing = [part for part in _lacking(present, tuple(parts(document))) if part.type in ("apk", "deb")]
    identity = str(uuid.uuid5(uuid.NAMESPACE_OID, subject.built.config_digest))
    if form == "cyclonedx":
        document["serialNumber"] = f"urn:uuid:{identity}"
        metadata = document.setdefault("metadata", {})
        metadata["timestamp"] = subject.built.built_at
        metadata.setdefault("component", {"type": "container"}).update(name=title, version=subject.built.config_digest)
        document.setdefault("components", []).extend(
            {"bom-ref": part.purl, "type": "library", "name": part.name, "version": part.version, "purl": part.purl}
            for part in missing
        )
    else:
        document["name"] = title
        document["documentNamespace"] = f"https://deadweight.invalid/spdx/{identity}"
        document.setdefault("creationInfo", {})["created"] = _spdx_time(subject.built.built_at)
        _add_to_spdx(document, missing)
    return document, len(missing)


def _spdx_time(built_at: str) -> str:
    """SPDX 2.3 wants UTC with a Z and whole seconds (clause 6.9)."""
    from datetime import UTC, datetime

    return datetime.fromisoformat(built_at).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _add_to_spdx(document: dict[str, Any], missing: Sequence[Part]) -> None:
    for index, part in enumerate(missing):
        identifier = f"SPDXRef-Package-image-{index}"
        reference = {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": part.purl}
        document.setdefault("packages", []).append(
            {
                "SPDXID": identifier,
                "name": part.name,
                "versionInfo": part.version,
                "downloadLocation": "NOASSERTION",
                "filesAnalyzed": False,
                "externalRefs": [reference],
            }
        )
        document.setdefault("relationships", []).append(
            {
                "spdxElementId": "SPDXRef-DOCUMENT",
                "relationshipType": "DESCRIBES",
                "relatedSpdxElement": identifier,
            }
        )
