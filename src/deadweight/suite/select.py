"""Select variants by name, service, tag or pattern."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

from deadweight._errors import UsageError, wording
from deadweight.suite.explain import unknown
from deadweight.suite.model import Suite, Variant

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
