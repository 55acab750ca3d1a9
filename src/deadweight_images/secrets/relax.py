"""From a rule's exact pattern to the simpler one that the multi-pattern matcher looks for.

The simpler pattern finds at least every end that the exact one can have; what it finds too much is refused by the exact
pattern afterwards. It is made so that

- it does not depend on what stands outside the file (many files lie behind one another in one buffer): ``^``, ``$``, ``\\Z``,
  look-around and a word boundary at the end are gone,
- it reports few ends: repeats at either edge are cut to their least count.

Works on Python's own parse tree of the pattern, when rules are converted, never when images are scanned.
"""

from __future__ import annotations

import re
import re._constants as sre  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
from typing import Any

Node = tuple[Any, Any]
UNBOUNDED = 4096  # bytes that a pattern without an upper bound is taken to need before its end

_CATEGORIES = {
    sre.CATEGORY_DIGIT: r"\d",
    sre.CATEGORY_NOT_DIGIT: r"\D",
    sre.CATEGORY_SPACE: r"\s",
    sre.CATEGORY_NOT_SPACE: r"\S",
    sre.CATEGORY_WORD: r"\w",
    sre.CATEGORY_NOT_WORD: r"\W",
}
_FLAGS = {re.IGNORECASE: "i", re.DOTALL: "s"}


def relaxed(pattern: str) -> tuple[str, int, int]:
    """The matcher's pattern, how many bytes at most it can reach back from an end that it reports, and at least."""
    tree = parser.parse(pattern.encode("latin-1"))
    nodes = _trim_front(_trim_back(list(tree)))
    text = "".join(_text(node) for node in nodes)
    flags = "".join(letter for flag, letter in _FLAGS.items() if tree.state.flags & flag)
    prefilter = f"(?{flags}:{text})" if flags else text
    least, most = parser.parse(prefilter.encode("latin-1")).getwidth()
    return prefilter, int(min(most, UNBOUNDED)), int(least)


def width(pattern: str) -> int:
    """The most bytes that a match can have, ``UNBOUNDED`` where it has no bound."""
    most = parser.parse(pattern.encode("latin-1")).getwidth()[1]
    return int(most) if most < 1 << 20 else UNBOUNDED


def _may_be_empty(node: Node) -> bool:
    kind, value = node
    if kind in (sre.AT, sre.ASSERT, sre.ASSERT_NOT):
        return True
    if kind in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
        return bool(value[0] == 0) or all(_may_be_empty(inner) for inner in value[2])
    if kind is sre.SUBPATTERN:
        return all(_may_be_empty(inner) for inner in value[3])
    if kind is sre.BRANCH:
        return any(all(_may_be_empty(inner) for inner in branch) for branch in value[1])
    return False


def _trim_back(nodes: list[Node]) -> list[Node]:
    return _trim(nodes, back=True)


def _trim_front(nodes: list[Node]) -> list[Node]:
    return _trim(nodes, back=False)


def _trim(nodes: list[Node], *, back: bool) -> list[Node]:
    """Without what may be empty at that edge; a repeat at the edge at its least count; groups and branches likewise."""
    edge = -1 if back else 0
    while nodes and _may_be_empty(nodes[edge]) and not (not back and _is_boundary(nodes[edge])):
        nodes.pop(edge)
    if not nodes:
        return nodes
    kind, value = nodes[edge]
    if kind in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
        nodes[edge] = (sre.MAX_REPEAT, (value[0], value[0], value[2]))
    elif kind is sre.SUBPATTERN:
        group, add, remove, inner = value
        nodes[edge] = (sre.SUBPATTERN, (group, add, remove, _trim(list(inner), back=back)))
    elif kind is sre.BRANCH:
        nodes[edge] = (sre.BRANCH, (None, [_trim(list(branch), back=back) for branch in value[1]]))
    return nodes


def _is_boundary(node: Node) -> bool:
    """A word boundary in front is kept: the byte before a file's content is never a word character (see ``scanner.block``)."""
    return node[0] is sre.AT and node[1] is sre.AT_BOUNDARY


def _text(node: Node) -> str:
    kind, value = node
    if kind is sre.LITERAL:
        return _byte(value)
    if kind is sre.NOT_LITERAL:
        return f"[^{_byte(value)}]"
    if kind is sre.ANY:
        return "."
    if kind is sre.IN:
        return _set(value)
    if kind is sre.AT:
        return {sre.AT_BOUNDARY: r"\b", sre.AT_NON_BOUNDARY: r"\B"}.get(value, "")
    if kind in (sre.ASSERT, sre.ASSERT_NOT):
        return ""
    return _compound(kind, value)


def _compound(kind: Any, value: Any) -> str:
    if kind is sre.BRANCH:
        return "(?:" + "|".join(_texts(branch) for branch in value[1]) + ")"
    if kind is sre.SUBPATTERN:
        _, add, remove, inner = value
        on = "".join(letter for flag, letter in _FLAGS.items() if add & flag)
        off = "".join(letter for flag, letter in _FLAGS.items() if remove & flag)
        return f"(?{on}{'-' + off if off else ''}:{_texts(inner)})"
    if kind in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
        least, most, inner = value
        if most == 0:
            return ""
        upper = "" if most is sre.MAXREPEAT else str(most)
        count = f"{{{least}}}" if least == most else f"{{{least},{upper}}}"
        return f"(?:{_texts(inner)}){count}"
    raise ValueError(f"unknown construct {kind}")


def _texts(nodes: Any) -> str:
    return "".join(_text(node) for node in nodes)


def _set(items: Any) -> str:
    parts = []
    for kind, value in items:
        if kind is sre.NEGATE:
            parts.append("^")
        elif kind is sre.LITERAL:
            parts.append(_byte(value))
        elif kind is sre.RANGE:
            parts.append(f"{_byte(value[0])}-{_byte(value[1])}")
        else:
            parts.append(_CATEGORIES[value])
    return "[" + "".join(parts) + "]"


def _byte(value: int) -> str:
    char = chr(value)
    return char if char.isascii() and char.isalnum() else f"\\x{value:02x}"
