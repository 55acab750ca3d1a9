"""Go's regular expressions (RE2 syntax, as gitleaks writes them) in Python's words.

Python's ``re`` differs in three things that rules use: a flag in mid-pattern (``a(?i)b``) must be scoped, the end of the text is
``\\Z`` and not ``\\z``, and POSIX classes are unknown. Patterns are applied to bytes, so that ``\\w``, ``\\d``, ``\\s`` and ``\\b``
are ASCII, as in RE2.
"""

from __future__ import annotations

import re

_POSIX = {
    "[:alnum:]": "A-Za-z0-9",
    "[:alpha:]": "A-Za-z",
    "[:digit:]": "0-9",
    "[:xdigit:]": "A-Fa-f0-9",
    "[:upper:]": "A-Z",
}
_FLAG = re.compile(r"\(\?([ims]+)\)")


def to_python(pattern: str) -> str:
    """The same pattern for Python's ``re``. Raises ValueError where a construct is not known here."""
    out: list[str] = []
    opened: list[list[str]] = [[]]  # per open group: the flag scopes that we opened inside it
    at = 0
    while at < len(pattern):
        flag = _FLAG.match(pattern, at)
        char = pattern[at]
        if flag:
            opened[-1].append(flag[1])
            out.append(f"(?{flag[1]}:")
            at = flag.end()
            continue
        if char == "[":
            piece, at = _char_class(pattern, at)
            out.append(piece)
            continue
        if char == "\\":
            out.append(_escape(pattern[at : at + 2]))
            at += 2
            continue
        out.append(_structure(char, opened))
        at += 1
    out.append(")" * len(opened[0]))
    translated = "".join(out)
    re.compile(translated.encode("latin-1"))
    return translated


def _structure(char: str, opened: list[list[str]]) -> str:
    """A character outside classes and escapes: groups and alternatives carry the scoped flags along."""
    if char == "(":
        opened.append([])
    elif char == ")":
        return ")" * len(opened.pop()) + ")"
    elif char == "|":
        scopes = opened[-1]
        return ")" * len(scopes) + "|" + "".join(f"(?{flags}:" for flags in scopes)
    elif char == "$":
        return r"\Z"  # Python's $ also matches before a last newline
    return char


def _escape(pair: str) -> str:
    if pair == r"\z":
        return r"\Z"
    if pair in (r"\Q", r"\E", r"\p", r"\P", r"\C"):
        raise ValueError(f"unknown construct {pair}")
    return pair


def _char_class(pattern: str, start: int) -> tuple[str, int]:
    """A bracketed class from ``start``: POSIX names written out, a bare ``[`` escaped. Returns it and where it ends."""
    at, out = start + 1, ["["]
    if pattern[at] == "^":
        out.append("^")
        at += 1
    first = True
    while pattern[at] != "]" or first:
        first = False
        name = next((name for name in _POSIX if pattern.startswith(name, at)), None)
        if name:
            out.append(_POSIX[name])
            at += len(name)
        elif pattern[at] == "\\":
            out.append(pattern[at : at + 2])
            at += 2
        else:
            out.append(r"\[" if pattern[at] == "[" else pattern[at])
            at += 1
    return "".join([*out, "]"]), at + 1
