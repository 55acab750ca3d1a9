"""Which of the stand-ins that there are comes nearest to an image that has none."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from deadweight.records.reference import split

LIKENESS = 0.75
"""How like two names must be, of 1: ``eclipse-temurn`` is near ``eclipse-temurin``, ``node`` is near nothing."""


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
