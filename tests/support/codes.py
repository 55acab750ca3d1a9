"""Assert which error or message came, by code and fields: the wording is for people, and lives in each package's messages.toml."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest

from deadweight._errors import DeadweightError
from deadweight._packages import images

E = TypeVar("E", bound=DeadweightError)


@contextmanager
def raises(kind: type[E], code: str, /, **fields: object) -> Iterator[pytest.ExceptionInfo[E]]:
    """The block raises an error of this kind with this code and, among its fields or else its attributes, these."""
    with pytest.raises(kind) as caught:
        yield caught
    assert code == caught.value.code, str(caught.value)
    assert fields == {name: caught.value.fields.get(name, getattr(caught.value, name, None)) for name in fields}


def parts(message: object) -> tuple[str, dict[str, Any]]:
    """The code and the fields of a message."""
    assert isinstance(message, images.Message), message
    return message.code, dict(message.fields)


def codes(message: object) -> list[str]:
    """The code of a message and, in the order of its fields, of those that it holds. Empty for a text that is in no catalogue."""
    fields = getattr(message, "fields", {}).values()
    return [message.code, *(code for field in fields for code in codes(field))] if hasattr(message, "code") else []


def details(thing: object) -> Any:
    """An error or a message, with its own attributes for the type checker: ``details(reason).fields``."""
    return thing
