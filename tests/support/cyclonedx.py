"""Is a CycloneDX document one? By its own JSON schema, and no component is missing or there twice."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL


def problems(document: dict[str, Any]) -> list[str]:
    """What keeps a document from being CycloneDX; empty where nothing was found. A ValueError is a package URL that is none."""
    validator = JsonStrictValidator(SchemaVersion.from_version(document["specVersion"]))
    refused = validator.validate_str(json.dumps(document))
    return [*([str(refused)] if refused else []), *_of_references(document)]


def _of_references(document: dict[str, Any]) -> Iterator[str]:
    components = [*document.get("components", []), (document.get("metadata") or {}).get("component") or {}]
    for purl in (each["purl"] for each in components if "purl" in each):
        PackageURL.from_string(purl)
    known = Counter(each["bom-ref"] for each in components if "bom-ref" in each)
    yield from (f"two components are {reference}" for reference, count in known.items() if count > 1)
    for dependency in document.get("dependencies", []):
        unknown = {dependency["ref"], *dependency.get("dependsOn", [])} - set(known)
        yield from (f"a dependency on a component that is not in the document: {each}" for each in unknown)
