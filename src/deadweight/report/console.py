"""The comparison on a terminal: a table with colours where there is one, plain aligned lines elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deadweight.image.model import printable
from deadweight.report.table import COLUMNS, Cell, Column, Ladder
from deadweight.report.view import view

if TYPE_CHECKING:
    from rich.console import Console

    from deadweight.report.model import Report

STYLES = {"good": "green", "warn": "yellow", "bad": "bold red", "muted": "dim", "": ""}
WIDE_TERMINAL = 200


def print_comparison(report: Report, console: Console) -> None:
    """Print the comparison, one table per ladder, and what a reader must know about its figures.

    A terminal narrower than 200 columns gets the most telling columns; elsewhere (a pipe, a CI log) every column is printed.
    """
    seen = view(report)
    for ladder in seen.ladders:
        if console.is_terminal:
            _table(ladder, console)
        else:
            _plain(ladder, console)
    notes = [seen.headline]
    notes += [f"Reference: {' / '.join(seen.sources)}; not measured here."] if seen.sources else []
    notes += [f"Stand-ins: {seen.stand_in_note}"] if seen.stand_ins else []
    notes += [f"{name}: {note}" for name, record in report.variants.items() for note in record.notes]
    for note in notes:
        console.print(printable(note), markup=False, highlight=False, soft_wrap=not console.is_terminal)


def _table(ladder: Ladder, console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    shown = [(index, column) for index, column in enumerate(COLUMNS) if column.narrow or console.width >= WIDE_TERMINAL]
    grid = Table(title=f"{ladder.title} ladder", title_justify="left", title_style="bold")
    for index, column in shown:
        grid.add_column(
            column.title,
            justify="right" if column.numeric else "left",
            style="cyan" if column.reference else None,
            no_wrap=index == 0,
        )
    for row in ladder.rows:
        grid.add_row(*(Text(_text(row.cells[index]), STYLES[row.cells[index].tone]) for index, _ in shown))
    console.print(grid)


def _plain(ladder: Ladder, console: Console) -> None:
    rows = [[column.title for column in COLUMNS], *([_text(cell) for cell in row.cells] for row in ladder.rows)]
    widths = [max(len(row[index]) for row in rows) for index in range(len(COLUMNS))]
    lines = [f"{ladder.title} ladder", *(_line(row, widths, COLUMNS) for row in rows)]
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)
    console.print()


def _line(row: list[str], widths: list[int], columns: tuple[Column, ...]) -> str:
    cells = (
        text.rjust(width) if column.numeric else text.ljust(width)
        for text, width, column in zip(row, widths, columns, strict=True)
    )
    return "  ".join(cells).rstrip()


def _text(cell: Cell) -> str:
    return printable(f"{cell.text} ({cell.badge})" if cell.badge else cell.text)
