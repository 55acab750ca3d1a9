"""Print the comparison and the verdict: tables of the columns that have room, coloured on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deadweight._packages import images
from deadweight.report.model import Report
from deadweight.report.table import Cell, Column, Ladder, Row
from deadweight.report.verdict import Verdict, View

STYLES = {"good": "green", "warn": "yellow", "bad": "bold red", "muted": "dim", "": ""}
STATUS_STYLES = {"pass": "bold green", "gaps": "bold yellow", "fail": "bold red"}
FAILURES_SHOWN, STORIES_SHOWN = 20, 4
STAND_IN_MARK = "*"
FOLDED = {"checks": 20, "vulnerabilities": 9}
"""Columns that may take several lines, and the width in letters that they are folded to where there is no room for more."""
_BROKEN = {"vulnerabilities": "Vulnera-\nbilities", "reach": "Reached / not used by\nthe operations asked"}


def print_comparison(report: Report, console: Console) -> None:
    """Print one table per ladder, what a reader must know about its figures, and last the verdict.

    Each table has the most telling of the columns that fit the width, and a line that names the others.
    """
    view = View(report)
    for ladder in view.ladders:
        _table(ladder, console, view.winners)
    notes = [*view.figure_notes]
    if view.verdict.stand_ins:
        notes.append(f"{STAND_IN_MARK} Stand-ins: {view.verdict.stand_ins}")
    for name, record in report.variants.items():
        notes += [f"{name}: {note}" for note in record.notes if record.build]  # of others the verdict tells
    for note in filter(None, notes):
        console.print(images.printable(note), markup=False, highlight=False)
    print_verdict(view.verdict, console)


def print_verdict(verdict: Verdict, console: Console) -> None:
    """What it comes to: what failed, what to ship."""
    for text, style in verdict_lines(verdict):
        console.print(images.printable(text), markup=False, highlight=False, style=style)


def verdict_lines(verdict: Verdict) -> Iterator[tuple[str, str]]:
    """The verdict, line by line, each with its style."""
    yield f"{verdict.title}. {verdict.counts}", STATUS_STYLES[verdict.status]
    yield from ((f"FAILED {point}", "red") for point in verdict.failures[:FAILURES_SHOWN])
    if len(verdict.failures) > FAILURES_SHOWN:
        yield f"and {len(verdict.failures) - FAILURES_SHOWN} more failures; see the page for all of them", "red"
    yield from ((f"{gap.count:,} {gap.word}: {gap.text}", "yellow") for gap in verdict.gaps)
    yield from ((f"{finding.head}: {finding.text}", "") for finding in verdict.findings)
    yield from ((story, "") for story in verdict.stories[:STORIES_SHOWN])


def _table(ladder: Ladder, console: Console, winners: Mapping[str, str]) -> None:
    heads = [
        Head(one.title.replace(" ", "\n", 1), one.rank, one.numeric, FOLDED.get(one.key, 0)) for one in ladder.columns
    ]
    rows = []
    for row in ladder.rows:
        label, texts = winners.get(row.variant), list[Text]()
        for column, cell in zip(ladder.columns, row.cells, strict=True):
            texts.append(Text(_text(row, column, cell, label), f"{STYLES[cell.tone]} {'bold' if label else ''}"))
        rows.append(texts)
    print_grid(heads, rows, console, f"{ladder.title} ladder")
    console.print()


def _text(row: Row, column: Column, cell: Cell, label: str | None) -> str:
    """The winner's label and the mark of a stand-in go with the variant's name, which is always shown."""
    badge = f" ({cell.badge})" if cell.badge else ""
    if column.key == "variant":
        badge = (f" ({label})" if label else badge) + (f" {STAND_IN_MARK}" if row.record.stand_in else "")
    return images.printable(f"{cell.text}{badge}")


class Head(NamedTuple):
    """A column's head. Those of the lowest ``rank`` get their room first; ``folded`` is the width of one that may take several
    lines."""

    title: str
    rank: int = 0
    numeric: bool = False
    folded: int = 0


def print_grid(
    named: Sequence[Head | str], rows: Sequence[Sequence[Text]], console: Console, title: str | None = None
) -> None:
    """A table of the columns that fit side by side, the first in rank always, and a line that names the others."""
    heads = [head if isinstance(head, Head) else Head(head) for head in named]
    shown, left = list[int](), console.width
    for index in sorted(range(len(heads)), key=lambda index: heads[index].rank):
        texts = "\n".join([heads[index].title, *(row[index].plain for row in rows)]).split("\n")
        needed = 2 + min(max(map(len, texts)), heads[index].folded or console.width)
        if not shown or needed <= left:
            shown, left = sorted([*shown, index]), left - needed
    grid = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 1))
    for head in (heads[index] for index in shown):
        grid.add_column(head.title, justify="right" if head.numeric else "left", no_wrap=not head.folded)
    for row in rows:
        grid.add_row(*(row[index] for index in shown))
    console.print(grid)
    if dropped := [head.title for index, head in enumerate(heads) if index not in shown]:
        names = ", ".join(dropped).replace("-\n", "").replace("\n", " ")
        hint = f"Not enough room for {names}: use a wider terminal or see the page."
        console.print(hint, markup=False, highlight=False, style="dim")
