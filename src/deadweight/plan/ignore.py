"""Ignore rules as in a .dockerignore file: the last matching pattern wins, ``!`` takes a path back in.

Source of the rules: Docker's "Build context, .dockerignore files", and moby/patternmatcher: patterns are those of Go's
filepath.Match plus ``**``, anchored at the folder, and a pattern that matches a folder covers all below it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence


class Ignore:
    """Compiled rules; paths are relative to the folder, with forward slashes."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._rules = [_rule(pattern) for pattern in patterns]
        self._takes_back = any(keep for keep, _ in self._rules)

    def matches(self, path: str) -> bool:
        """Whether a file is left out."""
        out = False
        for keep, expression in self._rules:
            if out == keep and expression.match(path):
                out = not keep
        return out

    def prunes(self, path: str) -> bool:
        """Whether a folder can be left out whole: only where no ``!`` rule could take something below it back in."""
        return not self._takes_back and self.matches(path)


def _rule(pattern: str) -> tuple[bool, re.Pattern[str]]:
    keep = pattern.startswith("!")
    text = pattern[1:].strip() if keep else pattern
    parts = [part for part in text.split("/") if part not in ("", ".")]
    return keep, re.compile(
        "".join(_part(part, last=index == len(parts) - 1) for index, part in enumerate(parts)) + r"(?:/|\Z)"
    )


def _part(part: str, *, last: bool) -> str:
    if part == "**":
        return ".*" if last else "(?:.*/)?"
    translated = _glob(part)
    return translated if last else translated + "/"


def _glob(part: str) -> str:
    result, index = "", 0
    while index < len(part):
        char = part[index]
        index += 1
        if char == "*":
            while part[index : index + 1] == "*":
                index += 1
            result += "[^/]*"
        elif char == "?":
            result += "[^/]"
        elif char == "[" and "]" in part[index:]:
            end = part.index("]", index)
            inside = part[index:end].replace("\\", "\\\\")
            result += f"[{inside}]" if inside not in ("", "^") else re.escape(part[index - 1 : end + 1])
            index = end + 1
        elif char == "\\" and index < len(part):
            result += re.escape(part[index])
            index += 1
        else:
            result += re.escape(char)
    return result
