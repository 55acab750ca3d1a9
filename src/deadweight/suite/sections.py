"""Read variants from a suite file's sections: its own, and one per service if there are several."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from deadweight._errors import DeadweightError, wording
from deadweight.suite.explain import mapping, unknown, unknown_key, validated
from deadweight.suite.model import Variant
from deadweight.suite.yaml_nodes import Document, Key, Problems

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
            raise document.error(("services",), wording("suite.no_service"))
    for name in services:
        with problems.kept():
            found.append(_of_service(document, str(name), services[name], common))
    return found


def _of_service(document: Document, name: str, value: Any, common: Mapping[str, Any]) -> Section:
    place: Key = ("services", name)
    if not NAME.fullmatch(name):
        raise document.error(place, wording("suite.service_name", name=name))
    fields = mapping(document, place, value)
    for key in fields:
        if key not in ("defaults", "variants"):
            raise unknown_key(document, (*place, key), ("defaults", "variants"))
    own = mapping(document, (*place, "defaults"), fields.get("defaults") or {})
    defaults = merge({"ladder": name, **common}, own)
    below: tuple[Key, ...] = ((*place, "defaults"), ("defaults",))
    return Section(name, place, below, defaults, _variants(document, place, fields.get("variants")))


def _variants(document: Document, place: Key, value: Any) -> dict[str, Any]:
    key: Key = (*place, "variants")
    found = mapping(document, key, value)
    if not found:
        raise document.error(key, wording("suite.no_variants"))
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


# The variants of a suite file, each as the record of its builder.
# Defaults may hold keys of any builder: they are for the variants whose builder has them. In a variant itself the key of
# another builder would be passed over without a word, and is an error.
class Records(Protocol):
    """Who knows the builders' records."""

    def names(self) -> tuple[str, ...]:
        """The names of our own builders."""
        ...

    def record(self, builder: str) -> type[Variant] | None:
        """The record of this builder's variants; None where nobody registered it. Raises DeadweightError for a wrong plug-in."""
        ...


class VariantReader:
    """Reads the variants of one section of a file; what is wrong with one goes to ``problems``, the others are read all the same.

    Without ``records`` nobody knows the builders' own keys: they are passed over, and each variant is a plain ``Variant``.
    """

    def __init__(self, document: Document, section: Section, records: Records | None, problems: Problems) -> None:
        self._document, self._section, self._records, self._problems = document, section, records, problems
        self._defaults = section.defaults
        self._used: dict[str, type[Variant]] = {}
        self._unknown: set[str] = set()

    def read(self) -> tuple[Variant, ...]:
        """All variants under ``variants:``, in their order, without those that are wrong."""
        fields: dict[str, dict[str, Any]] = {}
        for name, given in self._section.variants.items():
            with self._problems.kept():
                own = mapping(self._document, self._section.at(name), {} if given is None else given)
                self._refuse_its_name(name, own)
                fields[name] = own
        for name, own in fields.items():
            self._meet(name, own)
        found = []
        for name, own in fields.items():
            with self._problems.kept():
                found.append(self._variant(name, own))
        self._check_unused_defaults()
        return tuple(found)

    def _refuse_its_name(self, name: str, own: Mapping[str, Any]) -> None:
        for key in ("name", "service"):
            if key in {**self._defaults, **own}:
                place = self._section.in_file(self._document, name)((key,))
                raise self._document.error(place, wording("suite.name_key"))

    def _builder(self, own: Mapping[str, Any]) -> str:
        """The builder's name; empty where there is none, which its record then tells."""
        named = {**self._defaults, **own}.get("builder")
        return named if isinstance(named, str) else ""

    def _meet(self, name: str, own: Mapping[str, Any]) -> None:
        """Look the record up of a builder that is named for the first time."""
        builder = self._builder(own)
        if builder in self._used or builder in self._unknown or not builder or self._records is None:
            return
        key = self._section.in_file(self._document, name)(("builder",))
        record = None
        try:
            record = self._records.record(builder)
            if record is None:
                ours = self._records.names()
                hint = f"builders: {', '.join(ours)}; plug-ins add others"
                self._problems.also.append(self._document.error(key, unknown("builder", builder, ours), hint=hint))
        except DeadweightError as error:
            self._problems.found.append(self._document.error(key, error.message, hint=error.hint))
        if record is None:
            self._unknown.add(builder)
        else:
            self._used[builder] = record

    def _variant(self, name: str, own: Mapping[str, Any]) -> Variant:
        builder = self._builder(own)
        record = self._used.get(builder, Variant)
        merged = merge(self._defaults, own)
        for key in [key for key in merged if key not in record.model_fields]:
            if not self._passed_over(key, own, builder):
                continue  # it is nobody's: validation says so
            del merged[key]
            if key in own and builder in self._used:
                what = wording("suite.key_of_another_builder", builder=builder, key=key)
                hint = f"its keys: {', '.join(record.own_keys()) or 'none'}"
                self._problems.found.append(self._document.error((*self._section.at(name), key), what, hint=hint))
        values = {"name": self._section.full(name), "service": self._section.service, **merged}
        return validated(self._document, record, values, self._section.in_file(self._document, name))

    def _passed_over(self, key: str, own: Mapping[str, Any], builder: str) -> bool:
        """Whether a key that is not in the variant's record is another builder's, or may be one's that is not known."""
        if self._records is None or builder in self._unknown or (key not in own and self._unknown):
            return True
        return any(key in record.model_fields for record in self._known)

    @functools.cached_property
    def _known(self) -> tuple[type[Variant], ...]:
        if self._records is None:
            return ()
        ours = (self._records.record(name) for name in self._records.names())
        return tuple(each for each in (*ours, *self._used.values()) if each is not None)

    def _check_unused_defaults(self) -> None:
        """A default that no variant here takes is judged too, as the first builder would that has it."""
        for key in self._defaults:
            if key in Variant.model_fields or any(key in record.model_fields for record in self._used.values()):
                continue
            record = next((record for record in self._known if key in record.model_fields), None)
            if record is not None:
                value = {"name": "defaults", "builder": "any", key: self._defaults[key]}
                with self._problems.kept():
                    validated(self._document, record, value, place_in(self._document, self._section.below))
