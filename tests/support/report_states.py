"""The four states in which people meet a report, made from any report.json: passing, failing, worse than before, and stale.

``python -m tests.support.report_states REPORT.json FOLDER`` writes a page of each, to look at.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from deadweight._errors import wording
from deadweight.report.compare import Comparison, compare
from deadweight.report.history import load_report, write_report
from deadweight.report.model import CheckRecord, Finding, LayerRecord, Report, VariantRecord, VulnerabilitiesRecord
from deadweight.report.verdict import verdict


def _changed(report: Report, name: str, record: VariantRecord) -> Report:
    return replace(report, variants={**report.variants, name: record})


def _winner(report: Report) -> tuple[str, VariantRecord]:
    name = next(finding.winner for finding in verdict(report).findings if finding.winner)
    return name, report.variants[name]


def failing(report: Report) -> Report:
    """What was to be shipped does not answer."""
    name, record = _winner(report)
    wrong = replace(
        record.checks["api"], status="fail", expected=False, reason="1 of 15 requests: GET /version: 500, expected 200"
    )
    return _changed(report, name, replace(record, checks={**record.checks, "api": wrong}))


def worse(report: Report) -> Report:
    """What is to be shipped has one more layer, of 9 MB, and a critical CVE in what that installs."""
    name, record = _winner(report)
    image, scan = record.image, record.vulnerabilities
    assert image is not None
    assert image.size_bytes is not None
    assert scan.total is not None
    layer = LayerRecord(
        9_000_000, "sha256:" + "9" * 64, "sha256:" + "8" * 64, 4_000_000, "RUN apt-get install -y curl # buildkit"
    )
    larger = replace(
        image,
        config_digest="sha256:" + "7" * 64,
        size_bytes=image.size_bytes + 9_000_000,
        layers=(*image.layers, layer),
    )
    flaw = Finding(
        "CVE-2026-4242",
        "libcurl4",
        "critical",
        "7.88.1-10",
        "7.88.1-11",
        title="a heap overflow in the SOCKS5 handshake",
    )
    severities = {**scan.by_severity, "critical": scan.by_severity.get("critical", 0) + 1}
    found = replace(scan, total=scan.total + 1, findings=(*scan.findings, flaw), by_severity=severities)
    return _changed(report, name, replace(record, image=larger, vulnerabilities=found))


def stale(report: Report) -> Report:
    """What was to be shipped was built anew after its checks, and so was the one before it."""
    name, record = _winner(report)
    for each in (name, next(iter(report.variants))):
        old = report.variants[each]
        why = f"stale: measured on an earlier image; `invoke verify --variant {each}` measures this one"
        checks = dict.fromkeys(old.checks, CheckRecord("not_measured", True, why, why_not="stale"))
        assert old.image is not None
        image = replace(old.image, config_digest="sha256:" + "6" * 64)
        notes = tuple(wording("report.check_of_earlier_image", check=check) for check in ("layers", "vulnerabilities"))
        unknown: dict[str, Any] = {
            "attacks": {},
            "attack_split": None,
            "layers": None,
            "startup_seconds": None,
            "startup_samples": (),
        }
        scan = VulnerabilitiesRecord(
            reason=f"measured on an earlier image; `invoke scan --variant {each}` measures this one"
        )
        record = replace(old, checks=checks, image=image, vulnerabilities=scan, notes=notes, **unknown)
        report = _changed(report, each, record)
    return report


def states(report: Report) -> Iterator[tuple[str, Report, Comparison | None]]:
    yield "passing", report, None
    yield "failing", failing(report), None
    later = replace(worse(report), generated_at="2026-12-02T09:00:00+00:00")
    yield "worse", later, compare(report, later)
    yield "stale", stale(report), None


if __name__ == "__main__":
    for state, made, changed in states(load_report(Path(sys.argv[1]))):
        folder = Path(sys.argv[2]) / state
        folder.mkdir(parents=True, exist_ok=True)
        print(write_report(made, folder, changed).html)
