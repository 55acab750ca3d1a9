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


# From which difference on a figure of two reports has changed, and from which on that is a regression.
@dataclass(frozen=True)
class Thresholds:
    """Noise floors and ratchets. Sizes: both the bytes and the percent must be passed. Start-up: both seconds and percent.

    ``ratchet_startup`` is off (None) unless a project sets it: start-up time depends on the machine that measured it.
    """

    noise_bytes: int = 64_000
    noise_percent: float = 0.5
    ratchet_bytes: int = 1_000_000
    ratchet_percent: float = 2.0
    noise_seconds: float = 0.5
    noise_startup_percent: float = 50.0
    ratchet_startup_percent: float | None = None
    ratchet_layers: int = 0
    grave: tuple[str, ...] = ("critical", "high")
