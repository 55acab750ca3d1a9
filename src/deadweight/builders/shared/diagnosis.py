"""Diagnose a failed build: match the last lines of a tool's output against ``diagnosis.toml``."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from importlib.resources import files
from typing import Any, Literal

from deadweight import _disk

Where = Literal["client", "pull", "copy", "copy_from", "run", "native", "java"]
"""What failed; ``diagnosis.toml`` explains each."""

LAST_LINES = 100
_LEVEL = re.compile(
    r"^\W*(?:\S+\s+){0,3}?\[?(?:(TRACE|DEBUG|INFO|NOTICE)|WARN(?:ING)?)\b\]?|^npm (?:(notice)|warn)\b", re.ASCII
)
"""The level of a line that is no error, behind at most a time and a name; the group is empty for a warning."""


class Code(Enum):
    """What kind of cause it is."""

    UNKNOWN = "unknown"
    CERTIFICATE = "certificate"
    CLIENT = "client"
    COMPILER = "missing_compiler"
    CREDENTIALS = "credentials"
    DISK_FULL = "disk_full"
    ENGINE = "engine"
    FILE = "missing_file"
    HASHES = "old_hashes"
    HEADER = "missing_header"
    LOCK = "lock"
    MEMORY = "out_of_memory"
    NETWORK = "network"
    NOT_COMPILED = "not_compiled"
    PACKAGE = "missing_package"
    PEERS = "conflict"
    PROGRAM = "missing_program"
    SYNTAX = "syntax"
    TEST = "failed_test"
    VARIABLE = "missing_variable"
    VERSION = "wrong_version"


@dataclass(frozen=True)
class Cause:
    """An entry of ``diagnosis.toml``, which explains the fields. In a diagnosis what the tool named is filled in, and ``line`` is
    the one that gave it away."""

    id: str
    where: Sequence[Where]
    pattern: str
    hint: str
    message: str = ""
    stand_in: str = ""
    reach: bool = False
    code: Code = Code.UNKNOWN
    line: str = ""

    def outweighs(self, compiler: Sequence[str]) -> bool:
        """Whether this is the cause although a compiler complained: of something that it could not fetch or write."""
        decisive = self.code in _DECISIVE or "://" in self.line or bool(_disk.FULL.search(self.line))
        return bool(self.message) and (not compiler or decisive)


_DECISIVE = frozenset((Code.SYNTAX, Code.TEST, Code.LOCK, Code.HEADER, Code.COMPILER, Code.PROGRAM, Code.VERSION))
"""What compilers complain of too, said better."""


def diagnose(where: Sequence[Where], lines: Sequence[str], *, stand_in: bool = False) -> Cause | None:
    """The first cause that one of the last lines shows.

    What a program wrote long before it failed, or for information, is no cause; what it warns of is one only if no other line shows
    any. ``stand_in``: the base is a local stand-in.
    """
    last = [(_LEVEL.search(line), line) for line in lines[-LAST_LINES:]]
    errors = [line for level, line in last if level is None]
    warnings = [line for level, line in last if level is not None and not any(level.groups())]
    table = [cause for name in where for cause in causes() if name in cause.where]
    cause = _first(table, errors, stand_in=stand_in) or _first(table, warnings, stand_in=stand_in)
    if cause is None or cause.code is not Code.PACKAGE:
        return cause
    network = [entry for entry in table if entry.code is Code.NETWORK]  # an index that is not reached has no packages
    return _first(network, [*errors, *warnings], stand_in=stand_in) or cause


def _first(table: Sequence[Cause], lines: Sequence[str], *, stand_in: bool) -> Cause | None:
    for cause in table:
        for line in lines:
            if match := re.search(cause.pattern, line):
                words = [group or "" for group in match.groups()]
                hint = cause.stand_in if stand_in and cause.stand_in else cause.hint
                return replace(cause, message=_filled(cause.message, words), hint=_filled(hint, words), line=line)
    return None


def _filled(text: str, words: Sequence[str]) -> str:
    return re.sub(r"\{(\d)\}", lambda number: words[int(number[1])], text)


@functools.cache
def causes() -> tuple[Cause, ...]:
    """All causes, in the order in which they are looked for."""
    document = tomllib.loads((files("deadweight.builders.shared") / "diagnosis.toml").read_text(encoding="utf-8"))
    parts = named_patterns(document["patterns"])

    def made(pattern: str | list[str], code: str = "unknown", **entry: Any) -> Cause:
        return Cause(**entry, pattern=filled_pattern(pattern, parts), code=Code(code))

    return tuple(made(**entry) for entry in document["cause"])


def named_patterns(patterns: Mapping[str, str | list[str]]) -> dict[str, str]:
    """The variables of a table; each may refer to those above it."""
    parts: dict[str, str] = {}
    for name, pattern in patterns.items():
        parts[name] = filled_pattern(pattern, parts)
    return parts


def filled_pattern(pattern: str | list[str], parts: Mapping[str, str]) -> str:
    """One expression of all alternatives, with the named parts filled in."""
    text = pattern if isinstance(pattern, str) else "|".join(pattern)
    return re.sub(r"<([a-z_]+)>", lambda name: parts[name[1]], text)
