"""Render findings (secrets, vulnerabilities, failed checks) as SARIF 2.1.0 (OASIS) or JUnit XML, and join such files.

Finding ids are stable: ``partialFingerprints`` holds the caller's fingerprint, which never depends on the order or time of a
run, so a code host recognises a finding it has seen before. If several findings share a fingerprint, each gets its number
appended. GitHub reads only ``primaryLocationLineHash``, in its own form: the id, a colon, the number.

JUnit is written and joined with ElementTree. When junitparser (5.0) joins files, it replaces each suite's counts and time with
those of its cases, even if the file gave other ones. It also writes characters that XML forbids, expands entities, accepts
``tests="many"``, and takes 50 ms to import.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from deadweight._errors import ConfigError, wording
from deadweight._packages import images
from deadweight.records.evidence import Evidence

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
FINGERPRINT, GITHUB = "deadweight/v1", "primaryLocationLineHash"

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class SarifFinding:
    """One finding.

    ``path`` is a file inside the image (or of the project), ``line`` counts from 1. ``place`` says where else it is (a layer, an
    instruction, ``config.Env[2]``). ``fingerprint`` must be the same in every run. ``suppressed`` is the reason on the allow list.
    Of its rule: ``description``, a page about it, and how grave it is, 0.0 to 10.0 (CVSS).
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
    description: str = ""
    help_uri: str | None = None
    security_severity: float | None = None


def sarif_run(findings: Iterable[SarifFinding], automation_id: str = "") -> dict[str, Any]:
    """One run of a log. ``automation_id`` tells runs of the same kind apart (a variant's name, say)."""
    ordered = sorted(findings, key=lambda one: (one.rule, one.path, one.place, one.line or 0, one.fingerprint))
    rules = {finding.rule: _rule(finding) for finding in ordered}
    ids, seen = list(rules), Counter[str]()
    version = importlib.metadata.version("deadweight")
    return {
        "tool": {"driver": {"name": "deadweight", "semanticVersion": version, "rules": list(rules.values())}},
        "columnKind": "utf16CodeUnits",
        "results": [_result(finding, ids.index(finding.rule), seen) for finding in ordered],
        **({"automationDetails": {"id": f"deadweight/{automation_id}"}} if automation_id else {}),
    }


def sarif_log(runs: Iterable[Mapping[str, Any]]) -> str:
    """The document with these runs."""
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": list(runs)}, indent=2) + "\n"


def _rule(finding: SarifFinding) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": finding.rule, "shortDescription": {"text": finding.description or finding.rule}}
    if finding.help_uri:
        entry["helpUri"] = finding.help_uri
    if finding.security_severity is not None:
        entry["properties"] = {"security-severity": f"{finding.security_severity:.1f}"}
    return entry


def _result(finding: SarifFinding, index: int, seen: Counter[str]) -> dict[str, Any]:
    seen[finding.fingerprint] += 1
    number = f"{finding.fingerprint}:{seen[finding.fingerprint]}"
    # A relative URI reference (RFC 3986): any byte that a file name may hold is escaped, a leading slash is gone.
    uri = quote(finding.path.lstrip("/") or ".", safe="/", errors="surrogateescape")
    physical: dict[str, Any] = {"artifactLocation": {"uri": uri}}
    if finding.line is not None:
        physical["region"] = {"startLine": finding.line}
    location: dict[str, Any] = {"physicalLocation": physical}
    if finding.place:
        location["logicalLocations"] = [{"fullyQualifiedName": finding.place}]
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": finding.level,
        "message": {"text": finding.message},
        "locations": [location],
        "partialFingerprints": {FINGERPRINT: number.removesuffix(":1"), GITHUB: number},
    }
    if finding.suppressed is not None:
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": finding.suppressed}]
    if finding.properties:
        result["properties"] = dict(sorted(finding.properties.items()))
    return result


# JUnit XML, in the form that CI systems read.

# What XML 1.0 cannot hold, not even escaped (section 2.2).
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _junit(suites: Iterable[Element]) -> str:
    """Test suites as one document, with their counts added up."""
    root = Element("testsuites", {"name": "deadweight"})
    root.extend(list(suites))
    for name in ("tests", "failures", "errors", "skipped"):
        root.set(name, str(sum(int(suite.get(name) or 0) for suite in root)))
    root.set("time", f"{sum(float(suite.get('time') or 0) for suite in root):.3f}")
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _clean(text: str) -> str:
    """Text as XML can hold it: other characters are shown as their escapes."""
    return _FORBIDDEN.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


# Vulnerabilities of scanned images as one SARIF log with a run for each image, for code hosts.

LEVELS: Mapping[str, Level] = {"critical": "error", "high": "error", "medium": "warning"}
CVSS = {"critical": 9.5, "high": 8.0, "medium": 5.5, "low": 2.0}
"""The middle of each severity's band in CVSS v3.1: code hosts sort by a number, the scanner gives a word."""

PACKAGE_DATABASES = {"deb": "var/lib/dpkg/status", "apk": "lib/apk/db/installed", "rpm": "var/lib/rpm"}


def scan_sarif(evidence: Iterable[Evidence]) -> str:
    """The findings of these ``vulnerabilities`` checks. Images that were not scanned have a run that says so and no results."""
    return sarif_log(map(_scan_run, evidence))


def _scan_run(evidence: Evidence) -> dict[str, Any]:
    rows = evidence.data.get("findings") or []
    run = sarif_run((_vulnerability(row, evidence.variant) for row in rows), f"vulnerabilities/{evidence.variant}")
    scanned = evidence.data.get("status") == "scanned"
    invocation: dict[str, Any] = {"executionSuccessful": scanned}
    if not scanned or evidence.data.get("gaps"):
        message = {"text": evidence.data.get("reason") or evidence.reason}
        invocation["toolExecutionNotifications"] = [{"level": "note" if scanned else "error", "message": message}]
    properties = {"databaseUpdatedAt": evidence.provenance.database_updated_at or "none"}
    return {**run, "invocations": [invocation], "properties": properties}


def _vulnerability(row: Mapping[str, Any], variant: str) -> SarifFinding:
    fixed = f", fixed in {row['fixed_version']}" if row.get("fixed_version") else ", not fixed yet"
    kind = str(row.get("purl") or "").removeprefix("pkg:").partition("/")[0]
    path = row.get("path") or PACKAGE_DATABASES.get(kind, "packages")
    key = " ".join(str(row.get(name)) for name in ("id", "kind", "package", "path"))
    used = {True: "; the running service touches it", False: "; the running service did not touch it", None: ""}
    return SarifFinding(
        rule=row["id"],
        message=f"{row['package']} {row['version']} ({row['severity']}){fixed}{used[row.get('reachable')]}",
        path=path,
        fingerprint=hashlib.sha256(f"{variant} {key}".encode()).hexdigest()[:32],
        level=LEVELS.get(row["severity"], "note"),
        place=f"{row['kind']} package {row['package']}",
        suppressed=row.get("exception"),
        properties={"severity": row["severity"], "kind": row["kind"], "version": row["version"]},
        description=row.get("title") or "",
        help_uri=row.get("url"),
        security_severity=CVSS.get(row["severity"]),
    )


# Findings of the layer reader in the forms that other tools read: SARIF and JUnit.


def layers_sarif(report: images.LayersReport, title: str) -> str:
    """The secrets of an image as one SARIF log; ``title`` names the image."""
    return sarif_log([sarif_run(_findings(report), title)])


def layers_junit(report: images.LayersReport, title: str) -> str:
    """One case for each secret, no two of one name, and a passed one where there is none."""
    findings, seen = list(_findings(report)), Counter[str]()
    skipped = sum(finding.suppressed is not None for finding in findings)
    counts = {"tests": len(findings) or 1, "failures": len(findings) - skipped, "errors": 0, "skipped": skipped}
    suite = Element(
        "testsuite", {"name": _clean(title), **{name: str(n) for name, n in counts.items()}, "time": "0.000"}
    )
    common = {"classname": _clean(title), "time": "0.000"}
    for finding in findings:
        name = f"{finding.rule} {finding.path} ({finding.place})"
        seen[name] += 1
        numbered = name if seen[name] == 1 else f"{name} {seen[name]}"
        case = SubElement(suite, "testcase", {"name": _clean(numbered), **common})
        outcome = "failure" if finding.suppressed is None else "skipped"
        SubElement(case, outcome, {"message": _clean(finding.suppressed or finding.message)})
    if not findings:
        SubElement(suite, "testcase", {"name": "no secrets", **common})
    return _junit([suite])


def _findings(report: images.LayersReport) -> Iterator[SarifFinding]:
    """The secrets. A line counts in a file as it lies there: of decoded text it would name some other one. What is in no file has
    ``config`` or ``history`` for a path, its index in ``place``: an instruction more moves it."""
    for file in report.hidden:
        for mark in file.secrets:
            where = f" in a file that layer {file.hidden_index + 1} hides: added by {file.added_by or 'unknown'}; "
            where += f"hidden by {file.hidden_by or 'unknown'}"
            key, place = ("hidden", file.path), f"layer {file.index + 1}"
            yield _secret(mark, where, file.path.lstrip("/"), place, key)
    for secret in report.secrets:
        path = secret.path.lstrip("/") if secret.path else re.split(r"[.\[]", secret.where)[0]
        key = (secret.where.partition("[")[0], secret.path or "")
        where = f" in {images.format_place(secret.path or secret.where, secret.inner)}"
        yield _secret(secret, where, path, secret.where, key)


def _secret(
    mark: images.SecretMark | images.SecretFinding, where: str, path: str, place: str, key: tuple[str, str]
) -> SarifFinding:
    # The same secret in two files is two findings. Numbers of layers and history lines are no part of the fingerprint: an
    # instruction more would make all findings behind it new ones.
    identity = "\0".join((mark.fingerprint, *key, mark.inner)).encode("utf-8", "backslashreplace")
    unsure = "low confidence: may be an example" if mark.confidence == "low" else None
    description = mark.description or mark.rule
    return SarifFinding(
        rule=mark.rule,
        message=f"{description} ({mark.redacted}){where}; fingerprint {mark.fingerprint}",
        path=path,
        fingerprint=hashlib.sha256(identity).hexdigest()[:32],
        line=None if mark.inner else mark.line,
        place=images.format_place(place, mark.inner),
        suppressed=mark.allowed or unsure,
        properties={"description": description, "fingerprint": mark.fingerprint},
        description=description,
    )


# JUnit and SARIF files of several machines as one file each.


def joined_junit(files: Sequence[Path]) -> str:
    """All test suites in one document, with their counts added up. Raises ConfigError for what is no JUnit XML."""
    return _junit(suite for file in files for suite in _joined_suites(file))


def _joined_suites(file: Path) -> list[Element]:
    content = _read(file)
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:  # entities are how XML grows; no JUnit file has any
        raise ConfigError(wording("report.junit_doctype"), file=file)
    try:
        root = ElementTree.fromstring(content)  # noqa: S314 - without entities it cannot grow
        suites = root.findall("testsuite") if root.tag != "testsuite" else [root]
        _junit(suites)  # their counts are numbers
    except (ElementTree.ParseError, ValueError) as error:
        raise ConfigError(wording("report.junit_damaged", problem=error), file=file) from error
    if root.tag not in ("testsuite", "testsuites"):
        raise ConfigError(wording("report.not_junit", root=root.tag), file=file)
    return suites


def joined_sarif(files: Sequence[Path]) -> str:
    """All runs in one log. Of runs with the same category (``automationDetails.id``) the last stays. Raises ConfigError."""
    runs: dict[str, dict[str, Any]] = {}
    for file in files:
        try:
            log = json.loads(_read(file))
            if log["version"] != "2.1.0":
                raise ConfigError(wording("report.sarif_version", version=log["version"]), file=file)
            for number, run in enumerate(log["runs"]):
                runs[(run.get("automationDetails") or {}).get("id") or f"{file}#{number}"] = run
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ConfigError(wording("report.not_sarif", problem=error), file=file) from error
    return sarif_log(runs.values())


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(wording("report.unreadable_file", problem=error.strerror), file=file) from error
