"""Print the verdict and comparison: coloured tables on a terminal, plain aligned lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

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


def print_comparison(report: Report, console: Console) -> None:
    """Print the verdict, the comparison, one table per ladder, and what a reader must know about its figures.

    A terminal gets the most telling of the columns that fit its width, and a line that names the others; elsewhere (a pipe, a
    CI log) the ladder's every column is printed.
    """
    view = View(report)
    wraps = not console.is_terminal
    for text, style in verdict_lines(view.verdict):
        console.print(images.printable(text), markup=False, highlight=False, style=style, soft_wrap=wraps)
    console.print()
    for ladder in view.ladders:
        (_table if console.is_terminal else _plain)(ladder, console, view.winners)
    notes = [*view.figure_notes]
    if view.verdict.stand_ins:
        notes.append(f"{STAND_IN_MARK if console.is_terminal else ''} Stand-ins: {view.verdict.stand_ins}".lstrip())
    for name, record in report.variants.items():
        notes += [f"{name}: {note}" for note in record.notes if record.build]  # of others the verdict tells
    for note in filter(None, notes):
        console.print(images.printable(note), markup=False, highlight=False, soft_wrap=wraps)


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
    columns = ladder.columns
    heads = [column.title.replace(" ", "\n", 1) for column in columns]
    rows = [
        [_in_table(row, column, cell) for column, cell in zip(columns, row.cells, strict=True)] for row in ladder.rows
    ]
    grid = Table(title=f"{ladder.title} ladder", title_justify="left", title_style="bold", box=None, padding=(0, 1))
    order = sorted(range(len(columns)), key=lambda index: columns[index].rank)
    folded = {index: FOLDED[column.key] for index, column in enumerate(columns) if column.key in FOLDED}
    shown = fitting(heads, rows, order, console.width, folded)
    for index in shown:
        column = columns[index]
        grid.add_column(heads[index], justify="right" if column.numeric else "left", no_wrap=column.key not in FOLDED)
    for row, texts in zip(ladder.rows, rows, strict=True):
        cells = (Text(texts[index], STYLES[row.cells[index].tone]) for index in shown)
        grid.add_row(*cells, style="bold" if row.variant in winners else None)
    console.print(grid)
    if dropped := [column.title for index, column in enumerate(columns) if index not in shown]:
        hint = f"Not enough room for {', '.join(dropped)}: use a wider terminal or see the page."
        console.print(hint, markup=False, highlight=False, style="dim")
    console.print()


def _in_table(row: Row, column: Column, cell: Cell) -> str:
    """The mark of a stand-in goes with the variant's name, which is always shown."""
    return _text(cell) + (f" {STAND_IN_MARK}" if column.key == "variant" and row.record.stand_in else "")


def fitting(
    heads: Sequence[str], rows: Sequence[Sequence[str]], order: Iterable[int], width: int, folded: Mapping[int, int]
) -> list[int]:
    """The columns that fit side by side, from left to right; ``order`` tells which get their room first. The first always does.

    ``folded`` are the widths of those that may take several lines.
    """
    chosen, left = list[int](), width
    for index in order:
        needed = max(len(line) for text in (heads[index], *(row[index] for row in rows)) for line in text.split("\n"))
        needed = 2 + min(needed, folded.get(index, needed))
        if not chosen or needed <= left:
            chosen.append(index)
            left -= needed
    return sorted(chosen)


def _plain(ladder: Ladder, console: Console, winners: Mapping[str, str]) -> None:
    rows = [[column.title for column in ladder.columns]]
    for row in ladder.rows:
        name, *texts = map(_text, row.cells)
        rows.append([f"{name} ({winners[row.variant]})" if row.variant in winners else name, *texts])
    widths = [max(map(len, texts)) for texts in zip(*rows, strict=True)]
    sides = [str.rjust if column.numeric else str.ljust for column in ladder.columns]
    aligned = ([side(text, width) for side, text, width in zip(sides, texts, widths, strict=True)] for texts in rows)
    lines = ("  ".join(texts).rstrip() for texts in aligned)
    console.print("\n".join([f"{ladder.title} ladder", *lines]), markup=False, highlight=False, soft_wrap=True)
    console.print()


def _text(cell: Cell) -> str:
    return images.printable(f"{cell.text} ({cell.badge})" if cell.badge else cell.text)
