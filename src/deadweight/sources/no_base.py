"""The error for bases that cannot be had."""

from __future__ import annotations

from collections.abc import Mapping

from deadweight._errors import MissingError

APK = "APK repositories"
"""What a problem of ``NoBase`` is about where it is no base: what apko and melange take packages from."""


class NoBase(MissingError):
    """Bases that cannot be had. ``problems`` are the message's lines, each with the reference that it is about, or ``APK``.

    A source knows no files: whoever does says where each is named (``placed``).
    """

    def __init__(self, *problems: tuple[str | None, str], hint: str | None = None) -> None:
        super().__init__("\n".join(text for _, text in problems), hint=hint)
        self.problems = problems

    def placed(self, places: Mapping[str, str]) -> NoBase:
        """The same, each line led by the place of its reference."""
        leads = {about: f"{place}: " for about, place in places.items()}
        return NoBase(*((about, leads.get(about or "", "") + text) for about, text in self.problems), hint=self.hint)
