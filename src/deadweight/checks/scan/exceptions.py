"""Findings that somebody accepted, with a reason: the suite's ignore list and OpenVEX documents (https://openvex.dev, 0.2.0)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from deadweight._errors import ConfigError
from deadweight.checks.scan.model import Found
from deadweight.suite.model import Suite, Variant

MAX_VEX_BYTES = 16 * 2**20
STATUSES = ("not_affected", "affected", "fixed", "under_investigation")
QUIETING = ("not_affected", "fixed")


@dataclass(frozen=True)
class Acceptance:
    """One accepted vulnerability. ``packages``: names or package URLs, empty for all. ``origin`` is shown where it is told of."""

    id: str
    reason: str
    origin: str
    packages: tuple[str, ...] = ()
    expires: date | None = None

    def expired(self, today: date) -> bool:
        return self.expires is not None and self.expires < today

    def covers(self, finding: Found) -> bool:
        """Whether this finding is meant, by its id or another id of the same flaw."""
        if self.id.upper() not in {finding.id.upper(), *(alias.upper() for alias in finding.aliases)}:
            return False
        return not self.packages or any(_same_package(package, finding) for package in self.packages)


def acceptances(suite: Suite, variant: Variant) -> tuple[Acceptance, ...]:
    """All that the suite accepts of a variant. Raises ConfigError (file, line) for a wrong VEX document."""
    asked = variant.checks.vulnerabilities
    if asked is None:
        return ()
    found = []
    for entry in asked.ignore:
        packages, expires = (entry.package,) if entry.package else (), date.fromisoformat(entry.expires)
        found.append(Acceptance(entry.id, entry.reason, f"ignore list: {entry.id}", packages, expires))
    for place in asked.vex:
        found += _vex(suite.root / place, {variant.name, suite.name})
    return tuple(found)


def _vex(file: Path, image_names: set[str]) -> Iterator[Acceptance]:
    document, lines = _read(file)
    statements = document.get("statements")
    if "openvex" not in str(document.get("@context", "")) or not isinstance(statements, list):
        raise ConfigError("is not an OpenVEX document", file=file, hint="https://openvex.dev describes the format")
    for index, statement in enumerate(statements):
        if not isinstance(statement, dict):
            raise _wrong(file, lines, index, "a statement must be a mapping")
        status = statement.get("status")
        if status not in STATUSES:
            raise _wrong(file, lines, index, f"expected a status of {', '.join(STATUSES)}, found {status!r}")
        if status in QUIETING:
            yield from _accepted(file, lines, index, statement, image_names)


def _accepted(
    file: Path, lines: Mapping[Any, int], index: int, statement: Mapping[str, Any], image_names: set[str]
) -> Iterator[Acceptance]:
    """``not_affected`` and ``fixed`` statements about this image, or about a package wherever it is."""
    reason = next(
        (str(statement[key]) for key in ("impact_statement", "justification", "status_notes") if statement.get(key)), ""
    )
    if not reason:
        if statement["status"] == "not_affected":
            raise _wrong(file, lines, index, "the status not_affected needs a justification or an impact_statement")
        reason = "fixed"
    vulnerability = statement.get("vulnerability")
    name = vulnerability.get("name") or vulnerability.get("@id") if isinstance(vulnerability, dict) else vulnerability
    products = statement.get("products")
    if not name or not isinstance(products, list) or not products:
        raise _wrong(file, lines, index, "a statement must name a vulnerability and at least one product")
    for product in products:
        identity = str(product.get("@id") or "") if isinstance(product, dict) else str(product)
        parts = product.get("subcomponents") or [] if isinstance(product, dict) else []
        inside = tuple(str(part.get("@id") or "") if isinstance(part, dict) else str(part) for part in parts)
        origin = f"{file.name}: {name}"
        if _names_image(identity, image_names):
            yield Acceptance(str(name).rpartition("/")[2], reason, origin, inside)
        elif identity.startswith("pkg:") and not identity.startswith(("pkg:oci/", "pkg:docker/")):
            yield Acceptance(str(name).rpartition("/")[2], reason, origin, (identity,))


def _names_image(identity: str, names: set[str]) -> bool:
    if identity.startswith(("pkg:oci/", "pkg:docker/")):
        identity = identity.partition("/")[2]
    bare = identity.partition("@")[0].partition("?")[0].rpartition("/")[2]
    return bare.partition(":")[0] in names


def _read(file: Path) -> tuple[dict[str, Any], dict[Any, int]]:
    """The document, and the line of each key where that can be told."""
    try:
        data = file.read_bytes()[: MAX_VEX_BYTES + 1]
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=file) from None
    if len(data) > MAX_VEX_BYTES:
        raise ConfigError(
            f"is larger than {MAX_VEX_BYTES // 2**20} MiB, the most that is read of an OpenVEX document",
            file=file,
            line=1,
            hint="keep only the statements about this suite's images",
        )
    try:
        document = json.loads(data)
    except json.JSONDecodeError as error:
        raise ConfigError(f"is not JSON: {error.msg}", file=file, line=error.lineno) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"is not JSON: {error}", file=file, line=1) from None
    if not isinstance(document, dict):
        raise ConfigError(
            "is not an OpenVEX document", file=file, line=1, hint="https://openvex.dev describes the format"
        )
    return document, _lines(data.decode("utf-8", "replace"), file)


def _lines(text: str, file: Path) -> dict[Any, int]:
    """JSON is nearly always YAML too, whose reader knows lines."""
    from deadweight.suite.yaml_nodes import parse

    try:
        return dict(parse(text.replace("\t", " "), file).lines)
    except ConfigError:
        return {}


def _wrong(file: Path, lines: Mapping[Any, int], index: int, message: str) -> ConfigError:
    return ConfigError(message, file=file, line=lines.get(("statements", index)), key=f"statements[{index}]")


def _same_package(wanted: str, finding: Found) -> bool:
    """By name, or by package URL: type, name and, where it is given, version; qualifiers do not matter."""
    if not wanted.startswith("pkg:"):
        return wanted == finding.package
    name, version = _purl(wanted)
    found_name, found_version = _purl(finding.purl)
    return name == found_name and version in ("", found_version)


def _purl(purl: str) -> tuple[str, str]:
    bare = unquote(purl.partition("#")[0].partition("?")[0])
    name, at, version = bare.rpartition("@")
    return (name, version) if at and "/" not in version else (bare, "")


def applied(findings: Sequence[Found], accepted: Sequence[Acceptance], today: date) -> dict[int, Acceptance]:
    """Which finding (by its position) is accepted by what; entries that have expired accept nothing."""
    valid = [entry for entry in accepted if not entry.expired(today)]
    result: dict[int, Acceptance] = {}
    for index, finding in enumerate(findings):
        entry = next((entry for entry in valid if entry.covers(finding)), None)
        if entry is not None:
            result[index] = entry
    return result
