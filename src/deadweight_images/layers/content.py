"""Bytes of members of a layer: of a plain layer in place, of a compressed one in one pass over it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from deadweight_images.archive.compression import cut, plain_pieces
from deadweight_images.archive.entries import Entries
from deadweight_images.archive.model import Compression


def member_pieces(view: memoryview, compression: Compression, entries: Entries, member: int) -> Iterator[bytes]:
    """The stored content of a member, in pieces of at most 1 MiB."""
    return (piece for _member, piece in members_pieces(view, compression, entries, (member,)))


def members_pieces(
    view: memoryview, compression: Compression, entries: Entries, members: Iterable[int]
) -> Iterator[tuple[int, bytes]]:
    """The stored content of several members, one after the other in the layer's order, in pieces that say whose they are.

    A member without content has no piece.
    """
    position, data, pieces = 0, b"", plain_pieces(cut(view), compression, "the layer")
    for member in sorted(set(members)):
        start = entries.offsets[member]
        stop = start + entries.stored(member)
        if compression == "none":
            yield from ((member, bytes(piece)) for piece in cut(view[start:stop], 1 << 20))
            continue
        while start < stop:
            if position + len(data) <= start:
                position += len(data)
                data = next(pieces, b"")
                if not data:
                    return
                continue
            piece = data[start - position : stop - position]
            yield member, piece
            start += len(piece)
