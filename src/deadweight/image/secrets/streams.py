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
_LZMA_MEMORY = 64 << 20

RAW, ZLIB, GZIP = -15, 15, 31


class Stream:
    """One stream. After ``chunks``: ``complete`` says that it ended by itself, and then ``end`` is the offset behind it."""

    def __init__(self, view: memoryview, start: int, make: Callable[[], Any]) -> None:
        self._view, self.end, self._make = view, start, make
        self.complete, self.damaged = False, False

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
            except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError):
                self.damaged = True
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
    return Stream(view, start, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_LZMA_MEMORY))


class ZstdStream(Stream):
    """A zstd frame; its end is not told by the library, so ``end`` stays just behind the magic."""

    def __init__(self, view: memoryview, start: int) -> None:
        super().__init__(view, start, lambda: None)

    def chunks(self) -> Iterator[bytes]:
        import zstandard

        codec = zstandard.ZstdDecompressor(max_window_size=_LZMA_MEMORY)
        start, self.end = self.end, self.end + 4
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
