"""Content that an image stores more than once: copies, renames across layers, files whose mode a later layer changed."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence

from deadweight.image.archive import entries as columns
from deadweight.image.layers.index import LayerIndex


def duplicated_bytes(indices: Sequence[LayerIndex], content: Callable[[int], memoryview | None]) -> int:
    """Bytes beyond the first copy of each content of 16 KiB or more, in all layers, hidden copies included.

    Two files are the same content where size and CRC-32 agree: this is book-keeping, not a proof. ``content`` gives a plain
    layer's bytes by its position (None for compressed ones, whose sums were taken as they passed by).
    """
    by_size: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for layer, index in enumerate(indices):
        for member, size in enumerate(index.entries.sizes):
            if size >= columns.MIN_DUPLICATE and index.entries.kinds[member] == columns.FILE:
                by_size[size].append((layer, member))
    total = 0
    for size, members in by_size.items():
        if len(members) > 1:
            sums = [_checksum(indices[layer], member, layer, content) for layer, member in members]
            known = [value for value in sums if value is not None]
            total += size * (len(known) - len(set(known)))
    return total


def _checksum(index: LayerIndex, member: int, layer: int, content: Callable[[int], memoryview | None]) -> int | None:
    if member not in index.checksums:
        view = content(layer)
        if view is None:
            return None
        start = index.entries.offsets[member]
        index.checksums[member] = zlib.crc32(view[start : start + index.entries.stored(member)])
    return index.checksums[member]
