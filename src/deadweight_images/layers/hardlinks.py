"""Where the hard links of one layer lead: each is followed once, however long the chains of them are.

A target is written as a path of the layer. Engines make the link on a file system, so links and ``..`` in the target's folders
are followed as the kernel would, within the layer (what lies in lower layers is no part of it).
"""

from __future__ import annotations

from array import array

from deadweight_images.archive import entries as columns
from deadweight_images.archive.entries import Entries, clean
from deadweight_images.layers.budget import Budget

_HOPS = 40
_UNKNOWN, NOWHERE = -2, -1


def contents(entries: Entries, budget: Budget) -> array[int]:
    """For each member the one that holds its bytes: itself, for a hard link where its links end; NOWHERE where that is nothing.

    Raises ArchiveError where the links' targets take more steps than any honest layer needs.
    """
    targets = _targets(entries, budget)
    kinds = entries.kinds
    found = array("i", [_UNKNOWN]) * len(entries)
    for first in entries.targets:
        chain, member = [], first
        while member >= 0 and found[member] == _UNKNOWN and kinds[member] == columns.HARDLINK:
            found[member] = NOWHERE  # whoever comes round to it again goes in circles
            chain.append(member)
            member = targets[member]
        end = NOWHERE if member < 0 else found[member] if kinds[member] == columns.HARDLINK else member
        for link in chain:
            found[link] = end
    return found


def _targets(entries: Entries, budget: Budget) -> array[int]:
    """The member that each hard link names, NOWHERE for all others."""
    places = {path: member for member, path in enumerate(entries.paths)}
    found = array("i", [NOWHERE]) * len(entries)
    for member, target in entries.targets.items():
        if entries.kinds[member] == columns.HARDLINK:
            path = clean(target)
            named = places.get(path) if path is not None else None
            if named is None or b".." in target:
                named = _followed(entries, places, target, budget)
            if named is not None and named != member:
                found[member] = named
    return found


def _followed(entries: Entries, places: dict[bytes, int], target: bytes, budget: Budget) -> int | None:
    """The member at a target whose folders are links, or that climbs with ``..``; the last part itself is not followed."""
    pending = [part for part in reversed(target.split(b"/")) if part not in (b"", b".")]
    budget.spend(len(pending) + 1)
    current, hops = b"", _HOPS
    while pending:
        part = pending.pop()
        if part == b"..":
            current = current.rpartition(b"/")[0]
            continue
        path = current + b"/" + part if current else part
        member = places.get(path)
        if pending and member is not None and entries.kinds[member] == columns.SYMLINK:
            hops -= 1
            link = entries.targets[member]
            budget.spend(20 + link.count(b"/"))
            if hops < 0 or len(pending) > 4096:
                return None
            current = b"" if link.startswith(b"/") else current
            pending.extend(each for each in reversed(link.split(b"/")) if each not in (b"", b"."))
            continue
        current = path
    return places.get(current)
