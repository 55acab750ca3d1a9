"""Analyse an image archive that can only be read once: ``docker image save`` output or a pipe.

It takes one pass and writes no temporary file. The manifest, which says which layer is which, comes last, but a layer can be
read without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING

from deadweight_images.archive import entries as columns
from deadweight_images.archive.archive import read_image
from deadweight_images.archive.compression import PIECE, plain_pieces, recognize_compression, refused_compression
from deadweight_images.archive.documents import MAX_DOCUMENT
from deadweight_images.archive.entries import Entries
from deadweight_images.archive.model import Image
from deadweight_images.archive.store import MAX_MEMBERS, member
from deadweight_images.archive.tarwalk import BLOCK, MAX_PAX, TarWalker, is_header
from deadweight_images.errors import ArchiveError, wording
from deadweight_images.findings import LayersReport, Scanned
from deadweight_images.inspect.assemble import Assembly
from deadweight_images.inspect.cache import Cache, apply_allowlist, probe_for
from deadweight_images.inspect.read_archive import gzip_size, verify
from deadweight_images.layers.index import LayerIndex
from deadweight_images.layers.indexing import Indexer
from deadweight_images.secrets.config import with_shown_instructions
from deadweight_images.secrets.regions import Probe

if TYPE_CHECKING:
    from deadweight_images.secrets.model import AllowEntry

_MAX_DOCUMENTS = 64 * 1024 * 1024


def analyse_stream(
    stream: IO[bytes],
    *,
    what: str = "the image stream",
    scan: Scanned = "deep",
    allow: Iterable[AllowEntry] = (),
    today: date | None = None,
    platform: str | None = None,
    name: str | None = None,
    cache_dir: Path | None = None,
) -> LayersReport:
    """Like ``analyse``, for an archive that is read once from front to back: a plain, gzip or zstd tar of any layout.

    ``what`` names the stream in messages. Layers that were looked at are kept in ``cache_dir``. Raises as ``analyse`` does.
    """
    probe = probe_for("deep" if scan == "hidden" else scan, None)
    return apply_allowlist(scan_stream(stream, what, probe, scan, platform, name, cache_dir), allow, today)


def scan_stream(
    stream: IO[bytes],
    what: str,
    probe: Probe | None,
    scan: Scanned,
    platform: str | None,
    name: str | None,
    cache_dir: Path | None,
) -> LayersReport:
    """The report, no finding of which is on an allow list yet."""
    with Indexer(probe) as indexer:
        passed = _Passed(stream, indexer, what)
        passed.read()
        indexer.settle()
    image, members = read_image(passed.document, passed.head, what, platform=platform, name=name)
    indices = []
    for layer, place in zip(image.layers, members, strict=True):
        index = passed.layer(place)
        if index is None:
            raise ArchiveError(wording("archive.not_a_layer", what=what, name=place))
        verify(layer, index, None, f"{what}: layer {layer.index + 1}")
        indices.append(index)
    return assembled(image, indices, probe, scan, cache_dir)


def assembled(
    image: Image, indices: list[LayerIndex], probe: Probe | None, scan: Scanned, cache_dir: Path | None
) -> LayersReport:
    """The report of layers that cannot be asked again; what was read is kept in the cache."""
    shown = image if probe is None else with_shown_instructions(image, probe.scanner)
    assembly = Assembly(shown, indices, lambda _number: None)
    if scan != "hidden":
        cache, key = Cache(cache_dir), probe.key if probe is not None else "no"
        for index in indices:
            cache.keep_layer(index, key)
    sizes = [gzip_size(cache_dir, layer) for layer in image.layers]
    return assembly.report(probe.scanner if probe else None, scan, sizes)


class _Passed:
    """What passed by: documents are held, layers are read, anything else is dropped."""

    def __init__(self, stream: IO[bytes], indexer: Indexer, what: str) -> None:
        self._feed = _Feed(stream, what)
        self._indexer, self._what = indexer, what
        self.entries = Entries()
        self._documents: dict[int, bytes] = {}
        self._layers: dict[int, LayerIndex] = {}
        self._heads: dict[int, tuple[int, bytes]] = {}
        self._held = 0
        self._index: dict[bytes, int] = {}
        self._twice: set[bytes] = set()

    def document(self, name: str) -> bytes | None:
        number = self._member(name)
        return None if number is None else self._documents.get(number, b"")

    def head(self, name: str) -> tuple[int, bytes] | None:
        number = self._member(name)
        return None if number is None else self._heads.get(number)

    def layer(self, name: str) -> LayerIndex | None:
        number = self._member(name)
        return None if number is None else self._layers.get(number)

    def _member(self, name: str) -> int | None:
        return member(self.entries, self._index, self._twice, name, self._what)

    def read(self) -> None:
        """Read the stream to its end. Raises ArchiveError."""
        walker = TarWalker(self.entries, self._what)
        buffer, base = bytearray(), 0
        while not walker.ended:
            more = self._feed.take(BLOCK)
            if not more:
                break
            buffer += more
            if len(buffer) > MAX_PAX * 4:
                raise ArchiveError(wording("tar.header_endless").of(self._what))
            known = len(self.entries)
            with memoryview(buffer) as view:
                position = walker.walk(view, base, final=len(more) < BLOCK)
            if len(self.entries) > known:
                self._content(known)
            if position > base:
                base, buffer = position, bytearray()
        self._feed.drain()

    def _content(self, number: int) -> None:
        if number >= MAX_MEMBERS:
            raise ArchiveError(wording("archive.too_many_members", what=self._what, most=MAX_MEMBERS))
        path, size = self.entries.paths[number], self.entries.stored(number)
        if path in self._index:
            self._twice.add(path)
        self._index[path] = number
        pieces = self._feed.pieces(size)
        if self.entries.kinds[number] == columns.FILE and size:
            first = next(pieces, b"")
            self._heads[number] = (size, first[:6])
            if _is_layer(first):
                blob, packing, what = (
                    chain((first,), pieces),
                    recognize_compression(first[:4]),
                    f"{self._what}: {path!r}",
                )
                self._layers[number] = self._indexer.compressed(blob, packing, what, wait=False)
            elif size <= MAX_DOCUMENT and self._held + size <= _MAX_DOCUMENTS:
                self._documents[number] = first + b"".join(pieces)
                self._held += size
        for _piece in pieces:
            pass
        self._feed.take(-size % BLOCK)


def _is_layer(first: bytes) -> bool:
    packed = recognize_compression(first[:4]) != "none" and refused_compression(first[:6]) is None
    magic = first[257:262] == b"ustar" or is_header(bytes(first[:BLOCK]))
    return packed or magic or not first[:1024].strip(b"\0")


class _Feed:
    """A stream, perhaps compressed, that is taken in exact portions."""

    def __init__(self, stream: IO[bytes], what: str) -> None:
        pieces: Iterator[bytes] = iter(lambda: stream.read(PIECE), b"")
        first = next(pieces, b"")
        self._what = what
        if other := refused_compression(first[:6]):
            raise ArchiveError(wording("archive.compression", what=what, compression=other))
        self._pieces = plain_pieces(chain((first,), pieces), recognize_compression(first[:4]), what)
        self._rest = memoryview(b"")

    def _some(self, most: int) -> bytes:
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        taken, self._rest = self._rest[:most], self._rest[most:]
        return bytes(taken)

    def take(self, size: int) -> bytes:
        """Exactly that many bytes; fewer only at the end."""
        taken = self._some(size) if size else b""
        while len(taken) < size:
            more = self._some(size - len(taken))
            if not more:
                break
            taken += more
        return taken

    def pieces(self, size: int) -> Iterator[bytes]:
        """That many bytes in pieces. Raises ArchiveError where the stream ends before."""
        while size:
            piece = self._some(size)
            if not piece:
                raise ArchiveError(wording("tar.truncated").of(self._what))
            if size > BLOCK * 2 > len(piece):
                piece += self.take(min(size, BLOCK * 2) - len(piece))
            size -= len(piece)
            yield piece

    def drain(self) -> None:
        """Read what is left, so that whoever writes is not stopped by a broken pipe."""
        self._rest = memoryview(b"")
        for _piece in self._pieces:
            pass
