"""Read the build information that Go writes into every binary; stripping (``-s -w``) leaves it in place.

Source: Go's ``debug/buildinfo``: a 32-byte header that starts with ``\\xff Go buildinf:``, in the ELF section
``.go.buildinfo``. From Go 1.18 on two length-prefixed strings follow it (flag 2): Go's version and the module information,
which stands between two 16-byte marks. Older binaries hold pointers there; of these only the presence is told.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice

from deadweight.image.layers.index import GoProgram

MAGIC = b"\xff Go buildinf:"
_SECTION = b".go.buildinfo"
_MAX_TEXT = 1 << 20
_MAX_SECTIONS = 4096
_PART = 1 << 18


def program(binary: memoryview) -> GoProgram | None:
    """The build information of an ELF file, None where it is no Go binary (or no ELF file, or damaged)."""
    try:
        place = _section(binary)
    except (struct.error, IndexError, ValueError):
        return None
    return None if place is None else at(binary, place)


def in_piece(piece: memoryview, start: int, stop: int) -> GoProgram | None:
    """The build information in a binary that is too big to be held whole, a part of which lies at ``start`` to ``stop``."""
    for place in islice(_marks(piece[:stop], start), 64):
        if (found := at(piece[:stop], place)) is not None:
            return found
    return None


def _marks(piece: memoryview, start: int) -> Iterator[int]:
    """Where the header's mark stands. Parts are copied one after the other, for a view itself cannot be searched."""
    for begin in range(start, len(piece), _PART):
        part = bytes(piece[begin : begin + _PART + len(MAGIC) - 1])
        place = part.find(MAGIC)
        while place >= 0:
            yield begin + place
            place = part.find(MAGIC, place + 1)


def at(binary: memoryview, place: int) -> GoProgram | None:
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
    found, start = [], names.find(_SECTION + b"\0")
    while start >= 0:
        found.append(start)
        start = names.find(_SECTION + b"\0", start + 1)
    return found
