"""Vulnerabilities that were fixed and that are new. A database that moved is told apart from an image that changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from deadweight.report import figures
from deadweight.report.changes import Change, Direction
from deadweight.report.model import VariantRecord
from deadweight.report.scan_model import SEVERITIES, Finding

NAMED = 20

Key = tuple[str, str, str]


def changes(
    name: str, old: VariantRecord, new: VariantRecord, grave: Sequence[str], notes: list[str]
) -> Iterator[Change]:
    """Findings fixed and new. New ones of a ``grave`` severity are regressions, unless only the database learnt of them.

    A finding is the same if id and package are, whatever the package's version. A new finding in a package version that was
    there already is news of the database if the two scans used databases of different dates.
    """
    before, after = old.vulnerabilities, new.vulnerabilities
    if before.status != "scanned" or after.status != "scanned":
        if before.status != after.status:
            notes.append(
                f"{name}: vulnerabilities were {before.status.replace('_', ' ')} then and are {after.status.replace('_', ' ')} now:"
                " not compared"
            )
        return
    moved = before.database.updated_at != after.database.updated_at
    was, now = _by_key(before.findings), _by_key(after.findings)
    known = {(finding.kind, finding.package, finding.version) for finding in before.findings} | _installed(old)
    fixed = [finding for key, finding in was.items() if key not in now]
    fresh = [finding for key, finding in now.items() if key not in was]
    if not fixed and not fresh and before.copies and after.copies and before.copies != after.copies:
        more = after.copies > before.copies
        text = f"the same vulnerabilities in {'more' if more else 'fewer'} places: {before.copies} → {after.copies}"
        yield Change(name, "vulnerabilities", text, "worse" if more else "better")
    yield from _listed(name, fixed, "fixed: ", "better", [])
    learnt = [f for f in fresh if moved and (_same_image(old, new) or (f.kind, f.package, f.version) in known)]
    caused = [finding for finding in fresh if finding not in learnt]
    yield from _listed(name, caused, "new: ", "worse", grave)
    yield from _listed(name, learnt, "newly known to the database: ", "worse", [])


def _by_key(findings: Sequence[Finding]) -> dict[Key, Finding]:
    return {(finding.id, finding.kind, finding.package): finding for finding in findings if finding.exception is None}


def _installed(record: VariantRecord) -> set[tuple[str, str, str | None]]:
    """What the image holds, by the scanner's kinds: Go modules are the packages of a language."""
    packages = record.layers.packages if record.layers else ()
    modules = {("language", name, version) for package in packages for name, version in package.modules}
    named = {
        (kind, package.name, package.version) for package in packages for kind in ("os", "language", "kernel_headers")
    }
    return modules | named


def _same_image(old: VariantRecord, new: VariantRecord) -> bool:
    return old.image is not None and new.image is not None and old.image.config_digest == new.image.config_digest


def _listed(
    name: str, findings: Sequence[Finding], prefix: str, direction: Direction, grave: Sequence[str]
) -> Iterator[Change]:
    ordered = sorted(findings, key=lambda finding: (SEVERITIES.index(finding.severity), finding.id, finding.package))
    for finding in ordered[:NAMED]:
        package = f"{finding.package} {finding.version}" if finding.version else finding.package
        text = f"{prefix}{finding.id} ({finding.severity}) in {package}"
        yield Change(name, "vulnerabilities", text, direction, finding.severity in grave)
    rest = ordered[NAMED:]
    if rest:
        text = f"{prefix}{figures.plural(len(rest), 'more finding')}"
        yield Change(name, "vulnerabilities", text, direction, any(finding.severity in grave for finding in rest))
