"""Remove control characters from text of others before it is shown, and cut output to its first exception and last lines."""

from __future__ import annotations

import re
from collections.abc import Sequence

MAX_LINE = 300
MOST_LETTERS = 2000
"""So much of a line is looked at: what takes long on a longer one, a service could print."""

_NAME = r"(?:[a-zA-Z_$][\w$]*\.)*(?:[A-Z][\w$]*)?(?:Exception|Error|Interrupt)"
_EXCEPTION = (
    r"^(?:panic: |fatal error: |thread '[^']*' panicked at "  # Go, Rust
    rf"|Exception in thread |(?:Unhandled exception[.:] )?{_NAME}(?:: |$)"  # Java, .NET, Python, Node
    r"|SIG(?:SEGV|BUS|ABRT)\b)"
)
_LOGGED = rf"\b(?:ERROR|FATAL|SEVERE|CRITICAL)\b.*\b{_NAME}: "
_CAUSED_BY = rf"^Caused by: {_NAME}"
_FRAME = (
    r"^\s+at [\w$.<>/ ]+\(|^\s*\.\.\. \d+ (?:more|common frames omitted)|^\s+at .+:\d+:\d+\)?$"
    r"|^\s+[~^]+$|^\s+File \"<frozen "  # Python's marks below a line, and its own modules
)


_COLOUR = r"\x1b\[[0-9;]*m"
_ORDER = (
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])?"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Orders to a terminal (ECMA-48), control characters but for tab and line feed, line and paragraph separators, the controls of
writing direction (Unicode Standard Annex 9, 2.1 to 2.5), and halves of characters, which no encoding takes."""
_ALL_BUT_COLOURS = f"({_COLOUR})|{_ORDER}"


def plain(text: str) -> str:
    """The one filter for text of a service, an image or a file on its way to a terminal, a page or a file of ours: without colours
    and control characters, so that nothing is obeyed and what is read is what is there."""
    return re.sub(_ORDER, "", text)


def coloured(text: str) -> str:
    """The same, but colours stay: for whole lines on a terminal, in which they may be our own."""
    return re.sub(_ALL_BUT_COLOURS, lambda match: match[1] or "", text)


def exceptions(lines: Sequence[str]) -> tuple[str, ...]:
    """The first exception, Go panic or the like, and what it was caused by at the deepest; nothing where there is none."""
    lines = [plain(line[:MOST_LETTERS]) for line in lines]
    for number, line in enumerate(lines):
        if re.search(_EXCEPTION, line) or re.search(_LOGGED, line):
            deepest = _deepest_cause(lines[number + 1 :])
            return (line.strip()[:MAX_LINE], *([deepest.strip()[:MAX_LINE]] if deepest else []))
    return ()


def _deepest_cause(lines: Sequence[str]) -> str | None:
    """The last "Caused by" of the exception whose frames these are."""
    cause = None
    for line in lines:
        if re.match(_CAUSED_BY, line):
            cause = line
        elif not re.match(_FRAME, line) and (cause is not None or re.search(_EXCEPTION, line)):
            break
    return cause


def last_lines(lines: Sequence[str], count: int) -> list[str]:
    """The last lines that say something, each cut to 300 characters; frames of a stack say where, not what."""
    shown = (plain(line[:MOST_LETTERS]) for line in lines)
    telling = [line.rstrip()[:MAX_LINE] for line in shown if line.strip() and not re.match(_FRAME, line)]
    return telling[-count:]


def cut(lines: Sequence[str], count: int) -> list[str]:
    """The first exception where it stands above the last lines, then these."""
    last = last_lines(lines, count)
    above = [line for line in exceptions(lines) if not any(line in last_line for last_line in last)]
    return [*above, *last]
