"""Write a report's files: ``report.json``, ``report.md``, ``index.html`` and the ladders' charts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deadweight.records.store import write_atomically
from deadweight.report.charts import ladder_charts
from deadweight.report.compare import Comparison
from deadweight.report.history import to_json
from deadweight.report.html import render_html
from deadweight.report.markdown import comparison_markdown, render_markdown
from deadweight.report.model import REPORT_FILE, Report

MARKDOWN_FILE = "report.md"
COMPARISON_FILE = "comparison.md"
PAGE_FILE = "index.html"


@dataclass(frozen=True)
class Written:
    """Where the report lies."""

    json: Path
    markdown: Path
    html: Path
    charts: tuple[Path, ...]


def write_report(report: Report, folder: Path, changed: Comparison | None = None) -> Written:
    """Write all forms of a report, each whole or not at all; ``changed``, since an earlier report, is marked on the page and told
    in ``comparison.md``.

    Raises DeadweightError where the disk refuses.
    """
    content = to_json(report)
    pictures = ladder_charts(report)
    names = {ladder: f"ladder-{index}.svg" for index, ladder in enumerate(pictures)}
    for ladder, name in names.items():
        write_atomically(folder / name, pictures[ladder])
    write_atomically(folder / MARKDOWN_FILE, render_markdown(report, names))
    write_atomically(folder / PAGE_FILE, render_html(report, pictures, changed))
    write_atomically(folder / REPORT_FILE, content)
    if changed is not None:
        write_atomically(folder / COMPARISON_FILE, comparison_markdown(changed))
    else:
        (folder / COMPARISON_FILE).unlink(missing_ok=True)  # it is of an earlier report
    charts = tuple(folder / name for name in names.values())
    for stale in set(folder.glob("ladder-*.svg")).difference(charts):
        stale.unlink()
    return Written(folder / REPORT_FILE, folder / MARKDOWN_FILE, folder / PAGE_FILE, charts)
