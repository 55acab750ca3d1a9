"""Is an SPDX 2.3 document one? A light look at its structure, and the repair of what a builder is known to get wrong.

Source: SPDX 2.3, clauses 3.2 (identifiers), 6 (document), 7 (packages), 11 (relationships).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from deadweight.checks.scan.purl import part

DOCUMENT = "SPDXRef-DOCUMENT"
_IDENTIFIER = re.compile(r"SPDXRef-[A-Za-z0-9.-]+")
_CREATED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_CREATOR = re.compile(r"(Tool|Person|Organization): ?\S")
_ELSEWHERE = re.compile(r"NONE|NOASSERTION|DocumentRef-[A-Za-z0-9.-]+:SPDXRef-[A-Za-z0-9.-]+")
_CATEGORIES = ("SECURITY", "PACKAGE-MANAGER", "PACKAGE_MANAGER", "PERSISTENT-ID", "PERSISTENT_ID", "OTHER")


def repaired(document: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """The document with identifiers of allowed characters only, and how many had others. All that refers to one goes along.

    ko writes ``SPDXRef-Package-example.com.app-(devel)``, and the version ``(devel)`` into a package URL.
    """
    known = {str(each.get("SPDXID")) for each in _elements(document)}
    new: dict[str, str] = {}
    for identifier in sorted(known):
        if not _IDENTIFIER.fullmatch(identifier):
            new[identifier] = _free(identifier, known | set(new.values()))
    changed = _renamed(copy.deepcopy(document), new) if new else document
    found: dict[str, Any] = changed if isinstance(changed, dict) else document
    return _without_devel(found), len(new)


def _free(identifier: str, taken: set[str]) -> str:
    plain = "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]+", "-", identifier.removeprefix("SPDXRef-")).strip("-")
    name, number = plain, 1
    while name in taken or name == "SPDXRef-":
        number += 1
        name = f"{plain}-{number}"
    return name


_REFERENCES = ("SPDXID", "spdxElementId", "relatedSpdxElement")


def _renamed(value: Any, new: dict[str, str], key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _renamed(item, new, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, new, key) for item in value]
    refers = key in (*_REFERENCES, "documentDescribes", "hasFiles", "packageVerificationCodeExcludedFiles")
    return new.get(value, value) if refers and isinstance(value, str) else value


def _without_devel(document: dict[str, Any]) -> dict[str, Any]:
    for package in _listed(document, "packages"):
        for reference in _listed(package, "externalRefs"):
            locator = str(reference.get("referenceLocator"))
            if reference.get("referenceType") == "purl" and "@(devel)" in locator:
                reference["referenceLocator"] = locator.replace("@(devel)", "")
    return document


def problems(document: dict[str, Any]) -> list[str]:
    """What keeps it from being SPDX 2.3, in a few words each; empty where nothing was found."""
    return [*_of_document(document), *_of_elements(document), *_of_relationships(document)]


def _of_document(document: dict[str, Any]) -> Iterator[str]:
    if document.get("spdxVersion") not in ("SPDX-2.2", "SPDX-2.3"):
        yield f"spdxVersion is {document.get('spdxVersion')!r}"
    if document.get("dataLicense") != "CC0-1.0":
        yield "dataLicense is not CC0-1.0"
    if document.get("SPDXID") != DOCUMENT:
        yield f"the document's SPDXID is not {DOCUMENT}"
    if not document.get("name"):
        yield "the document has no name"
    namespace = str(document.get("documentNamespace", ""))
    if not urlsplit(namespace).scheme or "#" in namespace:
        yield f"documentNamespace is not a URI without a fragment: {namespace!r}"
    creation = document.get("creationInfo")
    creation = creation if isinstance(creation, dict) else {}
    if not _CREATED.fullmatch(str(creation.get("created"))):
        yield f"creationInfo.created is not a time in UTC: {creation.get('created')!r}"
    creators = creation.get("creators") or []
    if not creators or not all(_CREATOR.match(str(each)) for each in creators):
        yield "creationInfo.creators names no tool, person or organization"


def _of_elements(document: dict[str, Any]) -> Iterator[str]:
    seen: set[str] = set()
    for element in _elements(document):
        identifier = str(element.get("SPDXID"))
        if not _IDENTIFIER.fullmatch(identifier):
            yield f"no SPDXID: {identifier}"
        if identifier in seen:
            yield f"two elements are {identifier}"
        seen.add(identifier)
    for package in _listed(document, "packages"):
        if not package.get("name"):
            yield f"a package without a name: {package.get('SPDXID')}"
        if not package.get("downloadLocation"):
            yield f"a package without a downloadLocation: {package.get('name')}"
        for reference in _listed(package, "externalRefs"):
            category, locator = reference.get("referenceCategory"), str(reference.get("referenceLocator", ""))
            if category not in _CATEGORIES or not locator or not reference.get("referenceType"):
                yield f"an incomplete external reference: {package.get('name')}"
            elif reference["referenceType"] == "purl" and part(locator) is None and not locator.startswith("pkg:oci/"):
                yield f"not a package URL: {locator}"


def _of_relationships(document: dict[str, Any]) -> Iterator[str]:
    known = {DOCUMENT, *(str(each.get("SPDXID")) for each in _elements(document))}
    for relation in _listed(document, "relationships"):
        for end in (str(relation.get("spdxElementId")), str(relation.get("relatedSpdxElement"))):
            if end not in known and not _ELSEWHERE.fullmatch(end):
                yield f"a relationship with an element that is not in the document: {end}"
        if not relation.get("relationshipType"):
            yield f"a relationship without a type: {relation.get('spdxElementId')}"


def _elements(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for kind in ("packages", "files", "snippets"):
        yield from _listed(document, kind)


def _listed(holder: dict[str, Any], key: str) -> list[dict[str, Any]]:
    items = holder.get(key)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
