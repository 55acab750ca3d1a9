"""Run the ``vulnerabilities`` check: look up the image's packages in a scanner database.

Evidence data is the contract's ``variants.<name>.vulnerabilities``, plus: ``by_kind`` (separate counts for ``os``, ``language``
and ``kernel_headers``), ``ids`` (distinct ids), ``copies`` (number of places), ``accepted`` (findings that an exception
removes from the counts), ``gates``, ``unused_exceptions``, ``database.age_days``, ``os`` and the ``executed`` programs of
``reachability``.

``scanned``, ``not_scanned`` (no database, no scanner) and ``not_covered`` (the database knows nothing of the image's content) are
different results; the last two have no counts. A check that could not scan fails only with ``invoke scan --strict``.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

from deadweight import _json
from deadweight._errors import ConfigError, MissingError, wording
from deadweight._packages import workload
from deadweight.checks.protocol import Check, Gate, Subject, evidence, now
from deadweight.checks.scan.database import LOCAL, Database, current
from deadweight.checks.scan.model import SEVERITIES, Coverage, Reach, ScannedImage, ScanRow, count, coverage, distinct
from deadweight.checks.scan.reachability import observed, reachability, reachable
from deadweight.checks.scan.sbom import part
from deadweight.checks.scan.trivy import scan_image, scanner
from deadweight.records.evidence import Evidence, Provenance, Status
from deadweight.suite.checks import VulnerabilitiesCheck
from deadweight.suite.model import Suite, Variant

# Findings that somebody accepted, with a reason: the suite's ignore list and OpenVEX documents (https://openvex.dev, 0.2.0).

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

    def expired(self) -> bool:
        return self.expires is not None and self.expires < date.today()  # noqa: DTZ011 - the day is the user's own

    def covers(self, finding: ScanRow) -> bool:
        """Whether this finding is meant, by its id or another id of the same flaw."""
        if self.id.upper() not in {finding.id.upper(), *(alias.upper() for alias in finding.aliases)}:
            return False
        return not self.packages or any(_same_package(package, finding) for package in self.packages)


def acceptances(suite: Suite, variant: Variant) -> tuple[Acceptance, ...]:
    """All that the suite accepts of a variant. Raises ConfigError (file, line) for a wrong VEX document."""
    asked = variant.checks.vulnerabilities or VulnerabilitiesCheck()
    entries = []
    for entry in asked.ignore:
        packages, expires = (entry.package,) if entry.package else (), date.fromisoformat(entry.expires)
        entries.append(Acceptance(entry.id, entry.reason, f"ignore list: {entry.id}", packages, expires))
    for place in asked.vex:
        entries += _vex(suite.root / place, {variant.name, suite.name})
    return tuple(entries)


def _vex(file: Path, image_names: set[str]) -> Iterator[Acceptance]:
    document, lines = _read(file)
    statements = document.get("statements")
    if "openvex" not in str(document.get("@context", "")) or not isinstance(statements, list):
        raise ConfigError(wording("scan.not_vex"), file=file)
    for index, statement in enumerate(statements):
        wrong = partial(ConfigError, file=file, line=lines.get(("statements", index)), key=f"statements[{index}]")
        if not isinstance(statement, dict):
            raise wrong(wording("scan.vex_statement_type"))
        status = statement.get("status")
        if status not in STATUSES:
            raise wrong(wording("scan.vex_status", expected=", ".join(STATUSES), found=status))
        if status in QUIETING:
            yield from _accepted(file.name, statement, image_names, wrong)


def _accepted(
    document: str, statement: Mapping[str, Any], image_names: set[str], wrong: Callable[[str], ConfigError]
) -> Iterator[Acceptance]:
    """``not_affected`` and ``fixed`` statements about this image, or about a package wherever it is."""
    reason = next(
        (str(statement[key]) for key in ("impact_statement", "justification", "status_notes") if statement.get(key)), ""
    )
    if not reason:
        if statement["status"] == "not_affected":
            raise wrong(wording("scan.vex_no_reason"))
        reason = "fixed"
    vulnerability = statement.get("vulnerability")
    name = vulnerability.get("name") or vulnerability.get("@id") if isinstance(vulnerability, dict) else vulnerability
    products = statement.get("products")
    if not name or not isinstance(products, list) or not products:
        raise wrong(wording("scan.vex_incomplete"))
    for product in products:
        identity = str(product.get("@id") or "") if isinstance(product, dict) else str(product)
        parts = product.get("subcomponents") or [] if isinstance(product, dict) else []
        inside = tuple(str(part.get("@id") or "") if isinstance(part, dict) else str(part) for part in parts)
        origin = f"{document}: {name}"
        image = re.split("[@?]", identity)[0].rpartition("/")[2].partition(":")[0]
        if image in image_names:
            yield Acceptance(str(name).rpartition("/")[2], reason, origin, inside)
        elif identity.startswith("pkg:") and not identity.startswith(("pkg:oci/", "pkg:docker/")):
            yield Acceptance(str(name).rpartition("/")[2], reason, origin, (identity,))


def _read(file: Path) -> tuple[dict[str, Any], dict[Any, int]]:
    """The document, and the line of each key where that can be told."""
    try:
        with file.open("rb") as stream:
            data = stream.read(_json.MAX_BYTES + 1)
        document = _json.parsed(data)
    except OSError as error:
        raise ConfigError(wording("report.unreadable_file", problem=error.strerror), file=file) from None
    except ValueError as error:
        problem, line = getattr(error, "msg", error), getattr(error, "lineno", 1)
        raise ConfigError(wording("scan.not_json", problem=problem), file=file, line=line) from None
    if not isinstance(document, dict):
        raise ConfigError(wording("scan.not_vex"), file=file, line=1)
    return document, _lines(data.decode("utf-8", "replace"), file)


def _lines(text: str, file: Path) -> dict[Any, int]:
    """JSON is nearly always YAML too, whose reader knows lines."""
    from deadweight.suite.yaml_nodes import parse

    try:
        return dict(parse(text.replace("\t", " "), file).lines)
    except ConfigError:
        return {}


def _same_package(wanted: str, finding: ScanRow) -> bool:
    """By name, or by package URL: type, name and, where it is given, version; qualifiers do not matter."""
    if not wanted.startswith("pkg:"):
        return wanted == finding.package
    one, other = part(wanted), part(finding.purl)
    if one is None or other is None or one.namespace != other.namespace:
        return False
    return (one.type, one.name) == (other.type, other.name) and one.version in ("", other.version)


# The suite's gates on a scan: how many findings of each severity there may be, and of which.

MAX_REPORT_BYTES = 64 * 2**20


def severity_gates(
    asked: VulnerabilitiesCheck, findings: Sequence[ScanRow], baseline: frozenset[tuple[str, str, str]] | None
) -> Iterator[Gate]:
    """``max``, counting what ``fixable_only`` and ``new_only`` leave. The findings given are those that count."""
    counted = [row for row in distinct(findings) if row.kind != "kernel_headers"]
    words = []
    if asked.fixable_only:
        counted, words = [row for row in counted if row.fixed_version], ["fixable"]
    if asked.new_only and baseline is not None:
        counted, words = [row for row in counted if row.key not in baseline], [*words, "new"]
    for severity in SEVERITIES:
        limit = asked.max.get(severity)
        if limit is not None:
            rows = [row for row in counted if row.severity == severity]
            named = ", ".join(dict.fromkeys(row.id for row in rows[:20]))
            kind = " ".join([*words, severity])
            held = len(rows) <= limit
            shown = "" if held else f": {named[:120]}"
            reason = wording("scan.severity_limit", count=len(rows), kind=kind, limit=limit, ids=shown)
            yield Gate(f"max.{severity}", held, reason)
    unrated = sum(row.severity == "unknown" for row in counted)
    if unrated and asked.max and "unknown" not in asked.max:  # such a gate would pass whatever they are
        yield Gate("severities", False, wording("scan.unrated", count=unrated), warning=True)


def _exception_gates(accepted: Sequence[Acceptance], used: Sequence[Acceptance | None]) -> Iterator[Gate]:
    """An entry that has expired fails; one that nothing needs is told."""
    for entry in accepted:
        if entry.expired():
            yield Gate("exceptions", False, wording("scan.acceptance_expired", origin=entry.origin, date=entry.expires))
        elif entry not in used:
            yield Gate("exceptions", False, wording("scan.acceptance_unused", origin=entry.origin), warning=True)


def _database_gates(asked: VulnerabilitiesCheck, database: Database, seen: Coverage, *, strict: bool) -> Iterator[Gate]:
    age = database.age_days()
    if age > asked.max_database_age_days:
        anew = f"invoke scan --database {LOCAL if database.made_here else 'download'}"
        reason = wording("scan.database_old", age=age, limit=asked.max_database_age_days, command=anew)
        yield Gate("database_age", False, reason, warning=not strict)
    if strict and "not_covered" in (seen.os, seen.language):
        yield Gate("coverage", False, _not_covered(seen))


def baseline_keys(suite: Suite, variant: Variant) -> frozenset[tuple[str, str, str]] | None:
    """The findings that the earlier report has of this variant; None where the suite does not ask for new ones only.

    Raises ConfigError for a baseline that is no report or was not scanned.
    """
    asked = variant.checks.vulnerabilities
    if asked is None or not asked.new_only or asked.baseline is None:
        return None
    file = suite.root / asked.baseline
    try:
        if file.stat().st_size > MAX_REPORT_BYTES:
            raise ConfigError(wording("report.too_large", limit=MAX_REPORT_BYTES), file=file)
        record = json.loads(file.read_bytes())["variants"].get(variant.name)
        if record is None:
            return frozenset()
        scan = record["vulnerabilities"]
        if scan["status"] != "scanned":
            raise ConfigError(wording("report.not_scanned", status=scan["status"].replace("_", " ")), file=file)
        return frozenset((str(row["id"]), str(row["kind"]), str(row["package"])) for row in scan["findings"])
    except OSError as error:
        raise ConfigError(wording("report.unreadable", problem=error.strerror), file=file) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ConfigError(wording("report.not_a_report"), file=file) from None


@dataclass(frozen=True)
class _Judged:
    """All that is known of one image. ``flags`` (touched or not) and ``exceptions`` go with the findings of ``image``."""

    image: ScannedImage
    database: Database
    coverage: Coverage
    reach: Reach
    flags: Sequence[bool | None]
    exceptions: Sequence[Acceptance | None]
    counted: Sequence[ScanRow]
    """Findings that nobody accepted."""
    accepted: Sequence[Acceptance]
    gates: Sequence[Gate]


class Vulnerabilities(Check):
    """The check. It is asked for where the variant has ``checks.vulnerabilities``. An engine only shows what is reached."""

    name = "vulnerabilities"

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
        scanner()
    except MissingError as missing:
        if strict:
            raise
        return _not_scanned(subject, missing, started)
    image = scan_image(subject, database)
    seen = coverage(image, database.buckets, has_os=subject.built.base is not None, lacks=database.lacks)
    observation = observed(subject, may_run=may_run) if seen.anything else wording("scan.nothing_recognized")
    flags: Sequence[bool | None] = [None] * len(image.findings)
    if not isinstance(observation, str):
        flags = reachable(image.findings, image.owners, observation)
    valid = [entry for entry in accepted if not entry.expired()]
    exceptions = [next((entry for entry in valid if entry.covers(row)), None) for row in image.findings]
    counted = [row for row, entry in zip(image.findings, exceptions, strict=True) if entry is None]
    flags_of_counted = [flag for flag, entry in zip(flags, exceptions, strict=True) if entry is None]
    asked = subject.variant.checks.vulnerabilities or VulnerabilitiesCheck()
    gates = [*severity_gates(asked, counted, baseline), *_exception_gates(accepted, exceptions)]
    gates += _database_gates(asked, database, seen, strict=strict)
    learned: Sequence[bool | None] = ()
    if not isinstance(observation, str) and observation.learned:
        learned = reachable(counted, image.owners, replace(observation, opened=observation.learned, executed=()))
    reach = reachability(flags_of_counted, counted, observation, workload.suite_workload(subject).ledger(), learned)
    judged = _Judged(image, database, seen, reach, flags, exceptions, counted, accepted, gates)
    return evidence(
        subject,
        CHECK.name,
        _status(judged),
        _reason(judged),
        provenance=Provenance(image.image_digest, "trivy", image.tool_version, now(), database.updated_at),
        started=started,
        data=_data(judged),
        gated=any(not gate.warning for gate in gates),
    )


def _not_scanned(subject: Subject, missing: MissingError, started: float) -> Evidence:
    data = {"status": "not_scanned", "reason": missing.message, "hint": missing.hint}
    hint = f" ({missing.hint})" if missing.hint else ""
    reason = wording("scan.not_scanned", problem=missing.message, hint=hint)
    where = Provenance(subject.built.config_digest, "trivy", "unknown", now())
    return evidence(subject, CHECK.name, "not_measured", reason, provenance=where, started=started, data=data)


def _status(judged: _Judged) -> Status:
    if any(not gate.held and not gate.warning for gate in judged.gates):
        return "fail"
    if not judged.coverage.anything:
        return "not_measured"
    return "warn" if any(not gate.held for gate in judged.gates if gate.name != "exceptions") else "pass"


def _reason(judged: _Judged) -> str:
    made = datetime.fromisoformat(judged.database.updated_at).astimezone(UTC).date()
    broken = [gate for gate in judged.gates if not gate.held]
    parts = [f"{gate.name}: {gate.reason}" for gate in broken if not gate.warning]
    parts += _summary(judged) if judged.coverage.anything else [_not_covered(judged.coverage)]
    parts += [gate.reason for gate in broken if gate.warning and gate.name != "exceptions"]
    return "; ".join([*parts, f"database of {made}"])


def _summary(judged: _Judged) -> list[str]:
    headers, others = _split(judged.counted)
    counts, known = count(others), judged.coverage.language != "not_covered"
    by = ", ".join(f"{counts.by_severity[name]} {name}" for name in SEVERITIES if counts.by_severity[name])
    parts = ["\u2013 findings"]  # what is most of the service is in no count
    if known:
        parts = [f"{counts.total} findings" + (f" ({by})" if by else "") + f", {counts.fixable} fixable"]
        parts += [f"in {counts.copies} places"] if counts.copies != counts.total else []
    parts += [f"{len(distinct(headers))} more in kernel headers"] if headers else []
    parts += [f"not covered: {', '.join(judged.coverage.gaps)}"] if judged.coverage.gaps else []
    reach = judged.reach
    if reach.status == "measured" and known:
        reached = f"{reach.reachable} in packages that were reached"
        parts.append(f"{reached}, {reach.dead_weight} in packages not used by the {reach.operations} operations asked")
    return parts


def _not_covered(seen: Coverage) -> str:
    return wording("scan.not_covered", gaps=", ".join(seen.gaps))


def _split(rows: Sequence[ScanRow]) -> tuple[list[ScanRow], list[ScanRow]]:
    """Kernel headers, which are in no count of findings, and the others."""
    return [row for row in rows if row.kind == "kernel_headers"], [row for row in rows if row.kind != "kernel_headers"]


def _data(judged: _Judged) -> dict[str, Any]:
    image, seen, database = judged.image, judged.coverage, judged.database
    used = {entry.origin for entry in judged.exceptions if entry is not None}
    data: dict[str, Any] = {
        "status": "scanned" if seen.anything else "not_covered",
        "coverage": {"os": seen.os, "language": seen.language},
        "gaps": list(seen.gaps),
        **({} if seen.anything else {"hint": wording("scan.not_covered_hint")}),
        "os": {"family": image.os_family or None, "version": image.os_version or None, "packages": image.os_packages},
        "languages": dict(image.languages),
        "database": {
            "updated_at": database.updated_at,
            "age_days": round(database.age_days(), 1),
            "identity": database.identity,
            "origin": database.origin,
            "contents": asdict(database.contents) if database.contents else None,
        },
        "gates": [asdict(gate) for gate in judged.gates],
        "used_exceptions": sorted(used),
        "unused_exceptions": sorted({entry.origin for entry in judged.accepted if not entry.expired()} - used),
        "reason": _not_covered(seen) if seen.gaps else None,
    }
    return data | (_counts(judged) if seen.anything else {})


def _counts(judged: _Judged) -> dict[str, Any]:
    counts, known = count(_split(judged.counted)[1]), judged.coverage.language != "not_covered"
    kinds = ("os", "language", "kernel_headers")
    by_kind = {kind: asdict(count(row for row in judged.counted if row.kind == kind)) for kind in kinds}
    rows = zip(judged.image.findings, judged.flags, judged.exceptions, strict=True)
    unknown: dict[str, Any] = {} if known else {"total": None, "copies": None, "by_severity": {}, "fixable": None}
    return {
        **asdict(counts),
        **unknown,
        "accepted": len(judged.image.findings) - len(judged.counted),
        "kernel_headers": by_kind["kernel_headers"],
        "by_kind": by_kind,
        "reachability": asdict(judged.reach),
        "findings": [_row(row, flag, entry.reason if entry else None) for row, flag, entry in rows],
    }


def _row(row: ScanRow, flag: bool | None, why: str | None) -> dict[str, Any]:
    known = ("id", "package", "version", "fixed_version", "severity", "kind")
    maybe = ("path", "purl", "url", "title")
    data = {name: getattr(row, name) for name in known} | {name: getattr(row, name) or None for name in maybe}
    return {**data, "reachable": flag, "exception": why}


CHECK = Vulnerabilities()
