"""Tell what a match outside file content lies in: a name, link target, attribute, or data after the end of a layer."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from deadweight_images.archive.entries import Entries

if TYPE_CHECKING:
    from deadweight_images.secrets.scanner import Scanner

# A pax record is ``length SP key=value LF``; with its first ``=`` as a line end the value is a text of its own.
_RECORD = re.compile(rb"(?:(?<=[\0\n])|\A)(\d{1,7} [^=\n\0]{1,300})=")


class Gap(NamedTuple):
    """What lies between two contents, as offsets in the layer, and the member whose headers it is (None: nobody's)."""

    start: int
    stop: int
    member: int | None


def gap(entries: Entries, at: int, base: int, end: int) -> Gap:
    """The gap around the byte ``at``, as far as it lies in the region from ``base`` to ``end``."""
    offsets = entries.offsets
    after = bisect_right(offsets, at)
    start = max(base, offsets[after - 1] + entries.stored(after - 1)) if after else base
    if after < len(offsets) and offsets[after] <= end:
        return Gap(start, offsets[after], after)
    return Gap(start, end, None)


def text_of(data: memoryview) -> bytes:
    """A gap's bytes as rules can read them: of the same length, each field and each value of a pax record on lines of its own."""
    return _RECORD.sub(rb"\1\n", bytes(data)).replace(b"\0", b"\n")


def part_of(entries: Entries, member: int, secret: bytes) -> str:
    """Which part of a member's headers holds a secret, as ``Secret.inner`` says it."""
    if secret in entries.paths[member]:
        return "name"
    return "link target" if secret in entries.targets.get(member, b"") else "extended header"


def candidates(texts: Sequence[bytes], scanner: Scanner) -> list[int]:
    """Which of many short texts may hold a secret. All are looked at in one pass."""
    from deadweight_images.secrets.matcher import CLOSE, UNREAD

    starts = list(accumulate((len(text) + 1 for text in texts), initial=0))
    places: set[int] = set()
    # With hints, for the config is looked at so in any case: another matcher would cost 20 MB.
    for hit in scanner.block(b"\n".join(texts), decode=True):
        if hit.rule == UNREAD:
            return list(range(len(texts)))
        if hit.rule < scanner.rule_count:  # which stands for all others that are close behind it
            places.update(range(bisect_right(starts, hit.end - 1) - 1, bisect_right(starts, hit.end + CLOSE)))
    return sorted(place for place in places if place < len(texts))
