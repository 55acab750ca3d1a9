"""Content that an image stores more than once: copies, renames across layers, files whose mode a later layer changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from deadweight_images.archive import entries as columns
from deadweight_images.archive.checksums import crc32
from deadweight_images.archive.model import shown
from deadweight_images.findings import DuplicateFile
from deadweight_images.layers.index import LayerIndex

MAX_COPIES = 200
"""Of so many copies the places are told, the heaviest content first; all of them are in the sum."""


def duplicates(
    indices: Sequence[LayerIndex], content: Callable[[int], memoryview | None]
) -> tuple[int, tuple[DuplicateFile, ...]]:
    """Bytes beyond the first copy of each content of 16 KiB or more, in all layers, hidden copies included; and where copies are.

    Two files are the same content where size and CRC-32 agree: this is book-keeping, not a proof. ``content`` gives a plain
    layer's bytes by its position (None for compressed ones, whose sums were taken as they passed by).
    """
    total = 0
    groups: list[tuple[int, list[tuple[int, int]]]] = []
    for size, members in _of_one_size(indices).items():
        same: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for layer, member in members:
            value = _checksum(indices[layer], member, layer, content)
            if value is not None:
                same[value].append((layer, member))
        found = [places for places in same.values() if len(places) > 1]
        total += size * sum(len(places) - 1 for places in found)
        groups += [(size, places) for places in found]
    return total, tuple(_listed(indices, groups))


def _of_one_size(indices: Sequence[LayerIndex]) -> dict[int, list[tuple[int, int]]]:
    """Files of 16 KiB or more that another of the same size can be a copy of, by that size, as layer and member."""
    by_size: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for layer, index in enumerate(indices):
        for member, size in enumerate(index.entries.sizes):
            if size >= columns.MIN_DUPLICATE and index.entries.kinds[member] == columns.FILE:
                by_size[size].append((layer, member))
    return {size: members for size, members in by_size.items() if len(members) > 1}


def _listed(indices: Sequence[LayerIndex], groups: list[tuple[int, list[tuple[int, int]]]]) -> Iterator[DuplicateFile]:
    """The copies of the heaviest contents, whole contents only, but for one that alone has more copies than are told."""
    groups.sort(key=lambda group: (-group[0] * (len(group[1]) - 1), group[1]))
    room = MAX_COPIES
    for number, (size, places) in enumerate(groups):
        if len(places) > room and number:
            return
        for layer, member in places[:room]:
            yield DuplicateFile(shown(indices[layer].entries.paths[member]), layer, size, number, len(places))
        room -= len(places)


def _checksum(index: LayerIndex, member: int, layer: int, content: Callable[[int], memoryview | None]) -> int | None:
    if member not in index.checksums:
        view = content(layer)
        if view is None:
            return None
        start = index.entries.offsets[member]
        index.checksums[member] = crc32()(view[start : start + index.entries.stored(member)])
    return index.checksums[member]
