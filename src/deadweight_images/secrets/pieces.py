"""What comes of an encoded object: decoded bytes, or why it was not opened; and how much may still be decoded and judged."""

from __future__ import annotations

from dataclasses import dataclass

from deadweight_images.secrets.model import Limits

VERDICTS = 20_000  # each takes some twenty microseconds; files of packages have one in ten thousand bytes


@dataclass(frozen=True)
class Piece:
    """Decoded bytes. ``base`` is their offset in the decoded whole; ``label`` names the step for ``Match.inner``. ``more`` says
    that they end where that is cut into pieces."""

    label: str
    data: bytes
    base: int = 0
    more: bool = False


@dataclass(frozen=True)
class Refused:
    """An encoded object that was not, or not wholly, opened."""

    label: str
    reason: str
    size_bytes: int


@dataclass
class Budget:
    """What may still be decoded, bytes and encoded objects, and how many candidates may still be refused: of one file or of many
    together."""

    left: int
    objects: int
    verdicts: int = VERDICTS

    @classmethod
    def of(cls, limits: Limits, within: Budget | None = None) -> Budget:
        """One file's, which may not be more than what is left of that of many."""
        if within is None:
            return cls(limits.total, limits.objects)
        return cls(min(limits.total, within.left), min(limits.objects, within.objects), within.verdicts)

    def spend(self, whole: Budget, rest: Budget) -> None:
        """Take off what lies between a file's budget as it was given out and what is left of it."""
        self.left -= whole.left - rest.left
        self.objects -= whole.objects - rest.objects
        self.verdicts -= whole.verdicts - rest.verdicts
