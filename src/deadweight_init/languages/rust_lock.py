"""What a package of a Cargo workspace is compiled with: the lock file is for all its members together."""

from __future__ import annotations

import re
from collections.abc import Iterator

_PACKAGE = re.compile(r"^\[\[package\]\]$", re.MULTILINE)
_NAME = re.compile(r"^name = \"([^\"]+)\"$", re.MULTILINE)
_NEEDS = re.compile(r"^dependencies = \[([^\]]*)\]", re.MULTILINE)


def crates(lock: str, package: str) -> frozenset[str]:
    """The names of all crates that a package needs, itself among them; all of the lock file where it does not name the package.

    What it needs for its tests and its build script alone is among them, as a lock file does not tell these apart.
    """
    needs = dict(_needs(lock))
    if package not in needs:
        return frozenset(needs)
    found: set[str] = set()
    todo = [package]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += needs.get(name, ())
    return frozenset(found)


def users(lock: str, crate: str) -> frozenset[str]:
    """The crates that need one directly."""
    return frozenset(name for name, needs in _needs(lock) if crate in needs)


def _needs(lock: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each crate with those that it needs directly. Of one in several versions they are put together."""
    found: dict[str, dict[str, None]] = {}
    for entry in _PACKAGE.split(lock)[1:]:
        name, listed = _NAME.search(entry), _NEEDS.search(entry)
        if name is None:
            continue
        needs = found.setdefault(name[1], {})
        for word in re.findall(r"\"([^\" ]+)", listed[1] if listed else ""):
            needs[word] = None
    return ((name, tuple(needs)) for name, needs in found.items())
