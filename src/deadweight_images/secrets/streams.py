"""Decompress deflate, bzip2, xz, lzma, LZ4 and zstd from any offset, even if damaged.

Declared sizes are not trusted: output comes in pieces until the stream ends or the caller stops.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any

STEP = 1 << 18  # bytes of input and output at a time
MEMORY = 64 << 20  # what one decoder may need; two threads decode at a time

RAW, ZLIB, GZIP = -15, 15, 31


class Stream:
    """One stream. After ``chunks``: ``complete`` says that it ended by itself, and then ``end`` is the offset behind it;
    ``cut`` that it goes on behind the end of the buffer; ``given`` is how much it held (bytes).

    ``too_big`` says that it needs more memory than ``MEMORY`` to be decoded at all.
    """

    def __init__(self, view: memoryview, start: int, make: Callable[[], Any]) -> None:
        self._view, self.end, self._make = view, start, make
        self.complete = self.cut = self.damaged = self.too_big = False
        self.given = 0

    def chunks(self) -> Iterator[bytes]:
        """Decoded bytes, about ``STEP`` at a time. Ends without error where the stream is damaged or cut off."""
        codec, pending, at, start = self._make(), b"", self.end, self.end
        while not codec.eof:
            if not pending and _wants_input(codec):
                pending = bytes(self._view[at : at + STEP])
                at += len(pending)
                if not pending:
                    self.cut = True
                    return
            try:
                out = codec.decompress(pending, STEP)
            except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, RuntimeError) as error:
                self.damaged = True
                self.too_big = isinstance(error, lzma.LZMAError) and "emory" in str(error)
                if isinstance(error, zlib.error) and "check" in str(error):
                    yield from self._in_spite_of_its_sum(start, at)
                return
            pending = getattr(codec, "unconsumed_tail", b"")
            if out:
                self.given += len(out)
                yield out
            elif not pending and not codec.eof and not _wants_input(codec):
                return
        self.complete = True
        self.end = at - len(codec.unused_data or b"")

    def _in_spite_of_its_sum(self, start: int, stop: int) -> Iterator[bytes]:
        """The last of a stream that is whole but for the checksum behind it: with that error its decoder gives nothing out."""
        codec, passed, at = self._make(), 0, start
        while at < stop:
            # in the end byte by byte, so that none comes together with the checksum
            size = 1 if at >= stop - STEP else 4096
            try:
                out = codec.decompress(bytes(self._view[at : at + size]))
            except zlib.error:
                return
            at += size
            fresh = out[max(0, self.given - passed) :]
            passed += len(out)
            if fresh:
                self.given += len(fresh)
                yield fresh


def _wants_input(codec: Any) -> bool:
    return bool(getattr(codec, "needs_input", True))


def deflated(view: memoryview, start: int, window: int) -> Stream:
    """A deflate stream: ``RAW``, ``ZLIB`` or ``GZIP``."""
    return Stream(view, start, lambda: zlib.decompressobj(window))


def bzipped(view: memoryview, start: int) -> Stream:
    return Stream(view, start, bz2.BZ2Decompressor)


def xzipped(view: memoryview, start: int, form: int = lzma.FORMAT_XZ) -> Stream:
    """xz, or ``FORMAT_ALONE``: that of ``lzma`` and ``xz --format=lzma``, without a container."""
    return Stream(view, start, lambda: lzma.LZMADecompressor(form, memlimit=MEMORY))


def lz4ed(view: memoryview, start: int) -> Stream:
    """An LZ4 frame."""
    from lz4.frame import LZ4FrameDecompressor  # files of this kind are rare

    return Stream(view, start, LZ4FrameDecompressor)


class ZstdStream(Stream):
    """A zstd frame."""

    def __init__(self, view: memoryview, start: int) -> None:
        super().__init__(view, start, _ZstdCodec)

    def chunks(self) -> Iterator[bytes]:
        start = self.end
        yield from super().chunks()
        self.too_big = self.damaged and _zstd_window(self._view[start : start + _ZSTD_HEAD]) > MEMORY


class _ZstdCodec:
    """The library's decoder behind the interface of the others. Its output has no bound, so its input gets one."""

    def __init__(self) -> None:
        import zstandard

        self._codec = zstandard.ZstdDecompressor(max_window_size=MEMORY).decompressobj(write_size=1 << 14)
        self._error = zstandard.ZstdError
        self.unconsumed_tail = self.unused_data = b""
        self.eof = False

    def decompress(self, data: bytes, most: int) -> bytes:
        """About ``most`` bytes; at worst some MiB, where a few hundred bytes hold as much. Raises ValueError for damage."""
        out, at = bytearray(), 0
        while at < len(data) and len(out) < most and not self._codec.eof:
            try:
                out += self._codec.decompress(data[at : at + _ZSTD_STEP])
            except self._error as error:
                if not out:
                    raise ValueError(str(error)) from error
                break  # what came before the damage counts; the next call meets it again
            at += _ZSTD_STEP
        rest = data[at:]
        self.eof = self._codec.eof
        self.unused_data = self._codec.unused_data + rest if self.eof else b""
        self.unconsumed_tail = b"" if self.eof else rest
        return bytes(out)


OPENED: dict[str, Callable[[memoryview, int], Stream]] = {
    "gzip": lambda view, start: deflated(view, start, GZIP),
    "zlib": lambda view, start: deflated(view, start, ZLIB),
    "xz": xzipped,
    "bzip2": bzipped,
    "zstd": ZstdStream,
    "lzma": lambda view, start: xzipped(view, start, lzma.FORMAT_ALONE),
    "lz4": lz4ed,
}
# Streams of these kinds that lie directly behind one another are one file to their programs (gzip's manual, 2.2; RFC 8878, 3).
_MAGIC = {
    "gzip": b"\x1f\x8b\x08",
    "xz": b"\xfd7zXZ\0",
    "bzip2": b"BZh",
    "zstd": b"\x28\xb5\x2f\xfd",
    "lz4": b"\x04\x22\x4d\x18",
}


def following(kind: str, view: memoryview, stream: Stream) -> Stream | None:
    """The stream that carries on where one ended."""
    magic = _MAGIC.get(kind)
    if magic is None or not stream.complete or view[stream.end : stream.end + len(magic)] != magic:
        return None
    return OPENED[kind](view, stream.end)


_ZSTD_STEP = 512
_ZSTD_HEAD = 18 + 3
_ZSTD_BLOCK = 128 << 10


def _zstd_window(head: memoryview) -> int:
    """The window that a zstd frame declares, in bytes; 0 where this is no frame: four bytes alone stand in many a program.

    Source: RFC 8878, 3.1.1 (frame header) and 3.1.1.2 (a block's header: no reserved type, at most 128 KiB).
    """
    import zstandard

    try:
        frame = zstandard.get_frame_parameters(head)
        behind = zstandard.frame_header_size(head)
    except (zstandard.ZstdError, ValueError):
        return 0
    block = int.from_bytes(head[behind : behind + 3], "little")
    honest = len(head) >= behind + 3 and (block >> 1) & 3 != 3 and block >> 3 <= _ZSTD_BLOCK
    return int(frame.window_size) if honest else 0


def pack_body(view: memoryview, at: int) -> int:
    """Offset of an object's zlib stream in a pack: behind its type and size, and a delta's base."""
    kind = (view[at] >> 4) & 7 if at < len(view) else 0
    at = _behind_varint(view, at)
    if kind == 6:
        return _behind_varint(view, at)
    return at + 20 if kind == 7 else at


def _behind_varint(view: memoryview, at: int) -> int:
    limit = min(len(view), at + 10)
    while at < limit and view[at] & 0x80:
        at += 1
    return at + 1
