"""A comparison as Markdown, for a pull-request comment and a CI step summary."""

from __future__ import annotations

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
    if comparison.notes:
        parts.append("Not compared:\n" + "\n".join(f"- {escape(note)}" for note in comparison.notes))
    if comparison.changes and comparison.stand_in_note:
        parts.append(f"**Stand-ins.** {escape(comparison.stand_in_note)}")
    parts.append(f"Earlier report: {comparison.old_generated_at}; this one: {comparison.new_generated_at}.")
    return "\n\n".join(parts) + "\n"


def _verdict(comparison: Comparison) -> str:
    if not comparison.changes:
        return "Nothing changed beyond noise."
    count = figures.plural(len(comparison.changes), "change")
    if not comparison.regressions:
        return f"{count}, no regression."
    return f"**{figures.plural(len(comparison.regressions), 'regression')}** among {count}."


def _row(change: Change) -> list[str]:
    mark = "**regression**" if change.regression else MARKS[change.direction]
    return [escape(change.variant), change.kind, escape(change.text), mark]
