"""Match paths against .dockerignore rules: the last match wins, ``!`` includes a path again.

Source of the rules: Docker's "Build context, .dockerignore files", and moby/patternmatcher: patterns are those of Go's
filepath.Match plus ``**``, anchored at the folder, and a pattern that matches a folder covers all below it.

docker-py's ``PatternMatcher`` (7.2) differs from them: ``**/node_modules`` leaves in ``a/node_modules/b/c.js``, ``a[^0-9]`` matches
``a5`` but not ``ax``, ``\\*`` does not match ``*``, and ``*`` with ``!**/*.go`` loses ``a/x.go``. It is also seven times slower.
"""

from __future__ import annotations

import functools
import itertools
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from deadweight.records.paths import STATE_DIR, content

ENVIRONMENT_MARK = "pyvenv.cfg"
"""Lies in the root of every virtual environment (PEP 405)."""

_NO_ENVIRONMENTS = frozenset((".git", STATE_DIR, "node_modules"))
"""Folders of many files that are not searched for them."""


class Ignore:
    """Compiled rules; paths are relative to the folder, with forward slashes."""

    def __init__(self, patterns: Sequence[str]) -> None:
        runs = itertools.groupby(patterns, key=lambda pattern: pattern.startswith("!"))
        self._rules = [_rules(tuple(run), keeps=keeps) for keeps, run in runs]

    def matches(self, path: str) -> bool:
        """Whether a file is left out."""
        out = False
        for rule in self._rules:
            if out == rule.keeps and rule.expression.match(path):
                out = not rule.keeps
        return out

    def prunes(self, path: str) -> bool:
        """Whether a folder can be left out whole: no later ``!`` rule could take something below it back in."""
        whole = False
        for rule in self._rules:
            if rule.keeps:
                names = path.split("/")
                whole = whole and not rule.expression.match(path)
                whole = whole and not any(_reaches_below(parts, names) for parts in rule.parts)
            elif not whole:
                whole = rule.expression.match(path) is not None
        return whole


class _Rules(NamedTuple):
    """Patterns that follow each other and do the same. ``parts`` are those of each, ``expression`` matches what any of them matches
    and all below it: one, since thousands of paths are matched, and making many takes long.
    """

    keeps: bool
    parts: tuple[tuple[str, ...], ...]
    expression: re.Pattern[str]


def _reaches_below(parts: Sequence[str], names: Sequence[str]) -> bool:
    """Whether a pattern may match something below a folder."""
    for part, name in zip(parts, names, strict=False):
        if part == "**":
            return True
        if not re.fullmatch(_glob(part), name):
            return False
    return len(parts) > len(names)


def walk(folder: Path, ignore: Ignore) -> Iterator[Path]:
    """All files and links below a folder, in name order, without those that the ignore rules leave out.

    Others may write there meanwhile: a folder that goes away before it is read was not there. Raises OSError.
    """
    prefix = len(folder.parts)
    stack = [folder]
    while stack:
        here = stack.pop()
        try:
            with os.scandir(here) as listing:
                entries = sorted(listing, key=lambda entry: entry.name, reverse=True)
        except FileNotFoundError:
            if here == folder:
                raise
            continue
        for entry in reversed(entries):
            path = Path(entry.path)
            relative = "/".join(path.parts[prefix:])
            if entry.is_dir(follow_symlinks=False):
                if not ignore.prunes(relative):
                    stack.append(path)
            elif not ignore.matches(relative):
                yield path


def virtual_environments(folder: Path) -> tuple[str, ...]:
    """Python's virtual environments below a folder, relative to it."""
    paths = []
    for place, names, files in os.walk(folder):
        here = Path(place)
        if ENVIRONMENT_MARK in files and here != folder:
            paths.append(here.relative_to(folder).as_posix())
            names.clear()
        names[:] = sorted(name for name in names if name not in _NO_ENVIRONMENTS)
    return tuple(paths)


def ignore_lines(file: Path) -> tuple[str, ...]:
    """The patterns of a .dockerignore-like file; none where there is no such file."""
    text = content(file).decode("utf-8-sig", "replace")
    return tuple(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))


def literal(path: str) -> str:
    """The pattern that matches this very path."""
    return re.sub(r"([*?\[\]\\])", r"\\\1", path)


@functools.lru_cache(maxsize=4096)
def _rules(patterns: tuple[str, ...], *, keeps: bool) -> _Rules:
    """Kept: thousands of variants have the same dozen patterns."""
    texts = [pattern[1:].strip() if keeps else pattern for pattern in patterns]
    parts = tuple(tuple(part for part in text.split("/") if part not in ("", ".")) for text in texts)
    # what is below a pattern's match is covered by it: ``NAME/**`` beside ``NAME`` says nothing more
    telling = (pattern for pattern in dict.fromkeys(parts) if pattern[-1:] != ("**",) or pattern[:-1] not in parts)
    whole = "|".join(map(_expression, telling))
    return _Rules(keeps, parts, re.compile(rf"(?:{whole})(?:/|\Z)"))


def _expression(parts: Sequence[str]) -> str:
    *above, last = parts or ("",)
    folders = ("(?:.*/)?" if part == "**" else f"{_glob(part)}/" for part in above)
    return "".join(folders) + (".*" if last == "**" else _glob(last))


@functools.lru_cache(maxsize=4096)
def _glob(part: str) -> str:
    return "".join(map(_translated, re.findall(r"(?s)\*+|\[[^\]]*\]|\\.|.", part)))


def _translated(word: str) -> str:
    if word[0] == "*":
        return "[^/]*"
    if word == "?":
        return "[^/]"
    inside = word[1:-1].replace("\\", "\\\\") if word[0] == "[" else ""
    if inside in ("", "^"):
        return re.escape(word.removeprefix("\\") or word)
    return f"[{inside}]"
