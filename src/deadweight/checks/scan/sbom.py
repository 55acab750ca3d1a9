"""Write a variant's SBOMs (SPDX, CycloneDX), and compare the builder's SBOM with the image's real content.

The scanner makes both from the image. It omits packages of a distribution it does not know; those are added from the image's
package database. Our own reader lists the image's content, so neither the scanner nor the builder (ko and apko write SPDX) is
trusted.

Tried and rejected: cyclonedx-python-lib and spdx-tools take seconds to load and validate, and drop fields that they do not know;
packageurl-python writes the colon of a Debian epoch differently from the SBOMs written before.

Packages are compared by package URL in one normal form: the same Debian package is ``bsdutils@2.38.1?epoch=1`` for the
scanner and ``bsdutils@1%3A2.38.1`` for others; the same jar appears with and without ``?type=jar``. Source: the package URL
specification and its types apk, deb, golang and maven.
"""

from __future__ import annotations

import json
import tempfile
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, parse_qsl, quote, unquote

from deadweight._errors import DeadweightError, UsageError, wording
from deadweight.checks.scan import trivy
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

COMPARED = ("apk", "deb", "golang", "maven")
"""The types of which our reader sees what is in an image."""
_UNSAID = ("(devel)", "devel", "unknown", "UNKNOWN")
_NO_PACKAGES = ("CONTAINER", "OPERATING-SYSTEM", "APPLICATION", "FILE", "SOURCE", "ARCHIVE", None)
_PLACES = ("aquasecurity:trivy:FilePath", "aquasecurity:trivy:LayerDiffID")
"""Where the scanner says that a component of CycloneDX lies."""


@dataclass(frozen=True, order=True)
class Part:
    """One package. ``version`` is empty where an SBOM does not say it; ``type`` is that of package URLs.

    ``namespace`` is a distribution's name or a Maven group; it takes no part in comparisons, since not every side knows it.
    """

    type: str
    name: str
    version: str
    namespace: str = field(default="", compare=False)

    @property
    def purl(self) -> str:
        """Its package URL; empty for a jar whose Maven group nobody tells, since there is none without."""
        if self.type == "maven" and not self.namespace:
            return ""
        namespace = f"{quote(self.namespace, safe='')}/" if self.namespace else ""
        version = f"@{quote(self.version, safe='')}" if self.version else ""
        return f"pkg:{self.type}/{namespace}{quote(self.name, safe='/')}{version}"

    def __str__(self) -> str:
        return f"{self.type} {self.name} {self.version}".strip()


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
    stated_parts = tuple(parts(claimed))
    absent, unclaimed = only_in(stated_parts, present), only_in(present, stated_parts)
    return Sboms(subject.variant.name, files, True, tuple(map(str, absent)), tuple(map(str, unclaimed)))


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

    runtime = images.runtime(subject.archive(), cache_dir=subject.state.cache / "image")
    return (Part("generic", "openjdk", runtime.version),) if runtime.name in ("JRE", "JDK") and runtime.version else ()


def only_in(these: Sequence[Part], those: Sequence[Part]) -> list[Part]:
    """The parts that the other side lacks. A version that one side does not say matches every version."""
    versions: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for part in those:
        versions[part.type, part.name].add(part.version)

    def is_absent(part: Part) -> bool:
        known = versions[part.type, part.name]
        return not known or (part.version != "" and not known & {"", part.version})

    return sorted(filter(is_absent, set(these)))


def _builders(subject: Subject) -> dict[str, Any] | None:
    """The builder's SPDX document on the image, which is the one that names most packages (others describe an index)."""
    documents: list[dict[str, Any]] = []
    for name in subject.built.sbom:
        file = subject.state.image(subject.variant.name) / name
        try:
            document = json.loads(file.read_bytes()) if file.stat().st_size <= MAX_BYTES else None
        except (OSError, ValueError, RecursionError) as error:
            raise DeadweightError(wording("scan.sbom_unreadable", file=file, problem=error)) from error
        if isinstance(document, dict) and str(document.get("spdxVersion", "")).startswith("SPDX-"):
            documents.append(document)
    return max(documents, key=lambda document: len(set(parts(document))), default=None)


def _write(subject: Subject, form: str, present: Sequence[Part]) -> SbomFile:
    """The scanner's SBOM, named after the variant and dated by the build, with the packages that the scanner left out."""
    built, title = subject.built, f"{subject.suite.name}/{subject.variant.name}"
    with tempfile.TemporaryDirectory(prefix="deadweight-sbom-") as folder:
        document = trivy.convert(trivy.packages(subject), form, Path(folder), name=title)
    document = without_twins(document)
    known = tuple(parts(document))
    spaces = _NO_DISTRIBUTION | {part.type: part.namespace for part in known if part.type in ("apk", "deb")}
    missing = [
        replace(part, namespace=part.namespace or spaces.get(part.type, ""))
        for part in only_in(present, known)
        if part.type in ADDED
    ]
    identity = str(uuid.uuid5(uuid.NAMESPACE_OID, built.config_digest))
    if form == "cyclonedx":
        document["serialNumber"] = f"urn:uuid:{identity}"
        metadata = document.setdefault("metadata", {})
        metadata["timestamp"] = built.built_at
        metadata.setdefault("component", {"type": "container"}).update(name=title, version=built.config_digest)
        _add_to_cyclonedx(document, missing)
    else:
        document["name"] = title
        document["documentNamespace"] = f"https://deadweight.invalid/spdx/{identity}"
        # SPDX 2.3 wants a Z and whole seconds (clause 6.9)
        made = datetime.fromisoformat(built.built_at).astimezone(UTC)
        document.setdefault("creationInfo", {})["created"] = made.strftime("%Y-%m-%dT%H:%M:%SZ")
        _add_to_spdx(document, missing)
    target = subject.state.folder / "sbom" / f"{subject.variant.name}.{SUFFIXES[form]}"
    write_atomically(target, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    return SbomFile(form, str(target), f"trivy {trivy.scanner().version}", packages(document), len(missing))


def part(purl: str) -> Part | None:
    """A package URL in the normal form; None for what is none, or is an image."""
    bare, _, query = purl.partition("#")[0].partition("?")
    kind, _, rest = bare.removeprefix("pkg:").partition("/")
    name, at, version = rest.rpartition("@")
    if not at or "/" in version:
        name, version = rest, ""
    namespace, name, version = "", unquote(name), stated(unquote(version))
    # a path of these is a name; elsewhere what stands before it is a distribution or a group
    if kind not in ("golang", "npm"):
        namespace, _, name = name.rpartition("/")
    if not bare.startswith("pkg:") or kind == "oci" or not name:
        return None
    epoch = parse_qs(query).get("epoch", ["0"])[0]
    if version and epoch != "0" and not version.startswith(f"{epoch}:"):
        version = f"{epoch}:{version}"
    return Part(kind, name, version, namespace)


def stated(version: str) -> str:
    """A version, or nothing where it says that there is none."""
    return "" if version in _UNSAID else version


# SBOM documents, SPDX and CycloneDX alike: the packages that one names, how many they are, and adding to them.


def _is_cyclonedx(document: Mapping[str, Any]) -> bool:
    return document.get("bomFormat") == "CycloneDX"


def parts(document: Mapping[str, Any]) -> Iterator[Part]:
    """The packages that an SBOM names by package URL, of the kinds that can be compared."""
    for entry in _entries(document):
        package = part(_purl(entry))
        if package is not None and package.type in COMPARED:
            yield package


def packages(document: Mapping[str, Any]) -> int:
    """How many packages an SBOM lists, of every kind; the image itself, its system and files are none."""
    return sum(_is_package(entry) for entry in _entries(document))


def without_twins(document: dict[str, Any]) -> dict[str, Any]:
    """Each package once: one that lies in several places is one with several places, and a jar that an SBOM inside the image lists
    with ``?type=jar`` is the one that the scanner sees itself."""
    kept: dict[tuple[Part, str, str], dict[str, Any]] = {}
    new: dict[str, str] = {}
    for entry in sorted(_entries(document), key=lambda entry: "type=jar" in _purl(entry)):
        purl = _purl(entry)
        if (package := part(purl)) is None:
            continue
        first = kept.setdefault((package, package.namespace, _variety(purl)), entry)
        if first is not entry:
            new[_identifier(entry)] = _identifier(first)
            known = first.get("properties") or []
            more = [
                place for place in entry.get("properties") or () if place.get("name") in _PLACES and place not in known
            ]
            if more:
                first["properties"] = [*known, *more]
    return _merged(document, new) if new else document


def _variety(purl: str) -> str:
    """What tells one package of a name and version from another: its architecture, but not what is no more than a way to write."""
    qualifiers = parse_qsl(purl.partition("#")[0].partition("?")[2])
    return str(sorted(pair for pair in qualifiers if pair[0] != "epoch" and pair != ("type", "jar")))


def _entries(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    entries = document.get("components" if _is_cyclonedx(document) else "packages") or []
    return [entry for entry in entries if isinstance(entry, dict)]


def _identifier(entry: Mapping[str, Any]) -> str:
    """By which the document refers to it: ``SPDXID`` in SPDX, ``bom-ref`` in CycloneDX."""
    return str(entry.get("SPDXID", entry.get("bom-ref")))


def _purl(entry: Mapping[str, Any]) -> str:
    """Of an entry in SPDX, which has it among its references, or in CycloneDX."""
    references = [
        ref.get("referenceLocator") for ref in entry.get("externalRefs") or [] if ref.get("referenceType") == "purl"
    ]
    return str(next(iter(references), entry.get("purl")) or "")


def _is_package(entry: Mapping[str, Any]) -> bool:
    if purl := _purl(entry):
        return part(purl) is not None
    if "SPDXID" in entry:
        return entry.get("primaryPackagePurpose") not in _NO_PACKAGES
    return entry.get("type") in ("library", "framework")


def _merged(document: dict[str, Any], new: Mapping[str, str]) -> dict[str, Any]:
    """Without the entries that ``new`` names; what refers to one refers to the other then, once."""
    left = [entry for entry in _entries(document) if _identifier(entry) not in new]
    if not _is_cyclonedx(document):
        ends = ("spdxElementId", "relatedSpdxElement")
        relations = [
            relation | {end: new.get(relation.get(end), relation.get(end)) for end in ends}
            for relation in document.get("relationships") or []
        ]
        once = {str(sorted(relation.items())): relation for relation in relations}
        return {**document, "packages": left, "relationships": list(once.values())}
    needs: defaultdict[str, dict[str, None]] = defaultdict(dict)  # in order, each once
    for entry in document.get("dependencies") or []:
        needs[new.get(entry["ref"], entry["ref"])] |= {
            new.get(item, item): None for item in entry.get("dependsOn") or []
        }
    dependencies = [
        {"ref": reference, "dependsOn": [item for item in wanted if item != reference]}
        for reference, wanted in needs.items()
    ]
    return {**document, "components": left, "dependencies": dependencies}


def _add_to_cyclonedx(document: dict[str, Any], missing: Sequence[Part]) -> None:
    components = document.setdefault("components", [])
    for index, part in enumerate(missing):
        named = {"group": part.namespace} if part.type == "maven" and part.namespace else {}
        version = {"version": part.version} if part.version else {}
        purl = {"purl": part.purl} if part.purl else {}
        components.append(
            {"bom-ref": f"image-{index}", "type": "library", **named, "name": part.name, **version, **purl}
        )


def _add_to_spdx(document: dict[str, Any], missing: Sequence[Part]) -> None:
    for index, part in enumerate(missing):
        identifier = f"SPDXRef-Package-image-{index}"
        reference = {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": part.purl}
        named = f"{part.namespace}:{part.name}" if part.type == "maven" and part.namespace else part.name
        document.setdefault("packages", []).append(
            {
                "SPDXID": identifier,
                "name": named,
                **({"versionInfo": part.version} if part.version else {}),
                "downloadLocation": "NOASSERTION",
                "filesAnalyzed": False,
                "primaryPackagePurpose": "LIBRARY",
                **({"externalRefs": [reference]} if part.purl else {}),
            }
        )
        document.setdefault("relationships", []).append(
            {"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": identifier}
        )
