"""Which variants a change can concern at all, by paths alone: of thousands, only these are worth asking a builder about."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from deadweight.suite.model import Variant


class Near:
    """Knows what each variant may read (``Variant.reads``), as it is called and where its links lead to."""

    def __init__(self, root: Path, variants: Sequence[Variant]) -> None:
        self._variants = variants
        self._unknown: set[str] = set()
        self._readers: dict[str, list[str]] = defaultdict(list)
        self._real: dict[str, str] = {}
        for variant in variants:
            places = variant.reads()
            if places is None:
                self._unknown.add(variant.name)
                continue
            for place in places:
                self._readers[place].append(variant.name)
        self._places: dict[str, list[str]] = defaultdict(list)
        for place, names in self._readers.items():
            path = os.path.normpath(os.path.join(root, os.path.expanduser(place)))  # noqa: PTH111, PTH118 - ten times as fast
            for each in {path, self._resolved(path)}:
                self._places[each] += names

    def of(self, changed: Iterable[Path]) -> list[Variant]:
        """Those that read a changed file, or a folder that it is in, or of which nobody can tell by paths."""
        texts = {text for path in changed for text in (str(path), *map(str, path.parents))}
        if not texts:
            return []
        near = self._unknown.union(*(self._places[text] for text in texts if text in self._places))
        return [each for each in self._variants if each.name in near]

    def _resolved(self, path: str) -> str:
        """``realpath``, which would look at every folder above anew for each file."""
        known = self._real.get(path)
        if known is None:
            above, name = os.path.split(path)
            linked = above == path or os.path.islink(path)  # noqa: PTH114 - a Path costs more than the look
            known = os.path.realpath(path) if linked else f"{self._resolved(above).rstrip('/')}/{name}"
            self._real[path] = known
        return known
