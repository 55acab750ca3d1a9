"""Why a build failed, and what helps: the causes of ``diagnosis.toml``, looked for in what a tool wrote last."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

from deadweight import _disk

Where = Literal["client", "pull", "copy", "copy_from", "run", "native", "java"]
"""What failed; ``diagnosis.toml`` explains each."""

LAST_LINES = 100
_LEVEL = re.compile(
    r"^\W*(?:\S+\s+){0,3}?\[?(?:(TRACE|DEBUG|INFO|NOTICE)|WARN(?:ING)?)\b\]?|^npm (?:(notice)|warn)\b", re.ASCII
)
"""The level of a line that is no error, behind at most a time and a name; the group is empty for a warning."""


@dataclass(frozen=True)
class Cause:
    """An entry of ``diagnosis.toml``, which explains the fields."""

    code: str
    where: Sequence[Where]
    pattern: str
    hint: str
    message: str = ""
    stand_in: str = ""
    reach: bool = False


@dataclass(frozen=True)
class Diagnosis:
    """A cause with what the tool named filled in, and the line that gave it away."""

    code: str
    message: str
    hint: str
    line: str
    reach: bool = False

    def outweighs(self, compiler: Sequence[str]) -> bool:
        """Whether this is the cause although a compiler complained: of something that it could not fetch or write."""
        return bool(self.message) and (not compiler or "://" in self.line or bool(_disk.FULL.search(self.line)))


def diagnose(where: Sequence[Where], lines: Sequence[str], *, stand_in: bool = False) -> Diagnosis | None:
    """The first cause that one of the last lines shows.

    What a program wrote long before it failed, or for information, is no cause; what it warns of is one only if no other line shows
    any. ``stand_in``: the base is a local stand-in.
    """
    last = [(_LEVEL.search(line), line) for line in lines[-LAST_LINES:]]
    errors = [line for level, line in last if level is None]
    warnings = [line for level, line in last if level is not None and not any(level.groups())]
    table = [cause for name in where for cause in causes() if name in cause.where]
    return _first(table, errors, stand_in=stand_in) or _first(table, warnings, stand_in=stand_in)


def _first(table: Sequence[Cause], lines: Sequence[str], *, stand_in: bool) -> Diagnosis | None:
    for cause in table:
        for line in lines:
            if match := re.search(cause.pattern, line):
                words = [group or "" for group in match.groups()]
                hint = cause.stand_in if stand_in and cause.stand_in else cause.hint
                return Diagnosis(cause.code, _filled(cause.message, words), _filled(hint, words), line, cause.reach)
    return None


def _filled(text: str, words: Sequence[str]) -> str:
    return re.sub(r"\{(\d)\}", lambda number: words[int(number[1])], text)


@functools.cache
def causes() -> tuple[Cause, ...]:
    """All causes, in the order in which they are looked for."""
    document = tomllib.loads((files("deadweight.builders.shared") / "diagnosis.toml").read_text(encoding="utf-8"))
    parts: dict[str, str] = {}
    for name, pattern in document["patterns"].items():
        parts[name] = _whole(pattern, parts)
    entries = ({**entry, "pattern": _whole(entry["pattern"], parts)} for entry in document["cause"])
    return tuple(Cause(**entry) for entry in entries)


def _whole(pattern: str | list[str], parts: Mapping[str, str]) -> str:
    """One expression of all alternatives, with the named parts filled in."""
    text = pattern if isinstance(pattern, str) else "|".join(pattern)
    return re.sub(r"<([a-z_]+)>", lambda name: parts[name[1]], text)


@functools.cache
def message_of(code: str) -> str:
    """What is said of a cause that fills nothing in."""
    return next(cause.message for cause in causes() if cause.code == code)
