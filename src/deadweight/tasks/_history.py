"""The history of a comparison on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from deadweight.report import figures
from deadweight.report.history import Row, rows

if TYPE_CHECKING:
    from rich.console import Console

    from deadweight.report.model import HistoryEntry

HEADS = ("When (UTC)", "Commit", "Size", "Findings", "Attacks held", "Start-up", "Build")


def print_history(entries: Sequence[HistoryEntry], out: Console) -> None:
    """A table for each variant, from old to new."""
    from rich.table import Table

    for name, found in rows(entries).items():
        table = Table(*HEADS, title=name, title_justify="left", box=None, padding=(0, 1))
        for row in found:
            table.add_row(*_cells(row))
        out.print(table)


def _cells(row: Row) -> list[str]:
    point = row.point
    commit = (row.commit or "none")[:10] + ("+" if row.dirty else "")
    held = ", ".join(f"{posture} {each.held}/{each.tried}" for posture, each in point.attacks.items())
    return [
        row.at[:16].replace("T", " "),
        commit,
        figures.size(point.size_bytes) + (f" ({figures.STAND_IN})" if point.stand_in else ""),
        figures.count(point.findings),
        held or figures.NOT_MEASURED,
        figures.seconds(point.startup_seconds),
        figures.seconds(point.build_seconds),
    ]
