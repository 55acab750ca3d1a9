"""A blob's uncompressed content, written straight into memory that its reader owns: no piece is allocated, none is copied."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from gzip import BadGzipFile
from typing import Any, cast

from deadweight_images.archive.compression import MAX_OUTPUT, cut, plain_pieces
from deadweight_images.archive.model import Compression
from deadweight_images.errors import ArchiveError

_INPUT = 1 << 20


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
    if compression == "gzip" and (reader := _gzip_reader()) is not None:
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


def _gzip_reader() -> Callable[..., Any] | None:
    """ISA-L's reader of gzip files, which lets other threads run until the room is full; None where its package is not there."""
    try:
        from isal import isal_zlib
    except ImportError:
        return None
    return cast("Callable[..., Any] | None", getattr(isal_zlib, "_GzipReader", None))


class _Gunzip(Source):
    """gzip, undone by ISA-L: members one after the other, zeros between and behind them passed over, checksums compared."""

    def __init__(self, reader: Callable[..., Any], blob: memoryview | Iterator[bytes | memoryview], what: str) -> None:
        self._what, self._given = what, 0
        self._held = blob if isinstance(blob, memoryview) else None
        self._reader = reader(blob if self._held is not None else _Feed(cast(Iterator[bytes], blob)), _INPUT)

    def into(self, room: memoryview) -> int:
        from isal import isal_zlib

        try:
            got: int = self._reader.readinto(room)
        except (EOFError, BadGzipFile, cast(type[Exception], isal_zlib.error)) as error:
            raise self._refused(error) from error
        self._given += got
        if self._given > MAX_OUTPUT:
            raise ArchiveError(
                f"{self._what}: expands to more than {self._given} bytes: refusing to decompress (decompression bomb)"
            )
        return got

    def _refused(self, error: Exception) -> ArchiveError:
        """As zlib's way tells it, which knows what is wrong more exactly; a blob that comes in pieces cannot be read twice."""
        if self._held is not None:
            try:
                for _piece in plain_pieces(cut(self._held), "gzip", self._what):
                    pass
            except ArchiveError as told:
                return told
        if isinstance(error, EOFError):
            return ArchiveError(f"{self._what}: truncated gzip data")
        return ArchiveError(f"{self._what}: damaged gzip data ({error})")


class _Feed:
    """The blob's pieces behind the ``readinto`` that the reader wants."""

    def __init__(self, blob: Iterator[bytes]) -> None:
        self._pieces = _Pieces(blob)

    def read(self, _size: int = -1) -> bytes:
        raise NotImplementedError("ISA-L's reader asks for readinto alone, but tells a file by this")

    def readinto(self, room: memoryview) -> int:
        return self._pieces.into(room)
