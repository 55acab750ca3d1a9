"""Look for secrets in regions of a layer: one call of the matcher over many files, then each hit's file looked at closely."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from deadweight.image import entries as columns
from deadweight.image.entries import Entries
from deadweight.image.layerindex import Found, Skip
from deadweight.image.model import shown

if TYPE_CHECKING:
    from deadweight.image.secrets.model import Hit, Scan
    from deadweight.image.secrets.scanner import Scanner

_WINDOW = 4096
_SMALL = 4096
OUTSIDE = "(bytes of the layer outside any file)"


@dataclass(frozen=True, slots=True)
class Region:
    """What a region of a layer gave."""

    found: tuple[Found, ...] = ()
    skipped: tuple[Skip, ...] = ()


class Probe:
    """A scanner applied to layers. ``decode`` also looks into what is encoded, compressed or packed."""

    def __init__(self, scanner: Scanner, *, decode: bool) -> None:
        self.scanner, self.decode = scanner, decode

    @property
    def key(self) -> str:
        """What results depend on: the rule set and whether encoded content was looked into."""
        return f"{self.scanner.rule_set}-{'deep' if self.decode else 'plain'}"

    def region(self, entries: Entries, view: memoryview, base: int, whole: memoryview | None = None) -> Region:
        """A region of a layer that starts at ``base`` and is cut where members end (or within one big member).

        ``whole`` is the layer itself, where it is in memory: what begins in this region is then followed to its member's end.
        """
        hits = self._hits(entries, view, base)
        held, held_at = (view, base) if whole is None else (whole, 0)
        found: list[Found] = []
        skipped: list[Skip] = []
        position = 0
        while position < len(hits):
            end = base + hits[position].end
            member = entries.at(end - 1)
            if member is None:
                start, stop = max(base, end - _WINDOW), end
            else:
                start = max(held_at, entries.offsets[member])
                stop = min(held_at + len(held), entries.offsets[member] + entries.stored(member))
            last = max(position + 1, bisect_left(hits, (stop - base + 1,), position))
            own = [hit._replace(end=base + hit.end - start) for hit in hits[position:last]]
            path = shown(entries.paths[member]) if member is not None else OUTSIDE
            data = held[start - held_at : stop - held_at]
            scan = self.scanner.confirm(data, path=path, hits=own, decode=self.decode and member is not None)
            shift = start - (entries.offsets[member] if member is not None else 0)
            _note(scan, -1 if member is None else member, shift, found, skipped)
            position = last
        self._named(entries, view, base, {base + hit.end for hit in hits}, found, skipped)
        return Region(tuple(found), tuple(skipped))

    def _hits(self, entries: Entries, view: memoryview, base: int) -> list[Hit]:
        """The matcher's candidates. Where it leaves some out, for there are so many, each file is asked for on its own."""
        hits, rules = self.scanner.block(view, decode=self.decode), self.scanner.rule_count
        if not self.scanner.crowded(hits):
            return hits
        found = [hit for hit in hits if hit.rule < rules]
        first, last = max(0, bisect_right(entries.offsets, base) - 1), bisect_left(entries.offsets, base + len(view))
        for member in range(first, last):
            start = max(0, entries.offsets[member] - base)
            data = view[start : max(start, entries.offsets[member] + entries.stored(member) - base)]
            own = self.scanner.block(data, decode=True) if len(data) else []
            found.extend(hit._replace(end=hit.end + start) for hit in own if hit.rule >= rules)
        return sorted(found)

    def _named(
        self, entries: Entries, view: memoryview, base: int, ends: set[int], found: list[Found], skipped: list[Skip]
    ) -> None:
        """Small files that are named like secrets are looked at closely without any hit."""
        first, last = bisect_left(entries.offsets, base), bisect_left(entries.offsets, base + len(view))
        for member in range(first, last):
            size = entries.sizes[member]
            if not 0 < size <= _SMALL or entries.kinds[member] != columns.FILE or member in entries.sparse:
                continue
            if not self.scanner.wants(shown(entries.paths[member]), size):
                continue
            start = entries.offsets[member]
            if start + size <= base + len(view) and not any(start < end <= start + size for end in ends):
                data = view[start - base : start - base + size]
                _note(self.scanner.confirm(data, shown(entries.paths[member]), []), member, 0, found, skipped)

    def members(self, entries: Entries, view: memoryview, members: list[int]) -> Region:
        """Some members of a layer that is in memory from its start."""
        found: list[Found] = []
        skipped: list[Skip] = []
        for member in members:
            start = entries.offsets[member]
            data = view[start : start + entries.stored(member)]
            hits: list[Hit] = self.scanner.block(data, decode=self.decode)
            if hits or self.scanner.wants(shown(entries.paths[member]), len(data)):
                scan = self.scanner.confirm(data, path=shown(entries.paths[member]), hits=hits, decode=self.decode)
                _note(scan, member, 0, found, skipped)
        return Region(tuple(found), tuple(skipped))


def _note(scan: Scan, member: int, shift: int, found: list[Found], skipped: list[Skip]) -> None:
    for match in scan.matches:
        item = Found(
            member,
            match.rule,
            match.description,
            match.inner,
            match.offset,
            match.line,
            match.redacted,
            match.fingerprint,
        )
        if shift and not match.inner:
            item = replace(item, offset=match.offset + shift, line=None)
        found.append(item)
    skipped.extend(Skip(member, item.inner, item.reason, item.size_bytes) for item in scan.skipped)
