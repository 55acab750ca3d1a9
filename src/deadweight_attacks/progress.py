"""Telling how far the attacks on one variant are: ``24/26: seccomp alone``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from deadweight_attacks import walls as w
from deadweight_attacks.outcomes import Plan


class Progress:
    """Counts postures as they begin; one that is tried again, or with a shell bound in, is not another one."""

    def __init__(self, told: Callable[[str], None]) -> None:
        self._told, self._begun = told, dict[str, int]()
        self._all: frozenset[str] = frozenset()

    def expect(self, plan: Plan, missing: Iterable[str]) -> None:
        """``missing`` are walls that this machine does not have."""
        self._all = frozenset(_planned(plan, frozenset(missing)))

    def __call__(self, name: str) -> None:
        plain = name.removesuffix(w.SHELLED)
        number = self._begun.setdefault(plain, len(self._begun) + 1)
        self._told(f"{number}/{len(self._all | self._begun.keys())}: {said(name)}")


def _planned(plan: Plan, missing: frozenset[str]) -> Iterator[str]:
    yield w.OPEN.name
    yield from (posture.name for posture in plan.postures)
    for wall in w.WALLS:
        if plan.alone and wall != "image" and wall not in missing:
            yield w.only(wall).name
        if plan.without and wall not in missing:
            yield w.HARDENED.minus(wall).name
    if plan.alone and w.DEFAULT in plan.postures:
        yield w.REDUCED


def said(name: str) -> str:
    """A posture's name as one says it."""
    plain = name.removesuffix(w.SHELLED)
    shell = " with a shell bound in" if plain != name else ""
    if plain == w.OPEN.name:
        return f"{plain}{shell} (control)"
    if plain.startswith(w.ONLY):
        return f"{plain.removeprefix(w.ONLY)} alone{shell}"
    if plain.startswith(w.WITHOUT):
        return f"all walls but {plain.removeprefix(w.WITHOUT)}{shell}"
    return f"{plain}{shell}"
