"""LZ4 frames, decoded in bounded steps.

Home-made because the format is thirty lines, its files are rare in images, and a compiled dependency for them would burden every
installation. It is slow (some MB/s), so a frame is read up to ``MOST`` bytes; what goes on is told as too long.

Source: LZ4 frame format 1.6.4 and LZ4 block format (github.com/lz4/lz4/doc).
"""

from __future__ import annotations

from collections.abc import Iterator

MAGIC = b"\x04\x22\x4d\x18"
MOST = 8 << 20
_WINDOW = 1 << 16
_BLOCK_SIZES = {4: 1 << 16, 5: 1 << 18, 6: 1 << 20, 7: 1 << 22}
_STORED = 0x80000000


class Damaged(ValueError):
    """This is no LZ4 frame, or not from here on."""


def blocks(view: memoryview, start: int) -> Iterator[tuple[bytes, int]]:
    """Each decoded block of the frame at ``start`` and the offset behind it; at the end nothing and the offset behind the frame.

    Raises Damaged, and EOFError where the frame goes on behind the end of the buffer.
    """
    flags, size, at = _header(view, start)
    before = b""
    while True:
        word, at = int.from_bytes(_taken(view, at, 4), "little"), at + 4
        if not word:
            yield b"", at + (4 if flags & 4 else 0)
            return
        length = word & ~_STORED
        if length > size:
            raise Damaged("a block larger than its frame says")
        data = _taken(view, at, length)
        plain = bytes(data) if word & _STORED else _block(bytes(data), before, size)
        at += length + (4 if flags & 16 else 0)
        before = b"" if flags & 32 else (before + plain)[-_WINDOW:]
        yield plain, at


def _header(view: memoryview, start: int) -> tuple[int, int, int]:
    """Flags, the most bytes of a block, and the offset of the first one."""
    flags, descriptor = _taken(view, start + 4, 2)
    size = _BLOCK_SIZES.get(descriptor >> 4)
    if flags >> 6 != 1 or flags & 2 or size is None or descriptor & 0x8F:
        raise Damaged("no frame header")
    return flags, size, start + 6 + (8 if flags & 8 else 0) + (4 if flags & 1 else 0) + 1


def _taken(view: memoryview, at: int, size: int) -> memoryview:
    part = view[at : at + size]
    if len(part) < size:
        raise EOFError
    return part


def _block(data: bytes, before: bytes, most: int) -> bytes:
    out, at, end, base = bytearray(before), 0, len(data), len(before)
    try:
        while at < end:
            token = data[at]
            literals, at = _length(data, at + 1, token >> 4)
            out += data[at : at + literals]
            at += literals
            if at >= end:
                break
            offset = data[at] | data[at + 1] << 8
            size, at = _length(data, at + 2, token & 15)
            size += 4
            if not 0 < offset <= len(out) or len(out) - base + size > most:
                raise Damaged("a match outside of the block")
            start = len(out) - offset
            if offset >= size:
                out += out[start : start + size]
            else:
                out += (out[start:] * (size // offset + 1))[:size]
    except IndexError:
        raise Damaged("a block that ends too early") from None
    if len(out) - base > most:
        raise Damaged("a block that decodes to more than its frame says")
    return bytes(out[base:])


def _length(data: bytes, at: int, nibble: int) -> tuple[int, int]:
    if nibble < 15:
        return nibble, at
    total = nibble
    while True:
        byte = data[at]
        total += byte
        at += 1
        if byte != 255:
            return total, at
