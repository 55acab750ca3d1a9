"""The sections of a suite file that hold variants: its own, and one for each service where there are several."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from deadweight.suite.explain import did_you_mean, mapping
from deadweight.suite.problems import Problems
from deadweight.suite.yaml_nodes import Document, Key

NAME = re.compile(r"[a-z0-9]([a-z0-9_-]{0,30}[a-z0-9])?")
"""A service's name; it stands before a dot in those of its variants."""


@dataclass(frozen=True)
class Section:
    """Variants as the file has them. ``defaults`` are already those of the suite below those of the service.

    ``place`` is the section's path in the file, ``below`` are the paths where the variants' defaults stand.
    """

    service: str
    place: Key
    below: tuple[Key, ...]
    defaults: Mapping[str, Any]
    variants: Mapping[str, Any]

    def full(self, name: str) -> str:
        """A variant's name in the suite."""
        return f"{self.service}.{name}" if self.service else name

    def at(self, name: str) -> Key:
        """The path of a variant of it."""
        return (*self.place, "variants", name)

    def in_file(self, document: Document, name: str) -> Callable[[Key], Key]:
        """From a location in a variant's record to its key in the file."""
        return place_in(document, (self.at(name), *self.below))


def place_in(document: Document, prefixes: tuple[Key, ...]) -> Callable[[Key], Key]:
    """From a location in a variant's record to its key in the file: in the first of these sections that has it, else the first."""

    def place(location: Key) -> Key:
        for prefix in prefixes:
            if (*prefix, *location) in document.lines:
                return (*prefix, *location)
        return (*prefixes[0], *location)

    return place


def sections(document: Document, given: Mapping[str, Any], problems: Problems) -> list[Section]:
    """The suite's own section, then that of each service; variants of one service are compared with each other."""
    common: dict[str, Any] = {}
    services: dict[str, Any] = {}
    found: list[Section] = []
    with problems.kept():
        common = mapping(document, ("defaults",), given.get("defaults", {}))
    if "variants" in given or "services" not in given:
        with problems.kept():
            own = _variants(document, (), given.get("variants"))
            found.append(Section("", (), (("defaults",),), {"ladder": str(given.get("name")), **common}, own))
    with problems.kept():
        services = mapping(document, ("services",), given.get("services", {}))
        if "services" in given and not services:
            raise document.error(("services",), "has no service", hint="add one: services: {NAME: {variants: …}}")
    for name in services:
        with problems.kept():
            found.append(_of_service(document, str(name), services[name], common))
    return found


def _of_service(document: Document, name: str, value: Any, common: Mapping[str, Any]) -> Section:
    place: Key = ("services", name)
    if not NAME.fullmatch(name):
        hint = "use lower-case letters, digits, dashes and underscores, at most 32"
        raise document.error(place, f"invalid service name {name!r}", hint=hint)
    fields = mapping(document, place, value)
    for key in fields:
        if key not in ("defaults", "variants"):
            near = did_you_mean(str(key), ("defaults", "variants"))
            raise document.error((*place, key), f"unknown key{near}", hint="known here: defaults, variants")
    own = mapping(document, (*place, "defaults"), fields.get("defaults") or {})
    defaults = merge({"ladder": name, **common}, own)
    below: tuple[Key, ...] = ((*place, "defaults"), ("defaults",))
    return Section(name, place, below, defaults, _variants(document, place, fields.get("variants")))


def _variants(document: Document, place: Key, value: Any) -> dict[str, Any]:
    key: Key = (*place, "variants")
    found = mapping(document, key, value)
    if not found:
        raise document.error(key, "is empty", hint="add at least one way to build the service")
    return found


def merge(below: Any, above: Any) -> Any:
    """Defaults below, a variant's own values above: mappings merge key by key, everything else (lists too) replaces."""
    if isinstance(below, Mapping) and isinstance(above, Mapping):
        return {**below, **{key: merge(below.get(key), value) for key, value in above.items()}}
    return above


def names_in(value: Any) -> list[str]:
    """The full names of the variants in a file that nobody has judged yet; those that cannot be told are passed over."""
    top = value if isinstance(value, Mapping) else {}
    services = top.get("services")
    own = [("", top), *(services.items() if isinstance(services, Mapping) else ())]
    found = [(service, section.get("variants")) for service, section in own if isinstance(section, Mapping)]
    return [
        f"{service}.{name}" if service else str(name)
        for service, variants in found
        for name in (variants if isinstance(variants, Mapping) else ())
    ]
