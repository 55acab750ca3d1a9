"""Record how a derived variant differs from the repository's own image, as comment lines for the suite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

MOST_SHOWN = 12


class Code(Enum):
    """What kind of difference it is; the value is how its line begins."""

    BASE = "another base"
    PROGRAMS = "not there"
    FILES = "left out"
    HEALTHCHECK = "no health check"
    STEP = "not done"
    FLAGS = "other build flags"
    SETTING = "not set"


@dataclass(frozen=True)
class Change:
    """One difference. ``what`` names it; ``line`` is that of the own Dockerfile, 0 where it has none."""

    code: Code
    what: str
    line: int = 0
    file: str = ""

    def __str__(self) -> str:
        place = f" ({self.file}:{self.line})" if self.line else ""
        return f"{self.code.value}: {self.what}{place}"


def lines(changes: Sequence[Change]) -> list[str]:
    """The changes as lines; of many only the first, and how many more there are."""
    shown = [str(each) for each in changes[:MOST_SHOWN]]
    left = len(changes) - len(shown)
    return [*shown, *([f"and {left} more"] if left else [])]
