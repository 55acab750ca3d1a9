"""From which difference on a figure of two reports has changed, and from which on that is a regression."""

from __future__ import annotations

from dataclasses import dataclass


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
