"""Index layers in one pass: headers, digests, facts and, if asked, secrets; plain or compressed.

Hashing, decompression and pattern matching release Python's lock, so threads share the work: the calling thread walks headers
while others hash and match.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import compress, count
from types import TracebackType
from typing import TYPE_CHECKING

from deadweight_images.archive import documents
from deadweight_images.archive.compression import Blob
from deadweight_images.archive.entries import Entries, Room
from deadweight_images.archive.model import Compression
from deadweight_images.archive.tarwalk import TarWalker
from deadweight_images.contents.facts import Gatherer
from deadweight_images.errors import wording
from deadweight_images.layers.index import LayerIndex, Skip
from deadweight_images.layers.streaming import StreamReading, batches, holds_more, regions

if TYPE_CHECKING:
    from deadweight_images.secrets.regions import Probe, Region


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
        found = [
            self._reading.submit(self.compressed, view, compression, what, wait=False, digest=digest)
            for (view, compression, what, _passed), digest in zip(layers, stored, strict=True)
        ]
        for (view, _compression, _what, passed), digest in zip(layers, stored, strict=True):
            self._reading.submit(self._last, digest, view, passed)
        return found

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
            for each in work:
                index.take_of(members, *each.result())

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
        Gatherer(self.index).look(0, len(entries), view, 0)

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
