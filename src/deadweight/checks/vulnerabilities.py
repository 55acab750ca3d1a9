"""``vulnerabilities``: what a scanner's database knows of the image's packages.

Evidence data is the contract's ``variants.<name>.vulnerabilities``, with more: ``by_kind`` (counts of ``os``, ``language`` and
``kernel_headers`` apart), ``ids`` (distinct ids), ``copies`` (in how many places they are), ``accepted`` (findings taken off the
counts by an exception), ``gates``, ``unused_exceptions``, ``database.age_days``, ``os`` and the ``executed`` programs of
``reachability``.

``scanned``, ``not_scanned`` (no database, no scanner) and ``not_covered`` (the database knows nothing of what is in the image) are
three different things; the last two have no counts. A check that could not scan fails nothing: ``invoke scan --strict`` does.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any

from deadweight._errors import MissingError
from deadweight.checks.evidence import evidence, now
from deadweight.checks.protocol import Subject
from deadweight.checks.scan import cache
from deadweight.checks.scan import coverage as knows
from deadweight.checks.scan.database import LOCAL, Database, current
from deadweight.checks.scan.exceptions import Acceptance, acceptances, applied
from deadweight.checks.scan.gates import Gate, baseline_keys, exception_gates, severity_gates
from deadweight.checks.scan.model import SEVERITIES, Counts, Coverage, Found, Reach, ScannedImage, count, distinct
from deadweight.checks.scan.reachability import observed, reachability, reachable
from deadweight.checks.scan.trivy import scanner
from deadweight.records.evidence import Evidence, Provenance, Status
from deadweight.suite.checks import VulnerabilitiesCheck
from deadweight.suite.model import Variant

NOT_COVERED_HINT = (
    "if no database covers this image, turn the check off for the variant with checks: {vulnerabilities: null}"
)


@dataclass(frozen=True)
class _Judged:
    """All that is known of one image. ``flags`` and ``reasons`` go with the findings of ``image``, in their order."""

    image: ScannedImage
    database: Database
    coverage: Coverage
    reach: Reach
    flags: tuple[bool | None, ...]
    reasons: tuple[str | None, ...]
    gates: tuple[Gate, ...]
    used: frozenset[str]

    @property
    def counted(self) -> tuple[Found, ...]:
        """Findings that nobody accepted."""
        return tuple(row for row, why in zip(self.image.findings, self.reasons, strict=True) if why is None)


class Vulnerabilities:
    """The check. It is asked for where the variant has ``checks.vulnerabilities``. An engine only shows what is reached."""

    name = "vulnerabilities"
    needs_engine = False

    def applies(self, variant: Variant) -> bool:
        return variant.checks.vulnerabilities is not None

    def run(self, subject: Subject) -> Evidence:
        """Scan, judge, and see what the running service touches. Raises ConfigError, ArchiveError, CommandError."""
        return scanned(subject, may_run=True)


def scanned(subject: Subject, *, may_run: bool, strict: bool = False) -> Evidence:
    """The evidence of one variant. ``may_run``: its service may be started to see what it touches.

    With ``strict`` an old database and an image of which nothing is known fail; a missing database raises MissingError.
    """
    started = time.monotonic()
    accepted, baseline = acceptances(subject.suite, subject.variant), baseline_keys(subject.suite, subject.variant)
    try:
        database = current()
        buckets = database.buckets()
        scanner()
    except MissingError as missing:
        if strict:
            raise
        return _not_scanned(subject, missing, started)
    image = cache.scan(subject, database, buckets).image
    seen = knows.coverage(image, buckets, has_os=subject.built.base is not None, lacks=database.lacks)
    observation = observed(subject, may_run=may_run) if seen.anything else "the scanner recognized nothing in the image"
    flags: tuple[bool | None, ...] = (None,) * len(image.findings)
    if not isinstance(observation, str):
        flags = reachable(image.findings, image.owners, observation)
    taken = applied(image.findings, accepted, date.today())  # noqa: DTZ011 - expiry dates are the user's own days
    reasons = tuple(taken[index].reason if index in taken else None for index in range(len(image.findings)))
    open_findings = [row for row, why in zip(image.findings, reasons, strict=True) if why is None]
    open_flags = [flag for flag, why in zip(flags, reasons, strict=True) if why is None]
    judged = _Judged(
        image=image,
        database=database,
        coverage=seen,
        reach=reachability(open_flags, open_findings, observation, len(subject.variant.checks.api)),
        flags=flags,
        reasons=reasons,
        gates=tuple(_gates(subject, database, seen, open_findings, accepted, set(taken.values()), baseline, strict)),
        used=frozenset(entry.origin for entry in taken.values()),
    )
    return _evidence(subject, judged, started)


def _gates(
    subject: Subject,
    database: Database,
    seen: Coverage,
    findings: Sequence[Found],
    accepted: Sequence[Acceptance],
    used: set[Acceptance],
    baseline: frozenset[tuple[str, str, str]] | None,
    strict: bool,
) -> list[Gate]:
    asked = subject.variant.checks.vulnerabilities or VulnerabilitiesCheck()
    gates = [*severity_gates(asked, findings, baseline), *exception_gates(accepted, used, date.today())]  # noqa: DTZ011
    age = database.age_days()
    if age > asked.max_database_age_days:
        anew = f"invoke scan --database {LOCAL if database.made_here else 'download'}"
        said = f"the database is {age:.0f} days old, {asked.max_database_age_days} allowed; {anew}"
        gates.append(Gate("database_age", False, said, warning=not strict))
    if strict and "not_covered" in (seen.os, seen.language):
        gates.append(Gate("coverage", False, f"the database does not cover {', '.join(seen.gaps)}"))
    return gates


def _not_scanned(subject: Subject, missing: MissingError, started: float) -> Evidence:
    data = {"status": "not_scanned", "reason": missing.message, "hint": missing.hint}
    reason = f"not scanned: {missing.message}" + (f" ({missing.hint})" if missing.hint else "")
    where = Provenance(subject.built.config_digest, "trivy", "unknown", now())
    return evidence(subject, CHECK.name, "not_measured", reason, provenance=where, started=started, data=data)


def _evidence(subject: Subject, judged: _Judged, started: float) -> Evidence:
    database, image = judged.database, judged.image
    provenance = Provenance(image.image_digest, "trivy", image.tool_version, now(), database.updated_at)
    return evidence(
        subject,
        CHECK.name,
        _status(judged),
        _reason(judged),
        provenance=provenance,
        started=started,
        data=_data(judged),
        gated=any(not gate.warning for gate in judged.gates),
    )


def _status(judged: _Judged) -> Status:
    if any(not gate.held and not gate.warning for gate in judged.gates):
        return "fail"
    if not judged.coverage.anything:
        return "not_measured"
    return "warn" if any(not gate.held for gate in judged.gates if gate.name != "exceptions") else "pass"


def _reason(judged: _Judged) -> str:
    made = datetime.fromisoformat(judged.database.updated_at).astimezone(UTC).date()
    parts = [f"{gate.name}: {gate.reason}" for gate in judged.gates if not gate.held and not gate.warning]
    if not judged.coverage.anything:
        parts.append(f"not covered: the database does not cover {', '.join(judged.coverage.gaps)}")
    else:
        counts = _counts(judged.counted)
        by = ", ".join(f"{counts.by_severity[name]} {name}" for name in SEVERITIES if counts.by_severity[name])
        if judged.coverage.language == "not_covered":
            parts.append("\u2013 findings")  # what is most of the service is in no count
        else:
            parts.append(f"{counts.total} findings" + (f" ({by})" if by else "") + f", {counts.fixable} fixable")
            parts += [f"in {counts.copies} places"] if counts.copies != counts.total else []
        headers = distinct(row for row in judged.counted if row.kind == "kernel_headers")
        parts += [f"{len(headers)} more in kernel headers"] if headers else []
        parts += [f"not covered: {', '.join(judged.coverage.gaps)}"] if judged.coverage.gaps else []
        if judged.reach.status == "measured" and judged.coverage.language != "not_covered":
            requests = judged.reach.requests
            parts.append(
                f"{judged.reach.reachable} in what {requests} requests touched, {judged.reach.dead_weight} in what they did not"
            )
    parts += [gate.reason for gate in judged.gates if not gate.held and gate.warning and gate.name != "exceptions"]
    return "; ".join([*parts, f"database of {made}"])


def _counts(rows: Sequence[Found]) -> Counts:
    return count(row for row in rows if row.kind != "kernel_headers")


def _data(judged: _Judged) -> dict[str, Any]:
    image, seen = judged.image, judged.coverage
    data: dict[str, Any] = {
        "status": "scanned" if seen.anything else "not_covered",
        "coverage": {"os": seen.os, "language": seen.language},
        "gaps": list(seen.gaps),
        **({} if seen.anything else {"hint": NOT_COVERED_HINT}),
        "os": {"family": image.os_family or None, "version": image.os_version or None, "packages": image.os_packages},
        "languages": dict(image.languages),
        "database": _database_data(judged.database),
        "gates": [asdict(gate) for gate in judged.gates],
        "used_exceptions": sorted(judged.used),
        "unused_exceptions": [gate.reason for gate in judged.gates if gate.name == "exceptions" and gate.warning],
        "reason": f"the database does not cover {', '.join(seen.gaps)}" if seen.gaps else None,
    }
    if not seen.anything:
        return data
    counts, rows = _counts(judged.counted), judged.counted
    headers = count(row for row in rows if row.kind == "kernel_headers")
    known = seen.language != "not_covered"
    data |= {
        "total": counts.total if known else None,
        "copies": counts.copies if known else None,
        "by_severity": dict(counts.by_severity) if known else {},
        "fixable": counts.fixable if known else None,
        "ids": counts.ids,
        "accepted": len(image.findings) - len(rows),
        "kernel_headers": asdict(headers),
        "by_kind": {
            kind: asdict(count(row for row in rows if row.kind == kind))
            for kind in ("os", "language", "kernel_headers")
        },
        "reachability": _reach_data(judged.reach),
        "findings": [
            _row(row, flag, why) for row, flag, why in zip(image.findings, judged.flags, judged.reasons, strict=True)
        ],
    }
    return data


def _database_data(database: Database) -> dict[str, Any]:
    return {
        "updated_at": database.updated_at,
        "age_days": round(database.age_days(), 1),
        "identity": database.identity,
        "origin": database.origin,
        "contents": asdict(database.contents) if database.contents else None,
    }


def _reach_data(found: Reach) -> dict[str, Any]:
    data = asdict(found)
    data["executed"] = list(data.pop("touched"))
    return data


def _row(row: Found, flag: bool | None, why: str | None) -> dict[str, Any]:
    return {
        "id": row.id,
        "package": row.package,
        "version": row.version,
        "fixed_version": row.fixed_version,
        "severity": row.severity,
        "kind": row.kind,
        "path": row.path or None,
        "purl": row.purl or None,
        "url": row.url or None,
        "reachable": flag,
        "title": row.title or None,
        "exception": why,
    }


CHECK = Vulnerabilities()
