"""Store the file entries of one layer in compact columns: a million Python objects would not fit in memory."""

from __future__ import annotations

import base64
import re
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from deadweight_images.errors import ArchiveError, wording

if TYPE_CHECKING:
    from deadweight_images.archive.model import Entry, EntryKind

MAX_ENTRIES = 1_500_000
MAX_NAME_BYTES = 96 * 1024 * 1024
MIN_DUPLICATE = 16 * 1024
ROOM = 258_000_000
"""Bytes of memory that the members of all layers of an image may take, with the view that a container has of them."""
MEMBER_BYTES, VIEW_BYTES = 76, 92  # what a member takes beside its name, and what its path takes in the view; measured

FILE, HARDLINK, SYMLINK, CHAR, BLOCK, DIRECTORY, FIFO, OTHER = range(8)
_NAMES: tuple[EntryKind, ...] = (
    "file", "hardlink", "symlink", "chardevice", "blockdevice", "directory", "fifo", "other",
)  # fmt: skip
_KINDS = {0: FILE, 0x37: FILE, 0x53: FILE, **{0x30 + code: code for code in range(7)}}
_UNTOLD = (None, None)
_owned: dict[bytes, tuple[int, int, int]] = {}
"""Modes and owners as headers have them, remembered: a layer has few."""
_MOST_OWNED = 1000
_ODD = frozenset(b"\0./")
_odd = re.compile(rb"/[./]").search  # in names that ``clean`` may change; ``in`` takes three times as long for bytes


class Room:
    """What is left of ``ROOM``, for all layers of one image together: each of a hundred layers may hold a million names."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = ROOM

    def hold(self, entries: Entries, what: str) -> None:
        """Make room for members that were read before. Raises ArchiveError."""
        self.left -= entries.weight()
        if self.left < 0:
            raise ArchiveError(wording("tar.memory", megabytes=ROOM // 1_000_000).of(what))


class Entries:
    """Columns of equal length; an index names one member. Paths are clean: no leading slash, no ``.``, ``..`` or ``//``."""

    __slots__ = (
        "_last_target", "_name_bytes", "_room", "capabilities", "gids", "kinds", "modes", "offsets", "opaque", "paths", "sizes",
        "sparse", "targets", "uids",
    )  # fmt: skip

    def __init__(self, room: Room | None = None) -> None:
        self._room = room
        self.paths: list[bytes] = []
        self.kinds = bytearray()
        self.sizes = array("Q")
        self.offsets = array("Q")
        self.modes = array("H")
        self.uids = array("I")
        self.gids = array("I")
        self.targets: dict[int, bytes] = {}
        self.sparse: dict[int, int] = {}
        self.capabilities: set[int] = set()
        self.opaque: set[int] = set()
        self._name_bytes = 0
        self._last_target = b""

    def __len__(self) -> int:
        return len(self.paths)

    def add(
        self,
        fail: Callable[..., ArchiveError],
        name: bytes,
        kind: int,
        size: int,
        stored: int,
        header: bytes,
        offset: int,
        target: bytes | None,
        owner: tuple[int | None, int | None] = _UNTOLD,
        capability: bool = False,
    ) -> None:
        """Take one member as the walker read it; ``fail`` makes the error of a problem, which names the tar.

        Raises ArchiveError for a name that points outside the image, or for too many.
        """
        index = len(self.paths)
        path, code = self._path_and_kind(name, kind, _KINDS.get(kind, OTHER), stored, fail, offset)
        self._hold(path, target, fail)
        self.paths.append(path)
        self.kinds.append(code)
        self.sizes.append(size)
        self.offsets.append(offset)
        self.modes.append(_mode(header[100:108], fail, offset))
        self.uids.append(_owner(header[108:116], owner[0], fail, offset))
        self.gids.append(_owner(header[116:124], owner[1], fail, offset))
        if target is not None:
            self.targets[index] = target
        if stored != size:
            self.sparse[index] = stored
        if capability:
            self.capabilities.add(index)

    def add_plain(
        self,
        fail: Callable[..., ArchiveError],
        field: bytes,
        kind: int,
        size: int,
        numbers: bytes,
        offset: int,
        link: bytes | None,
    ) -> None:
        """As ``add``, for a member whose own header says all of it, in octal numbers. ``field`` and ``link`` may go on behind
        a zero byte; ``numbers`` begins with the mode and both owners as they are written."""
        path, code = field.partition(b"\0")[0], _KINDS.get(kind, OTHER)
        target = None if link is None else self._shared(link.partition(b"\0")[0])
        if field[0] in _ODD or _odd(path) or (kind == 0 and path[-1:] == b"/"):
            path, code = self._path_and_kind(path, kind, code, size, fail, offset)
        elif path[-1:] == b"/":
            path = path[:-1]
        mode, uid, gid = _owned.get(numbers[:24]) or _mode_and_owners(numbers, fail, offset)
        index = len(self.paths)
        self._hold(path, target, fail)
        self.paths.append(path)
        self.kinds.append(code)
        self.sizes.append(size)
        self.offsets.append(offset)
        self.modes.append(mode)
        self.uids.append(uid)
        self.gids.append(gid)
        if target is not None:
            self.targets[index] = target

    def _shared(self, target: bytes) -> bytes:
        """A link's target, one object for links that follow one another: hundreds of thousands may lead to one file."""
        if target != self._last_target:
            self._last_target = target
        return self._last_target

    def _path_and_kind(
        self, name: bytes, kind: int, code: int, stored: int, fail: Callable[..., ArchiveError], offset: int
    ) -> tuple[bytes, int]:
        """A member's path and kind. Raises ArchiveError."""
        if kind == 0 and name.endswith(b"/"):  # how archives older than folders in tar write one
            if stored:
                raise fail(wording("tar.folder_with_content"), offset)
            code = DIRECTORY
        path = clean(name)
        if path is None:
            raise fail(wording("tar.name_outside", name=name), offset)
        return path, code

    def _hold(self, path: bytes, target: bytes | None, fail: Callable[..., ArchiveError]) -> None:
        """Make room for one member more. Raises ArchiveError."""
        size = len(path) + (len(target) if target else 0)
        self._name_bytes += size
        if len(self.paths) >= MAX_ENTRIES or self._name_bytes > MAX_NAME_BYTES:
            raise fail(wording("tar.too_many_members", members=MAX_ENTRIES, name_bytes=MAX_NAME_BYTES))
        if self._room is not None:
            self._room.left -= MEMBER_BYTES + size
            if self._room.left < 0:
                raise fail(wording("tar.memory", megabytes=ROOM // 1_000_000))

    def weight(self) -> int:
        """Bytes of memory that the members take, about."""
        return MEMBER_BYTES * len(self.paths) + self._name_bytes

    def stored(self, index: int) -> int:
        """Bytes that the layer holds of a member."""
        return self.sparse.get(index, self.sizes[index])

    def last_end(self) -> int:
        """Where the content of the last member ends."""
        last = len(self.paths) - 1
        return self.offsets[last] + self.stored(last) if last >= 0 else 0

    def at(self, offset: int) -> int | None:
        """The member whose content holds the byte at this offset of the layer, or None (headers, padding, the end)."""
        index = bisect_right(self.offsets, offset) - 1
        return None if index < 0 or offset >= self.offsets[index] + self.stored(index) else index

    def entry(self, index: int) -> Entry:
        """One member as a record."""
        from deadweight_images.archive.model import Entry

        return Entry(
            path=self.paths[index],
            kind=_NAMES[self.kinds[index]],
            size_bytes=self.sizes[index],
            mode=self.modes[index],
            uid=self.uids[index],
            gid=self.gids[index],
            offset=self.offsets[index],
            stored_bytes=self.stored(index),
            target=self.targets.get(index),
        )

    def __iter__(self) -> Iterator[Entry]:
        return (self.entry(index) for index in range(len(self)))

    def dump(self) -> dict[str, Any]:
        """The columns as JSON, for the cache."""
        return {
            "paths": _text(b"\0".join(self.paths)) if self.paths else "",
            "kinds": _packed(self.kinds),
            "targets": [[index, _text(target)] for index, target in self.targets.items()],
            "sparse": list(self.sparse.items()),
            "capabilities": sorted(self.capabilities),
            "opaque": sorted(self.opaque),
            **{name: _packed(getattr(self, name)) for name in ("sizes", "offsets", "modes", "uids", "gids")},
        }

    @classmethod
    def load(cls, data: dict[str, Any]) -> Entries:
        """The columns back from the cache. Raises ValueError, KeyError or TypeError for what is no such thing."""
        entries = cls()
        entries.kinds = bytearray(base64.b64decode(data["kinds"]))
        entries.paths = _bytes(data["paths"]).split(b"\0") if entries.kinds else []
        for name in ("sizes", "offsets", "modes", "uids", "gids"):
            getattr(entries, name).frombytes(base64.b64decode(data[name]))
        lengths = {
            len(getattr(entries, name)) for name in ("paths", "kinds", "sizes", "offsets", "modes", "uids", "gids")
        }
        if len(lengths) != 1:
            raise ValueError("columns of unequal length")
        entries.targets = {int(index): _bytes(target) for index, target in data["targets"]}
        entries._name_bytes = len(data["paths"]) + sum(map(len, entries.targets.values()))
        entries.sparse = {int(index): int(size) for index, size in data["sparse"]}
        entries.capabilities = set(data["capabilities"])
        entries.opaque = set(data["opaque"])
        return entries


def clean(name: bytes) -> bytes | None:
    """A member's name as a path in the image; None where ``..`` leads out of it. As engines do it: by text, before any link."""
    if name.startswith(b"./"):
        name = name[2:]
    name = name.strip(b"/")
    if b"/." not in name and b"//" not in name and not name.startswith(b"."):
        return name
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            if not parts:
                return None
            parts.pop()
        elif part not in (b"", b"."):
            parts.append(part)
    return b"/".join(parts)


def _mode_and_owners(numbers: bytes, fail: Callable[..., ArchiveError], offset: int) -> tuple[int, int, int]:
    """Mode, user and group that a header begins its numbers with. Raises ArchiveError."""
    values = (
        _mode(numbers[:8], fail, offset),
        _owner(numbers[8:16], None, fail, offset),
        _owner(numbers[16:24], None, fail, offset),
    )
    if len(_owned) < _MOST_OWNED:
        _owned[numbers[:24]] = values
    return values


def _mode(field: bytes, fail: Callable[..., ArchiveError], offset: int) -> int:
    try:
        return int(field.strip(b" \0") or b"0", 8) & 0o7777
    except ValueError:
        raise fail(wording("tar.number", field="mode", value=field), offset) from None


def _owner(field: bytes, given: int | None, fail: Callable[..., ArchiveError], offset: int) -> int:
    value = given
    if value is None:
        try:
            value = int.from_bytes(field[1:], "big") if field[0] == 0x80 else int(field.strip(b" \0") or b"0", 8)
        except ValueError:
            raise fail(wording("tar.number", field="owner id", value=field), offset) from None
    if value >= 1 << 32:
        raise fail(wording("tar.number_too_large", field="owner id", value=value), offset)
    return value


def _packed(column: array[int] | bytearray) -> str:
    return base64.b64encode(bytes(column)).decode("ascii")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
