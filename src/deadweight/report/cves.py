"""Count each finding of a scan once, group findings by package, and find the one change that removes most of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from deadweight._errors import wording
from deadweight.checks.scan.model import SEVERITIES, Severity
from deadweight.report import figures
from deadweight.report.model import Finding, VariantRecord

GO = "stdlib"
"""How databases name Go's standard library: its version is that of the compiler."""


def distinct(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Each finding (id, package, version) once, however many programs hold a copy of the package; kernel headers are not among
    them. One copy that was reached is enough."""
    rows: dict[tuple[str, str, str | None], Finding] = {}
    for finding in findings:
        key = (finding.id, finding.package, finding.version)
        if finding.kind != "kernel_headers" and (key not in rows or finding.reachable):
            rows[key] = finding
    return tuple(rows.values())


@dataclass(frozen=True)
class Group:
    """One version of a package. ``fix`` is the lowest version that fixes most of its ``findings``: ``fixed`` of them."""

    package: str
    version: str | None
    findings: tuple[Finding, ...]
    variants: tuple[str, ...]
    fix: str | None
    fixed: int

    @property
    def ordered(self) -> list[Finding]:
        """Those in what the service was seen to use first, then the gravest."""
        return sorted(self.findings, key=lambda one: (not one.reachable, SEVERITIES.index(one.severity), one.id))

    @property
    def worst(self) -> Severity:
        return min((finding.severity for finding in self.findings), key=SEVERITIES.index)

    @property
    def reached(self) -> bool | None:
        """Whether the running service was seen to use it; None if nobody watched."""
        seen = {finding.reachable for finding in self.findings} - {None}
        return True in seen if seen else None


def groups(records: Mapping[str, VariantRecord]) -> tuple[Group, ...]:
    """The findings of these variants by package and version: the package with most of them first."""
    found: dict[tuple[str, str | None], tuple[list[Finding], dict[str, None]]] = {}
    for name, record in records.items():
        for finding in distinct(record.vulnerabilities.findings):
            findings, variants = found.setdefault((finding.package, finding.version), ([], {}))
            findings.append(finding)
            variants[name] = None
    rows = []
    for (package, version), (findings, variants) in found.items():
        each = distinct(findings)
        rows.append(Group(package, version, each, tuple(variants), *_fix(each)))
    return tuple(sorted(rows, key=lambda group: (-len(group.findings), group.package, group.version or "")))


def _fix(findings: Sequence[Finding]) -> tuple[str | None, int]:
    """The lowest version that fixes most of these, and how many. A version fixes a finding if it is not older than the fix of its
    own branch (1.26.9 of ``1.25.3, 1.26.9``), or than all of them."""
    lists = [[_numbers(text) for text in (finding.fixed_version or "").split(",")] for finding in findings]

    def fixed(version: tuple[int, ...]) -> int:
        own = ([fix for fix in fixes if fix[:2] == version[:2]] or [max(fixes)] for fixes in lists if fixes != [()])
        return sum(version >= min(fixes) for fixes in own)

    best = max(sorted({fix for fixes in lists for fix in fixes}), key=fixed, default=())
    words = (text.strip() for finding in findings for text in (finding.fixed_version or "").split(","))
    return (next(text for text in words if _numbers(text) == best), fixed(best)) if best else (None, 0)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))


def named(package: str, version: str | None) -> str:
    """A package as people say it: Go's library goes by the name of Go."""
    return f"{'Go' if package == GO else package} {(version or '').removeprefix('v' if package == GO else '')}".strip()


def one_change(name: str, ladder: Mapping[str, VariantRecord]) -> str:
    """The one change to a variant that removes most of its findings, with what becomes of their number: as another variant of the
    ladder does it already, else the version that fixes them. Empty if nothing helps."""
    total = ladder[name].vulnerabilities.total
    held = {peer: groups({peer: record}) for peer, record in ladder.items() if record.vulnerabilities.total is not None}
    for group in held[name] if total else ():
        kept = (total or 0) - len(group.findings)
        where = " in its Dockerfile" if ladder[name].builder == "dockerfile" else ""
        what = "build it with" if group.package == GO else "use"
        rivals = ((peer, other) for peer, rows in held.items() if peer != name for other in rows)
        others = [
            (len(other.findings), peer, other.version) for peer, other in rivals if other.package == group.package
        ]
        count, peer, version = min(others, key=lambda other: other[0], default=(len(group.findings), "", None))
        if count < len(group.findings):
            old, new = named(group.package, group.version), named(group.package, version)
            if group.package == GO:
                old, new = (figures.runtime("Go", text.removeprefix("Go ")) for text in (old, new))
            change = f"{what} {new} instead of {old.split()[-1]}{where}"
            return wording("report.as_peer", what=change, peer=peer, before=total, after=kept + count)
        if group.fix:
            change = f"{what} {named(group.package, group.fix)}"
            return wording("report.fixes", what=change, before=total, after=(total or 0) - group.fixed)
    return ""
