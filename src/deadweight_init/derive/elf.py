"""Parse an ELF file for its interpreter and the shared libraries that it needs (System V gABI, chapter 5)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

_LOAD, _DYNAMIC, _INTERPRETER = 1, 2, 3
_NEEDED, _STRINGS, _RPATH, _RUNPATH = 1, 5, 15, 29


@dataclass(frozen=True)
class Asked:
    """``interpreter`` is empty for a library and for a static program; ``paths`` are its own, with ``$ORIGIN`` as written."""

    interpreter: str = ""
    needed: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()


def asked(binary: bytes) -> Asked | None:
    """What an ELF file of 64 bits and little endian asks; None for any other file, and for a damaged one."""
    if binary[:6] != b"\x7fELF\x02\x01":
        return None
    try:
        return _read(binary)
    except (struct.error, ValueError):
        return None


def _read(binary: bytes) -> Asked:
    (table,) = struct.unpack_from("<Q", binary, 32)
    size, count = struct.unpack_from("<HH", binary, 54)
    headers = [struct.unpack_from("<IIQQQQ", binary, table + size * at) for at in range(count)]
    spans = {kind: (offset, length) for kind, _, offset, _, _, length in headers}
    loads = [(address, offset, length) for kind, _, offset, address, _, length in headers if kind == _LOAD]
    interpreter = _text(binary, spans[_INTERPRETER][0]) if _INTERPRETER in spans else ""
    if _DYNAMIC not in spans:
        return Asked(interpreter)
    start, length = spans[_DYNAMIC]
    pairs = list(struct.iter_unpack("<qQ", binary[start : start + length - length % 16]))
    (strings,) = (
        (value for tag, value in pairs if tag == _STRINGS) if any(tag == _STRINGS for tag, _ in pairs) else (0,)
    )
    base = next(
        (offset + strings - address for address, offset, size in loads if address <= strings < address + size), 0
    )
    named = {
        tag: [_text(binary, base + value) for each, value in pairs if each == tag]
        for tag in (_NEEDED, _RPATH, _RUNPATH)
    }
    paths = [path for tag in (_RPATH, _RUNPATH) for text in named[tag] for path in text.split(":") if path]
    return Asked(interpreter, tuple(named[_NEEDED]), tuple(paths))


def _text(binary: bytes, at: int) -> str:
    return binary[at : binary.index(b"\0", at)].decode("utf-8", "replace")
