"""Bases that cannot be had stop the variants that stand on them, and no others. All of them are named at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deadweight._errors import MissingError
from deadweight.builders.protocol import Needs
from deadweight.project.workspace import Workspace
from deadweight.sources.protocol import APK, NoBase
from deadweight.suite.model import Variant


@dataclass(frozen=True)
class Split:
    """The variants whose bases can be had, and why the others' cannot, by variant. ``error`` tells of all of them together."""

    able: tuple[Variant, ...]
    lacking: Mapping[str, MissingError] = field(default_factory=dict)
    error: NoBase | None = None

    def and_then(self, later: Split) -> Split:
        """With what was found of the able ones later."""
        errors = [error for error in (self.error, later.error) if error is not None]
        return Split(later.able, {**self.lacking, **later.lacking}, together(errors))


def bases_of(needs: Sequence[Needs]) -> tuple[str, ...]:
    """All base references, each once."""
    return tuple(dict.fromkeys(base for need in needs for base in need.bases))


def known(workspace: Workspace, variants: Sequence[Variant]) -> Split:
    """As far as the source knows without asking anybody."""
    needs = workspace.needs(variants)
    bases = bases_of(needs)
    error = workspace.source.lacking(bases) if bases else None
    return split(variants, needs, error) if error is not None else Split(tuple(variants))


def prepared(workspace: Workspace, variants: Sequence[Variant]) -> Split:
    """Prepare the bases and packages of these variants, as far as they can be had.

    Raises what the source raises that is about no base: a certificate, credentials, a full disk.
    """
    found = known(workspace, variants)
    while found.able:
        needs = workspace.needs(found.able)
        try:
            workspace.source.prepare(bases_of(needs), apk=any(need.apk for need in needs), say=workspace.say)
            break
        except NoBase as error:
            later = split(found.able, needs, error)
            if len(later.able) == len(found.able):
                raise
            found = found.and_then(later)
    return found


def together(errors: Sequence[NoBase]) -> NoBase | None:
    """One error for all; None for none."""
    if not errors:
        return None
    problems = dict.fromkeys(problem for error in errors for problem in error.problems)
    hints = dict.fromkeys(error.hint for error in errors if error.hint)
    return NoBase(*problems, hint="; ".join(hints) or None)


def split(variants: Sequence[Variant], needs: Sequence[Needs], error: NoBase) -> Split:
    """Part those that the error is about from the others, and say where each names the base."""
    about = {reference for reference, _ in error.problems}
    lacking: dict[str, MissingError] = {}
    places: dict[str, dict[str, list[str]]] = {}
    for variant, need in zip(variants, needs, strict=True):
        wanted = {base: need.named.get(base, "its base") for base in need.bases if base in about}
        if need.apk and APK in about:
            wanted[APK] = "its packages"
        for base, place in wanted.items():
            places.setdefault(base, {}).setdefault(place, []).append(variant.name)
        if wanted:
            own = NoBase(*(each for each in error.problems if each[0] in wanted), hint=error.hint)
            lacking[variant.name] = own.placed(wanted)
    told = {
        base: "; ".join(f"{', '.join(names)}: {place}" for place, names in found.items())
        for base, found in places.items()
    }
    able = tuple(variant for variant in variants if variant.name not in lacking)
    return Split(able, lacking, error.placed(told))
