"""The codes of messages that are no errors: reasons, notes, hints. Their wording is for people."""

from __future__ import annotations

from typing import Any


def codes(message: object) -> list[str]:
    """The code of a message and, in the order of its fields, of those that it holds. Empty for a text that is in no catalogue."""
    fields = getattr(message, "fields", {}).values()
    return [message.code, *(code for field in fields for code in codes(field))] if hasattr(message, "code") else []


def details(thing: object) -> Any:
    """An error or a message, with its own attributes for the type checker: ``details(reason).fields``."""
    return thing
