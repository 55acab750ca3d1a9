"""Load ``deadweight.yaml`` into a Suite: merge defaults, report each error with file, line, key and remedy."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from deadweight._errors import ConfigError, UsageError, wording
from deadweight.suite.checks import Checks
from deadweight.suite.explain import mapping, unknown, unknown_key, validated
from deadweight.suite.model import Suite, Variant
from deadweight.suite.sections import Records, VariantReader, place_in, sections
from deadweight.suite.yaml_nodes import Document, Key, Problems, read

SUITE_FILE = "deadweight.yaml"
TOP_KEYS = ("name", "defaults", "variants", "services", "sources", "scan", "report", "pool")


def read_suite(file: Path, records: Records | None) -> Suite:
    """Read and validate a suite file. Raises ConfigError (exit 2) with the places of all problems.

    Without ``records`` the keys of builders are passed over: for who needs nothing of them and knows no builder.
    """
    document = read(file)
    top = mapping(document, (), document.value)
    problems = Problems()
    _check_top(document, top, problems)
    given = {key: value for key, value in top.items() if value is not None}
    variants = tuple(
        variant
        for section in sections(document, given, problems)
        for variant in VariantReader(document, section, records, problems).read()
    )
    values = {"file": file.absolute(), "root": file.absolute().parent, "name": top["name"], "variants": variants}
    values |= {key: given.get(key, {}) for key in ("sources", "scan", "report")}
    values |= {"pool": given["pool"]} if "pool" in given else {}
    with problems.kept():
        suite = validated(document, Suite, values, lambda location: location)
    problems.tell()
    suite.places.update(document.lines)
    _check_names(document, suite)
    return suite


def _check_top(document: Document, top: Mapping[str, Any], problems: Problems) -> None:
    """Unknown keys at the top; raises ConfigError where one is missing that nothing can do without."""
    for key in top:
        if key not in TOP_KEYS:
            with problems.kept():
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
        with problems.kept():
            _check_others(document, place, suite, variant)
        with problems.kept():
            _check_requests(document, place, [item.name for item in variant.checks.api])
        with problems.kept():
            _check_checks(document, place, variant)
    problems.tell()


def _check_others(document: Document, place: Callable[[Key], Key], suite: Suite, variant: Variant) -> None:
    """What names a variant names another one of this suite; what a needed one needs in turn is not started."""
    budget = variant.checks.budget
    named: dict[Key, str | None] = {("checks", "budget", "smaller_than"): budget.smaller_than if budget else None}
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
    if len(set(names)) == len(names):
        return
    second = next(index for index, name in enumerate(names) if name in names[:index])
    first = document.line(place(("checks", "api", names.index(names[second]), "name")))
    raise document.error(place(("checks", "api", second, "name")), wording("suite.duplicate", line=first))


def _no_such(document: Document, key: Key, kind: str, name: str, known: Sequence[str]) -> ConfigError:
    return document.error(key, unknown(kind, name, known), hint=f"{kind}s: {', '.join(known)}")


# Select variants by name, service, tag or pattern.
TAG = "tag:"


def select(suite: Suite, names: Sequence[str]) -> tuple[Variant, ...]:
    """The variants that are meant, in suite order; all where nothing is said.

    Each word is a variant's name, a service's (all its variants), ``tag:NAME``, or a pattern (``cart.*``, ``*.alpine``). Raises
    UsageError for a word that means none.
    """
    meant: set[str] = set()
    for name in names:
        found = _meant(suite, name)
        if not found:
            raise UsageError(unknown("variant", name, words(suite)), hint=_hint(suite))
        meant |= found
    return tuple(variant for variant in suite.variants if not names or variant.name in meant)


def select_one(suite: Suite, name: str | None) -> Variant:
    """The one variant that is meant; with None the only one that there is. Raises UsageError for none and for several."""
    if name is None and len(suite.variants) > 1:
        raise UsageError(wording("suite.variant_missing"), hint=f"choose one: {', '.join(suite.names())}")
    found = select(suite, () if name is None else (name,))
    if len(found) > 1:
        hint = f"choose one: {', '.join(variant.name for variant in found)}"
        raise UsageError(wording("suite.several_variants", name=name, count=len(found)), hint=hint)
    return found[0]


def _meant(suite: Suite, word: str) -> set[str]:
    variants = suite.variants
    if word in suite.names():
        return {word}
    if word.startswith(TAG):
        return {variant.name for variant in variants if word.removeprefix(TAG) in variant.tags}
    if any(sign in word for sign in "*?["):
        return {variant.name for variant in variants if fnmatch.fnmatchcase(variant.name, word)}
    return {variant.name for variant in variants if word and variant.service == word}


def words(suite: Suite) -> list[str]:
    """Every word that means a variant or some, patterns apart."""
    return [*suite.names(), *_services(suite), *_tags(suite)]


def _services(suite: Suite) -> list[str]:
    return list(dict.fromkeys(variant.service for variant in suite.variants if variant.service))


def _tags(suite: Suite) -> list[str]:
    return list(dict.fromkeys(f"{TAG}{tag}" for variant in suite.variants for tag in variant.tags))


def _hint(suite: Suite) -> str:
    kinds = {"variants": suite.names(), "services": _services(suite), "tags": _tags(suite)}
    return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in kinds.items() if names)
