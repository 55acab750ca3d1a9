"""Run the ``budget`` check: compare image size, layers and start-up with soft (warn) and hard (fail) limits.

Evidence data: ``figures`` (``size_bytes``, ``compressed_bytes``, ``layers``, ``startup_seconds``: absent if not measured),
``limits`` (per figure ``value``, ``soft``, ``hard``, ``headroom_soft``, ``headroom_hard``: what is left, negative if
exceeded), ``compressed_how``, and with ``smaller_than`` the ``other`` variant, its size and the ratio.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from deadweight._errors import DeadweightError, joined, wording
from deadweight._packages import images
from deadweight.checks.protocol import Check, Subject, evidence
from deadweight.records import store
from deadweight.records.evidence import Evidence, Status
from deadweight.suite.checks import BudgetCheck, Limit
from deadweight.suite.values import format_bytes

_WORST_FIRST: tuple[Status, ...] = ("fail", "not_measured", "warn", "pass")
_WORDS = {
    "size_bytes": "size",
    "compressed_bytes": "compressed size",
    "layers": "layers",
    "startup_seconds": "start-up",
}


@dataclass(frozen=True)
class Finding:
    """One figure against its limits."""

    status: Status
    text: str
    data: dict[str, Any] = field(default_factory=dict)


class Budget(Check):
    """The check. It is asked for where the variant has ``checks.budget``."""

    name = "budget"

    def run(self, subject: Subject) -> Evidence:
        """Weigh the archive; start the service only where start-up has a limit and was not measured by ``runs``."""
        started, budget = time.monotonic(), subject.variant.checks.budget or BudgetCheck()
        weighed = weigh(subject)
        figures: dict[str, float | None] = {
            "size_bytes": weighed.size_bytes,
            "compressed_bytes": weighed.compressed_bytes,
            "layers": len(weighed.layers),
        }
        why_not: dict[str, str] = {"compressed_bytes": wording("checks.size_not_measured")}
        if budget.startup_seconds is not None:
            figures["startup_seconds"], why_not["startup_seconds"] = _startup(subject)
        limits: dict[str, Limit | None] = {name: getattr(budget, name) for name in _WORDS}
        by_name = {
            name: check_limits(name, figures.get(name), (limit.soft, limit.hard), why_not.get(name, ""))
            for name, limit in limits.items()
            if limit is not None and limit != type(limit)()
        }
        data: dict[str, Any] = {
            "figures": {name: value for name, value in figures.items() if value is not None},
            "limits": {name: finding.data for name, finding in by_name.items()},
            "compressed_how": weighed.compressed_how,
        }
        findings = list(by_name.values())
        if budget.smaller_than is not None:
            findings.append(_compared(subject, weighed.size_bytes, budget.smaller_than))
            data["smaller_than"] = findings[-1].data
        status: Status = min((finding.status for finding in findings), key=_WORST_FIRST.index, default="pass")
        if status == "not_measured" and "hint" in data.get("smaller_than", {}):
            data |= {"missing": True, "hint": data["smaller_than"]["hint"]}  # as a check that lacks an engine says it
        deciding = [finding.text for finding in findings if finding.status == status]
        reason = joined(*deciding) if deciding else wording("checks.no_limit")
        return evidence(subject, self.name, status, reason, started=started, data=data, gated=bool(findings))


def weigh(subject: Subject, *, compressed: bool = True) -> images.Summary:
    """Sizes and layers of the variant's archive; what plain layers weigh compressed is kept in the project's cache."""
    return images.summary(subject.archive(), cache_dir=subject.state.cache / "image", compressed=compressed)


def size_of(subject: Subject) -> int:
    """The bytes of all files of the variant's archive, without what its layers weigh compressed, which takes long to find out."""
    return weigh(subject, compressed=False).size_bytes


def check_limits(name: str, value: float | None, limit: tuple[float | None, float | None], why_not: str) -> Finding:
    """Compare a figure with its (soft, hard) limits. A figure equal to its limit is within it."""
    soft, hard = limit
    data: dict[str, Any] = {"value": value, "soft": soft, "hard": hard}
    if value is None:
        return Finding("not_measured", wording("checks.not_measured", name=_WORDS[name], reason=why_not), data)
    for which, bound in (("soft", soft), ("hard", hard)):
        data[f"headroom_{which}"] = None if bound is None else _rounded(bound - value)
    figure = f"{_WORDS[name]} {shown(name, value)}"
    bounds: tuple[tuple[float | None, str, Status], ...] = ((hard, "hard", "fail"), (soft, "soft", "warn"))
    for bound, which, status in bounds:
        if bound is not None and value > bound:
            over, most = shown(name, _rounded(value - bound)), shown(name, bound)
            return Finding(
                status, wording("checks.over_limit", figure=figure, excess=over, kind=which, limit=most), data
            )
    nearest = min(bound for bound in limit if bound is not None)
    share = f" ({100 * value / nearest:.0f} %)" if nearest else ""
    return Finding("pass", f"{figure} of {shown(name, nearest)}{share}", data)


def shown(name: str, value: float) -> str:
    """A figure with its unit."""
    if name.endswith("_bytes"):
        return format_bytes(int(value))
    return f"{value:.2f} s" if name.endswith("_seconds") else f"{value:g}"


def _rounded(value: float) -> float:
    return value if isinstance(value, int) else round(value, 4)


def _startup(subject: Subject) -> tuple[float | None, str]:
    """Start-up seconds as ``runs`` measured them for this very image, else measured now; None with the reason why not."""
    from deadweight.checks.runs import CHECK as runs

    if not subject.variant.runnable:
        return None, wording("checks.not_a_service")
    kept = store.load(Evidence, subject.state.evidence(subject.variant.name, runs.name))
    if kept is None or kept.provenance.image_digest != subject.built.config_digest:
        try:
            kept = runs.run(subject)
        except DeadweightError as error:
            return None, error.message
    seconds = kept.data.get("startup_seconds")
    return (float(seconds), "") if isinstance(seconds, (int, float)) else (None, kept.reason)


def _compared(subject: Subject, size: int, name: str) -> Finding:
    """``smaller_than``: strictly fewer uncompressed bytes than another variant's image."""
    other = subject.subject_of(name)
    if other is None:
        hint = f"invoke build --variant {name}"
        return Finding("not_measured", wording("checks.not_compared", variant=name), {"other": name, "hint": hint})
    theirs = weigh(other).size_bytes
    data = {"other": name, "other_size_bytes": theirs, "ratio": round(size / theirs, 4) if theirs else None}
    if size < theirs:
        return Finding("pass", wording("checks.smaller", bytes=format_bytes(theirs - size), variant=name), data)
    text = wording("checks.not_smaller", size=format_bytes(size), variant=name, other=format_bytes(theirs))
    return Finding("fail", text, data)


CHECK = Budget()
