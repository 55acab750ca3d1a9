"""SVG as text, just what our charts need: same values in, same bytes out, and no text that could become markup."""

from __future__ import annotations

import math
from collections.abc import Iterable
from xml.sax.saxutils import escape, quoteattr

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
