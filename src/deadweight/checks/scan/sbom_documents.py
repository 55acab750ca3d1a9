"""Read and extend SBOM documents in SPDX and CycloneDX.

Tried and rejected: cyclonedx-python-lib and spdx-tools take seconds to load and validate, and drop fields that they do not know;
packageurl-python writes the colon of a Debian epoch differently from the SBOMs written before.

Packages are compared by package URL in one normal form: the same Debian package is ``bsdutils@2.38.1?epoch=1`` for the
scanner and ``bsdutils@1%3A2.38.1`` for others; the same jar appears with and without ``?type=jar``. Source: the package URL
specification and its types apk, deb, golang and maven.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, unquote

COMPARED = ("apk", "deb", "golang", "maven")
"""The types of which our reader sees what is in an image."""

_UNSAID = ("(devel)", "devel", "unknown", "UNKNOWN")


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


def part(purl: str) -> Part | None:
    """A package URL in the normal form; None for what is none, or is an image."""
    bare, _, query = purl.partition("#")[0].partition("?")
    kind, _, rest = bare.removeprefix("pkg:").partition("/")
    name, at, version = rest.rpartition("@")
    if not at or "/" in version:
        name, version = rest, ""
    namespace, name = "", unquote(name)
    if kind not in (
        "golang",
        "npm",
    ):  # a path of these is a name; elsewhere what stands before it is a distribution or a group
        namespace, _, name = name.rpartition("/")
    if not bare.startswith("pkg:") or kind == "oci" or not name:
        return None
    return Part(kind, name, _with_epoch(stated(unquote(version)), query), namespace)


def _with_epoch(version: str, query: str) -> str:
    epoch = parse_qs(query).get("epoch", ["0"])[0]
    return f"{epoch}:{version}" if version and epoch != "0" and not version.startswith(f"{epoch}:") else version


def stated(version: str) -> str:
    """A version, or nothing where it says that there is none."""
    return "" if version in _UNSAID else version


# SBOM documents, SPDX and CycloneDX alike: the packages that one names, how many they are, and adding to them.

_NO_PACKAGES = ("CONTAINER", "OPERATING-SYSTEM", "APPLICATION", "FILE", "SOURCE", "ARCHIVE")


def is_cyclonedx(document: Mapping[str, Any]) -> bool:
    return document.get("bomFormat") == "CycloneDX"


def parts(document: Mapping[str, Any]) -> Iterator[Part]:
    """The packages that an SBOM names by package URL, of the kinds that can be compared."""
    for entry in _entries(document):
        found = part(_purl(document, entry))
        if found is not None and found.type in COMPARED:
            yield found


def packages(document: Mapping[str, Any]) -> int:
    """How many packages an SBOM lists, of every kind; the image itself, its system and files are none."""
    return sum(_is_package(document, entry) for entry in _entries(document))


def without_twins(document: dict[str, Any]) -> dict[str, Any]:
    """Each package once: one that lies in several places is one with several places, and a jar that an SBOM inside the image lists
    with ``?type=jar`` is the one that the scanner sees itself."""
    kept: dict[tuple[Part, str, str], dict[str, Any]] = {}
    new: dict[str, str] = {}
    for entry in sorted(_entries(document), key=lambda each: "type=jar" in _purl(document, each)):
        purl = _purl(document, entry)
        if (found := part(purl)) is None:
            continue
        first = kept.setdefault((found, found.namespace, _variety(purl)), entry)
        if first is not entry:
            new[_identifier(document, entry)] = _identifier(document, first)
            _add_places(first, entry)
    return _merged(document, new) if new else document


def _variety(purl: str) -> str:
    """What tells one package of a name and version from another: its architecture, but not what is no more than a way to write."""
    said = parse_qsl(purl.partition("#")[0].partition("?")[2])
    return str(sorted(each for each in said if each[0] != "epoch" and each != ("type", "jar")))


_PLACES = ("aquasecurity:trivy:FilePath", "aquasecurity:trivy:LayerDiffID")
"""Where the scanner says that a component of CycloneDX lies."""


def _add_places(first: dict[str, Any], entry: Mapping[str, Any]) -> None:
    more = [each for each in entry.get("properties") or () if each.get("name") in _PLACES]
    if more:
        known = first.get("properties") or []
        first["properties"] = [*known, *(each for each in more if each not in known)]


def add(document: dict[str, Any], missing: Sequence[Part]) -> None:
    """List packages that the document lacks."""
    (_add_to_cyclonedx if is_cyclonedx(document) else _add_to_spdx)(document, missing)


def _entries(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    entries = document.get("components" if is_cyclonedx(document) else "packages") or []
    return [entry for entry in entries if isinstance(entry, dict)]


def _identifier(document: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    return str(entry.get("bom-ref" if is_cyclonedx(document) else "SPDXID"))


def _purl(document: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    if is_cyclonedx(document):
        return str(entry.get("purl") or "")
    references = [each for each in entry.get("externalRefs") or [] if each.get("referenceType") == "purl"]
    return str(references[0].get("referenceLocator") or "") if references else ""


def _is_package(document: Mapping[str, Any], entry: Mapping[str, Any]) -> bool:
    purl = _purl(document, entry)
    if purl:
        return part(purl) is not None
    if is_cyclonedx(document):
        return entry.get("type") in ("library", "framework")
    return entry.get("primaryPackagePurpose") not in (*_NO_PACKAGES, None)


def _merged(document: dict[str, Any], new: Mapping[str, str]) -> dict[str, Any]:
    """Without the entries that ``new`` names; what refers to one refers to the other then, once."""
    cyclonedx = is_cyclonedx(document)
    key = "components" if cyclonedx else "packages"
    found = {**document, key: [each for each in _entries(document) if _identifier(document, each) not in new]}
    if not cyclonedx:
        ends = ("spdxElementId", "relatedSpdxElement")
        relations = [
            {**each, **{end: new.get(each.get(end), each.get(end)) for end in ends}}
            for each in document.get("relationships") or []
        ]
        found["relationships"] = _once(relations, lambda each: str(sorted(each.items())))
        return found
    needs: dict[str, list[str]] = {}
    for each in document.get("dependencies") or []:
        wanted = [new.get(item, item) for item in each.get("dependsOn") or []]
        needs.setdefault(new.get(each["ref"], each["ref"]), []).extend(wanted)
    found["dependencies"] = [
        {"ref": reference, "dependsOn": [item for item in dict.fromkeys(wanted) if item != reference]}
        for reference, wanted in needs.items()
    ]
    return found


def _once(items: Sequence[dict[str, Any]], key: Callable[[dict[str, Any]], str]) -> list[dict[str, Any]]:
    return list({key(item): item for item in items}.values())


def _add_to_cyclonedx(document: dict[str, Any], missing: Sequence[Part]) -> None:
    components = document.setdefault("components", [])
    for index, each in enumerate(missing):
        named = {"group": each.namespace} if each.type == "maven" and each.namespace else {}
        version = {"version": each.version} if each.version else {}
        purl = {"purl": each.purl} if each.purl else {}
        components.append(
            {"bom-ref": f"image-{index}", "type": "library", **named, "name": each.name, **version, **purl}
        )


def _add_to_spdx(document: dict[str, Any], missing: Sequence[Part]) -> None:
    for index, each in enumerate(missing):
        identifier = f"SPDXRef-Package-image-{index}"
        reference = {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": each.purl}
        named = f"{each.namespace}:{each.name}" if each.type == "maven" and each.namespace else each.name
        document.setdefault("packages", []).append(
            {
                "SPDXID": identifier,
                "name": named,
                **({"versionInfo": each.version} if each.version else {}),
                "downloadLocation": "NOASSERTION",
                "filesAnalyzed": False,
                "primaryPackagePurpose": "LIBRARY",
                **({"externalRefs": [reference]} if each.purl else {}),
            }
        )
        document.setdefault("relationships", []).append(
            {
                "spdxElementId": "SPDXRef-DOCUMENT",
                "relationshipType": "DESCRIBES",
                "relatedSpdxElement": identifier,
            }
        )
