"""How a layer is cut into the portions that threads look at: where members end, and for some members only, around those."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from deadweight_images.archive.entries import Entries

SEGMENT = 16 << 20
WHOLE = 24 << 20
OVERLAP = 64 << 10
_NEAR = 4096  # bytes; what lies so close is looked at together: a call costs as much as to read that


def regions(entries: Entries, total: int) -> Iterator[tuple[int, int]]:
    """Cuts a layer where members end, into regions of about SEGMENT bytes; a far bigger member is cut with an overlap."""
    start = 0
    offsets = entries.offsets
    for number in range(len(entries)):
        stop = offsets[number] + entries.stored(number)
        if stop - start < SEGMENT:
            continue
        if stop - start <= 4 * SEGMENT:
            yield start, stop
        else:
            for piece in range(start, stop, 4 * SEGMENT):
                yield max(start, piece - OVERLAP), min(stop, piece + 4 * SEGMENT)
        start = stop
    if start < total:
        yield start, total


def batches(entries: Entries, members: Iterable[int]) -> Iterator[list[tuple[int, int]]]:
    """The ranges of a layer that hold these members (in ascending order) with their headers, in batches of about SEGMENT bytes."""
    batch: list[tuple[int, int]] = []
    weight = 0
    for start, stop in _ranges(entries, members):
        batch.append((start, stop))
        weight += stop - start
        if weight >= SEGMENT:
            yield batch
            batch, weight = [], 0
    if batch:
        yield batch


def _ranges(entries: Entries, members: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Each begins where a member's headers do and ends where one's content does; no two of them are near each other."""
    start = stop = -1
    for number in members:
        begin = entries.offsets[number - 1] + entries.stored(number - 1) if number else 0
        if start >= 0 and (begin - stop > _NEAR or stop - start >= SEGMENT):
            yield start, stop
            start = -1
        start = begin if start < 0 else start
        stop = entries.offsets[number] + entries.stored(number)
    if start >= 0:
        yield start, stop
