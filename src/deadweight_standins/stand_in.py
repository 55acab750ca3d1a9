"""Resolve a public image reference to its stand-in by the table ``images.toml``, or to the nearest that has one."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from deadweight.records.reference import parse, split
from deadweight.sources.protocol import STAND_INS, NoBase
from deadweight_standins.bases import bases, fill_in, record, table
from deadweight_standins.machine import os_release, wording


# What a tag's parts mean to a recipe: its parameter, from the groups that a row's pattern of tags found.
def flavoured(groups: tuple[str, ...]) -> str:
    """``VERSION``, ``VERSION-slim`` or ``VERSION-alpine``."""
    version, flavour = groups[0], next((group for group in groups[1:] if group), "")
    kind = "alpine" if flavour.startswith("alpine") else "slim" if "slim" in flavour else ""
    return "-".join(part for part in (version, kind) if part) if version or not kind else f"-{kind}"


def release(groups: tuple[str, ...]) -> str:
    from deadweight_standins import apt_releases

    own = os_release().get("VERSION_CODENAME", "")
    suite = apt_releases.of_tag(groups[0], own)
    return "" if suite == own else suite


def golang(groups: tuple[str, ...]) -> str:
    """``VERSION`` or ``VERSION-alpine``; Go 1 is the newest, as no version is."""
    version = "" if groups[0] == "1" else groups[0]
    return f"{version}-alpine" if (groups[1] or "").startswith("alpine") else version


def java(groups: tuple[str, ...]) -> str:
    """``MAJOR``, ``MAJOR-alpine``, or nothing for the one meant."""
    alpine = "alpine" in (groups[-1] or "")
    major = groups[0] or ("17" if alpine else "")
    return f"{major}-alpine" if alpine else "" if major == "17" else major


def php(groups: tuple[str, ...]) -> str:
    """``[VERSION]-(cli|fpm|apache)[-alpine]``."""
    version, kind, flavour = groups
    own = kind if kind in ("apache", "fpm") else "cli"
    return "-".join((short(version), own, *(("alpine",) if flavour.startswith("alpine") else ())))


def short(version: str | None) -> str:
    """``3.12`` of ``3.12.4``: patches of a language are not told apart."""
    return ".".join((version or "").split(".")[:2])


RULES: Mapping[str, Callable[[tuple[str, ...], str], str]] = {
    "golang": lambda groups, _: golang(groups),
    "release": lambda groups, _: release(groups),
    "java": lambda groups, _: java(groups),
    "php": lambda groups, _: php(groups),
    "kind": lambda groups, name: "-".join(filter(None, (name, next(filter(None, groups), "")))),
    "alpine": lambda groups, name: f"{name}-alpine" if groups[0] else name,
    "flavoured": lambda groups, _: flavoured(groups),
    "minor": lambda groups, _: flavoured((short(groups[0]), *groups[1:])),
    "no_version": lambda groups, _: flavoured(("", *groups)),
    "version_last": lambda groups, _: flavoured((groups[1], groups[0])),
}
"""By the names that ``images.toml`` has for them: a parameter from a tag's groups and the row's own ``parameter``."""


LIKENESS = 0.75
"""How like two names must be, of 1: ``eclipse-temurn`` is near ``eclipse-temurin``, ``node`` is near nothing."""


class Row(NamedTuple):
    """``name`` and ``tag`` are patterns. The parameter of the stand-in comes from what the tag's groups matched."""

    name: str
    base: str
    tag: str = ".*"
    parameter: str | None = None
    rule: str = ""
    shown: str = ""

    def made(self, groups: tuple[str, ...]) -> str:
        if self.rule:
            return RULES[self.rule](groups, self.parameter or "")
        return next(filter(None, groups), "") if self.parameter is None else self.parameter.format(*groups)


class Near(NamedTuple):
    """``reference`` is that of the nearest image, with what the patterns' groups found filled in."""

    name: str
    reference: str
    tag: str = ".*"


class Images(NamedTuple):
    """All of ``images.toml``."""

    texts: Mapping[str, str]
    image: tuple[Row, ...]
    near: tuple[Near, ...]


@functools.cache
def images() -> Images:
    """The table, its patterns filled in."""
    document = table("images.toml")
    rows, near = ([_expand(entry, document["patterns"]) for entry in document[kind]] for kind in ("image", "near"))
    return Images(document["texts"], tuple(record(Row, row) for row in rows), tuple(record(Near, row) for row in near))


def _expand(entry: dict[str, str], patterns: Mapping[str, str]) -> dict[str, str]:
    """Twice: a pattern may have another in it."""
    texts = {key: entry[key] for key in ("name", "tag") if "@" in entry.get(key, "")}
    for _ in range(2):
        texts = {key: fill_in(text, patterns, "images.toml", key) for key, text in texts.items()}
    return entry | texts


def nearest_image(name: str, tag: str) -> str | None:
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
    same = next((text for pattern, text in shown.items() if re.fullmatch(pattern, name)), None)
    if same is not None:
        return same
    last = name.rpartition("/")[2]
    names = {word: text for text in shown.values() for word in _names(text)}
    near = difflib.get_close_matches(last, names, 1, LIKENESS)
    return names[near[0]] if near else None


def _names(text: str) -> list[str]:
    """The last names of the images that a row tells of: ``cgr.dev/chainguard/static:latest`` → ``static``."""
    references = (part.strip().partition(" ")[0] for part in text.split(","))
    return [split(reference)[0].rpartition("/")[2] for reference in references]


class StandIn(NamedTuple):
    """One stand-in: the recipe's name and its parameter (a version, a tag's flavour, or nothing)."""

    recipe: str
    parameter: str = ""

    def __str__(self) -> str:
        return f"{self.recipe} {self.parameter}".rstrip()

    @property
    def repository(self) -> str:
        """Its name in the local registry."""
        return f"{STAND_INS}{self.recipe}"

    @property
    def tag(self) -> str:
        return self.parameter.lstrip("-") or "latest"  # no tag begins with a dash

    @property
    def like_alpine(self) -> bool:
        """Whether it has Alpine's layout, and a place for its ``apk``."""
        return self.recipe in ("alpine", "wolfi") or self.parameter.endswith("alpine")

    @property
    def has_apt(self) -> bool:
        """Whether it has the OS's ``apt-get``."""
        return bases()[self.recipe].apt and not self.like_alpine


def stand_in(reference: str) -> StandIn:
    """The stand-in for a public reference; a digest beside a tag changes nothing.

    Raises NoBase that names the nearest and lists all there are, UsageError for no reference.
    """
    entry = _row(reference)
    if entry is not None:
        return _made(*entry)
    name, tag = _named(reference)
    shown = nearest(name, {row.name: row.shown for row in images().image if row.shown})
    near = nearest_image(name, tag) or shown or nearest_to(reference)
    known = "; ".join(row.shown for row in images().image if row.shown)
    hint = wording("hint.rebase") if nearest_to(reference) else wording("hint.known", known=known)
    problem = wording("stand_in.none_near", reference=reference)
    if near:
        problem = wording("stand_in.none", reference=reference, near=near)
    raise NoBase((reference, problem), hint=hint)


def nearest_to(reference: str) -> str | None:
    """A reference that has a stand-in, for one that has none: of its kin, or another tag of the same image."""
    name, tag = _named(reference)
    choices = (nearest_image(name, tag), name.removeprefix("docker.io/library/"))
    return next((choice for choice in choices if choice and choice != reference and _row(choice)), None)


@functools.cache
def _row(reference: str) -> tuple[Row, re.Match[str], re.Match[str]] | None:
    name, tag = _named(reference)
    for row in images().image:
        if (named := re.fullmatch(row.name, name)) and (match := re.fullmatch(row.tag, tag)):
            return row, named, match
    return None


def _named(reference: str) -> tuple[str, str]:
    """HOST/REPOSITORY and tag; a mirror of Docker Hub's serves the Hub's own images.

    ``mirror.gcr.io/library/golang`` is ``docker.io/library/golang``: whoever mirrors the Hub keeps ``library/`` in front of the
    official ones.
    """
    parsed = parse(reference)
    name = f"{parsed.host}/{parsed.repository}"
    official = re.search(r"/library/[\w.-]+$", name)
    name = f"docker.io{official[0]}" if official else re.sub(r"^mirror\.gcr\.io/", "docker.io/", name)
    return name, parsed.tag or "latest"


def _made(row: Row, named: re.Match[str], match: re.Match[str]) -> StandIn:
    """Some distroless names hold the version, where others have it in the tag."""
    version = next((group for group in named.groups() if group), "")
    parameter = row.made(tuple(group or "" for group in match.groups()))
    if row.base == "nodejs":
        return StandIn("nodejs", "-".join((version, *filter(None, [parameter]))))
    if row.base == "java17":
        return StandIn("java21" if version in ("21", "25") else "java17", parameter)
    return StandIn(row.base, parameter)
