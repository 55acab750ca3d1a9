"""Index layers in one pass: headers, digests, facts and, if asked, secrets; plain or compressed.

Hashing, decompression and pattern matching release Python's lock, so threads share the work: the calling thread walks headers
while others hash and match. A compressed or streamed layer is read segment by segment, into memory buffers that are reused.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import mmap
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import compress, count
from types import TracebackType
from typing import TYPE_CHECKING, Any

from deadweight_images.archive import documents, entries as columns
from deadweight_images.archive.compression import Blob, Source, crc32, cut, opened
from deadweight_images.archive.documents import Running, Sent
from deadweight_images.archive.entries import Entries, Room
from deadweight_images.archive.model import Compression
from deadweight_images.archive.tarwalk import BLOCK, TarWalker
from deadweight_images.contents.facts import Gatherer
from deadweight_images.errors import ArchiveError, wording
from deadweight_images.layers.index import LayerIndex, Skip

if TYPE_CHECKING:
    from deadweight_images.secrets.regions import Probe, Region

# Memory for the segments of layers that come in pieces: filled, looked at by several threads, then filled again.
#
# To touch fresh memory costs as much as to undo gzip into it, so a few buffers go round. They are mapped, not allocated: what is
# let go of returns to the system at once, and is not left in the allocator's heap when the view of the image needs the room.


class Buffer:
    """``view`` is all of it, writable. ``busy`` are the works of threads that look at it."""

    __slots__ = ("busy", "view")

    def __init__(self, size: int) -> None:
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if hasattr(mmap, "MADV_HUGEPAGE"):  # Linux: two thousand faults fewer
            with contextlib.suppress(OSError):
                memory.madvise(mmap.MADV_HUGEPAGE)
        self.view = memoryview(memory)
        self.busy: list[Future[Any] | Sent] = []


class Buffers:
    """At most ``most`` buffers of ``size`` bytes for one reader, which has one of them at a time."""

    def __init__(self, size: int, most: int) -> None:
        self._size, self._left = size, most
        self._used: deque[Buffer] = deque()

    def take(self) -> Buffer:
        """A buffer that nobody looks at; waits for the one that was given back first where there are no more."""
        for _turn in range(len(self._used)):
            if all(work.done() for work in self._used[0].busy):
                break
            self._used.rotate(-1)
        else:
            if self._left:
                self._left -= 1
                return Buffer(self._size)
        buffer = self._used.popleft()
        for work in buffer.busy:
            work.result()
        buffer.busy.clear()
        return buffer

    def give(self, buffer: Buffer) -> None:
        """Let it be filled again once its works are done."""
        self._used.append(buffer)


# How a layer is cut into the portions that threads look at: where members end, and for some members only, around those.

SEGMENT = 16 << 20
WHOLE = 24 << 20
OVERLAP = 64 << 10
_NEAR = 4096  # bytes; what lies so close is looked at together: a call costs as much as to read that


def regions(entries: Entries, total: int) -> Iterator[tuple[int, int]]:
    """Cuts a layer where members end, into regions of about SEGMENT bytes; a far bigger member is cut with an overlap."""
    start = 0
    offsets = entries.offsets
    for number in range(len(entries)):
        stop = offsets[number] + entries.stored(number)
        if stop - start < SEGMENT:
            continue
        if stop - start <= 4 * SEGMENT:
            yield start, stop
        else:
            for piece in range(start, stop, 4 * SEGMENT):
                yield max(start, piece - OVERLAP), min(stop, piece + 4 * SEGMENT)
        start = stop
    if start < total:
        yield start, total


def batches(entries: Entries, members: Iterable[int]) -> Iterator[list[tuple[int, int]]]:
    """The ranges of a layer that hold these members (in ascending order) with their headers, in batches of about SEGMENT bytes."""
    batch: list[tuple[int, int]] = []
    weight = 0
    for start, stop in _ranges(entries, members):
        batch.append((start, stop))
        weight += stop - start
        if weight >= SEGMENT:
            yield batch
            batch, weight = [], 0
    if batch:
        yield batch


def _ranges(entries: Entries, members: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Each begins where a member's headers do and ends where one's content does; no two of them are near each other."""
    start = stop = -1
    for number in members:
        begin = entries.offsets[number - 1] + entries.stored(number - 1) if number else 0
        if start >= 0 and (begin - stop > _NEAR or stop - start >= SEGMENT):
            yield start, stop
            start = -1
        start = begin if start < 0 else start
        stop = entries.offsets[number] + entries.stored(number)
    if start >= 0:
        yield start, stop


_AT_ONCE = 1 << 22  # bytes that are undone while the digest of those before is computed
_SMALL = 4 << 20  # bytes of a segment that no secrets are looked for in
_ROOM = WHOLE + (1 << 20)  # of a buffer; what is not touched of it takes no memory


class StreamReading:
    """A layer that comes in pieces. At most ``WHOLE`` bytes of one member and a few segments are held at a time; without a probe
    of most members no more than a small segment, for fresh memory takes as long as what is written to it.

    What threads look at lies in a buffer that stays as it is until they are done; what is left of it is copied into the next one.
    """

    def __init__(self, indexer: Indexer, what: str) -> None:
        self._indexer, self._what = indexer, what
        self._entries = Entries(indexer.room)
        self._index = LayerIndex(self._entries)
        self._walker = TarWalker(self._entries, what)
        self._gatherer = Gatherer(self._index)
        self._buffers = Buffers(_ROOM, 3 if indexer.probe is None else indexer.in_flight + 1)
        self._buffer = self._buffers.take()
        self._crc32 = crc32()
        self._base = self._position = self._handled = self._filled = self._summed = self._sum = 0
        self._segment = _SMALL if indexer.probe is None else SEGMENT
        self._cut: int | None = None
        self._trailing: int | None = None
        self._plain = indexer.running()

    def read(self, blob: Blob, compression: Compression, digest: Future[str] | None = None) -> LayerIndex:
        """All of it. ``digest`` is that of the blob as it is stored, where it is being computed already. Raises ArchiveError."""
        stored, wanted = _Stored(self._indexer, self._index, blob, compression, digest), self._segment
        source = opened(stored.blob, compression, self._what)
        while got := source.into(self._room(wanted)):
            if self._indexer.verify:
                self._plain.add(self._buffer.view[self._filled : self._filled + got])
            self._index.tar_bytes += got
            self._filled += got
            if self._filled >= wanted:
                wanted = self._advance(final=False)
        self._advance(final=True)
        if self._trailing is not None:
            size = self._index.tar_bytes - self._trailing
            self._index.skipped.append(Skip(-1, "", wording("skip.behind_end"), size, unread=False))
        self._indexer.links(self._index)
        if self._indexer.verify:
            stored.settle(self._indexer, self._plain)
        return self._index

    def _room(self, wanted: int) -> memoryview:
        """Where the next bytes go. Raises ArchiveError where what is there cannot be worked off and there is no room for more."""
        if self._filled == _ROOM:
            raise ArchiveError(wording("tar.header_endless").of(self._what))
        stop = wanted if wanted > self._filled else _ROOM
        return self._buffer.view[self._filled : min(stop, self._filled + _AT_ONCE)]

    def _advance(self, *, final: bool) -> int:
        """Work off what is in the buffer; answers how much the buffer should hold before the next time."""
        end = self._base + self._filled
        if self._position < end and not self._walker.ended:
            rest = self._buffer.view[self._position - self._base : self._filled]
            self._position = self._walker.walk(rest, self._position, final=final)
        elif final and not self._walker.ended:
            with memoryview(b"") as nothing:
                self._walker.walk(nothing, min(self._position, end), final=self._position == end)
            if self._position > end and self._entries.last_end() > end:
                raise ArchiveError(wording("tar.truncated").of(self._what))
        if self._walker.ended:
            return self._after_end(final)
        if final or self._position <= end:
            self._emit(end if final else self._position)
            return self._segment
        last = len(self._entries) - 1
        if self._handled <= last:  # what goes before it is complete
            self._emit(self._entries.offsets[last])
        holds = self._indexer.probe is not None or self._gatherer.wants_whole(last)
        if self._entries.stored(last) <= (WHOLE if holds else self._segment):
            return max(self._segment, self._entries.stored(last) + BLOCK)
        if self._filled >= self._segment:
            self._piece(last)
        return self._segment

    def _after_end(self, final: bool) -> int:
        if self._position > self._base:
            self._emit(self._position)
        if self._trailing is None and holds_more(self._buffer.view[: self._filled]):
            self._trailing = self._position
        self._emit(self._base + self._filled)
        return 0 if final else self._segment

    def _emit(self, stop: int) -> None:
        """Hand everything before ``stop`` to the threads; the members that end there are complete."""
        if stop == self._base:
            return
        segment = self._buffer.view[: stop - self._base]
        first, last = self._handled, len(self._entries)
        while last > first and self._entries.offsets[last - 1] + self._entries.stored(last - 1) > stop:
            last -= 1
        self._gatherer.gather(first, last, segment, self._base)
        if self._cut is not None:  # the rest of a member whose pieces went before
            self._gatherer.piece(self._cut, segment, self._base)
            self._sum_piece(self._cut, segment)
            self._cut = None
        self._checksums(first, last, segment)
        self._handled = last
        self._pass_on(len(segment), len(segment))

    def _piece(self, number: int) -> None:
        """A member too big to be held whole: what of it is there goes to the threads, a little of it stays for the next piece."""
        if self._cut is None:
            self._cut, self._summed, self._sum = number, self._entries.offsets[number], 0
        self._gatherer.piece(number, self._buffer.view[: self._filled], self._base)
        self._sum_piece(number, self._buffer.view[: self._filled])
        self._handled = number + 1
        reason = wording("skip.in_pieces")
        if self._indexer.probe is not None and not any(skip.member == number for skip in self._index.skipped[-2:]):
            self._index.skipped.append(Skip(number, "", reason, self._entries.sizes[number], unread=False))
        self._pass_on(self._filled, max(0, self._filled - OVERLAP))

    def _pass_on(self, size: int, kept: int) -> None:
        """The first ``size`` bytes are for the threads, those from ``kept`` on are where the next segment begins."""
        rest = self._buffer.view[kept : self._filled]
        hashing = self._plain.sent() if self._indexer.verify else None
        work = self._indexer.submit(self._index, self._buffer.view[:size], self._base)
        self._base, self._filled = self._base + kept, len(rest)
        self._buffer.busy += [future for future in (work, hashing) if future is not None]
        self._buffers.give(self._buffer)
        self._buffer = self._buffers.take()
        self._buffer.view[: len(rest)] = rest

    def _checksums(self, first: int, last: int, segment: memoryview) -> None:
        """Of members that could be the same content as another's; a compressed layer cannot be asked again later."""
        entries, sums = self._entries, self._index.checksums
        for number, size in enumerate(entries.sizes[first:last], first):
            start = entries.offsets[number] - self._base
            if start >= 0 and size >= columns.MIN_DUPLICATE and entries.kinds[number] == columns.FILE:
                sums[number] = self._crc32(segment[start : start + entries.stored(number)])

    def _sum_piece(self, number: int, segment: memoryview) -> None:
        """The same for a member whose pieces come one after another, each with the end of the last one in front."""
        end = self._entries.offsets[number] + self._entries.stored(number)
        self._sum = self._crc32(segment[self._summed - self._base : end - self._base], self._sum)
        self._summed = min(end, self._base + len(segment))
        if self._summed == end and self._entries.kinds[number] == columns.FILE:
            self._index.checksums[number] = self._sum


class _Stored:
    """A layer's bytes as they are stored, which are counted and hashed."""

    def __init__(
        self, indexer: Indexer, index: LayerIndex, blob: Blob, compression: Compression, digest: Future[str] | None
    ) -> None:
        self._index, self._running, self._digest = index, indexer.running(), digest
        self._wanted = indexer.verify and compression != "none"
        self.blob = blob
        if isinstance(blob, memoryview):
            index.stored_bytes = len(blob)
        elif not isinstance(blob, Source):
            self.blob = self._passing(blob)

    def _passing(self, blob: Iterator[bytes | memoryview]) -> Iterator[bytes | memoryview]:
        for piece in blob:
            self._index.stored_bytes += len(piece)
            if self._wanted:
                self._running.add(piece)
            yield piece

    def settle(self, indexer: Indexer, plain: Running) -> None:
        """Note the digests of all of them, ``plain`` of the content. Of what lies in memory they are waited for only later: the
        next layer is read meanwhile, or the layers are put over one another."""
        if isinstance(self.blob, Source):
            self._index.stored_bytes = self._index.tar_bytes
        if self._wanted and isinstance(self.blob, memoryview):
            indexer.known_later(self._index, plain, self._digest or indexer.hashed(self.blob))
            return
        self._index.diff_id = plain.result()
        self._index.digest = self._running.result() if self._wanted else self._index.diff_id


def holds_more(rest: memoryview) -> bool:
    """Whether there is anything but zeros."""
    return any(bytes(piece).strip(b"\0") for piece in cut(rest, 1 << 20))


_TURN = 0.0005
"""Seconds that a thread which comes back from computing waits for the interpreter; ten times as long by default."""

_STANDING_BACK, _LAST = 5, 10  # nice values

_PART = 16 << 20  # bytes that are hashed at a time
Passed = Callable[[int, int], None]
"""Told from and to which offset a buffer was read."""

_COLLECTING = 50_000
"""New objects between two searches for unreachable ones; reading makes many objects and next to no cycles."""


_thread = threading.local()


def _behind(started: Iterator[int]) -> None:
    """Let all readers but the first one stand back: it has the longest layer, and whoever waits for the last one waits for that."""
    _thread.stands_back = bool(next(started))
    if _thread.stands_back:
        _stand_back(_STANDING_BACK)


def _stand_back(nice: int) -> None:
    """Give this thread a lower priority, for as long as it lives."""
    if sys.platform == "linux":  # where a thread has a priority of its own
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)


class Indexer:
    """Reads layers. ``probe`` looks for secrets in their content; without one only structure and digests are read.

    ``verify`` computes digests. Use as a context manager: it owns threads.
    """

    in_flight = 2
    """How many segments threads look at while the next one is read."""

    def __init__(self, probe: Probe | None = None, *, verify: bool = True, threads: int | None = None) -> None:
        self.probe, self.verify, self.room = probe, verify, Room()
        self._pool = ThreadPoolExecutor(threads or min(4, os.cpu_count() or 1), thread_name_prefix="layer")
        self._hashing = ThreadPoolExecutor(1, thread_name_prefix="digest")
        self._reading = ThreadPoolExecutor(2, thread_name_prefix="reader", initializer=_behind, initargs=(count(),))
        self._scans: deque[tuple[LayerIndex, Future[Region]]] = deque()
        self._digests: deque[tuple[LayerIndex, documents.Running, Future[str]]] = deque()
        self._turn, self._collecting = sys.getswitchinterval(), gc.get_threshold()

    def __enter__(self) -> Indexer:
        sys.setswitchinterval(_TURN)
        gc.set_threshold(max(self._collecting[0], _COLLECTING) if self._collecting[0] else 0)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        sys.setswitchinterval(self._turn)
        gc.set_threshold(*self._collecting)
        self._reading.shutdown(cancel_futures=True)
        self._pool.shutdown(cancel_futures=True)
        self._hashing.shutdown(cancel_futures=True)

    def running(self) -> documents.Running:
        """A digest of pieces, computed by another thread, the longest layer's first."""
        return documents.Running(None if getattr(_thread, "stands_back", False) else self._hashing)

    def hashed(self, view: memoryview) -> Future[str]:
        """The digest of a buffer, computed by another thread."""
        return self._pool.submit(self._digest, view, None)

    def hashed_ahead(self, view: memoryview, passed: Passed) -> Future[str]:
        """The same where no thread is needed for a probe: the second one stands back for the first one and for the caller's.
        ``passed`` is told of each part that is done, by one thread more."""
        return self._reading.submit(self._digest, view, passed)

    def _digest(self, view: memoryview, passed: Passed | None) -> str:
        digest = hashlib.sha256()
        for start in range(0, len(view), _PART):
            digest.update(view[start : start + _PART])
            if passed is not None:
                self._hashing.submit(passed, start, min(start + _PART, len(view)))
        return "sha256:" + digest.hexdigest()

    def known_later(self, index: LayerIndex, content: documents.Running, stored: Future[str]) -> None:
        """Have ``settle`` wait for what other threads compute: the digests of a layer's content and of it as it is stored."""
        self._digests.append((index, content, stored))

    def plain(self, view: memoryview, what: str, digest: Future[str] | None = None) -> PlainReading:
        """Start to read a plain layer in place; ``result()`` of what comes back waits for the threads.

        ``digest`` is what ``hashed`` gave, where that was begun before.
        """
        return PlainReading(self, self._pool, view, what, digest)

    def compressed(
        self, blob: Blob, compression: Compression, what: str, *, wait: bool = True, digest: Future[str] | None = None
    ) -> LayerIndex:
        """Read a layer that is compressed or comes in pieces. Raises ArchiveError.

        Without ``wait`` secrets are complete only after ``settle``, and so are the digests of a layer that lies in memory: the
        next one can be read meanwhile. ``digest`` is that of the blob as it is stored, where it is being computed already.
        """
        index = StreamReading(self, what).read(blob, compression, digest)
        if wait:
            self.settle()
        return index

    def ahead(self, layers: Sequence[tuple[memoryview, Compression, str, Passed]]) -> list[Future[LayerIndex]]:
        """As ``compressed`` without ``wait``, by other threads, two layers at a time in the order in which they come. Only
        without a probe, and nothing else is read meanwhile. The last of each is as for ``hashed_ahead``.

        Their digests as they are stored need nothing but a thread, so they come behind all that others wait for.
        """
        stored: list[Future[str]] = [Future() for _layer in layers]
        futures = [
            self._reading.submit(self.compressed, view, compression, what, wait=False, digest=digest)
            for (view, compression, what, _passed), digest in zip(layers, stored, strict=True)
        ]
        for (view, _compression, _what, passed), digest in zip(layers, stored, strict=True):
            self._reading.submit(self._last, digest, view, passed)
        return futures

    def _last(self, digest: Future[str], view: memoryview, passed: Passed) -> None:
        _stand_back(_LAST)
        digest.set_result(self._digest(view, passed))

    def submit(self, index: LayerIndex, segment: memoryview, base: int) -> Future[Region] | None:
        """Let the threads look for secrets in a segment of a layer that begins at ``base``; waits while many are at work."""
        if self.probe is None:
            return None
        self.settle(self.in_flight - 1)
        work = self._pool.submit(self.probe.region, index.entries, segment, base)
        self._scans.append((index, work))
        return work

    def links(self, index: LayerIndex) -> None:
        """Let the threads look at the links of a layer, all of which are known."""
        if self.probe is not None and index.entries.targets:
            self._scans.append((index, self._pool.submit(self.probe.targets, index.entries)))

    def settle(self, most: int = 0) -> None:
        """Wait until at most so many segments are still being looked at; where that is none, for all digests too."""
        while len(self._scans) > most:
            index, work = self._scans.popleft()
            index.take(*work.result())
        while self._digests and not most:
            index, content, stored = self._digests.popleft()
            index.diff_id, index.digest = content.result(), stored.result()

    def members(self, index: LayerIndex, view: memoryview, members: bytearray) -> None:
        """Look for secrets in some members of a plain layer that was read before, their headers too; adds to its index.

        ``members`` holds a byte for each, 1 for those that are meant: a layer may hold a million.
        """
        if self.probe is not None:
            probe, entries = self.probe, index.entries
            numbers, links = compress(range(len(members)), members), [n for n in entries.targets if members[n]]
            work = [self._pool.submit(probe.ranges, entries, view, batch) for batch in batches(entries, numbers)]
            work.append(self._pool.submit(probe.targets, entries, links))
            for future in work:
                index.take_of(members, *future.result())

    def blob(self, view: memoryview, compression: Compression, what: str) -> LayerIndex:
        """Read a layer that lies in memory (mapped), whatever its compression. Raises ArchiveError."""
        if compression == "none":
            return self.plain(view, what).result()
        return self.compressed(view, compression, what)


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
        if holds_more(view[end:]):
            self.index.skipped.append(Skip(-1, "", wording("skip.behind_end"), len(view) - end, unread=False))
        Gatherer(self.index).gather(0, len(entries), view, 0)

    def scan(self) -> None:
        """Let the threads look for secrets in all of it."""
        if self._indexer.probe is not None:
            probe, view = self._indexer.probe, self._view
            for start, stop in regions(self.index.entries, len(view)):
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
