"""Bytes of one member of a layer, of a plain layer in place, of a compressed one by reading up to them."""

from __future__ import annotations

from collections.abc import Iterator

from deadweight.image.compression import cut, plain_pieces
from deadweight.image.entries import Entries
from deadweight.image.model import Compression


def member_pieces(view: memoryview, compression: Compression, entries: Entries, member: int) -> Iterator[bytes]:
    """The stored content of a member, in pieces of at most 1 MiB."""
    start = entries.offsets[member]
    stop = start + entries.stored(member)
    if compression == "none":
        for piece in cut(view[start:stop], 1 << 20):
            yield bytes(piece)
        return
    position = 0
    for data in plain_pieces(cut(view), compression, "the layer"):
        after = position + len(data)
        if after > start:
            yield data[max(0, start - position) : max(0, stop - position)]
        position = after
        if position >= stop:
            return
