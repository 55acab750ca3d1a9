"""Findings of the layer reader in the forms that other tools read: SARIF and JUnit."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from deadweight.report.junit import JunitCase, JunitSuite, junit
from deadweight.report.sarif import SarifFinding, SarifRule, sarif

if TYPE_CHECKING:
    from deadweight.image.findings import LayersReport


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
    """One case for each secret, and a passed one where there is none."""
    cases = tuple(
        JunitCase(
            f"{each.rule} {each.path}",
            title,
            failure=None if each.suppressed else each.message,
            skipped=each.suppressed,
        )
        for each in _findings(report)
    )
    return junit([JunitSuite(title, cases or (JunitCase("no secrets", title),))])


def _findings(report: LayersReport) -> Iterator[SarifFinding]:
    for file in report.hidden:
        for mark in file.secrets:
            yield SarifFinding(
                rule=mark.rule,
                message=f"{mark.description or mark.rule} ({mark.redacted}) in a file that layer {file.hidden_index + 1} hides: "
                f"added by {file.added_by or 'unknown'}; hidden by {file.hidden_by or 'unknown'}",
                path=file.path.lstrip("/"),
                fingerprint=mark.fingerprint,
                line=mark.line,
                place=f"layer {file.index + 1}{mark.inner}",
                suppressed=mark.allowed,
                properties={"description": mark.description or mark.rule},
            )
    for each in report.secrets:
        yield SarifFinding(
            rule=each.rule,
            message=f"{each.description or each.rule} ({each.redacted}) in {each.path or each.where}",
            path=(each.path or each.where).lstrip("/"),
            fingerprint=each.fingerprint,
            line=each.line,
            place=f"{each.where}{each.inner}",
            suppressed=each.allowed,
            properties={"description": each.description or each.rule},
        )
