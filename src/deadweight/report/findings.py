"""Findings of the layer reader in the forms that other tools read: SARIF and JUnit."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from deadweight._packages import images
from deadweight.report.junit import JunitCase, JunitSuite, junit
from deadweight.report.sarif import SarifFinding, SarifRule, sarif

if TYPE_CHECKING:
    from deadweight_images.findings import LayersReport


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
