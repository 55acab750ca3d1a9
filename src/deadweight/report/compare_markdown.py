"""A comparison as Markdown, for a pull-request comment and a CI step summary."""

from __future__ import annotations

from deadweight._said import plain
from deadweight.report import figures
from deadweight.report.changes import Change
from deadweight.report.compare import Comparison
from deadweight.report.markdown import escape, table

MARKS = {"better": "better", "worse": "worse", "other": ""}
TITLE = "Container images: what changed"


def comparison_markdown(comparison: Comparison) -> str:
    """Regressions first, then all changes by variant, then what could not be compared."""
    parts = [f"## {TITLE}", _verdict(comparison)]
    if comparison.changes:
        ordered = sorted(comparison.changes, key=lambda change: not change.regression)
        rows = [_row(change) for change in ordered]
        parts.append(table(["Variant", "What", "Change", ""], rows, right=[False] * 4))
    if comparison.unmeasured:
        parts.append("No longer measured:\n" + "\n".join(f"- {escape(each)}" for each in comparison.unmeasured))
    if comparison.notes:
        parts.append("Not compared:\n" + "\n".join(f"- {escape(note)}" for note in comparison.notes))
    if comparison.changes and comparison.stand_in_note:
        parts.append(f"**Stand-ins.** {escape(comparison.stand_in_note)}")
    parts.append(f"Earlier report: {comparison.old_generated_at}; this one: {comparison.new_generated_at}.")
    return plain("\n\n".join(parts)) + "\n"


def _verdict(comparison: Comparison) -> str:
    lost = f"**{len(comparison.unmeasured)} no longer measured.**" if comparison.unmeasured else ""
    return " ".join(filter(None, (lost, _changed(comparison))))


def _changed(comparison: Comparison) -> str:
    count = figures.plural(len(comparison.changes), "change")
    if comparison.regressions:
        return f"**{figures.plural(len(comparison.regressions), 'regression')}** among {count}."
    if comparison.changes:
        return f"{count}, no regression."
    if comparison.unmeasured:
        return "No other change."
    return "Nothing changed beyond noise" + (" in what was measured in both reports." if comparison.notes else ".")


def _row(change: Change) -> list[str]:
    mark = "**regression**" if change.regression else MARKS[change.direction]
    return [escape(change.variant), change.kind, escape(change.text), mark]
