"""Which version of Node a package is for: of its own image, of a version file, or of ``engines`` in its package.json."""

from __future__ import annotations

import re
from typing import Any

from deadweight_init.records import ImageWords, Known
from deadweight_init.tree import Tree, joined, line_of

_DEFAULT = "22"
_OLDEST = 18
_KNOWN = (22, 24, 20, 18, 26)
"""Versions that ``engines`` may ask for, the likeliest first."""

_NAMES = {"hydrogen": "18", "iron": "20", "jod": "22", "krypton": "24"}
_EXACT = re.compile(r"[=v]?(\d+\.\d+\.\d+)|~\s?(\d+\.\d+)(?:\.\d+)?")
_PART = re.compile(r"(>=|<=|>|<|\^|~|=)?\s*v?(\d+)(?:\.(\d+|[xX*]))?(?:\.(?:\d+|[xX*]))?")


def version_of(tree: Tree, folder: str, words: ImageWords | None, package: dict[str, Any]) -> Known[str]:
    """The version of Node: of its own image as exactly as it is there (the base is shared then), of a version file, of
    ``engines``, or the default."""
    base = words.on(r"node:(\d+(?:\.\d+){0,2})(?=[-@]|$)") if words else ""
    if base and int(base.partition(".")[0]) >= _OLDEST:
        return Known(base, "from your Dockerfile's base")
    for name in (".nvmrc", ".node-version"):
        text = tree.text(joined(folder, name))
        found = re.search(r"v?(\d{2})\b|lts/(\w+)", text)
        number = (found[1] or _NAMES.get(found[2].lower(), "")) if found else ""
        if found and number and int(number) >= _OLDEST:
            return Known(number, f"from {joined(folder, name)}:{line_of(text, found.start())}")
    engines = package.get("engines")
    asked = str(engines.get("node") or "") if isinstance(engines, dict) else ""
    version = _asked(asked) if asked else ""
    # ">=14" takes the default too, and says nothing more
    named = version and version != _DEFAULT
    return Known(version, f"from {joined(folder, 'package.json')}: engines") if named else Known(_DEFAULT)


def fits(asked: str, major: int) -> bool:
    """Whether the newest Node of a major version is one that a range of ``engines`` takes."""
    return any(_all_fit(each, major) for each in asked.split("||"))


def _asked(asked: str) -> str:
    """The version that a range asks for; empty for one that none of the supported ones is in.

    yarn refuses to install with a version that is not in the range.
    """
    exact = _EXACT.fullmatch(asked.strip())
    if exact:
        version = exact[1] or exact[2]
        return version if int(version.partition(".")[0]) >= _OLDEST else ""
    return next((str(each) for each in _KNOWN if fits(asked, each)), "")


def _all_fit(alternative: str, major: int) -> bool:
    """All parts of ``>=18 <21``, or of ``18 - 22``; nothing of it is understood: it says nothing."""
    spread = re.fullmatch(r"\s*v?(\d+)[\d.xX]*\s+-\s+v?(\d+)[\d.xX]*\s*", alternative)
    if spread:
        return int(spread[1]) <= major <= int(spread[2])
    return all(_fits(each, major) for each in _PART.finditer(alternative))


def _fits(part: re.Match[str], major: int) -> bool:
    said, number, minor = part[1] or "=", int(part[2]), (part[3] or "x").lower()
    if said == ">=":
        return major >= number
    if said == ">":
        return major > number or (major == number and minor.isdigit())
    if said == "<":
        return major < number
    if said == "<=":
        return major < number or (major == number and not minor.isdigit())
    return major == number
