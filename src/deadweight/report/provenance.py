"""How each figure of a report was got, in words, and the command that gets it anew."""

from __future__ import annotations

import shlex

from deadweight.records.evidence import Provenance
from deadweight.report.model import VariantRecord

COMMANDS = {
    "size": "layers", "reference_size": "report", "ratio": "layers", "compressed": "layers", "layers": "layers",
    "found": "layers", "base": "build --force", "builder": "build --force", "runtime": "layers", "user": "layers",
    "build": "build --force", "startup": "verify --check runs", "vulnerabilities": "scan",
    "reach": "verify --check vulnerabilities", "reference_vulnerabilities": "report", "attacks": "attack",
    "checks": "verify",
}  # fmt: skip
"""The task that gets a column's figure anew, for one variant. ``report`` stands for what is no measurement of ours; ``found`` for
all that the layer reader found."""
PROVENANCE = {"build": "build", "base": "build", "builder": "build", "startup": "startup_seconds", "attacks": "attacks",
                            "vulnerabilities": "vulnerabilities", "reach": "vulnerabilities", "found": "layers"}  # fmt: skip
"""Whose provenance a column has; all others the image's."""


def provenance(name: str, record: VariantRecord) -> dict[str, tuple[str, str]]:
    """By column: a sentence on how its figure was got or why there is none, and the command; empty where there is none."""
    return {column: _one(name, column, record) for column in COMMANDS}


def _one(name: str, column: str, record: VariantRecord) -> tuple[str, str]:
    if column.startswith("reference"):
        found = record.reference
        if found is None:
            return "Nobody's figure is given for it.", ""
        return f"From {found.source}{': ' + found.note if found.note else ''}; not measured here.", ""
    line = command(COMMANDS[column], name)
    if why := _why_not(column, record):
        return f"Not measured: {why}", line
    source = record.provenance.get(PROVENANCE.get(column, "image"))
    if column == "checks":
        source = next((check.provenance for check in record.checks.values() if check.provenance), None)
    if source is None:
        return "Not measured yet.", line
    return f"Got by {provenance_words(source)}{_more(column, record)}", line


def _why_not(column: str, record: VariantRecord) -> str:
    """Why there is no figure although there may be evidence; empty where nothing of that kind is known."""
    scan = record.vulnerabilities
    asked = "vulnerabilities" in record.checks or not record.checks
    if column in ("vulnerabilities", "reach") and scan.status == "not_scanned" and not asked:
        return "the suite does not ask for it"
    if column == "vulnerabilities" and scan.status != "scanned":
        return scan.reason or scan.status.replace("_", " ")
    if column == "reach" and (scan.status != "scanned" or scan.reachability.status != "measured"):
        unwatched = "the service was not watched while it ran"
        return (scan.reachability.reason or unwatched) if scan.status == "scanned" else (scan.reason or "not scanned")
    if column == "startup" and record.startup_seconds is None:
        runs = record.checks.get("runs")
        return runs.reason if runs else "the suite does not ask whether it runs" if record.checks else ""
    return ""


def _more(column: str, record: VariantRecord) -> str:
    scan = record.vulnerabilities
    if column == "reach" and scan.reachability.reason:
        return f"; {scan.reachability.reason}"
    return f"; not covered: {scan.reason}" if column == "vulnerabilities" and scan.reason else ""


def command(task: str, variant: str) -> str:
    """``invoke verify --variant apko``."""
    name, _, options = task.partition(" ")
    return " ".join(part for part in ("invoke", name, "--variant", shlex.quote(variant), options) if part)


def provenance_words(found: Provenance) -> str:
    """By what, on which engine of a pool, when, of which image, with which database."""
    place = f" {found.place}" if found.place else ""
    database = f"; database of {found.database_updated_at}" if found.database_updated_at else ""
    image = f"; image {found.image_digest}" if found.image_digest else ""
    return f"{found.tool}{place} {found.tool_version}, {found.at}{database}{image}"
