"""SARIF 2.1.0 (OASIS) from plain findings: secrets, vulnerabilities, failed checks. A pure function; nothing is read or written.

Finding ids are stable: ``partialFingerprints`` holds the fingerprint that the caller gives, never one that depends on the order or
the time of a run, so that a code host recognises a finding that it has seen before. Of several findings with one fingerprint each
has its number behind it. GitHub reads ``primaryLocationLineHash`` alone, in its own form: the id, a colon, the number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
FINGERPRINT, GITHUB = "deadweight/v1", "primaryLocationLineHash"

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class SarifRule:
    """What kinds of finding there are. ``help_uri`` is a page about the rule; ``security_severity`` 0.0 to 10.0 (CVSS)."""

    id: str
    description: str
    help_uri: str | None = None
    security_severity: float | None = None


@dataclass(frozen=True)
class SarifFinding:
    """One finding.

    ``path`` is a file inside the image (or of the project), ``line`` counts from 1. ``place`` says where else it is (a layer, an
    instruction, ``config.Env[2]``). ``fingerprint`` must be the same in every run. ``suppressed`` is the reason on the allow list.
    """

    rule: str
    message: str
    path: str
    fingerprint: str
    level: Level = "error"
    line: int | None = None
    place: str = ""
    suppressed: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)


def sarif(
    findings: Iterable[SarifFinding],
    *,
    tool_version: str,
    rules: Iterable[SarifRule] = (),
    automation_id: str = "",
) -> dict[str, Any]:
    """One SARIF log with one run. ``automation_id`` tells runs of the same kind apart (a variant's name, say).

    Rules that no finding names are left out; a finding whose rule is not described gets a bare one.
    """
    given = sorted(findings, key=lambda one: (one.rule, one.path, one.place, one.line or 0, one.fingerprint))
    described = {rule.id: rule for rule in rules}
    ids, seen = sorted({one.rule for one in given}), Counter[str]()
    driver = {
        "name": "deadweight",
        "semanticVersion": tool_version,
        "rules": [_rule(described.get(name, SarifRule(name, name))) for name in ids],
    }
    run: dict[str, Any] = {
        "tool": {"driver": driver},
        "columnKind": "utf16CodeUnits",
        "results": [_result(one, ids.index(one.rule), _number(one.fingerprint, seen)) for one in given],
    }
    if automation_id:
        run["automationDetails"] = {"id": f"deadweight/{automation_id}"}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(rule: SarifRule) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": rule.id, "shortDescription": {"text": rule.description}}
    if rule.help_uri:
        entry["helpUri"] = rule.help_uri
    if rule.security_severity is not None:
        entry["properties"] = {"security-severity": f"{rule.security_severity:.1f}"}
    return entry


def _number(fingerprint: str, seen: Counter[str]) -> int:
    seen[fingerprint] += 1
    return seen[fingerprint]


def _result(one: SarifFinding, index: int, number: int) -> dict[str, Any]:
    """``number`` is the finding's among those with its fingerprint."""
    physical: dict[str, Any] = {"artifactLocation": {"uri": _uri(one.path)}}
    if one.line is not None:
        physical["region"] = {"startLine": one.line}
    location: dict[str, Any] = {"physicalLocation": physical}
    if one.place:
        location["logicalLocations"] = [{"fullyQualifiedName": one.place}]
    result: dict[str, Any] = {
        "ruleId": one.rule,
        "ruleIndex": index,
        "level": one.level,
        "message": {"text": one.message},
        "locations": [location],
        "partialFingerprints": {
            FINGERPRINT: one.fingerprint if number == 1 else f"{one.fingerprint}:{number}",
            GITHUB: f"{one.fingerprint}:{number}",
        },
    }
    if one.suppressed is not None:
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": one.suppressed}]
    if one.properties:
        result["properties"] = dict(sorted(one.properties.items()))
    return result


def _uri(path: str) -> str:
    """A relative URI reference (RFC 3986): any byte that a file name may hold is escaped, a leading slash is gone."""
    return quote(path.lstrip("/") or ".", safe="/", errors="surrogateescape")
