"""Draw the report's SVG charts: image sizes per ladder, and comparable build times on one axis.

Both axes are logarithmic: one variant may be a hundredth of another, and both must be readable. So marks are dots, read by
position, not bars, read by length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from deadweight.report import figures
from deadweight.report.model import BuildRecord, Report, VariantRecord
from deadweight.report.table import Ladder, size_of

# SVG as text, just what our charts need: same values in, same bytes out, and no text that could become markup.

INK, MUTED, GRID = "#1c2126", "#59636e", "#d6dce1"
"""The light theme's colours. The page recolours them for a dark screen by matching these exact values, so that one picture serves
both and still stands alone as a file."""
FONT = "Liberation Sans, Helvetica Neue, Arial, sans-serif"
FONT_SIZE = 12
LETTER = 7.6
"""Pixels for a letter of ``FONT_SIZE`` in the widest common font (DejaVu Sans): whoever opens the picture may have only that."""


def picture(width: float, height: float, description: str, parts: Iterable[str]) -> str:
    """The whole file. ``description`` is for those who do not see it (``role="img"`` hides the inner marks from screen readers)."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label={quoteattr(description)} width="{number(width)}" '
        f'height="{number(height)}" viewBox="0 0 {number(width)} {number(height)}" font-family="{FONT}" font-size="{FONT_SIZE}">'
    )
    return "\n".join((head, *parts, "</svg>")) + "\n"


def text(x: float, y: float, words: str, *, anchor: str = "start", fill: str = INK, size: float | None = None) -> str:
    """``y`` is the middle of the letters."""
    sized = f' font-size="{number(size)}"' if size else ""
    placed = f'x="{number(x)}" y="{number(y)}" dy="0.35em" text-anchor="{anchor}" fill="{fill}"{sized}'
    return f"<text {placed}>{escape(_plain(words))}</text>"


def line(x1: float, y1: float, x2: float, y2: float, *, stroke: str = GRID) -> str:
    return f'<line x1="{number(x1)}" y1="{number(y1)}" x2="{number(x2)}" y2="{number(y2)}" stroke="{stroke}"/>'


def dot(x: float, y: float, radius: float, *, fill: str = "none", stroke: str = "none") -> str:
    return f'<circle cx="{number(x)}" cy="{number(y)}" r="{number(radius)}" fill="{fill}" stroke="{stroke}" stroke-width="2"/>'


def box(x: float, y: float, side: float, *, fill: str = "none", stroke: str = "none") -> str:
    """A square around a point."""
    half = side / 2
    return (
        f'<rect x="{number(x - half)}" y="{number(y - half)}" width="{number(side)}" height="{number(side)}" fill="{fill}" '
        f'stroke="{stroke}" stroke-width="2"/>'
    )


def diamond(x: float, y: float, radius: float, *, stroke: str) -> str:
    points = " ".join(
        f"{number(x + dx)},{number(y + dy)}" for dx, dy in ((0, -radius), (radius, 0), (0, radius), (-radius, 0))
    )
    return f'<polygon points="{points}" fill="none" stroke="{stroke}" stroke-width="2"/>'


def width_of(texts: Iterable[str], size: float = FONT_SIZE) -> float:
    """Pixels that the longest of these texts may take."""
    return max(map(len, texts), default=0) * LETTER * size / FONT_SIZE


def number(value: float) -> str:
    """At most two places, without a needless zero."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def decades(low: float, high: float) -> tuple[int, int]:
    """The powers of ten that an axis from ``low`` to ``high`` begins and ends with; at least one apart."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return first, max(last, first + 1)


def _plain(words: str) -> str:
    """Without characters that XML cannot hold."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in words)


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
        drawn = [] if size is None else [dot(place(size), y, 6, fill=fill)]
        return drawn + ([diamond(place(reference), y, 7, stroke=REFERENCE)] if reference else [])

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
        return [dot(place(build.seconds), y, 6, fill=BAR)]

    return _Row(name, build.seconds, figures.seconds(build.seconds), None, marks)


def _chart(rows: Sequence[_Row], title: str, axis: str, tick: Callable[[float], str]) -> str:
    left = width_of(row.name for row in rows) + GAP
    right = width_of(row.label for row in rows) + 2 * GAP
    bottom = TOP + ROW * len(rows)
    values = [value for row in rows for value in (row.value, row.also) if value]
    first, last = decades(min(values), max(values))

    def place(value: float) -> float:
        return left + PLOT_WIDTH * (math.log10(value) - first) / (last - first)

    parts = []
    for power in range(first, last + 1):
        x = place(10.0**power)
        parts.append(line(x, TOP, x, bottom))
        parts.append(text(x, bottom + 10, tick(10.0**power), anchor="middle", fill=MUTED, size=11))
    for index, row in enumerate(rows):
        y = TOP + ROW * (index + 0.5)
        parts.append(text(left - GAP, y, row.name, anchor="end"))
        if row.value:
            parts.append(line(left, y, place(row.value), y))
        parts += row.marks(place, y)
        parts.append(text(left + PLOT_WIDTH + GAP, y, row.label))
    parts.append(text(left + PLOT_WIDTH / 2, bottom + 26, axis, anchor="middle", fill=MUTED, size=11))
    return picture(left + PLOT_WIDTH + right, bottom + BOTTOM, title, parts)
