"""Assert which error came, by its code and fields: the wording is for people, and lives in each package's messages.toml."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from deadweight._errors import DeadweightError


@contextmanager
def raises(kind: type[DeadweightError], code: str, **fields: object) -> Iterator[pytest.ExceptionInfo[DeadweightError]]:
    """The block raises an error of this kind with this code and, among its fields, these."""
    with pytest.raises(kind) as caught:
        yield caught
    assert code == caught.value.code, str(caught.value)
    assert fields == {name: caught.value.fields.get(name) for name in fields}
