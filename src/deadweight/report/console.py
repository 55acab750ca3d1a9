"""Print the verdict and comparison: coloured tables on a terminal, plain aligned lines elsewhere."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from deadweight._packages import images
from deadweight.report.table import Cell, Column, Ladder, Row
from deadweight.report.verdict import Verdict, View

if TYPE_CHECKING:
    from rich.console import Console

    from deadweight.report.model import Report

STYLES = {"good": "green", "warn": "yellow", "bad": "bold red", "muted": "dim", "": ""}
STATUS_STYLES = {"pass": "bold green", "gaps": "bold yellow", "fail": "bold red"}
FAILURES_SHOWN, STORIES_SHOWN = 20, 4
STAND_IN_MARK = "*"
FOLDED = {"checks": 20, "vulnerabilities": 9}
"""Columns that may take several lines, and the width in letters that they are folded to where there is no room for more."""
_BROKEN = {"vulnerabilities": "Vulnera-\nbilities", "reach": "Touched / not touched\nby the requests sent"}
MOST_TELLING = (
    "variant", "size", "checks", "attacks", "vulnerabilities", "reach", "ratio", "startup", "build", "reference_size",
    "base",
    "user", "compressed", "layers", "reference_vulnerabilities", "runtime", "builder",
)  # fmt: skip
"""All columns, in the order in which they get the room that a terminal has."""


def print_comparison(report: Report, console: Console) -> None:
    """Print the verdict, the comparison, one table per ladder, and what a reader must know about its figures.

    A terminal gets the most telling of the columns that fit its width, and a line that names the others; elsewhere (a pipe, a
    CI log) the ladder's every column is printed.
    """
    seen = View(report)
    for text, style in verdict_lines(seen.verdict):
        console.print(
            images.printable(text), markup=False, highlight=False, style=style, soft_wrap=not console.is_terminal
        )
    console.print()
    winners = {each.winner for each in seen.verdict.findings}
    for ladder in seen.ladders:
        if console.is_terminal:
            _table(ladder, console, winners)
        else:
            _plain(ladder, console, winners)
    notes = [f"Reference: {' / '.join(seen.sources)}; not measured here."] if seen.sources else []
    notes += [seen.build_note] if seen.build_note else []
    notes += seen.figure_notes
    label = f"{STAND_IN_MARK} " if console.is_terminal else ""
    notes += [f"{label}Stand-ins: {seen.verdict.stand_ins}"] if seen.verdict.stand_ins else []
    built = {name: record for name, record in report.variants.items() if record.build}  # of others the verdict tells
    notes += [f"{name}: {note}" for name, record in built.items() for note in record.notes]
    for note in notes:
        console.print(images.printable(note), markup=False, highlight=False, soft_wrap=not console.is_terminal)


def verdict_lines(found: Verdict) -> Iterator[tuple[str, str]]:
    """The verdict, line by line, each with its style."""
    yield f"{found.title}. {found.counts}", STATUS_STYLES[found.status]
    for each in found.failures[:FAILURES_SHOWN]:
        yield f"FAILED {each}", "red"
    if len(found.failures) > FAILURES_SHOWN:
        yield f"and {len(found.failures) - FAILURES_SHOWN} more failures; see the page for all of them", "red"
    for gap in found.gaps:
        yield f"{gap.count:,} {gap.word}: {gap.text}", "yellow"
    for finding in found.findings:
        yield f"{finding.head}: {finding.text}", ""
    for story in found.stories[:STORIES_SHOWN]:
        yield story, ""


def _table(ladder: Ladder, console: Console, winners: Container[str | None]) -> None:
    from rich.table import Table
    from rich.text import Text

    columns = ladder.columns
    heads = [_BROKEN.get(column.key, column.title.replace(" ", "\n", 1)) for column in columns]
    rows = [
        [_in_table(row, column, cell) for column, cell in zip(columns, row.cells, strict=True)] for row in ladder.rows
    ]
    grid = Table(title=f"{ladder.title} ladder", title_justify="left", title_style="bold", box=None, padding=(0, 1))
    place = {column.key: index for index, column in enumerate(columns)}
    order = [place[key] for key in MOST_TELLING if key in place]
    folded = {index: FOLDED[key] for key, index in place.items() if key in FOLDED}
    shown = fitting(heads, rows, order, console.width, folded)
    for index in shown:
        column = columns[index]
        grid.add_column(
            heads[index],
            justify="right" if column.numeric else "left",
            style="cyan" if column.reference else None,
            no_wrap=column.key not in FOLDED,
        )
    for row, texts in zip(ladder.rows, rows, strict=True):
        cells = (Text(texts[index], STYLES[row.cells[index].tone]) for index in shown)
        grid.add_row(*cells, style="bold" if row.variant in winners else None)
    console.print(grid)
    dropped = [column.title for index, column in enumerate(columns) if index not in shown]
    if dropped:
        told = f"Not enough room for {', '.join(dropped)}: use a wider terminal or see the page."
        console.print(told, markup=False, highlight=False, style="dim")
    console.print()


def _in_table(row: Row, column: Column, cell: Cell) -> str:
    """The mark of a stand-in goes with the variant's name, which is always shown; the base may have no room."""
    if column.key == "base":
        return images.printable(cell.text)
    label = f" {STAND_IN_MARK}" if column.key == "variant" and row.record.stand_in else ""
    return _text(cell) + label


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


def _plain(ladder: Ladder, console: Console, winners: Container[str | None]) -> None:
    rows = [[column.title for column in ladder.columns], *([_text(cell) for cell in row.cells] for row in ladder.rows)]
    for texts, row in zip(rows[1:], ladder.rows, strict=True):
        texts[0] += " (ship)" if row.variant in winners else ""
    widths = [max(len(row[index]) for row in rows) for index in range(len(ladder.columns))]
    lines = [f"{ladder.title} ladder", *(_line(row, widths, ladder.columns) for row in rows)]
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)
    console.print()


def _line(row: list[str], widths: list[int], columns: tuple[Column, ...]) -> str:
    cells = (
        text.rjust(width) if column.numeric else text.ljust(width)
        for text, width, column in zip(row, widths, columns, strict=True)
    )
    return "  ".join(cells).rstrip()


def _text(cell: Cell) -> str:
    return images.printable(f"{cell.text} ({cell.badge})" if cell.badge else cell.text)
