"""Which public images the local source can stand in for, and which comes nearest to one that has none: ``images.toml``."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, TypeVar

from deadweight._errors import ConfigError
from deadweight.records.reference import split
from deadweight_standins import tags
from deadweight_standins.bases import HINT, STRICT, bases, filled, load

TOOLS_REFERENCE = "deadweight/tools:latest"
"""The image of shell tools that ``invoke shell`` puts beside an image that has none."""

LIKENESS = 0.75
"""How like two names must be, of 1: ``eclipse-temurn`` is near ``eclipse-temurin``, ``node`` is near nothing."""


@dataclass(frozen=True)
class Row:
    """``name`` and ``tag`` are patterns. The parameter of the stand-in comes from what the tag's groups matched."""

    __pydantic_config__: ClassVar = STRICT
    name: str
    base: str
    tag: str = ".*"
    parameter: str | None = None
    rule: str = ""
    shown: str = ""

    def made(self, groups: tuple[str, ...]) -> str:
        if self.rule:
            return tags.RULES[self.rule](groups, self.parameter or "")
        return next(filter(None, groups), "") if self.parameter is None else self.parameter.format(*groups)


@dataclass(frozen=True)
class Near:
    """``reference`` is that of the nearest image, with what the patterns' groups found filled in."""

    __pydantic_config__: ClassVar = STRICT
    name: str
    reference: str
    tag: str = ".*"


@dataclass(frozen=True)
class Images:
    """All of ``images.toml``."""

    __pydantic_config__: ClassVar = STRICT
    patterns: Mapping[str, str]
    image: tuple[Row, ...]
    near: tuple[Near, ...]


Kind = TypeVar("Kind", Row, Near)


@functools.cache
def images() -> Images:
    """The table, its patterns filled in. Raises ConfigError for a wrong pattern, and for a base or a rule that there is none of."""
    found = load("images.toml", Images)
    rows = _rows("image", found.image, found.patterns)
    for number, row in enumerate(rows):
        for key, name, known in (("base", row.base, bases()), ("rule", row.rule, {"": None, **tags.RULES})):
            if name not in known:
                text = f"there is no {name!r}; known: {', '.join(known)}"
                raise ConfigError(text, file="images.toml", key=f"image.{number}.{key}", hint=HINT)
    return replace(found, image=rows, near=_rows("near", found.near, found.patterns))


def _rows(kind: str, rows: tuple[Kind, ...], patterns: Mapping[str, str]) -> tuple[Kind, ...]:
    found = []
    for number, row in enumerate(rows):
        texts, place = [row.name, row.tag], ("images.toml", f"{kind}.{number}")
        try:
            for which, text in enumerate(texts):  # twice: a pattern may have another in it
                texts[which] = filled(filled(text, patterns, *place), patterns, *place)
                re.compile(texts[which])
        except re.error as error:
            raise ConfigError(f"no pattern: {error}", file=place[0], key=place[1], hint=HINT) from error
        found.append(replace(row, name=texts[0], tag=texts[1]))
    return tuple(found)


def kin(name: str, tag: str) -> str | None:
    """The reference nearest to an image without a stand-in; ``name`` is HOST/REPOSITORY. None if nothing is near."""
    for row in images().near:
        named, tagged = re.fullmatch(row.name, name), re.fullmatch(row.tag, tag)
        if named and tagged:
            return row.reference.format(*(group or "" for group in (*named.groups(), *tagged.groups())))
    return None


def nearest(name: str, shown: Mapping[str, str]) -> str | None:
    """``name`` is HOST/REPOSITORY; ``shown`` maps patterns of such names to what they stand for, as people are told of it.

    First one of the same image in another version, then one whose last name is the same or nearly so.
    """
    same = next((told for pattern, told in shown.items() if re.fullmatch(pattern, name)), None)
    if same is not None:
        return same
    last = name.rpartition("/")[2]
    names = {word: told for told in shown.values() for word in _names(told)}
    near = difflib.get_close_matches(last, names, 1, LIKENESS)
    return names[near[0]] if near else None


def _names(told: str) -> list[str]:
    """The last names of the images that a row tells of: ``cgr.dev/chainguard/static:latest`` → ``static``."""
    references = (part.strip().partition(" ")[0] for part in told.split(","))
    return [split(reference)[0].rpartition("/")[2] for reference in references]
