"""Resolve a public image reference to its stand-in, or to the nearest that has one."""

from __future__ import annotations

import re
from dataclasses import dataclass

from deadweight.records.reference import parse
from deadweight.sources.protocol import STAND_INS, NoBase
from deadweight_standins.bases import bases
from deadweight_standins.machine import wording
from deadweight_standins.table import Row, images, kin, nearest


@dataclass(frozen=True)
class StandIn:
    """One stand-in: the recipe's name and its parameter (a version, a tag's flavour, or nothing)."""

    recipe: str
    parameter: str = ""

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
    found = _row(reference)
    if found is not None:
        return _made(*found)
    name, tag = _named(reference)
    shown = nearest(name, {row.name: row.shown for row in images().image if row.shown})
    near = kin(name, tag) or shown or nearest_to(reference)
    known = "; ".join(row.shown for row in images().image if row.shown)
    hint = wording("hint.rebase") if nearest_to(reference) else wording("hint.known", known=known)
    problem = wording("stand_in.none_near", reference=reference)
    if near:
        problem = wording("stand_in.none", reference=reference, near=near)
    raise NoBase((reference, problem), hint=hint)


def nearest_to(reference: str) -> str | None:
    """A reference that has a stand-in, for one that has none: of its kin, or another tag of the same image."""
    name, tag = _named(reference)
    choices = (kin(name, tag), name.removeprefix("docker.io/library/"))
    return next((choice for choice in choices if choice and choice != reference and _row(choice)), None)


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
