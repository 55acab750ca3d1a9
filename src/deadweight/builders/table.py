"""Which builder a name means: ours from one plain table, others' through the entry point group ``deadweight.builders``.

A builder is imported when it builds, its record of keys when a suite names it. Entry points are read only when a suite names a
builder that the table lacks, so that start-up stays fast.
"""

from __future__ import annotations

import functools
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from deadweight._errors import DeadweightError
from deadweight.builders.protocol import Builder

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from deadweight.suite.model import Variant

GROUP = "deadweight.builders"

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
    from importlib.metadata import entry_points

    everybody = entry_points(group=GROUP)
    ours = [point for point in everybody if point.name in TABLE]
    if ours:
        what = f"{_whose(ours[0])} registers the builder {ours[0].name!r}, which is one of ours"
        raise DeadweightError(what, hint="uninstall it, or give it another name")
    found = [point for point in everybody if point.name == name]
    if not found:
        raise LookupError(name)
    if len(found) > 1:
        owners = ", ".join(sorted(_whose(point) for point in found))
        raise DeadweightError(f"builder {name!r} is registered more than once: {owners}", hint="uninstall all but one")
    from deadweight.builders.plugin import guarded

    return guarded(found[0], f"builder {name!r} ({_whose(found[0])})")


def _whose(point: EntryPoint) -> str:
    return f"{point.value}{f', from {point.dist.name}' if point.dist else ''}"
