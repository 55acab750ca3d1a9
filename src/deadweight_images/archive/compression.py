"""Undo a layer's compression, a piece at a time, with a bound on what it may grow to."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from itertools import chain
from typing import IO, TYPE_CHECKING, Any, cast

from deadweight_images.archive.zstd_frames import Frames
from deadweight_images.errors import ArchiveError

if TYPE_CHECKING:
    from deadweight_images.archive.model import Compression

PIECE = 1 << 20
_INPUT = 1 << 18
MAX_OUTPUT = 64 << 30
RATIO_FREE = 1 << 30
MAX_RATIO = 1100
_ZSTD_WINDOW = 64 << 20
_ZSTD_HEAD = 18  # bytes; a frame's header is no longer


def plain_pieces(blob: Iterator[bytes | memoryview], compression: Compression, what: str) -> Iterator[bytes]:
    """The uncompressed content of a blob that comes in pieces. Raises ArchiveError where it is damaged, or a bomb."""
    if compression == "gzip":
        pieces = _gunzip(blob, what)
    elif compression == "zstd":
        pieces = _unzstd(blob, what)
    else:
        pieces = (bytes(piece) for piece in blob)
    return pieces


def cut(view: memoryview, size: int = _INPUT) -> Iterator[memoryview]:
    """A buffer in pieces, without copying."""
    for start in range(0, len(view), size):
        yield view[start : start + size]


class _Meter:
    """Refuses output without end. 1032:1 is all that deflate can do; zstd can do far more and no layer needs it."""

    def __init__(self, what: str) -> None:
        self.what, self.taken, self.given = what, 0, 0

    def add(self, output: int) -> None:
        self.given += output
        if self.given > MAX_OUTPUT or (self.given > RATIO_FREE and self.given > MAX_RATIO * max(self.taken, 1)):
            raise ArchiveError(
                f"{self.what}: {self.taken} bytes expand to more than {self.given}: refusing to decompress (decompression bomb)"
            )


@cache
def _decoder() -> tuple[Callable[..., Any], type[Exception]]:
    """Who undoes gzip, and what it raises: ISA-L in half the time of zlib, where its package is there."""
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib.decompressobj, zlib.error
    return isal_zlib.decompressobj, cast(type[Exception], isal_zlib.error)  # its stubs call it an instance


def _gunzip(blob: Iterator[bytes | memoryview], what: str) -> Iterator[bytes]:
    gzip, damaged = _decoder()
    meter, decoder = _Meter(what), gzip(31)
    used = False
    for piece in blob:
        meter.taken += len(piece)
        data: bytes | memoryview = piece
        while len(data):
            if decoder.eof:
                data = _behind(bytes(data), what)
                if not data:
                    break
                decoder, used = gzip(31), False
            try:
                output = decoder.decompress(data, PIECE)
            except damaged as error:
                raise ArchiveError(f"{what}: damaged gzip data ({error})") from error
            used = True
            data = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
            meter.add(len(output))
            if output:
                yield output
            elif not decoder.eof and not len(data):
                break
    while used and not decoder.eof:
        output = decoder.decompress(b"", PIECE)
        if not output:
            raise ArchiveError(f"{what}: truncated gzip data")
        meter.add(len(output))
        yield output


def _behind(data: bytes, what: str) -> bytes:
    """What follows a gzip member without padding, as of a blob that was written in blocks: gzip passes zeros over too."""
    data = data.lstrip(b"\0")
    if not b"\x1f\x8b".startswith(data[:2]):
        raise ArchiveError(f"{what}: damaged gzip data (other bytes behind its end)")
    return data


def _unzstd(blob: Iterator[bytes | memoryview], what: str) -> Iterator[bytes]:
    import zstandard

    meter, frames, first = _Meter(what), Frames(), bytes(next(blob, b""))
    blob = chain((first,), blob)
    try:
        window = zstandard.get_frame_parameters(first[:_ZSTD_HEAD]).window_size if len(first) >= _ZSTD_HEAD else 0
        if window > _ZSTD_WINDOW:
            raise ArchiveError(
                f"{what}: needs {window >> 20} MiB of memory to decompress, at most {_ZSTD_WINDOW >> 20} are allowed"
            )
        reader = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).stream_reader(
            cast(IO[bytes], _Pull(blob, meter, frames)), read_size=_INPUT, read_across_frames=True, closefd=False
        )
        while output := reader.read(PIECE):
            meter.add(len(output))
            yield output
        if not frames.whole:
            raise ArchiveError(f"{what}: truncated zstd data")
    except zstandard.ZstdError as error:
        raise ArchiveError(f"{what}: damaged zstd data ({error})") from error


class _Pull(io.RawIOBase):
    """The blob's pieces behind the ``read`` that zstandard wants."""

    def __init__(self, blob: Iterator[bytes | memoryview], meter: _Meter, frames: Frames) -> None:
        self._blob, self._meter, self._frames = blob, meter, frames

    def read(self, size: int | None = -1, /) -> bytes:  # noqa: ARG002 - pieces come as they come
        piece = next(self._blob, b"")
        self._meter.taken += len(piece)
        self._frames.take(piece)
        return bytes(piece)
