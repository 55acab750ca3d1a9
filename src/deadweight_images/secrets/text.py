"""Where a region of a layer holds text: there, something encoded is looked for whatever it holds (see ``hints``).

Text is what has no zero byte in its first 4 KiB, and in any other file each longer stretch without one: in an archive, a database
or a program that embeds its files.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from deadweight_images.archive.entries import Entries

_HEAD = 4096
_STRETCH = 16 << 10
_PROBE = 256  # bytes; most others have a zero in so few
_MORE = 1024  # bytes around a stretch, for what begins in front of it


def text_ranges(entries: Entries, view: memoryview, base: int) -> list[tuple[int, int]]:
    """Offsets in a region that starts at ``base`` of its layer, in order, none of which overlap. Headers between texts count as
    text."""
    found: list[tuple[int, int]] = []
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
            found[-1] = (found[-1][0], stop)
        elif text:
            found.append((start, stop))
        else:
            found += _stretches(view, start, stop)
        other = not text
    return found


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
