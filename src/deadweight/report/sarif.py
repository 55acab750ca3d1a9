"""Render findings (secrets, vulnerabilities, failed checks) as SARIF 2.1.0 (OASIS) or JUnit XML, and join such files.

Finding ids are stable: ``partialFingerprints`` holds the caller's fingerprint, which never depends on the order or time of a
run, so a code host recognises a finding it has seen before. If several findings share a fingerprint, each gets its number
appended. GitHub reads only ``primaryLocationLineHash``, in its own form: the id, a colon, the number.
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
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from deadweight._errors import ConfigError, wording
from deadweight._packages import images
from deadweight.records.evidence import Evidence

if TYPE_CHECKING:
    from deadweight_images.findings import LayersReport


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


# JUnit XML from plain records, in the form that CI systems read. A pure function; nothing is read or written.

# What XML 1.0 cannot hold, not even escaped (section 2.2).
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class JunitCase:
    """One case: passed unless one of ``failure`` (found something), ``error`` (could not tell) or ``skipped`` has a reason.

    ``seconds`` is how long it took. ``detail`` is the text below the reason.
    """

    name: str
    classname: str
    seconds: float = 0.0
    failure: str | None = None
    error: str | None = None
    skipped: str | None = None
    detail: str = ""


@dataclass(frozen=True)
class JunitSuite:
    """Cases that belong together (a variant, a scan). ``timestamp`` is ISO 8601, left out where None."""

    name: str
    cases: tuple[JunitCase, ...]
    timestamp: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)


def junit(suites: Iterable[JunitSuite], *, name: str = "deadweight") -> str:
    """The document as text. The same records give the same bytes."""
    given = tuple(suites)
    root = Element("testsuites", {"name": _clean(name), **_counts([case for suite in given for case in suite.cases])})
    for suite in given:
        root.append(_suite(suite))
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _suite(suite: JunitSuite) -> Element:
    attributes = {"name": _clean(suite.name), **_counts(suite.cases)}
    if suite.timestamp is not None:
        attributes["timestamp"] = suite.timestamp
    element = Element("testsuite", attributes)
    if suite.properties:
        properties = SubElement(element, "properties")
        for key, value in sorted(suite.properties.items()):
            SubElement(properties, "property", {"name": _clean(key), "value": _clean(value)})
    for case in suite.cases:
        element.append(_case(case))
    return element


def _case(case: JunitCase) -> Element:
    head = {"name": _clean(case.name), "classname": _clean(case.classname), "time": f"{case.seconds:.3f}"}
    element = Element("testcase", head)
    for kind, reason in (("failure", case.failure), ("error", case.error), ("skipped", case.skipped)):
        if reason is not None:
            outcome = SubElement(element, kind, {"message": _clean(reason)})
            outcome.text = _clean(case.detail) or None
            break
    return element


def _counts(cases: Iterable[JunitCase]) -> dict[str, str]:
    given = tuple(cases)
    failed = sum(case.failure is not None for case in given)
    errors = sum(case.failure is None and case.error is not None for case in given)
    skipped = sum(case.failure is None and case.error is None and case.skipped is not None for case in given)
    return {
        "tests": str(len(given)),
        "failures": str(failed),
        "errors": str(errors),
        "skipped": str(skipped),
        "time": f"{sum(case.seconds for case in given):.3f}",
    }


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
    runs = [run for found in evidence for run in _log(found)["runs"]]
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": runs}, indent=2) + "\n"


def _log(found: Evidence) -> dict[str, Any]:
    rows = found.data.get("findings") or []
    rules = {row["id"]: _vulnerability_rule(row) for row in rows}
    version = importlib.metadata.version("deadweight")
    log = sarif(
        [_vulnerability(row, found.variant) for row in rows],
        tool_version=version,
        rules=rules.values(),
        automation_id=f"vulnerabilities/{found.variant}",
    )
    for run in log["runs"]:
        scanned = found.data.get("status") == "scanned"
        invocation: dict[str, Any] = {"executionSuccessful": scanned}
        if not scanned or found.data.get("gaps"):
            message = {"text": found.data.get("reason") or found.reason}
            invocation["toolExecutionNotifications"] = [{"level": "note" if scanned else "error", "message": message}]
        run["invocations"] = [invocation]
        run["properties"] = {"databaseUpdatedAt": found.provenance.database_updated_at or "none"}
    return log


def _vulnerability_rule(row: Mapping[str, Any]) -> SarifRule:
    return SarifRule(row["id"], row.get("title") or row["id"], row.get("url"), CVSS.get(row["severity"]))


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
    )


# Findings of the layer reader in the forms that other tools read: SARIF and JUnit.


def layers_sarif(report: LayersReport, title: str) -> str:
    """The secrets of an image as one SARIF log; ``title`` names the image."""
    findings = tuple(_findings(report))
    rules = [SarifRule(each.rule, each.properties["description"]) for each in findings]
    version = importlib.metadata.version("deadweight")
    document = sarif(
        findings, tool_version=version, rules={rule.id: rule for rule in rules}.values(), automation_id=title
    )
    return json.dumps(document, indent=2) + "\n"


def layers_junit(report: LayersReport, title: str) -> str:
    """One case for each secret, no two of one name, and a passed one where there is none."""
    cases, seen = [], Counter[str]()
    for each in _findings(report):
        name = f"{each.rule} {each.path} ({each.place})"
        seen[name] += 1
        name = name if seen[name] == 1 else f"{name} {seen[name]}"
        cases.append(JunitCase(name, title, failure=None if each.suppressed else each.message, skipped=each.suppressed))
    return junit([JunitSuite(title, tuple(cases) or (JunitCase("no secrets", title),))])


def _findings(report: LayersReport) -> Iterator[SarifFinding]:
    """The secrets. A line counts in a file as it lies there: of decoded text it would name some other one. What is in no file has
    ``config`` or ``history`` for a path, its index in ``place``: an instruction more moves it."""
    for file in report.hidden:
        for mark in file.secrets:
            yield SarifFinding(
                rule=mark.rule,
                message=f"{mark.description or mark.rule} ({mark.redacted}) in a file that layer {file.hidden_index + 1} hides: "
                f"added by {file.added_by or 'unknown'}; hidden by {file.hidden_by or 'unknown'}; "
                f"fingerprint {mark.fingerprint}",
                path=file.path.lstrip("/"),
                fingerprint=_id(mark.fingerprint, "hidden", file.path, mark.inner),
                line=None if mark.inner else mark.line,
                place=images.placed(f"layer {file.index + 1}", mark.inner),
                suppressed=mark.allowed or _unsure(mark.confidence),
                properties={"description": mark.description or mark.rule, "fingerprint": mark.fingerprint},
            )
    for each in report.secrets:
        yield SarifFinding(
            rule=each.rule,
            message=f"{each.description or each.rule} ({each.redacted}) in "
            f"{images.placed(each.path or each.where, each.inner)}; fingerprint {each.fingerprint}",
            path=each.path.lstrip("/") if each.path else re.split(r"[.\[]", each.where)[0],
            fingerprint=_id(each.fingerprint, each.where.partition("[")[0], each.path or "", each.inner),
            line=None if each.inner else each.line,
            place=images.placed(each.where, each.inner),
            suppressed=each.allowed or _unsure(each.confidence),
            properties={"description": each.description or each.rule, "fingerprint": each.fingerprint},
        )


def _unsure(confidence: str) -> str | None:
    return "low confidence: may be an example" if confidence == "low" else None


def _id(secret: str, *place: str) -> str:
    """A finding's own id: the same secret in two files is two findings. Numbers of layers and history lines are no part of it:
    an instruction more would make all findings behind it new ones."""
    return hashlib.sha256("\0".join((secret, *place)).encode("utf-8", "backslashreplace")).hexdigest()[:32]


# JUnit and SARIF files of several machines as one file each.

COUNTS = ("tests", "failures", "errors", "skipped")


def joined_junit(files: Sequence[Path]) -> str:
    """All test suites in one document, with their counts added up. Raises ConfigError for what is no JUnit XML."""
    root = Element("testsuites", {"name": "deadweight"})
    for file in files:
        root.extend(_joined_suites(file))
    for name in COUNTS:
        root.set(name, str(sum(int(each.get(name) or 0) for each in root)))
    root.set("time", f"{sum(float(each.get('time') or 0) for each in root):.3f}")
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _joined_suites(file: Path) -> list[Element]:
    content = _read(file)
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:  # entities are how XML grows; no JUnit file has any
        raise ConfigError(wording("report.junit_doctype"), file=file)
    try:
        root = ElementTree.fromstring(content)  # noqa: S314 - without entities it cannot grow
        found = [root] if root.tag == "testsuite" else list(root.iter("testsuite"))
        for each in found:
            [int(each.get(name) or 0) for name in COUNTS]
    except (ElementTree.ParseError, ValueError) as error:
        raise ConfigError(wording("report.junit_damaged", problem=error), file=file) from error
    if root.tag not in ("testsuite", "testsuites"):
        raise ConfigError(wording("report.not_junit", root=root.tag), file=file)
    return found


def joined_sarif(files: Sequence[Path]) -> str:
    """All runs in one log. Of runs with the same category (``automationDetails.id``) the last stays. Raises ConfigError."""
    runs: dict[str, dict[str, Any]] = {}
    for file in files:
        try:
            log = json.loads(_read(file))
            found = list(log["runs"])
            if log["version"] != "2.1.0":
                raise ConfigError(wording("report.sarif_version", version=log["version"]), file=file)
            for number, run in enumerate(found):
                runs[(run.get("automationDetails") or {}).get("id") or f"{file}#{number}"] = run
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ConfigError(wording("report.not_sarif", problem=error), file=file) from error
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": list(runs.values())}, indent=2) + "\n"


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(wording("report.unreadable_file", problem=error.strerror), file=file) from error
