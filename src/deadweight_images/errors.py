"""Errors of this package, the base of all Deadweight errors, and the catalogue that their sentences come from.

A package keeps its sentences in ``messages.toml``. Code and tests use their codes: only a reader sees the wording.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import ClassVar


class Message(str):
    """A sentence that knows the code and the fields it was made from. It goes wherever a string goes."""

    code: str
    fields: Mapping[str, object]
    hint: str | None

    def __new__(cls, sentence: str, code: str, fields: Mapping[str, object], hint: str | None = None) -> Message:
        made = super().__new__(cls, sentence)
        made.code, made.fields, made.hint = code, fields, hint
        return made

    def of(self, what: object) -> Message:
        """The same, said of something: a file, or a part of one."""
        return Message(f"{what}: {self}", self.code, {**self.fields, "what": what}, self.hint)

    def __getnewargs__(self) -> tuple[str, str, Mapping[str, object], str | None]:  # type: ignore[override]
        return str(self), self.code, self.fields, self.hint


class Catalogue:
    """The sentences of one package, read on first use."""

    def __init__(self, package: str) -> None:
        self._package = package
        self._topics: dict[str, Mapping[str, str | tuple[str, str]]] = {}

    def __call__(self, code: str, /, **fields: object) -> Message:
        """The message of ``code`` (``topic.name``), filled in with its fields."""
        topic, _, name = code.partition(".")
        template = self._sentences(topic)[name]
        sentence, hint = (template, None) if isinstance(template, str) else template
        return Message(sentence.format_map(fields), code, fields, hint and hint.format_map(fields))

    def _sentences(self, topic: str) -> Mapping[str, str | tuple[str, str]]:
        """The templates of one topic by name: a sentence, or a sentence and its hint. To read all takes long."""
        if topic not in self._topics:
            import tomllib

            whole = (files(self._package) / "messages.toml").read_text(encoding="utf-8")
            self._topics[topic] = tomllib.loads(whole.partition(f"\n[{topic}]")[2].partition("\n[")[0])
        return self._topics[topic]


wording = Catalogue("deadweight_images")
"""This package's sentences, by code (``messages.toml``)."""


class DeadweightError(Exception):
    """Base of all errors that are shown to a user as one message, without a traceback.

    ``code`` is that of the catalogue; empty if the message is not in one.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = message.code if isinstance(message, Message) else ""
        self.fields = message.fields if isinstance(message, Message) else {}
        self.hint = hint or getattr(message, "hint", None)

    def __str__(self) -> str:
        return _shown(self.message if self.hint is None else f"{self.message}\n  hint: {self.hint}")


def _shown(text: str) -> str:
    """For a terminal: keys and values of a file, or a tool's words, may hold control characters, and none of them is obeyed."""
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


class UsageError(DeadweightError):
    """A wrong argument on the command line or in a call."""

    exit_code = 2


class MissingError(DeadweightError):
    """Something that is required is missing. ``hint`` is the command that installs it."""

    exit_code = 3


class CheckFailed(DeadweightError):
    """A check or a gate failed; the summary is in the message."""


class ArchiveError(DeadweightError):
    """An image archive that is damaged or hostile, or a file that is not an image archive."""

    HINT: ClassVar[str] = (
        "the archive is damaged, or a faulty or hostile tool wrote it: save, build or download it again"
    )

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint or getattr(message, "hint", None) or self.HINT)
