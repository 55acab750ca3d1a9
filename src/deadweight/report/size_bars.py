"""Sizes before and after as a picture that a comment, a log and a terminal all show: bars of letters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deadweight.report import figures

WIDTH = 40
SHOWN = 8
FULL, SOME = "█", "▏"


@dataclass(frozen=True)
class Sizes:
    """What a variant's image weighed and weighs now, in bytes."""

    variant: str
    before: int
    after: int


def drawn(sizes: Sequence[Sizes]) -> str:
    """Two lines for each variant, those that changed most first; all bars have one scale."""
    chosen = sorted(sizes, key=lambda each: -abs(each.after - each.before))[:SHOWN]
    most = max((max(each.before, each.after) for each in chosen), default=0) or 1
    wide = max((len(each.variant) for each in chosen), default=0)
    lines = []
    for each in chosen:
        for name, word, size in ((each.variant, "before", each.before), ("", "now", each.after)):
            lines.append(f"{name:<{wide}}  {word:<6}  {_bar(size, most)} {figures.size(size)}")
    return "\n".join(lines)


def _bar(size: int, most: int) -> str:
    return FULL * round(WIDTH * size / most) or SOME
