"""Count each finding of a scan once, group findings by package, and find the one change that removes most of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
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


def _fix(findings: Iterable[Finding]) -> tuple[str | None, int]:
    """The lowest version that fixes most of these, and how many. A version fixes a finding if it is not older than the fix of its
    own branch (1.26.9 of ``1.25.3, 1.26.9``), or than all of them."""
    lists = [[_numbers(version) for version in (finding.fixed_version or "").split(",")] for finding in findings]
    words = {
        _numbers(text): text.strip()
        for finding in findings
        for text in (finding.fixed_version or "").split(",")
        if text.strip()
    }

    def fixed(version: tuple[int, ...]) -> int:
        return sum(
            fixes != [()] and (version >= max(fixes) or any(version[:2] == fix[:2] and version >= fix for fix in fixes))
            for fixes in lists
        )

    best = max(sorted(words), key=fixed, default=None)
    return (None, 0) if best is None else (words[best], fixed(best))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))


def named(package: str, version: str | None) -> str:
    """A package as people say it: Go's library goes by the name of Go."""
    return f"{'Go' if package == GO else package} {(version or '').removeprefix('v' if package == GO else '')}".strip()


def one_change(name: str, ladder: Mapping[str, VariantRecord]) -> str:
    """The one change to a variant that removes most of its findings, with what becomes of their number: as another variant of the
    ladder does it already, else the version that fixes them. Empty if nothing helps."""
    total = ladder[name].vulnerabilities.total
    for group in groups({name: ladder[name]}) if total else ():
        own = len(group.findings)
        others = {}
        for peer, record in ladder.items():
            there = [other for other in groups({peer: record}) if other.package == group.package]
            if (
                there
                and record.vulnerabilities.total is not None
                and all(other.version != group.version for other in there)
            ):
                others[peer] = (sum(len(other.findings) for other in there), there[0].version)
        best = min(others, key=lambda peer: others[peer][0], default=None)
        what = "build it with" if group.package == GO else "use"
        if best and others[best][0] < own:
            version = named(group.package, others[best][1])
            if group.package == GO:
                old, version = (
                    figures.runtime("Go", of.removeprefix("Go ")) for of in (named(GO, group.version), version)
                )
                version += f" instead of {old.removeprefix('Go ')}"
            after = (total or 0) - own + others[best][0]
            return wording("report.as_peer", what=f"{what} {version}", peer=best, before=total, after=after)
        if group.fix:
            version = named(group.package, group.fix)
            return wording("report.fixes", what=f"{what} {version}", before=total, after=(total or 0) - group.fixed)
    return ""
