"""Decompress a layer (gzip, zstd) in pieces, and refuse decompression bombs."""

from __future__ import annotations

import io
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import cache
from gzip import BadGzipFile
from itertools import chain
from typing import IO, Any, cast

from deadweight_images.archive.model import Compression
from deadweight_images.errors import ArchiveError, wording

# Whether a zstd stream was read to its end: the library's reader stops without a word where its input is cut off.
#
# Follows the frames' outlines only (RFC 8878, 3.1.1: frame header, block headers, checksum; 3.1.2: skippable frames).

_MAGIC = 0xFD2FB528
_SKIPPABLE = 0x184D2A50
_RLE = 1


class Frames:
    """Take the stored bytes piece by piece; ``whole`` says whether they end where a frame ends."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._skip = 0
        self._inside = self._checksum = False
        self.damaged = False

    @property
    def whole(self) -> bool:
        """Whether nothing is missing behind the last byte that was taken."""
        return not (self._inside or self._skip or self._held) or self.damaged

    def take(self, piece: bytes | memoryview) -> None:
        """The next bytes. What is no frame is the decoder's to refuse."""
        view = memoryview(piece)
        while len(view) and not self.damaged:
            if self._skip:
                taken = min(self._skip, len(view))
                self._skip -= taken
                view = view[taken:]
                continue
            wanted = self._wanted() - len(self._held)
            self._held += view[:wanted]
            view = view[wanted:]
            if len(self._held) >= self._wanted():
                self._step()

    def _wanted(self) -> int:
        """How many bytes of the next header are needed to know more."""
        if self._inside:
            return 3
        held = self._held
        if len(held) < 5:
            return 5
        return 8 if _is_skippable(held) else 4 + _header_size(held[4])

    def _step(self) -> None:
        held = bytes(self._held)
        self._held.clear()
        if self._inside:
            block = int.from_bytes(held, "little")
            self._skip = 1 if (block >> 1) & 3 == _RLE else block >> 3
            if block & 1:
                self._inside = False
                self._skip += 4 if self._checksum else 0
        elif _is_skippable(held):
            self._skip = int.from_bytes(held[4:8], "little")
        elif int.from_bytes(held[:4], "little") == _MAGIC:
            self._inside, self._checksum = True, bool(held[4] & 4)
        else:
            self.damaged = True


def _is_skippable(held: bytes | bytearray) -> bool:
    return int.from_bytes(held[:4], "little") & 0xFFFFFFF0 == _SKIPPABLE


def _header_size(descriptor: int) -> int:
    """Bytes of a frame header (with its descriptor) by that descriptor's flags."""
    single = descriptor >> 5 & 1
    content = (0, 2, 4, 8)[descriptor >> 6] or single
    return 1 + (1 - single) + (0, 1, 2, 4)[descriptor & 3] + content


# Checksums of zlib, as ISA-L computes them in a third of the time where its package is there.


@cache
def _zlib() -> Any:
    """ISA-L's module, else zlib: checksums, and gzip undone in half the time."""
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib
    return isal_zlib


@cache
def adler32() -> Callable[[Any], int]:
    """Adler-32 of some bytes."""
    return cast("Callable[[Any], int]", _zlib().adler32)


@cache
def crc32() -> Callable[..., int]:
    """CRC-32 of some bytes, or of these behind others whose CRC-32 is given."""
    return cast("Callable[..., int]", _zlib().crc32)


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
        return _gunzip(blob, what)
    return _unzstd(blob, what) if compression == "zstd" else map(bytes, blob)


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
            raise ArchiveError(wording("compression.bomb", what=self.what, size=self.given))


def _gunzip(blob: Iterator[bytes | memoryview], what: str) -> Iterator[bytes]:
    gzip, damaged = _zlib().decompressobj, _zlib().error
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
                problem = wording("compression.damaged", what=what, format="gzip", error=str(error))
                raise ArchiveError(problem) from error
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
            raise ArchiveError(wording("compression.truncated", what=what, format="gzip"))
        meter.add(len(output))
        yield output


def _behind(data: bytes, what: str) -> bytes:
    """What follows a gzip member without padding, as of a blob that was written in blocks: gzip passes zeros over too."""
    data = data.lstrip(b"\0")
    if not b"\x1f\x8b".startswith(data[:2]):
        raise ArchiveError(wording("compression.trailing_data", what=what, format="gzip"))
    return data


def _unzstd(blob: Iterator[bytes | memoryview], what: str) -> Iterator[bytes]:
    import zstandard

    meter, frames, first = _Meter(what), Frames(), bytes(next(blob, b""))
    blob = chain((first,), blob)
    try:
        window = zstandard.get_frame_parameters(first[:_ZSTD_HEAD]).window_size if len(first) >= _ZSTD_HEAD else 0
        if window > _ZSTD_WINDOW:
            raise ArchiveError(wording("compression.window", what=what, needed=window >> 20, most=_ZSTD_WINDOW >> 20))
        reader = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).stream_reader(
            cast(IO[bytes], _Pull(blob, meter, frames)), read_size=_INPUT, read_across_frames=True, closefd=False
        )
        while output := reader.read(PIECE):
            meter.add(len(output))
            yield output
        if not frames.whole:
            raise ArchiveError(wording("compression.truncated", what=what, format="zstd"))
    except zstandard.ZstdError as error:
        raise ArchiveError(wording("compression.damaged", what=what, format="zstd", error=str(error))) from error


class _Pull(io.RawIOBase):
    """The blob's pieces behind the ``read`` that zstandard wants."""

    def __init__(self, blob: Iterator[bytes | memoryview], meter: _Meter, frames: Frames) -> None:
        self._blob, self._meter, self._frames = blob, meter, frames

    def read(self, size: int | None = -1, /) -> bytes:  # noqa: ARG002 - pieces come as they come
        piece = next(self._blob, b"")
        self._meter.taken += len(piece)
        self._frames.take(piece)
        return bytes(piece)


# What a blob is compressed with.
#
# It is recognized by its first bytes, never by its name or media type: names lie, and engines look at the bytes too.
def recognize_compression(head: bytes | memoryview) -> Compression:
    """What the first bytes say. zstd may begin with a skippable frame (zstd:chunked)."""
    first = bytes(head[:4])
    if first[:2] == b"\x1f\x8b":
        return "gzip"
    if first == b"\x28\xb5\x2f\xfd" or (first[1:] == b"\x2a\x4d\x18" and first[0] & 0xF0 == 0x50):
        return "zstd"
    return "none"


def refused_compression(head: bytes | memoryview) -> str | None:
    """The name of a compression that image layers never use but that could hide a tar; None for anything else."""
    first = bytes(head[:6])
    if first == b"\xfd7zXZ\x00":
        return "xz"
    return "bzip2" if first[:3] == b"BZh" else None


# A blob's uncompressed content, written straight into memory that its reader owns: no piece is allocated, none is copied.

_SOURCE_INPUT = 1 << 20


class Source(ABC):
    """What is taken piece by piece."""

    @abstractmethod
    def into(self, room: memoryview) -> int:
        """Fill the room, or as much of it as there is content left; answers how many bytes that is. Raises ArchiveError."""


Blob = memoryview | Iterator[bytes | memoryview] | Source
"""A layer as it is stored: in memory, in pieces as they come, or as its reader asks for it."""


def opened(blob: Blob, compression: Compression, what: str) -> Source:
    """The content of a blob; ``what`` names it in messages. A source is content already."""
    if isinstance(blob, Source):
        return blob
    # ISA-L's reader of gzip files lets other threads run until the room is full.
    if compression == "gzip" and (reader := getattr(_zlib(), "_GzipReader", None)) is not None:
        return _Gunzip(reader, blob, what)
    if compression == "none" and not isinstance(blob, memoryview):
        return _Pieces(blob)
    return _Pieces(plain_pieces(cut(blob) if isinstance(blob, memoryview) else blob, compression, what))


class _Pieces(Source):
    """Content that comes in pieces of its own."""

    def __init__(self, pieces: Iterator[bytes | memoryview]) -> None:
        self._pieces, self._rest = pieces, memoryview(b"")

    def into(self, room: memoryview) -> int:
        filled = 0
        while filled < len(room):
            if not self._rest:
                self._rest = memoryview(next(self._pieces, b""))
                if not self._rest:
                    break
            taken = self._rest[: len(room) - filled]
            room[filled : filled + len(taken)] = taken
            filled += len(taken)
            self._rest = self._rest[len(taken) :]
        return filled


class _Gunzip(Source):
    """gzip, undone by ISA-L: members one after the other, zeros between and behind them passed over, checksums compared."""

    def __init__(self, reader: Callable[..., Any], blob: memoryview | Iterator[bytes | memoryview], what: str) -> None:
        self._what, self._given = what, 0
        self._held = blob if isinstance(blob, memoryview) else None
        self._reader = reader(blob if self._held is not None else _Feed(cast(Iterator[bytes], blob)), _SOURCE_INPUT)

    def into(self, room: memoryview) -> int:
        try:
            got: int = self._reader.readinto(room)
        except (EOFError, BadGzipFile, _zlib().error) as error:
            raise self._refused(error) from error
        self._given += got
        if self._given > MAX_OUTPUT:
            raise ArchiveError(wording("compression.bomb", what=self._what, size=self._given))
        return got

    def _refused(self, error: Exception) -> ArchiveError:
        """As zlib's way tells it, which knows what is wrong more exactly; a blob that comes in pieces cannot be read twice."""
        if self._held is not None:
            try:
                for _piece in plain_pieces(cut(self._held), "gzip", self._what):
                    pass
            except ArchiveError as refusal:
                return refusal
        if isinstance(error, EOFError):
            return ArchiveError(wording("compression.truncated", what=self._what, format="gzip"))
        return ArchiveError(wording("compression.damaged", what=self._what, format="gzip", error=str(error)))


class _Feed:
    """The blob's pieces behind the ``readinto`` that the reader wants."""

    def __init__(self, blob: Iterator[bytes]) -> None:
        self._pieces = _Pieces(blob)

    def read(self, _size: int = -1) -> bytes:
        raise NotImplementedError("ISA-L's reader asks for readinto alone, but tells a file by this")

    def readinto(self, room: memoryview) -> int:
        return self._pieces.into(room)
