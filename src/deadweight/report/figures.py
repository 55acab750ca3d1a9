"""Format figures for people: decimal units (1 MB is 10^6 bytes) and three digits, like container tools."""

from __future__ import annotations

from collections.abc import Sequence

from deadweight.suite.values import format_bytes

NOT_MEASURED = "not measured"
WHY_NOT = {"stale": "stale", "not_run": "not run", "not_measured": NOT_MEASURED}
"""Why a check has no result, in words."""
STAND_IN = "stand-in"
NOTHING = "\u2013"
"""Shown where there is nothing to show (no reference figure): an en dash, never a zero."""

NAMES_TOLD = 4


def size(count: int | None) -> str:
    """Bytes, as ``15.3 MB``."""
    return NOT_MEASURED if count is None else format_bytes(count)


def signed_size(count: int) -> str:
    """A difference in bytes, as ``+1.2 MB``."""
    return f"{'+' if count >= 0 else '-'}{size(abs(count))}"


def seconds(value: float | None) -> str:
    """Seconds, as ``0.31 s``; milliseconds below a tenth."""
    if value is None:
        return NOT_MEASURED
    if value < 0.1:
        return f"{value * 1000:.0f} ms"
    return f"{_three_digits(value) if value < 100 else f'{value:.0f}'} s"


def when(at: str) -> str:
    """A time of ISO 8601 in UTC as people write it: ``2031-02-03 04:05 UTC``; anything else as it is."""
    return f"{at[:16].replace('T', ' ')} UTC" if at[10:11] == "T" and at.endswith(("+00:00", "Z")) else at


def ratio(largest: int | None, own: int | None) -> str:
    """How many times smaller than the largest, as ``69 : 1``."""
    if not largest or not own:
        return NOT_MEASURED
    return f"{_three_digits(largest / own)} : 1"


def count(value: int | None) -> str:
    """A number of things, with thousands set apart."""
    return NOT_MEASURED if value is None else f"{value:,}"


_WHOLE = frozenset(("JRE", "JDK", "Node", ".NET", "Deno"))


def runtime(name: str, version: str | None) -> str:
    """A runtime as people say it: ``Go 1.26``, ``Python 3.11``, ``Node 22``; the version in full is in ``report.json``."""
    numbers = (version or "").split(".")
    short = ".".join(numbers[: 1 if name in _WHOLE else 2])
    if name in ("JRE", "JDK") and numbers[0] == "1":  # Java 8 and before call themselves 1.8
        short = numbers[1] if len(numbers) > 1 else short
    return f"{name} {short}".strip()


def digest(value: str | None) -> str:
    """A digest, shortened for display: ``sha256:0123456789ab``."""
    algorithm, _, rest = (value or "").partition(":")
    return f"{algorithm}:{rest[:12]}" if value else "none"


def plural(number: int, word: str) -> str:
    """``1 layer``, ``2 layers``."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def cut(text: str, letters: int) -> str:
    """At most so many letters, with a sign of more."""
    return text if len(text) <= letters else text[: letters - 1].rstrip() + "\u2026"


def listed(names: Sequence[str]) -> str:
    """``a and b``, ``a, b, c, d and 3 more``."""
    more = len(names) - NAMES_TOLD
    if more > 1:
        return f"{', '.join(names[:NAMES_TOLD])} and {more} more"
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)


def _three_digits(value: float) -> str:
    if value >= 99.95:
        return f"{value:.0f}"
    text = f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
