"""Parse the build information in a Go binary; stripping (``-s -w``) does not remove it.

Source: Go's ``debug/buildinfo``: a 32-byte header, starting with ``\\xff Go buildinf:``, in the ELF section ``.go.buildinfo``.
Since Go 1.18 (flag 2) two length-prefixed strings follow: Go's version, and the module information between two 16-byte marks.
Older binaries hold pointers there; for these we only report that it exists.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice

from deadweight_images.layers.index import GoProgram

MAGIC = b"\xff Go buildinf:"
_SECTION = b".go.buildinfo"
_MAX_TEXT = 1 << 20
_MOST = 2 * _MAX_TEXT + 64  # bytes of a header and both texts behind it
_MOST_MARKS = 64  # that are tried in a piece
_MAX_SECTIONS = 4096
_MAX_SEGMENTS = 1024
_PART = 1 << 18
_LOADED, _WRITABLE = 1, 2  # PT_LOAD, PF_W


def program(binary: memoryview) -> GoProgram | None:
    """The build information of an ELF file, None where it is no Go binary (or no ELF file, or damaged)."""
    try:
        place = _section(binary)
    except (struct.error, IndexError, ValueError, OverflowError):
        return None
    return None if place is None else _at(binary, place)


class InPieces:
    """The build information in a binary whose pieces come one after another, for it is too big to be held whole."""

    def __init__(self) -> None:
        self._segments: list[tuple[int, int]] | None = None
        self._begun, self._next = b"", 0

    def take(self, piece: memoryview, at: int) -> GoProgram | None:
        """What a piece brings that begins ``at`` bytes in the file: 0 for the first, before the end of the last one for others."""
        if not at:
            self._segments = _data_segments(piece)
        if self._begun:  # behind a mark there was not all of it yet
            whole = self._begun + bytes(piece[self._next - at : self._next - at + _MOST])
            self._begun = b""
            if (info := _at(memoryview(whole), 0)) is not None:
                return info
        for first, last in [(0, at + len(piece))] if self._segments is None else self._segments:
            for place in islice(_marks(piece[: max(0, last - at)], max(0, first - at)), _MOST_MARKS):
                if (info := _at(piece, place)) is not None:
                    return info
                if len(piece) - place < _MOST and not self._begun:
                    self._begun, self._next = bytes(piece[place:]), at + len(piece)
        return None


def _data_segments(head: memoryview) -> list[tuple[int, int]] | None:
    """From and to which offset of an ELF file its writable segments lie: where ``debug/buildinfo`` looks when it has no section
    names. ``head`` is the file's beginning; None where that does not say it."""
    try:
        if bytes(head[:4]) != b"\x7fELF":
            return None
        wide, order = head[4] == 2, "<" if head[5] == 1 else ">"
        (table,) = struct.unpack_from(order + ("Q" if wide else "I"), head, 0x20 if wide else 0x1C)
        size, count = struct.unpack_from(order + "HH", head, 0x36 if wide else 0x2A)
        form = struct.Struct(order + ("IIQQQQ" if wide else "IIIIIII"))
        if not 0 < count <= _MAX_SEGMENTS or size < form.size:
            return None
        rows = [form.unpack_from(head, table + number * size) for number in range(count)]
    except (struct.error, IndexError, OverflowError):
        return None
    if not wide:
        rows = [(kind, flags, at, 0, 0, held) for kind, at, _, _, held, _, flags in rows]
    ranges = sorted((at, at + held) for kind, flags, at, _, _, held in rows if kind == _LOADED and flags & _WRITABLE)
    merged: list[tuple[int, int]] = []
    for first, last in ranges:  # one over another, as no linker puts them, they are looked at once
        if merged and first <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(last, merged[-1][1])
        else:
            merged.append((first, last))
    return merged


def _marks(piece: memoryview, start: int) -> Iterator[int]:
    """Where the header's mark stands. Parts are copied one after the other, for a view itself cannot be searched."""
    for begin in range(start, len(piece), _PART):
        part = bytes(piece[begin : begin + _PART + len(MAGIC) - 1])
        place = part.find(MAGIC)
        while place >= 0:
            yield begin + place
            place = part.find(MAGIC, place + 1)


def _at(binary: memoryview, place: int) -> GoProgram | None:
    """The build information whose header is at ``place``."""
    head = bytes(binary[place : place + 32])
    if len(head) < 32 or not head.startswith(MAGIC):
        return None
    if not head[15] & 2:
        return GoProgram("unknown", "", "", "", ())
    version, after = _text(binary, place + 32)
    info, _after = _text(binary, after)
    if version is None or info is None or not version.startswith((b"go", b"devel")):
        return None
    if len(info) >= 33 and info[-17:-16] == b"\n":
        info = info[16:-16]
    return _parsed(version.decode("utf-8", "replace"), info.decode("utf-8", "replace"))


def _text(binary: memoryview, place: int) -> tuple[bytes | None, int]:
    length, shift = 0, 0
    while shift <= 28 and place < len(binary):
        byte = binary[place]
        place += 1
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            if length > _MAX_TEXT or place + length > len(binary):
                return None, place
            return bytes(binary[place : place + length]), place + length
        shift += 7
    return None, place


def _parsed(go_version: str, info: str) -> GoProgram:
    path = module = version = ""
    modules: list[tuple[str, str]] = []
    for line in info.splitlines():
        fields = line.split("\t")
        if fields[0] == "path" and len(fields) > 1:
            path = fields[1]
        elif fields[0] == "mod" and len(fields) > 2:
            module, version = fields[1], fields[2]
        elif fields[0] == "dep" and len(fields) > 2:
            modules.append((fields[1], fields[2]))
        elif fields[0] == "=>" and len(fields) > 2 and modules:
            modules[-1] = (fields[1], fields[2])
    return GoProgram(go_version, path, module, version, tuple(modules))


def _section(binary: memoryview) -> int | None:
    """File offset of the section ``.go.buildinfo``."""
    if bytes(binary[:4]) != b"\x7fELF":
        return None
    wide, order = binary[4] == 2, "<" if binary[5] == 1 else ">"
    if wide:
        (table,) = struct.unpack_from(order + "Q", binary, 0x28)
        size, count, names_index = struct.unpack_from(order + "HHH", binary, 0x3A)
    else:
        (table,) = struct.unpack_from(order + "I", binary, 0x20)
        size, count, names_index = struct.unpack_from(order + "HHH", binary, 0x2E)
    if not 0 < count <= _MAX_SECTIONS or names_index >= count:
        return None
    form = order + ("IIQQQQ" if wide else "IIIIII")
    headers = [struct.unpack_from(form, binary, table + number * size) for number in range(count)]
    names_at, names_size = headers[names_index][4], headers[names_index][5]
    names = bytes(binary[names_at : names_at + min(names_size, _MAX_TEXT)])
    wanted = set(_starts(names))
    for header in headers:
        if header[0] in wanted:
            return int(header[4])
    return None


def _starts(names: bytes) -> list[int]:
    """Offsets in the section name table at which exactly our section's name is written."""
    starts, start = [], names.find(_SECTION + b"\0")
    while start >= 0:
        starts.append(start)
        start = names.find(_SECTION + b"\0", start + 1)
    return starts
