"""Compressed streams, read forward in bounded steps, from any offset of a buffer and however damaged.

Nothing here trusts a declared size: output is taken in pieces until the stream ends or the caller stops.
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
    """One stream. After ``chunks``: ``complete`` says that it ended by itself, and then ``end`` is the offset behind it.

    ``too_big`` says that it needs more memory than ``MEMORY`` to be decoded at all.
    """

    def __init__(self, view: memoryview, start: int, make: Callable[[], Any]) -> None:
        self._view, self.end, self._make = view, start, make
        self.complete, self.damaged, self.too_big = False, False, False

    def chunks(self) -> Iterator[bytes]:
        """Decoded bytes, at most ``STEP`` at a time. Ends without error where the stream is damaged or cut off."""
        codec, pending, at = self._make(), b"", self.end
        while not codec.eof:
            if not pending and _wants_input(codec):
                pending = bytes(self._view[at : at + STEP])
                at += len(pending)
                if not pending:
                    return
            try:
                out = codec.decompress(pending, STEP)
            except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError) as error:
                self.damaged = True
                self.too_big = isinstance(error, lzma.LZMAError) and "emory" in str(error)
                return
            pending = getattr(codec, "unconsumed_tail", b"")
            if out:
                yield out
            elif not pending and not codec.eof and not _wants_input(codec):
                return
        self.complete = True
        self.end = at - len(codec.unused_data)


def _wants_input(codec: Any) -> bool:
    return bool(getattr(codec, "needs_input", True))


def deflated(view: memoryview, start: int, window: int) -> Stream:
    """A deflate stream: ``RAW``, ``ZLIB`` or ``GZIP``."""
    return Stream(view, start, lambda: zlib.decompressobj(window))


def bzipped(view: memoryview, start: int) -> Stream:
    return Stream(view, start, bz2.BZ2Decompressor)


def xzipped(view: memoryview, start: int) -> Stream:
    return Stream(view, start, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY))


class ZstdStream(Stream):
    """A zstd frame; its end is not told by the library, so ``end`` stays just behind the magic."""

    def __init__(self, view: memoryview, start: int) -> None:
        super().__init__(view, start, lambda: None)

    def chunks(self) -> Iterator[bytes]:
        import zstandard

        codec = zstandard.ZstdDecompressor(max_window_size=MEMORY)
        start, self.end = self.end, self.end + 4
        self.too_big = _zstd_window(self._view[start : start + _ZSTD_HEAD]) > MEMORY
        with codec.stream_reader(self._view[start:], read_size=STEP) as reader:
            while True:
                try:
                    out = reader.read(STEP)
                except (zstandard.ZstdError, OSError, ValueError):
                    self.damaged = True
                    return
                if not out:
                    self.complete = True
                    return
                yield out


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
