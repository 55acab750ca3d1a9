"""Read layers once: headers, digests, facts and, if asked, secrets. Plain layers in place, compressed ones piece by piece.

Hashing, decompressing and pattern matching release the interpreter's lock, so threads share the work: the caller's thread
walks headers while the others hash and match.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import compress
from types import TracebackType

from deadweight._errors import ArchiveError
from deadweight.image.archive import digests
from deadweight.image.archive import entries as columns
from deadweight.image.archive.compression import cut, plain_pieces
from deadweight.image.archive.entries import Entries, Room
from deadweight.image.archive.model import Compression
from deadweight.image.archive.tarwalk import TarWalker
from deadweight.image.contents.facts import Gatherer
from deadweight.image.layers import chunks as portions
from deadweight.image.layers.index import LayerIndex, Skip
from deadweight.image.secrets.regions import Probe, Region

_IN_FLIGHT = 2
_BEHIND = "data after the end marker of the tar"  # what is told of it; secrets are looked for in it too


class Indexer:
    """Reads layers. ``probe`` looks for secrets in their content; without one only structure and digests are read.

    ``verify`` computes digests. Use as a context manager: it owns threads.
    """

    def __init__(self, probe: Probe | None = None, *, verify: bool = True, threads: int | None = None) -> None:
        self.probe, self.verify, self.room = probe, verify, Room()
        self._pool = ThreadPoolExecutor(threads or min(4, os.cpu_count() or 1), thread_name_prefix="layer")
        self._hashing = ThreadPoolExecutor(1, thread_name_prefix="digest")
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="reader")
        self._scans: deque[tuple[LayerIndex, Future[Region]]] = deque()

    def __enter__(self) -> Indexer:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._reading.shutdown(cancel_futures=True)
        self._pool.shutdown(cancel_futures=True)
        self._hashing.shutdown(cancel_futures=True)

    def running(self) -> digests.Running:
        """A digest of pieces, computed by another thread."""
        return digests.Running(self._hashing)

    def hashed(self, view: memoryview) -> Future[str]:
        """The digest of a buffer, computed by another thread."""
        return self._pool.submit(lambda: "sha256:" + hashlib.sha256(view).hexdigest())

    def plain(self, view: memoryview, what: str, digest: Future[str] | None = None) -> PlainReading:
        """Start to read a plain layer in place; ``result()`` of what comes back waits for the threads.

        ``digest`` is what ``hashed`` gave, where that was begun before.
        """
        return PlainReading(self, self._pool, view, what, digest)

    def compressed(
        self, blob: Iterator[bytes | memoryview], compression: Compression, what: str, *, wait: bool = True
    ) -> LayerIndex:
        """Read a layer that comes in pieces, compressed or not. Raises ArchiveError.

        Without ``wait`` its secrets are complete only after ``settle``, so that the next layer can be read meanwhile.
        """
        index = _StreamReading(self, self._pool, what).read(blob, compression)
        if wait:
            self.settle()
        return index

    def ahead(self, view: memoryview, compression: Compression, what: str) -> Future[LayerIndex]:
        """As ``blob``, by another thread, one layer after the other. Only without a probe, and nothing else is read meanwhile."""
        return self._reading.submit(self.blob, view, compression, what)

    def submit(self, index: LayerIndex, segment: bytearray, base: int) -> None:
        """Let the threads look for secrets in a segment of a layer that begins at ``base``; waits while many are at work."""
        if self.probe is not None:
            self.settle(_IN_FLIGHT - 1)
            work = self._pool.submit(self.probe.region, index.entries, memoryview(segment), base)
            self._scans.append((index, work))

    def links(self, index: LayerIndex) -> None:
        """Let the threads look at the links of a layer, all of which are known."""
        if self.probe is not None and index.entries.targets:
            self._scans.append((index, self._pool.submit(self.probe.targets, index.entries)))

    def settle(self, most: int = 0) -> None:
        """Wait until at most so many segments are still being looked at."""
        while len(self._scans) > most:
            index, work = self._scans.popleft()
            index.take(*work.result())

    def members(self, index: LayerIndex, view: memoryview, members: bytearray) -> None:
        """Look for secrets in some members of a plain layer that was read before, their headers too; adds to its index.

        ``members`` holds a byte for each, 1 for those that are meant: a layer may hold a million.
        """
        if self.probe is not None:
            probe, entries = self.probe, index.entries
            numbers, links = compress(range(len(members)), members), [n for n in entries.targets if members[n]]
            work = [
                self._pool.submit(probe.ranges, entries, view, batch) for batch in portions.batches(entries, numbers)
            ]
            work.append(self._pool.submit(probe.targets, entries, links))
            for each in work:
                index.take_of(members, *each.result())

    def blob(self, view: memoryview, compression: Compression, what: str) -> LayerIndex:
        """Read a layer that lies in memory (mapped), whatever its compression. Raises ArchiveError."""
        if compression == "none":
            return self.plain(view, what).result()
        return self.compressed(cut(view), compression, what)


class PlainReading:
    """A plain layer that is being read: its structure is known at once, digest and secrets when the threads are done."""

    def __init__(
        self, indexer: Indexer, pool: ThreadPoolExecutor, view: memoryview, what: str, digest: Future[str] | None
    ) -> None:
        self._indexer, self._pool, self._view = indexer, pool, view
        self._digest = digest or (indexer.hashed(view) if indexer.verify else None)
        self._scans: list[Future[Region]] = []
        entries = Entries(indexer.room)
        walker = TarWalker(entries, what)
        end = walker.walk(view, 0, final=True)
        self.index = LayerIndex(entries, tar_bytes=len(view), stored_bytes=len(view))
        _tail(self.index, view[end:])
        Gatherer(self.index).look(0, len(entries), view, 0)

    def scan(self) -> None:
        """Let the threads look for secrets in all of it."""
        if self._indexer.probe is not None:
            probe, view = self._indexer.probe, self._view
            for start, stop in portions.regions(self.index.entries, len(view)):
                self._scans.append(self._pool.submit(probe.region, self.index.entries, view[start:stop], start, view))
            self._scans.append(self._pool.submit(probe.targets, self.index.entries))

    def result(self) -> LayerIndex:
        """The finished index."""
        self.scan()
        return self.finish()

    def finish(self) -> LayerIndex:
        """The index with what was started so far."""
        for scan in self._scans:
            self.index.take(*scan.result())
        self._scans = []
        if self._digest is not None:
            self.index.digest = self.index.diff_id = self._digest.result()
        return self.index


class _StreamReading:
    """A layer that comes in pieces. At most ``WHOLE`` bytes of one member and a few segments are held at a time."""

    def __init__(self, indexer: Indexer, pool: ThreadPoolExecutor, what: str) -> None:
        self._indexer, self._pool, self._what = indexer, pool, what
        self._entries = Entries(indexer.room)
        self._index = LayerIndex(self._entries)
        self._walker = TarWalker(self._entries, what)
        self._gatherer = Gatherer(self._index)
        self._buffer = bytearray()
        self._base = self._position = self._handled = 0
        self._cut: int | None = None
        self._trailing = False
        self._sums: deque[Future[dict[int, int]]] = deque()

    def read(self, blob: Iterator[bytes | memoryview], compression: Compression) -> LayerIndex:
        stored, plain = self._indexer.running(), self._indexer.running()
        verify, wanted = self._indexer.verify, portions.SEGMENT
        for piece in plain_pieces(self._counted(blob, stored, compression), compression, self._what):
            if verify:
                plain.add(piece)
            self._index.tar_bytes += len(piece)
            self._buffer += piece
            if len(self._buffer) >= wanted:
                wanted = self._advance(final=False)
        self._advance(final=True)
        self._indexer.links(self._index)
        self._summed(0)
        if verify:
            self._index.diff_id = plain.result()
            self._index.digest = self._index.diff_id if compression == "none" else stored.result()
        return self._index

    def _counted(
        self, blob: Iterator[bytes | memoryview], stored: digests.Running, compression: Compression
    ) -> Iterator[bytes | memoryview]:
        for piece in blob:
            self._index.stored_bytes += len(piece)
            if self._indexer.verify and compression != "none":
                stored.add(piece)
            yield piece

    def _advance(self, *, final: bool) -> int:
        """Work off what is in the buffer; answers how much the buffer should hold before the next time."""
        end = self._base + len(self._buffer)
        if self._position < end and not self._walker.ended:
            with memoryview(self._buffer) as view, view[self._position - self._base :] as rest:
                self._position = self._walker.walk(rest, self._position, final=final)
        elif final and not self._walker.ended:
            with memoryview(b"") as nothing:
                self._walker.walk(nothing, min(self._position, end), final=self._position == end)
            if self._position > end and self._entries.last_end() > end:
                raise ArchiveError(f"{self._what}: is truncated")
        if self._walker.ended:
            return self._after_end(final)
        if final or self._position <= end:
            self._emit(end if final else self._position)
            return portions.SEGMENT
        last = len(self._entries) - 1
        if self._entries.stored(last) <= portions.WHOLE:
            self._emit(self._entries.offsets[last])
            return max(portions.SEGMENT, self._entries.stored(last) + columns.DIRECTORY)
        self._piece(last, end)
        return portions.SEGMENT

    def _after_end(self, final: bool) -> int:
        if self._position > self._base:
            self._emit(self._position)
        if self._buffer.strip(b"\0") and not self._trailing:
            self._trailing = True
            self._index.skipped.append(Skip(-1, "", _BEHIND, len(self._buffer), unread=False))
        self._emit(self._base + len(self._buffer))
        return 0 if final else portions.SEGMENT

    def _emit(self, stop: int) -> None:
        """Hand everything before ``stop`` to the threads; the members that end there are complete."""
        if stop == self._base:
            return
        # The buffer itself goes to the threads, what is left of it into a new one: the other way round copies much more.
        segment = self._buffer
        self._buffer = segment[stop - self._base :]
        del segment[stop - self._base :]
        first, last = self._handled, len(self._entries)
        while last > first and self._entries.offsets[last - 1] + self._entries.stored(last - 1) > stop:
            last -= 1
        with memoryview(segment) as view:
            self._gatherer.look(first, last, view, self._base)
        if self._cut is not None:  # the rest of a member whose pieces went before
            self._gatherer.piece(self._cut, segment, self._base)
            self._cut = None
        self._checksums(first, last, segment)
        self._indexer.submit(self._index, segment, self._base)
        self._handled = last
        self._base = stop

    def _piece(self, number: int, end: int) -> None:
        """A member bigger than ``WHOLE``: what of it is there goes to the threads, a little of it stays for the next piece."""
        segment = self._buffer
        self._buffer = segment[-portions.OVERLAP :]
        self._gatherer.piece(number, segment, self._base)
        self._cut = number
        self._indexer.submit(self._index, segment, self._base)
        self._handled = number + 1
        reason = "too large to be held whole: scanned in pieces"
        if self._indexer.probe is not None and not any(skip.member == number for skip in self._index.skipped[-2:]):
            self._index.skipped.append(Skip(number, "", reason, self._entries.sizes[number], unread=False))
        self._base = end - len(self._buffer)

    def _checksums(self, first: int, last: int, segment: bytearray) -> None:
        """Of members that could be the same content as another's; a compressed layer cannot be asked again later."""
        places, entries = {}, self._entries
        for number, size in enumerate(entries.sizes[first:last], first):
            start = entries.offsets[number] - self._base
            if start >= 0 and size >= columns.MIN_DUPLICATE and entries.kinds[number] == columns.FILE:
                places[number] = start, start + entries.stored(number)
        if places:
            self._summed(_IN_FLIGHT - 1)
            self._sums.append(self._pool.submit(_sums, places, segment))

    def _summed(self, most: int) -> None:
        """Wait until the checksums of at most so many segments are still missing."""
        while len(self._sums) > most:
            self._index.checksums |= self._sums.popleft().result()


def _sums(places: dict[int, tuple[int, int]], segment: bytearray) -> dict[int, int]:
    with memoryview(segment) as view:
        return {number: zlib.crc32(view[start:stop]) for number, (start, stop) in places.items()}


def _tail(index: LayerIndex, rest: memoryview) -> None:
    for piece in cut(rest, 1 << 20):
        if bytes(piece).strip(b"\0"):
            index.skipped.append(Skip(-1, "", _BEHIND, len(rest), unread=False))
            return
