"""Layers that endpoints share through a cache: read always, written where what was written is used.

Whether it is used is measured: of a build on an endpoint that never built the variant before, steps that were there already
came out of the cache. Three exports in a row that nothing used end the exporting, until an endpoint that is new to the variant
builds it. A cache that cannot be written costs no build.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from deadweight.records.store import load, save
from deadweight.suite.pool import PoolCache

UNUSED = 3
IGNORE = "ignore-error="
_STEP = re.compile(r"^#(\d+) (.*)$")


@dataclass(frozen=True)
class Uses:
    """Of one variant: the endpoints that built it, the exports since one was last used, and how many were used in all."""

    endpoints: tuple[str, ...] = ()
    unused: int = 0
    used: int = 0


@dataclass(frozen=True)
class Notes:
    """What is kept of the variant's exports, in a file of the project's cache."""

    folder: Path

    def of(self, variant: str) -> Uses:
        return load(Uses, self.folder / f"{variant}.json") or Uses()

    def built(self, variant: str, endpoint: str, *, found: bool, exported: bool) -> None:
        """Note a build; ``found``: steps were there already."""
        save(after(self.of(variant), endpoint, found=found, exported=exported), self.folder / f"{variant}.json")


def after(uses: Uses, endpoint: str, *, found: bool, exported: bool) -> Uses:
    """What is known after a build on that endpoint."""
    if endpoint not in uses.endpoints:
        if uses.endpoints and found:
            uses = replace(uses, unused=0, used=uses.used + 1)
        uses = replace(uses, endpoints=(*uses.endpoints, endpoint))
    return replace(uses, unused=uses.unused + 1) if exported else uses


def exports(cache: PoolCache, uses: Uses, endpoint: str) -> bool:
    """Whether this build is to write its layers to the cache."""
    if cache.export is None or cache.when == "never":
        return False
    return cache.when == "always" or uses.unused < UNUSED or endpoint not in uses.endpoints


def words(cache: PoolCache, *, variant: str, service: str, export: bool) -> list[str]:
    """buildctl's words for it."""
    names = {"{variant}": variant, "{service}": service or variant}
    found = [word for each in cache.read for word in ("--import-cache", _filled(each, names))]
    if export and cache.export is not None:
        text = _filled(cache.export, names)
        found += ["--export-cache", text if IGNORE in text else f"{text},{IGNORE}true"]
    return found


class Listener:
    """Hears what BuildKit says of writing the cache, and hands every line on. ``failed`` is why it was not written."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line, self._writing, self.failed = on_line, "", ""

    def __call__(self, line: str) -> None:
        self._on_line(line)
        step = _STEP.match(line)
        if step is None:
            return
        if step[2].startswith("exporting cache to "):
            self._writing = step[1]
        elif step[1] == self._writing and step[2].startswith("ERROR: "):
            self.failed = step[2].removeprefix("ERROR: ")


def _filled(text: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        text = text.replace(name, value)
    return text
