"""The variants of a suite file, each as the record of its builder.

Defaults may hold keys of any builder: they are for the variants whose builder has them. In a variant itself the key of
another builder would be passed over without a word, and is an error.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Protocol

from deadweight._errors import DeadweightError
from deadweight.suite.explain import did_you_mean, mapping, validated
from deadweight.suite.model import Variant
from deadweight.suite.problems import Problems
from deadweight.suite.sections import Section, merge, place_in
from deadweight.suite.yaml_nodes import Document


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
                raise self._document.error(place, "unknown key; a variant is named by its key under variants:")

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
                what, hint = f"no builder {builder!r}{did_you_mean(builder, ours)}", f"builders: {', '.join(ours)}"
                self._problems.also.append(self._document.error(key, what, hint=f"{hint}; plug-ins add others"))
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
                what = f"the builder {builder} has no key {key}"
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
            record = next((each for each in self._known if key in each.model_fields), None)
            if record is not None:
                value = {"name": "defaults", "builder": "any", key: self._defaults[key]}
                with self._problems.kept():
                    validated(self._document, record, value, place_in(self._document, self._section.below))
