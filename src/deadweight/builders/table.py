"""Which builder a name means: ours from one plain table, others' through the entry point group ``deadweight.builders``.

Entry points are read only when a suite names a builder that the table lacks, so that start-up stays fast.
"""

from __future__ import annotations

import functools
from importlib import import_module
from typing import TYPE_CHECKING, cast

from deadweight._errors import DeadweightError
from deadweight.builders.protocol import Builder

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "deadweight.builders"

TABLE = {
    "dockerfile": "deadweight.builders.dockerfile.builder:DockerfileBuilder",
    "ko": "deadweight.builders.ko.builder:KoBuilder",
    "apko": "deadweight.builders.apko.builder:ApkoBuilder",
    "jib": "deadweight.builders.jib.builder:JibBuilder",
}

KEYS = {
    "dockerfile": ("dockerfile", "target", "bases", "args", "secrets", "ssh"),
    "ko": ("base", "config", "main"),
    "apko": ("config", "packages", "runner"),
    "jib": ("base", "pom", "main", "files", "env", "tests", "args"),
}
"""What each of ours reads of a variant, beside what all do. A plug-in's builder may read any of these, and ``options``."""


def names() -> tuple[str, ...]:
    """The names of our own builders."""
    return tuple(TABLE)


@functools.cache
def builder(name: str) -> Builder:
    """The builder of that name. Raises LookupError where nobody registered it, DeadweightError where it cannot be loaded."""
    if name in TABLE:
        module, _, kind = TABLE[name].partition(":")
        return cast(Builder, getattr(import_module(module), kind)())
    return _third_party(name)


def is_known(name: str) -> bool:
    """Whether it is ours or registered. Loads no builder."""
    return name in TABLE or bool(_registered(name))


def _registered(name: str) -> tuple[EntryPoint, ...]:
    from importlib.metadata import entry_points

    return tuple(entry_points(group=GROUP, name=name))


def _third_party(name: str) -> Builder:
    found = _registered(name)
    if not found:
        raise LookupError(name)
    if len(found) > 1:
        owners = ", ".join(sorted(point.value for point in found))
        raise DeadweightError(f"builder {name!r} is registered more than once: {owners}", hint="uninstall all but one")
    from deadweight.builders.plugin import Guarded

    point = found[0]
    whose = f"builder {name!r} ({point.value}{f', from {point.dist.name}' if point.dist else ''})"
    try:
        made = point.load()()
    except Exception as error:
        raise DeadweightError(f"{whose} cannot be loaded: {type(error).__name__}: {error}") from error
    missing = [method for method in ("needs", "steps", "archive") if not callable(getattr(made, method, None))]
    if missing:
        raise DeadweightError(f"{whose} is no builder: it lacks {', '.join(missing)}")
    return Guarded(made, name, whose)
