"""Load ``deadweight.yaml`` into a Suite: merge defaults, report each error with file, line, key and remedy."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from deadweight._errors import ConfigError, DeadweightError, UsageError, wording
from deadweight._plugins import without_pydantic_plugins
from deadweight.suite.checks import Checks
from deadweight.suite.explain import mapping, unknown, unknown_key, validated
from deadweight.suite.model import Health, RunSettings, Suite, Variant, places_of
from deadweight.suite.yaml_nodes import Document, Key, Problems, read

SUITE_FILE = "deadweight.yaml"
TOP_KEYS = ("name", "defaults", "variants", "services", "sources", "scan", "report", "pool")


@without_pydantic_plugins()
def read_suite(file: Path, records: Records | None) -> Suite:
    """Read and validate a suite file. Raises ConfigError (exit 2) with the places of all problems.

    Without ``records`` the keys of builders are passed over: for who needs nothing of them and knows no builder.
    """
    document = read(file)
    # parts of each builder's record: made once, they are not made again in it
    for shared in (Health, RunSettings, Checks):
        shared.model_rebuild()
    top = mapping(document, (), document.value)
    problems = Problems()
    _check_top(document, top, problems)
    given = {key: value for key, value in top.items() if value is not None}
    variants = tuple(
        variant
        for section in _sections(document, given, problems)
        for variant in _VariantReader(document, section, records, problems).read()
    )
    values = {"file": file.absolute(), "root": file.absolute().parent, "name": top["name"], "variants": variants}
    values |= {key: given.get(key, {}) for key in ("sources", "scan", "report")}
    values |= {"pool": given["pool"]} if "pool" in given else {}
    with problems.collect():
        suite = validated(document, Suite, values, lambda location: location)
    problems.tell()
    suite.places.update(document.lines)
    _check_names(document, suite)
    return suite


def _check_top(document: Document, top: Mapping[str, Any], problems: Problems) -> None:
    """Unknown keys at the top; raises ConfigError where one is missing that nothing can do without."""
    for key in top:
        if key not in TOP_KEYS:
            with problems.collect():
                raise unknown_key(document, (key,), TOP_KEYS)
    missing = [] if "name" in top else ["name"]
    missing += [] if "variants" in top or "services" in top else ["variants"]
    if missing:
        problems.tell()  # a misspelt one is why
        hint = f"add {missing[0]}: at the top level"
        raise document.error((), wording("suite.key_missing", name=missing[0]), hint=hint)


def find_suite_file(start: Path | None = None) -> Path:
    """The suite file in this folder or the nearest one above. Raises ConfigError where there is none."""
    here = (start or Path.cwd()).absolute()
    for folder in (here, *here.parents):
        if (folder / SUITE_FILE).is_file():
            return folder / SUITE_FILE
    there = here / SUITE_FILE
    if there.is_dir():
        problem, hint = wording("suite.is_folder"), "rename the folder, then: deadweight init"
    elif there.exists():
        problem, hint = wording("suite.not_a_file"), "make it a file, or remove it"
    elif there.is_symlink():
        problem, hint = wording("suite.broken_link"), "make it lead to a suite file, or remove it"
    else:
        problem = wording("suite.no_suite")
        hint = "deadweight init writes one for this repository; docs/tutorial.md explains it"
    raise ConfigError(problem, file=there, hint=hint)


def _check_names(document: Document, suite: Suite) -> None:
    """Names of other variants, of requests, and of checks. Those that ``checks.other`` names may be a plug-in's."""
    problems = Problems()
    for variant in suite.variants:
        place = place_in(document, variant.places)
        with problems.collect():
            _check_others(document, place, suite, variant)
        with problems.collect():
            _check_requests(document, place, [item.name for item in variant.checks.api])
        with problems.collect():
            _check_checks(document, place, variant)
    problems.tell()


def _check_others(document: Document, place: Callable[[Key], Key], suite: Suite, variant: Variant) -> None:
    """What names a variant names another one of this suite; what a needed one needs in turn is not started."""
    budget = variant.checks.budget
    named: dict[Key, str | None] = {("checks", "budget", "smaller_than"): budget.smaller_than if budget else None}
    twin = variant.checks.twin.of if variant.checks.twin else "image:"
    named["checks", "twin", "of"] = None if twin.startswith("image:") else twin
    named |= {("run", "needs", name, "variant"): need.variant for name, need in variant.run.needs.items()}
    for location, other in named.items():
        if other == variant.name:
            raise document.error(place(location), wording("suite.itself", variant=variant.name))
        if other is not None and other not in suite.names():
            raise _no_such(document, place(location), "variant", other, suite.names())


def _check_checks(document: Document, place: Callable[[Key], Key], variant: Variant) -> None:
    ours = [name for name in Checks.model_fields if name != "other"]
    for name in variant.checks.other:
        if name in ours:
            key = place(("checks", "other", name))
            raise document.error(key, wording("suite.built_in_check", name=name))
    known = [*ours, *variant.checks.other]
    for name in variant.expect:
        if name not in known:
            raise _no_such(document, place(("expect", name)), "check", name, known)


def _check_requests(document: Document, place: Callable[[Key], Key], names: Sequence[str]) -> None:
    """Evidence, reports and ``pytest -k`` tell the items of the ``api`` check apart by their names."""
    for index, name in enumerate(names):
        if (first := names.index(name)) < index:
            line = document.line(place(("checks", "api", first, "name")))
            raise document.error(place(("checks", "api", index, "name")), wording("suite.duplicate", line=line))


def _no_such(document: Document, key: Key, kind: str, name: str, known: Sequence[str]) -> ConfigError:
    return document.error(key, unknown(kind, name, known), hint=f"{kind}s: {', '.join(known)}")


# Variants in the sections of a file: its own, and one per service if there are several.
NAME = re.compile(r"[a-z0-9]([a-z0-9_-]{0,30}[a-z0-9])?")
"""A service's name; it stands before a dot in those of its variants."""


class _Section(NamedTuple):
    """Variants as the file has them; ``defaults`` are already those of the suite below those of the service."""

    service: str
    defaults: Mapping[str, Any]
    variants: Mapping[str, Any]


def _place(service: str) -> Key:
    return ("services", service) if service else ()


def place_in(document: Document, prefixes: tuple[Key, ...]) -> Callable[[Key], Key]:
    """From a location in a variant's record to its key in the file: in the first of these sections that has it, else the first."""

    def place(location: Key) -> Key:
        ways = ((*prefix, *location) for prefix in prefixes)
        return next((way for way in ways if way in document.lines), (*prefixes[0], *location))

    return place


def _sections(document: Document, given: Mapping[str, Any], problems: Problems) -> list[_Section]:
    """The suite's own section, then that of each service; variants of one service are compared with each other."""
    common: dict[str, Any] = {}
    services: dict[str, Any] = {}
    sections: list[_Section] = []
    with problems.collect():
        common = mapping(document, ("defaults",), given.get("defaults", {}))
    if "variants" in given or "services" not in given:
        with problems.collect():
            own = _variants(document, "", given.get("variants"))
            sections.append(_Section("", {"ladder": str(given.get("name")), **common}, own))
    with problems.collect():
        services = mapping(document, ("services",), given.get("services", {}))
        if "services" in given and not services:
            raise document.error(("services",), wording("suite.no_service"))
    for name in services:
        with problems.collect():
            sections.append(_of_service(document, str(name), services[name], common))
    return sections


def _of_service(document: Document, name: str, value: Any, common: Mapping[str, Any]) -> _Section:
    place = _place(name)
    if not NAME.fullmatch(name):
        raise document.error(place, wording("suite.service_name", name=name))
    fields = mapping(document, place, value)
    for key in fields:
        if key not in ("defaults", "variants"):
            raise unknown_key(document, (*place, key), ("defaults", "variants"))
    own = mapping(document, (*place, "defaults"), fields.get("defaults") or {})
    return _Section(name, merge({"ladder": name, **common}, own), _variants(document, name, fields.get("variants")))


def _variants(document: Document, service: str, value: Any) -> dict[str, Any]:
    key: Key = (*_place(service), "variants")
    variants = mapping(document, key, value)
    if not variants:
        raise document.error(key, wording("suite.no_variants"))
    return variants


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
    pairs = [(service, section.get("variants")) for service, section in own if isinstance(section, Mapping)]
    return [
        f"{service}.{name}" if service else str(name)
        for service, variants in pairs
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


class _VariantReader:
    """Reads the variants of one section of a file; what is wrong with one goes to ``problems``, the others are read all the same.

    Without ``records`` nobody knows the builders' own keys: they are passed over, and each variant is a plain ``Variant``.
    """

    def __init__(self, document: Document, section: _Section, records: Records | None, problems: Problems) -> None:
        self.document, self.section, self.records, self.problems = document, section, records, problems
        self.named: dict[str, type[Variant] | None] = {}
        """The records of the builders that are named; None for one that nobody knows."""

    def read(self) -> tuple[Variant, ...]:
        """All variants under ``variants:``, in their order, without those that are wrong."""
        fields: dict[str, dict[str, Any]] = {}
        for name, given in self.section.variants.items():
            with self.problems.collect():
                own = mapping(self.document, self.places(name)[0], {} if given is None else given)
                for key in ("name", "service"):
                    if key in {**self.section.defaults, **own}:
                        raise self.document.error(self.in_file(name)((key,)), wording("suite.name_key"))
                fields[name] = own
        for name, own in fields.items():
            self.meet(name, self.builder(own))
        variants = []
        for name, own in fields.items():
            with self.problems.collect():
                variants.append(self.variant(name, own))
        self.check_unused_defaults()
        return tuple(variants)

    def in_file(self, name: str) -> Callable[[Key], Key]:
        """From a location in a variant's record to its key in the file."""
        return place_in(self.document, self.places(name))

    def places(self, name: str) -> tuple[Key, ...]:
        return places_of(self.section.service, name)

    def builder(self, own: Mapping[str, Any]) -> str:
        """The builder's name; empty where there is none, which its record then tells."""
        named = {**self.section.defaults, **own}.get("builder")
        return named if isinstance(named, str) else ""

    def meet(self, name: str, builder: str) -> None:
        """Look the record up of a builder that is named for the first time."""
        if builder in self.named or not builder or self.records is None:
            return
        key, self.named[builder] = self.in_file(name)(("builder",)), None
        try:
            self.named[builder] = self.records.record(builder)
            if self.named[builder] is None:
                ours = self.records.names()
                hint = f"builders: {', '.join(ours)}; plug-ins add others"
                self.problems.also.append(self.document.error(key, unknown("builder", builder, ours), hint=hint))
        except DeadweightError as error:
            self.problems.errors.append(self.document.error(key, error.message, hint=error.hint))

    def variant(self, name: str, own: Mapping[str, Any]) -> Variant:
        builder = self.builder(own)
        record = self.named.get(builder) or Variant
        merged = merge(self.section.defaults, own)
        for key in [key for key in merged if key not in record.model_fields]:
            # another builder's, or it may be one's that is not known; else it is nobody's: validation says so
            if self.may_be_unknown(key, own, builder) or any(key in other.model_fields for other in self.known()):
                del merged[key]
                if key in own and self.named.get(builder):
                    what = wording("suite.key_of_another_builder", builder=builder, key=key)
                    hint = f"its keys: {', '.join(record.own_keys()) or 'none'}"
                    self.problems.errors.append(self.document.error((*self.places(name)[0], key), what, hint=hint))
        service = self.section.service
        values = {"name": f"{service}.{name}" if service else name, "service": service, **merged}
        return validated(self.document, record, values, self.in_file(name))

    def may_be_unknown(self, key: str, own: Mapping[str, Any], builder: str) -> bool:
        nobodys = [named for named, record in self.named.items() if record is None]
        return self.records is None or builder in nobodys or (key not in own and bool(nobodys))

    def known(self) -> list[type[Variant]]:
        ours = (self.records.record(name) for name in self.records.names()) if self.records else ()
        return [record for record in (*ours, *self.named.values()) if record is not None]

    def check_unused_defaults(self) -> None:
        """A default that no variant here takes is judged too, as the first builder would that has it."""
        for key, value in self.section.defaults.items():
            if any(key in record.model_fields for record in (Variant, *self.named.values()) if record):
                continue
            record = next((record for record in self.known() if key in record.model_fields), None)
            if record is not None:
                values = {"name": "defaults", "builder": "any", key: value}
                with self.problems.collect():
                    validated(self.document, record, values, place_in(self.document, self.places("")[1:]))


# Select variants by name, service, tag or pattern.
TAG = "tag:"
SHOWN = 6
"""So many names an error lists where none is near."""


def select(suite: Suite, names: Sequence[str]) -> tuple[Variant, ...]:
    """The variants that are meant, in suite order; all where nothing is said.

    Each word is a variant's name or the beginning of one alone, a service's (all its variants), ``tag:NAME``, or a pattern
    (``cart.*``, ``*.alpine``). Raises UsageError for a word that means none.
    """
    meant: set[str] = set()
    for name in names:
        matches = _meant(suite, name)
        if not matches:
            known = words(suite)
            near = [word for word in known if name and word.startswith(name)] or difflib.get_close_matches(name, known)
            hint = f"choose one: {', '.join(near or known[:SHOWN])}" + ("" if near or len(known) <= SHOWN else ", …")
            raise UsageError(unknown("variant", name, known), hint=hint)
        meant |= matches
    return tuple(variant for variant in suite.variants if not names or variant.name in meant)


def select_one(suite: Suite, name: str | None) -> Variant:
    """The one variant that is meant; with None the only one that there is. Raises UsageError for none and for several."""
    if name is None and len(suite.variants) > 1:
        raise UsageError(wording("suite.variant_missing"), hint=f"choose one: {', '.join(suite.names())}")
    variants = select(suite, () if name is None else (name,))
    if len(variants) > 1:
        hint = f"choose one: {', '.join(variant.name for variant in variants)}"
        raise UsageError(wording("suite.several_variants", name=name, count=len(variants)), hint=hint)
    return variants[0]


def _meant(suite: Suite, word: str) -> set[str]:
    variants = suite.variants
    if word in suite.names():
        return {word}
    if word.startswith(TAG):
        return {variant.name for variant in variants if word.removeprefix(TAG) in variant.tags}
    if any(sign in word for sign in "*?["):
        return {variant.name for variant in variants if fnmatch.fnmatchcase(variant.name, word)}
    begun = {variant.name for variant in variants if word and variant.name.startswith(word)}
    return {variant.name for variant in variants if word and variant.service == word} or (
        begun if len(begun) == 1 else set()
    )


def words(suite: Suite) -> list[str]:
    """Every word that means a variant or some, patterns apart."""
    services = [variant.service for variant in suite.variants if variant.service]
    tags = [f"{TAG}{tag}" for variant in suite.variants for tag in variant.tags]
    return list(dict.fromkeys((*suite.names(), *services, *tags)))
