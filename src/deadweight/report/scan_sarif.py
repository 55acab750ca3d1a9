"""Vulnerabilities of scanned images as one SARIF log with a run for each image, for code hosts."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Iterable, Mapping
from typing import Any

from deadweight.records.evidence import Evidence
from deadweight.report.sarif import SCHEMA, Level, SarifFinding, SarifRule, sarif

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
    rules = {row["id"]: _rule(row) for row in rows}
    version = importlib.metadata.version("deadweight")
    log = sarif(
        [_finding(row, found.variant) for row in rows],
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


def _rule(row: Mapping[str, Any]) -> SarifRule:
    return SarifRule(row["id"], row.get("title") or row["id"], row.get("url"), CVSS.get(row["severity"]))


def _finding(row: Mapping[str, Any], variant: str) -> SarifFinding:
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
