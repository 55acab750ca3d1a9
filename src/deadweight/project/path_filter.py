"""Which variants a change can concern at all, by paths alone: of thousands, only these are worth asking a builder about."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from deadweight.suite.model import Variant

_ODD = {"", ".", ".."}
"""What cannot be joined to the folder above it as it is written."""


class Near:
    """Knows what each variant may read (``Variant.reads``), as it is called and where its links lead to."""

    def __init__(self, root: Path, variants: Sequence[Variant]) -> None:
        self._root, self._variants = str(root), variants
        self._unknown: set[str] = set()
        self._readers: dict[str, list[str]] = defaultdict(list)
        for variant in variants:
            places = variant.reads()
            if places is None:
                self._unknown.add(variant.name)
            else:
                for place in places:
                    self._readers[place].append(variant.name)
        top = os.path.normpath(self._root).rstrip("/"), os.path.realpath(root).rstrip("/")
        self._folders: dict[str, tuple[str, str]] = {"": top}
        self._places = [(pair, names) for place, names in self._readers.items() for pair in set(self._paths(place))]

    def of(self, changed: Iterable[Path]) -> list[Variant]:
        """Those that read a changed file, or a folder that it is in, or of which nobody can tell by paths."""
        texts = {text for path in changed for text in (str(path), *map(str, path.parents))}
        if not texts:
            return []
        near = self._unknown.union(*(names for path, names in self._places if path in texts))
        return [each for each in self._variants if each.name in near]

    def _paths(self, place: str) -> tuple[str, str]:
        """A place as it is called and where it is; each folder is looked at once, not anew for each file in it."""
        known = self._folders.get(place)
        if known is not None:
            return known
        above, _, name = place.rpartition("/")
        if name in _ODD or place[0] in "/~":
            whole = os.path.join(self._root, os.path.expanduser(place))  # noqa: PTH111, PTH118 - ten times as fast
            found = os.path.normpath(whole), os.path.realpath(whole)
        else:
            called, real = self._paths(above)
            real = f"{real}/{name}"
            found = f"{called}/{name}", os.path.realpath(real) if _linked(real) else real
        self._folders[place] = found
        return found


def _linked(path: str) -> bool:
    try:
        return stat.S_ISLNK(os.lstat(path).st_mode)
    except OSError:
        return False
