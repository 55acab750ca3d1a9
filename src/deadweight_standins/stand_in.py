"""Resolve a public image reference to its stand-in, or to the nearest that has one."""

from __future__ import annotations

import re
from dataclasses import dataclass

from deadweight.records.reference import parse
from deadweight.sources.protocol import STAND_INS, NoBase
from deadweight_standins import wording
from deadweight_standins.bases import bases
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
    parsed = parse(reference)
    name = _hubs_own(f"{parsed.host}/{parsed.repository}")
    shown = nearest(name, {row.name: row.shown for row in images().image if row.shown})
    near = kin(name, parsed.tag or "latest") or shown or nearest_to(reference)
    known = "; ".join(row.shown for row in images().image if row.shown)
    hint = wording("hint.rebase") if nearest_to(reference) else wording("hint.known", known=known)
    problem = wording("stand_in.none_near", reference=reference)
    if near:
        problem = wording("stand_in.none", reference=reference, near=near)
    raise NoBase((reference, problem), hint=hint)


def nearest_to(reference: str) -> str | None:
    """A reference that has a stand-in, for one that has none: of its kin, or another tag of the same image."""
    parsed = parse(reference)
    name = _hubs_own(f"{parsed.host}/{parsed.repository}")
    bare = name.removeprefix("docker.io/library/")
    choices = (kin(name, parsed.tag or "latest"), bare)
    return next((choice for choice in choices if choice and choice != reference and _row(choice)), None)


def _row(reference: str) -> tuple[Row, re.Match[str], re.Match[str]] | None:
    parsed = parse(reference)
    name = _hubs_own(f"{parsed.host}/{parsed.repository}")
    for row in images().image:
        named = re.fullmatch(row.name, name)
        match = re.fullmatch(row.tag, parsed.tag or "latest") if named else None
        if named and match:
            return row, named, match
    return None


def _hubs_own(name: str) -> str:
    """``docker.io/library/golang`` of ``mirror.gcr.io/library/golang``: a mirror of Docker Hub's serves the same images.

    Whoever mirrors the Hub keeps ``library/`` in front of the official ones.
    """
    official = re.search(r"/library/[\w.-]+$", name)
    return f"docker.io{official[0]}" if official else re.sub(r"^mirror\.gcr\.io/", "docker.io/", name)


def _made(row: Row, named: re.Match[str], match: re.Match[str]) -> StandIn:
    """Some distroless names hold the version, where others have it in the tag."""
    version = next((group for group in named.groups() if group), "")
    parameter = row.made(tuple(group or "" for group in match.groups()))
    if row.base == "nodejs":
        return StandIn("nodejs", "-".join((version, *filter(None, [parameter]))))
    if row.base == "java17":
        return StandIn("java21" if version in ("21", "25") else "java17", parameter)
    return StandIn(row.base, parameter)
