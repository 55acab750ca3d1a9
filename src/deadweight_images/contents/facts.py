"""Collect package databases, Go build information, jars and shells while a layer's content is read; find duplicate files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from deadweight_images.archive import entries as columns
from deadweight_images.archive.compression import crc32
from deadweight_images.archive.model import shown
from deadweight_images.contents import exposure, gobuild
from deadweight_images.contents.exposure import MANAGERS
from deadweight_images.errors import wording
from deadweight_images.findings import DuplicateFile
from deadweight_images.layers.index import LayerIndex, Skip

if TYPE_CHECKING:
    from deadweight_images.contents import jars


# Content that an image stores more than once: copies, renames across layers, files whose mode a later layer changed.

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
        copies = [places for places in same.values() if len(places) > 1]
        total += size * sum(len(places) - 1 for places in copies)
        groups += [(size, places) for places in copies]
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


DPKG_STATUS = b"var/lib/dpkg/status"
DPKG_INFO = b"var/lib/dpkg/info/"
DISTROLESS = b"var/lib/dpkg/status.d/"
APK_DATABASES = (b"lib/apk/db/installed", b"usr/lib/apk/db/installed")
RPM_DATABASES = (b"var/lib/rpm/rpmdb.sqlite", b"var/lib/rpm/Packages", b"usr/lib/sysimage/rpm/rpmdb.sqlite")
MAX_DATABASE = 16 * 1024 * 1024
MAX_CAPTURED = 48 * 1024 * 1024
MIN_BINARY = 64 * 1024
JARS = (b".jar", b".war", b".ear")
RECORD = b".dist-info/RECORD"
_ENDS = (*JARS, RECORD)
ELF, SCRIPT = b"\x7fELF", b"#!"


class Gatherer:
    """Looks at members of one layer as their content passes by and notes facts in the layer's index."""

    def __init__(self, index: LayerIndex) -> None:
        self._index = index
        self._captured = 0
        self._jars: jars.Budget | None = None
        self._binary, self._toolbox = gobuild.InPieces(), exposure.InPieces()  # of the member whose pieces come

    def gather(self, first: int, last: int, view: memoryview, base: int) -> None:
        """Members ``first`` to ``last`` (exclusive), all of whose content lies in ``view``, which starts at ``base``."""
        entries = self._index.entries
        kinds, sizes, modes = entries.kinds, entries.sizes, entries.modes
        paths, offsets = entries.paths, entries.offsets
        for number in range(first, last):
            if kinds[number] != columns.FILE or not sizes[number] or number in entries.sparse:
                continue
            path, start = paths[number], offsets[number] - base
            content = view[start : start + sizes[number]]
            if modes[number] & 0o111:
                self._program(number, content)
            if path.startswith((b"var/lib/dpkg/", b"lib/apk/", b"usr/lib/apk/")):
                if _is_database(path):
                    self._capture(number, content)
            elif path.endswith(_ENDS):  # executable or not
                if path.endswith(RECORD):
                    self._capture(number, recorded(content))
                else:
                    self._jar(number, content, path)
            elif modes[number] & 0o111 and sizes[number] >= MIN_BINARY:
                self._binary_of(number, content)

    def piece(self, number: int, piece: memoryview, base: int) -> None:
        """A piece of a layer that starts at ``base`` and holds a part of a member that is too big to be held whole."""
        entries = self._index.entries
        start, stop = entries.offsets[number] - base, entries.offsets[number] + entries.stored(number) - base
        content, at = piece[max(0, start) : stop], max(0, -start)
        if not at and self.wants_whole(number):
            reason = wording("skip.database_too_large" if _is_database(entries.paths[number]) else "skip.jar_too_large")
            self._index.skipped.append(Skip(number, "", reason, entries.sizes[number], unread=False))
        if not entries.modes[number] & 0o111:
            return
        if not at:
            self._program(number, content)
            self._binary, self._toolbox = gobuild.InPieces(), exposure.InPieces()
        if number in self._index.elf and (tools := self._toolbox.take(content, at, entries.sizes[number], MANAGERS)):
            self._index.tools[number] = tools
        if number not in self._index.programs and (program := self._binary.take(content, at)):
            self._index.programs[number] = program

    def wants_whole(self, number: int) -> bool:
        """Whether a member of any size can be looked at only when all of it is there."""
        path = self._index.entries.paths[number]
        return path.endswith(JARS) or _is_database(path)

    def _jar(self, number: int, data: memoryview, path: bytes) -> None:
        from deadweight_images.contents import jars  # few images have any, and the reader of zips takes long to import

        self._jars = self._jars or jars.Budget()
        self._jars.unnamed = False
        if names := jars.jars(data, shown(path), self._jars):
            self._index.jars[number] = names
        if self._jars.unnamed:
            self._index.take((), (Skip(number, "", wording("skip.jars_unnamed"), len(data), unread=False),))

    def _program(self, number: int, content: memoryview) -> None:
        """Note what an executable file begins like."""
        head = bytes(content[:4])
        if head == ELF:
            self._index.elf.append(number)
        elif head[:2] == SCRIPT:
            self._index.scripts.append(number)

    def _binary_of(self, number: int, content: memoryview) -> None:
        """Note what a larger program is made of; those of Go are no shells."""
        if program := gobuild.program(content):
            self._index.programs[number] = program
        elif content[:4] == ELF and (tools := exposure.tools(content, MANAGERS)):
            self._index.tools[number] = tools

    def _capture(self, number: int, data: memoryview | bytes) -> None:
        if len(data) > MAX_DATABASE or self._captured + len(data) > MAX_CAPTURED:
            self._index.skipped.append(Skip(number, "", wording("skip.database_too_large"), len(data), unread=False))
            return
        self._captured += len(data)
        self._index.captured[number] = bytes(data)


def recorded(record: memoryview) -> bytes:
    """Where a Python package lies, by its ``RECORD``: a line for each file beside the package's own folders and, with a slash at
    its end, for each folder of it."""
    places = dict.fromkeys(_place(line) for line in bytes(record[:MAX_DATABASE]).splitlines())
    return b"\n".join(place for place in places if place)


def _place(line: bytes) -> bytes:
    path = line[1:].partition(b'"')[0] if line.startswith(b'"') else line.partition(b",")[0]
    folder, inside, _ = path.rpartition(b"/")
    if path.startswith((b"/", b"../")) or folder.endswith((b".dist-info", b"__pycache__")):
        return b""
    return folder + b"/" if inside else path


def _is_database(path: bytes) -> bool:
    if path.startswith(DPKG_INFO):
        return path.endswith(b".list")
    return path == DPKG_STATUS or path.startswith(DISTROLESS) or path in APK_DATABASES
