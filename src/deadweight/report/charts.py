"""Draw the report's SVG charts: image sizes per ladder, and comparable build times on one axis.

Both axes are logarithmic: one variant may be a hundredth of another, and both must be readable. So marks are dots, read by
position, not bars, read by length. The same values give the same bytes.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deadweight.report import figures
from deadweight.report.model import Report, VariantRecord
from deadweight.report.table import Ladder, ladders, size_of

if TYPE_CHECKING:
    from jinja2 import Environment

COLOURS = {"ink": "#1c2126", "muted": "#59636e", "grid": "#d6dce1", "reference": "#9c4718"}
"""The light theme's. The page recolours them for a dark screen by matching these exact values, so that one picture serves both and
still stands alone as a file."""
FONT = "Liberation Sans, Helvetica Neue, Arial, sans-serif"
FONT_SIZE = 12
LETTER = 7.6
"""Pixels for a letter of ``FONT_SIZE`` in the widest common font (DejaVu Sans): whoever opens the picture may have only that."""
BAR, STAND_IN_BAR = "#1f6f8b", "#7fb0bf"
PLOT_WIDTH, ROW, TOP, BOTTOM, GAP = 320, 24, 8, 34, 10


@functools.cache
def environment() -> Environment:
    """Jinja's, for the report's templates: what is put in is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("deadweight.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    made.filters.update(number=number, shown=_without_orders)
    made.globals |= COLOURS | {"font": FONT, "font_size": FONT_SIZE, "plot": PLOT_WIDTH, "step": ROW}
    made.globals |= {"top": TOP, "below": BOTTOM, "gap": GAP}
    return made


def number(value: float) -> str:
    """At most two places, without a needless zero."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _without_orders(words: str) -> str:
    """Without characters that XML cannot hold."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in words)


@dataclass(frozen=True)
class _Row:
    """One line of a chart. ``also`` is somebody else's value, drawn as a hollow diamond."""

    name: str
    value: float | None
    label: str
    also: float | None = None
    fill: str = BAR


def ladder_charts(report: Report) -> dict[str, str]:
    """The pictures of those ladders that have one, by name."""
    drawn = {ladder.name: ladder_chart(ladder) for ladder in ladders(report)}
    return {name: svg for name, svg in drawn.items() if svg is not None}


def ladder_chart(ladder: Ladder) -> str | None:
    """Uncompressed size of each variant, reference sizes as hollow diamonds with their value named.

    None where nothing was measured, or all have one size: such a picture would say nothing.
    """
    sizes = {figures.size(size) for row in ladder.rows if (size := size_of(row.record))}
    if not sizes or (len(sizes) == 1 and len(ladder.rows) > 1):
        return None
    rows = [_size_row(row.variant, row.record) for row in ladder.rows]
    title = f"{ladder.title} ladder: image sizes on a logarithmic axis; the table below holds the figures"
    return _chart(rows, title, "uncompressed size, logarithmic", lambda value: figures.size(int(value)))


def _size_row(name: str, record: VariantRecord) -> _Row:
    size = size_of(record) or None
    reference = (record.reference.size_bytes or None) if record.reference else None
    label = figures.size(size) + (f", {figures.STAND_IN}" if record.stand_in and size is not None else "")
    label += f" (reference {figures.size(reference)})" if reference else ""
    return _Row(name, size, label, reference, STAND_IN_BAR if record.stand_in else BAR)


def build_chart(report: Report) -> str | None:
    """Seconds of the builds that can be compared: each made from nothing, with the machine to itself. None below two of them."""
    builds = {name: record.build for name, record in report.variants.items()}
    rows = [
        _Row(name, build.seconds, figures.seconds(build.seconds))
        for name, build in builds.items()
        if build and build.comparable and build.seconds > 0
    ]
    title = "Build times of builds from nothing, each alone, on one logarithmic axis; the tables below hold the figures"
    return _chart(rows, title, "seconds, logarithmic", lambda value: f"{value:g} s") if len(rows) > 1 else None


def _chart(rows: Sequence[_Row], title: str, axis: str, tick: Callable[[float], str]) -> str:
    left = _width(row.name for row in rows) + GAP
    width = left + PLOT_WIDTH + _width(row.label for row in rows) + 2 * GAP
    values = [value for row in rows for value in (row.value, row.also) if value]
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    last = max(last, first + 1)

    def place(value: float | None) -> float | None:
        return left + PLOT_WIDTH * (math.log10(value) - first) / (last - first) if value else None

    ticks = [(place(10.0**power), tick(10.0**power)) for power in range(first, last + 1)]
    picture = environment().get_template("chart.svg.j2")
    return picture.render(title=title, axis=axis, rows=rows, place=place, ticks=ticks, left=left, width=width)


def _width(texts: Iterable[str]) -> float:
    """Pixels that the longest of these texts may take."""
    return max(map(len, texts), default=0) * LETTER
