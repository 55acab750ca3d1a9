"""One difference between two reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "variant",
    "build",
    "size",
    "compressed",
    "layers",
    "packages",
    "base",
    "startup",
    "checks",
    "attacks",
    "vulnerabilities",
]
Direction = Literal["better", "worse", "other"]


@dataclass(frozen=True)
class Change:
    """``text`` says all of it in one line; ``regression`` means beyond the ratchet."""

    variant: str
    kind: Kind
    text: str
    direction: Direction = "other"
    regression: bool = False

    def __str__(self) -> str:
        return f"{self.variant}: {self.text}"
