"""Scan regions of a layer for secrets: match many files in one call, then check each file that has a candidate."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from deadweight_images.archive import entries as columns
from deadweight_images.archive.entries import Entries
from deadweight_images.archive.model import shown
from deadweight_images.errors import wording
from deadweight_images.layers import gaps as between
from deadweight_images.layers.index import Secret, Skip
from deadweight_images.secrets.locations import NAMED_SIZE
from deadweight_images.secrets.matcher import UNREAD
from deadweight_images.secrets.model import FOLDER, Budget, Hit, Scan

if TYPE_CHECKING:
    from deadweight_images.secrets.scanner import Scanner


# Where a region of a layer holds text: there, something encoded is looked for whatever it holds (see ``hints``).
#
# Text is what has no zero byte in its first 4 KiB, and in any other file each longer stretch without one: in an archive, a database
# or a program that embeds its files.

_HEAD = 4096
_STRETCH = 16 << 10
_PROBE = 256  # bytes; most others have a zero in so few
_MORE = 1024  # bytes around a stretch, for what begins in front of it


def text_ranges(entries: Entries, view: memoryview, base: int) -> list[tuple[int, int]]:
    """Offsets in a region that starts at ``base`` of its layer, in order, none of which overlap. Headers between texts count as
    text."""
    ranges: list[tuple[int, int]] = []
    other = True  # whether something other than text came last
    for number in range(max(0, bisect_right(entries.offsets, base) - 1), len(entries)):
        start = entries.offsets[number] - base
        if start >= len(view):
            break
        stop = min(len(view), start + entries.stored(number))
        start = max(0, start)
        if stop <= start:
            continue
        text = b"\0" not in bytes(view[start : min(stop, start + _HEAD)])
        if text and not other:
            ranges[-1] = (ranges[-1][0], stop)
        elif text:
            ranges.append((start, stop))
        else:
            ranges += _stretches(view, start, stop)
        other = not text
    return ranges


def _stretches(view: memoryview, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Stretches without a zero byte, about, in what is not text as a whole."""
    first = -1
    for at in range(start + _STRETCH, stop, _STRETCH):
        end = min(stop, at + _STRETCH)
        text = b"\0" not in bytes(view[at : at + _PROBE]) and b"\0" not in bytes(view[at:end])
        if text and first < 0:
            first = at - _MORE
        elif not text and first >= 0:
            yield first, at + _MORE
            first = -1
    if first >= 0:
        yield first, stop


# Content that was looked into once and for all: large files that many images carry, with no secret in them.
#
# Each is known by the digest of all its bytes, so that a file in which one is changed is looked into like any other. ``known.json``
# says where each comes from; ``bench.known_files`` makes it. It holds for the rules with which those files were looked into: with
# others nothing is known.

LEAST_BYTES = 256 << 10
"""Smaller files are looked into as quickly as they are hashed and looked up."""


def known(data: memoryview) -> bool:
    """Whether these bytes are such a file."""
    digests = table().get(len(data))
    return digests is not None and hashlib.sha256(data).hexdigest() in digests


@cache
def table() -> dict[int, frozenset[str]]:
    """SHA-256 digests by size in bytes; empty where the rules have changed since."""
    document = json.loads((FOLDER / "known.json").read_bytes())
    if document["rules"] != rules_digest():
        return {}
    by_size: dict[int, set[str]] = {}
    for entries in document["origins"].values():
        for digest, (size, _) in entries.items():
            by_size.setdefault(size, set()).add(digest)
    return {size: frozenset(digests) for size, digests in by_size.items()}


def rules_digest() -> str:
    """What tells a set of rules from another one: the digest of ``rules.json``."""
    return hashlib.sha256((FOLDER / "rules.json").read_bytes()).hexdigest()


MOST = 400  # different secrets of a part; each costs a millisecond (its fingerprint), and nobody reads more. Skips likewise
DECODED, OBJECTS = 1 << 30, 25_000
VERDICTS, BYTES_FOR_ONE = 5_000, 2_000
"""How many candidates of a part are refused, and one more for so many bytes: each takes some twenty microseconds."""
OUTSIDE = "(bytes of the layer outside any file)"


class Region(NamedTuple):
    """What a region of a layer gave; ``unlisted`` counts what is too much to be listed."""

    secrets: tuple[Secret, ...] = ()
    skipped: tuple[Skip, ...] = ()
    unlisted: int = 0


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
        notes = _Notes(len(view))
        self._search(entries, view, base, whole, notes, _budget(len(view)))
        return notes.region()

    def ranges(self, entries: Entries, whole: memoryview, ranges: Sequence[tuple[int, int]]) -> Region:
        """Some ranges of a layer that is in memory; each begins where a member's headers do and ends where one's content does."""
        size = sum(stop - start for start, stop in ranges)
        notes, budget = _Notes(size), _budget(size)
        for start, stop in ranges:
            if not notes.wants_more():
                break
            self._search(entries, whole[start:stop], start, whole, notes, budget)
        return notes.region()

    def _search(
        self, entries: Entries, view: memoryview, base: int, whole: memoryview | None, notes: _Notes, budget: Budget
    ) -> None:
        hits: list[Hit] = []
        for start, stop in _unknown(entries, view, base, whole):
            more = self._hits(entries, view[start:stop], base + start)
            hits += [Hit(start + end, rule) for end, rule in more] if start else more
        held, held_at = (view, base) if whole is None else (whole, 0)
        position = 0
        while position < len(hits) and notes.wants_more():
            end = base + hits[position].end
            member = entries.at(end - 1)
            if member is None:
                start, stop, owner = between.gap(entries, end - 1, base, base + len(view))
            else:
                start = max(held_at, entries.offsets[member])
                stop = min(held_at + len(held), entries.offsets[member] + entries.stored(member))
            last = max(position + 1, bisect_left(hits, (stop - base + 1,), position))
            own = [Hit(base + end - start, rule) for end, rule in hits[position:last]]
            data = held[start - held_at : stop - held_at]
            if member is None:
                self._outside(entries, owner, between.text_of(data), own, start, notes)
            else:
                path = shown(entries.paths[member])
                cut = stop < entries.offsets[member] + entries.stored(member)
                scan = self.scanner.confirm(data, path=path, hits=own, decode=self.decode, within=budget, cut=cut)
                notes.take(scan, member, start - entries.offsets[member])
            position = last
        self._named(entries, view, base, [base + hit.end for hit in hits], notes)

    def _outside(
        self, entries: Entries, member: int | None, data: bytes, hits: list[Hit], start: int, notes: _Notes
    ) -> None:
        """What is no file's content: the headers of a member, or of none. Nothing in it is decoded."""
        scan = self.scanner.confirm(data, path=OUTSIDE, hits=hits)
        if member is None:
            notes.take(scan, None, start)
            return
        for match in scan.matches:
            part = between.part_of(entries, member, data[match.offset : match.offset + match.length])
            notes.take(Scan((replace(match, inner=part, offset=0, line=None),)), member)

    def targets(self, entries: Entries, members: Sequence[int] | None = None) -> Region:
        """The links of a layer, or those that are given. In its bytes a target stands behind a digit, so that rules for
        whole words pass it over."""
        members = list(entries.targets) if members is None else members
        texts = [entries.targets[number] for number in members]
        notes = _Notes(sum(map(len, texts)))
        for place in between.candidates(texts, self.scanner):
            if not notes.wants_more():
                break
            hits = self.scanner.block(texts[place], decode=True)
            self._outside(entries, members[place], texts[place], hits, 0, notes)
        return notes.region()

    def _hits(self, entries: Entries, view: memoryview, base: int) -> list[Hit]:
        """The matcher's candidates. Where it leaves some out, for there are so many, each file is asked for on its own."""
        text = text_ranges(entries, view, base) if self.decode else ()
        hits, rules = self.scanner.block(view, decode=self.decode, text=text), self.scanner.rule_count
        unread = any(hit.rule == UNREAD for hit in hits)
        if not unread and not self.scanner.crowded(hits):
            return hits
        first, last = max(0, bisect_right(entries.offsets, base) - 1), bisect_left(entries.offsets, base + len(view))
        if last - first <= 1:
            return hits
        kept = {hit for hit in hits if hit.rule < rules}
        for member in range(first, last):
            start = max(0, entries.offsets[member] - base)
            data = view[start : max(start, entries.offsets[member] + entries.stored(member) - base)]
            own = self.scanner.block(data, decode=self.decode) if len(data) else []
            kept.update(hit._replace(end=hit.end + start) for hit in own if unread or hit.rule >= rules)
        return sorted(kept)

    def _named(self, entries: Entries, view: memoryview, base: int, ends: list[int], notes: _Notes) -> None:
        """Small files that are named like secrets are looked at closely without any hit. ``ends`` of hits are in order."""
        first, last = bisect_left(entries.offsets, base), bisect_left(entries.offsets, base + len(view))
        for member in range(first, last):
            size = entries.sizes[member]
            if not 0 < size <= NAMED_SIZE or entries.kinds[member] != columns.FILE or member in entries.sparse:
                continue
            if not self.scanner.wants(shown(entries.paths[member]), size):
                continue
            start = entries.offsets[member]
            hit = bisect_right(ends, start)
            if start + size <= base + len(view) and (hit == len(ends) or ends[hit] > start + size):
                if not notes.wants_more():
                    return
                data = view[start - base : start - base + size]
                notes.take(self.scanner.confirm(data, shown(entries.paths[member]), []), member)


def _unknown(entries: Entries, view: memoryview, base: int, whole: memoryview | None) -> Iterator[tuple[int, int]]:
    """The parts of a region, from and to which offset, without the large files in it that are known."""
    first, last = max(0, bisect_right(entries.offsets, base) - 1), bisect_left(entries.offsets, base + len(view))
    begin = 0
    for member, size in enumerate(entries.sizes[first:last], first):
        if size < LEAST_BYTES:
            continue
        start = entries.offsets[member]
        stop = start + entries.stored(member)
        if stop <= base:  # the one before
            continue
        if whole is not None:
            content = whole[start:stop]
        elif base <= start and stop <= base + len(view):
            content = view[start - base : stop - base]
        else:
            continue
        if not known(content):
            continue
        if start - base > begin:
            yield begin, start - base
        begin = min(len(view), stop - base)
    if begin < len(view):
        yield begin, len(view)


def _budget(size: int) -> Budget:
    """For all files of a part of so many bytes together: some hundred bytes can decode to all that one file may."""
    return Budget(DECODED, OBJECTS, VERDICTS + size // BYTES_FOR_ONE)


class _Notes:
    """What a part of a layer gave so far; ``size`` is that part's, in bytes."""

    def __init__(self, size: int) -> None:
        self._found: list[Secret] = []
        self._skipped: list[Skip] = []
        self._secrets: set[str] = set()
        self._size, self._full, self._unlisted = size, False, 0

    def wants_more(self) -> bool:
        """Whether there are few enough secrets so far; the first time that there are not, it is noted."""
        if len(self._secrets) >= MOST and not self._full:
            self._full = True
            self._skipped.append(Skip(-1, "", wording("skip.too_many_secrets", most=MOST), self._size))
        return not self._full

    def take(self, scan: Scan, member: int | None, shift: int = 0) -> None:
        """What a member gave (None: bytes outside of any) in content that begins ``shift`` bytes behind its first."""
        number = -1 if member is None else member
        for match in scan.matches:
            at, line = (match.offset, match.line) if match.inner or not shift else (match.offset + shift, None)
            place = (number, match.rule, match.description, match.inner, at, line)
            self._found.append(Secret(*place, match.redacted, match.fingerprint, match.confidence))
            self._secrets.add(match.fingerprint)
        room = max(0, MOST - len(self._skipped))
        self._skipped.extend(Skip(number, s.inner, s.reason, s.size_bytes) for s in scan.skipped[:room])
        self._unlisted += len(scan.skipped[room:])

    def region(self) -> Region:
        """All of it."""
        return Region(tuple(self._found), tuple(self._skipped), self._unlisted)
