"""Errors of this package, and the base of all Deadweight errors, so that both are caught and shown alike."""

from __future__ import annotations

from typing import ClassVar


class DeadweightError(Exception):
    """Base of all errors that are shown to a user as one message, without a traceback."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return _shown(self.message if self.hint is None else f"{self.message}\n  hint: {self.hint}")


def _shown(text: str) -> str:
    """For a terminal: keys and values of a file, or a tool's words, may hold control characters, and none of them is obeyed."""
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


class UsageError(DeadweightError):
    """A wrong argument on the command line or in a call."""

    exit_code = 2


class CheckFailed(DeadweightError):
    """A check or a gate failed; the summary is in the message."""


class ArchiveError(DeadweightError):
    """An image archive that is damaged, hostile, or no image archive at all."""

    HINT: ClassVar[str] = (
        "the archive is damaged, or a faulty or hostile tool wrote it: save, build or download it again"
    )

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint or self.HINT)
