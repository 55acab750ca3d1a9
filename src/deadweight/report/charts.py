"""The report's pictures: sizes by ladder, and on one axis the build times that can be compared.

Both axes are logarithmic: a variant may be a hundredth of another, and both are to be read; so marks are dots, whose place counts,
and not bars, whose length would.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from deadweight.report import figures, svg
from deadweight.report.model import BuildRecord, Report, VariantRecord
from deadweight.report.table import Ladder, size_of

BAR, STAND_IN_BAR, REFERENCE = "#1f6f8b", "#7fb0bf", "#9c4718"
PLOT_WIDTH, ROW, TOP, BOTTOM, GAP = 320, 24, 8, 34, 10


@dataclass(frozen=True)
class _Row:
    """One line of a chart: ``marks`` draws on it, given the place of a value and the height of the line."""

    name: str
    value: float | None
    label: str
    also: float | None
    marks: Callable[[Callable[[float], float], float], list[str]]


def ladder_chart(ladder: Ladder) -> str | None:
    """Uncompressed size of each variant, reference sizes as hollow diamonds with their value named.

    None where nothing was measured, or all have one size: such a picture would say nothing.
    """
    shown = {figures.size(size) for row in ladder.rows if (size := size_of(row.record))}
    if not shown or (len(shown) == 1 and len(ladder.rows) > 1):
        return None
    rows = [_size_row(row.variant, row.record) for row in ladder.rows]
    title = f"{ladder.title} ladder: image sizes on a logarithmic axis; the table below holds the figures"
    return _chart(rows, title, "uncompressed size, logarithmic", lambda value: figures.size(int(value)))


def _size_row(name: str, record: VariantRecord) -> _Row:
    size = size_of(record) or None
    reference = (record.reference.size_bytes or None) if record.reference else None
    label = figures.size(size) + (f", {figures.STAND_IN}" if record.stand_in and size is not None else "")
    label += f" (reference {figures.size(reference)})" if reference else ""
    fill = STAND_IN_BAR if record.stand_in else BAR

    def marks(place: Callable[[float], float], y: float) -> list[str]:
        drawn = [] if size is None else [svg.dot(place(size), y, 6, fill=fill)]
        return drawn + ([svg.diamond(place(reference), y, 7, stroke=REFERENCE)] if reference else [])

    return _Row(name, size, label, reference, marks)


def build_chart(report: Report) -> str | None:
    """Seconds of the builds that can be compared: each made from nothing, with the machine to itself. None below two of them."""
    built = [
        (name, record.build) for name, record in report.variants.items() if record.build and record.build.comparable
    ]
    built = [(name, build) for name, build in built if build.seconds > 0]
    if len(built) < 2:
        return None
    rows = [_build_row(name, build) for name, build in built]
    title = "Build times of builds from nothing, each alone, on one logarithmic axis; the tables below hold the figures"
    return _chart(rows, title, "seconds, logarithmic", lambda value: f"{value:g} s")


def _build_row(name: str, build: BuildRecord) -> _Row:
    def marks(place: Callable[[float], float], y: float) -> list[str]:
        return [svg.dot(place(build.seconds), y, 6, fill=BAR)]

    return _Row(name, build.seconds, figures.seconds(build.seconds), None, marks)


def _chart(rows: Sequence[_Row], title: str, axis: str, tick: Callable[[float], str]) -> str:
    left = svg.width_of(row.name for row in rows) + GAP
    right = svg.width_of(row.label for row in rows) + 2 * GAP
    bottom = TOP + ROW * len(rows)
    values = [value for row in rows for value in (row.value, row.also) if value]
    first, last = svg.decades(min(values), max(values))

    def place(value: float) -> float:
        return left + PLOT_WIDTH * (math.log10(value) - first) / (last - first)

    parts = []
    for power in range(first, last + 1):
        x = place(10.0**power)
        parts.append(svg.line(x, TOP, x, bottom))
        parts.append(svg.text(x, bottom + 10, tick(10.0**power), anchor="middle", fill=svg.MUTED, size=11))
    for index, row in enumerate(rows):
        y = TOP + ROW * (index + 0.5)
        parts.append(svg.text(left - GAP, y, row.name, anchor="end"))
        if row.value:
            parts.append(svg.line(left, y, place(row.value), y))
        parts += row.marks(place, y)
        parts.append(svg.text(left + PLOT_WIDTH + GAP, y, row.label))
    parts.append(svg.text(left + PLOT_WIDTH / 2, bottom + 26, axis, anchor="middle", fill=svg.MUTED, size=11))
    return svg.picture(left + PLOT_WIDTH + right, bottom + BOTTOM, title, parts)
