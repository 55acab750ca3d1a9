"""Which builder a name means: ours from one plain table, others' through the entry point group ``deadweight.builders``.

A builder is imported when it builds, its record of keys when a suite names it. Entry points are read only when a suite names a
builder that the table lacks, so that start-up stays fast.
"""

from __future__ import annotations

import functools
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from deadweight import _plugins
from deadweight.builders.protocol import Builder

if TYPE_CHECKING:
    from deadweight.suite.model import Variant

TABLE = {
    "dockerfile": ("deadweight.builders.dockerfile", "DockerfileVariant", "DockerfileBuilder"),
    "ko": ("deadweight.builders.ko", "KoVariant", "KoBuilder"),
    "apko": ("deadweight.builders.apko", "ApkoVariant", "ApkoBuilder"),
    "jib": ("deadweight.builders.jib", "JibVariant", "JibBuilder"),
}
"""Each one's folder, the record in its ``variant.py`` and the builder in its ``builder.py``."""


def names() -> tuple[str, ...]:
    """The names of our own builders."""
    return tuple(TABLE)


@functools.cache
def builder(name: str) -> Builder[Any]:
    """The builder of that name. Raises LookupError where nobody registered it, DeadweightError where it cannot be loaded."""
    if name in TABLE:
        folder, _, kind = TABLE[name]
        return cast("Builder[Any]", getattr(import_module(f"{folder}.builder"), kind)())
    return _third_party(name)


@functools.cache
def record(name: str) -> type[Variant] | None:
    """The keys of that builder's variants; None where nobody registered it.

    Raises DeadweightError for another's builder that cannot be loaded, or whose record is wrong.
    """
    if name in TABLE:
        folder, kind, _ = TABLE[name]
        return cast("type[Variant]", getattr(import_module(f"{folder}.variant"), kind))
    try:
        return builder(name).record
    except LookupError:
        return None


def is_known(name: str) -> bool:
    """Whether it is ours or registered. Raises DeadweightError as ``record`` does."""
    return name in TABLE or record(name) is not None


def _third_party(name: str) -> Builder[Any]:
    from deadweight.builders.plugin import METHODS, Guarded

    made, whose = _plugins.load("builder", name, METHODS, TABLE)
    return Guarded(made, name, whose)
