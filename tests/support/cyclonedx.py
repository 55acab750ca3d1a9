"""Is a CycloneDX document one? A light look at its structure. Source: the JSON schemas of CycloneDX 1.4 to 1.6."""

import re
from collections.abc import Iterator
from typing import Any

from deadweight.checks.scan.sbom import part

_VERSIONS = ("1.4", "1.5", "1.6", "1.7")
_SERIAL = re.compile(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TYPES = frozenset(
    (
        *("application", "framework", "library", "container", "platform", "operating-system", "device"),
        *("device-driver", "firmware", "file", "machine-learning-model", "data", "cryptographic-asset"),
    )
)


def problems(document: dict[str, Any]) -> list[str]:
    """What keeps a document from being CycloneDX, in a few words each; empty where nothing was found."""
    return [*_of_bom(document), *_of_components(document), *_of_dependencies(document)]


def _of_bom(document: dict[str, Any]) -> Iterator[str]:
    if document.get("specVersion") not in _VERSIONS:
        yield f"specVersion is {document.get('specVersion')!r}"
    if not _SERIAL.fullmatch(str(document.get("serialNumber"))):
        yield f"serialNumber is not a UUID: {document.get('serialNumber')!r}"
    version = document.get("version")
    if not isinstance(version, int) or version < 1:
        yield f"version is {version!r}"


def _of_components(document: dict[str, Any]) -> Iterator[str]:
    seen: set[str] = set()
    for component in _all_components(document):
        name = component.get("name")
        if not name:
            yield f"a component without a name: {component.get('bom-ref')}"
        if component.get("type") not in _TYPES:
            yield f"a component without a type: {name}"
        reference, purl = component.get("bom-ref"), component.get("purl")
        if reference is not None and reference in seen:
            yield f"two components are {reference}"
        seen.add(str(reference))
        if purl is not None and part(str(purl)) is None and not str(purl).startswith("pkg:oci/"):
            yield f"not a package URL: {purl}"


def _of_dependencies(document: dict[str, Any]) -> Iterator[str]:
    known = {str(component.get("bom-ref")) for component in _all_components(document)}
    for dependency in document.get("dependencies") or []:
        for reference in (dependency.get("ref"), *(dependency.get("dependsOn") or [])):
            if str(reference) not in known:
                yield f"a dependency on a component that is not in the document: {reference}"


def _all_components(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    root = (document.get("metadata") or {}).get("component")
    if isinstance(root, dict):
        yield root
    yield from (item for item in document.get("components") or [] if isinstance(item, dict))
