"""Digest strings and what they must be the digest of.

A digest becomes part of a path and of a URL, so only its exact form is let through (OCI image-spec, descriptor.md, "Digests";
CVE-2024-3727 is what happens otherwise).
"""

from __future__ import annotations

import hashlib
import re
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

from deadweight._errors import ArchiveError

_FORM = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)


def valid(text: object, what: str) -> str:
    """The digest itself if it is a SHA-256 in its exact form. Raises ArchiveError (SHA-512 is registered too; nobody uses it)."""
    if not isinstance(text, str) or _FORM.fullmatch(text) is None:
        raise ArchiveError(f"{what}: {str(text)[:100]!r} is not a valid SHA-256 digest")
    return text


def of(data: bytes | memoryview) -> str:
    """``sha256:…`` of some bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def check(data: bytes | memoryview, digest: str, what: str) -> None:
    """Raise ArchiveError where the content is not what its digest says."""
    if of(data) != digest:
        raise ArchiveError(f"{what}: the content does not match its digest {digest}")


class Running:
    """The digest of pieces that come one after another, computed by another thread while the next ones are being made.

    ``thread`` must be an executor with one thread: pieces are hashed in the order in which they came. Few wait at a time.
    """

    _BATCH = 1 << 20
    _WAITING = 4

    def __init__(self, thread: ThreadPoolExecutor) -> None:
        self._thread, self._hash = thread, hashlib.sha256()
        self._batch: list[bytes | memoryview] = []
        self._size = 0
        self._waiting: deque[Future[None]] = deque()

    def add(self, piece: bytes | memoryview) -> None:
        """Take one more piece; it must not change before it is taken."""
        self._batch.append(piece)
        self._size += len(piece)
        if self._size >= self._BATCH:
            self._send()

    def sent(self) -> Future[None] | None:
        """Have all pieces so far taken: what is done when they are and their memory may change; None where they are already."""
        if self._batch:
            self._send()
        return self._waiting[-1] if self._waiting else None

    def result(self) -> str:
        """``sha256:…`` of all pieces so far."""
        self._send()
        while self._waiting:
            self._waiting.popleft().result()
        return "sha256:" + self._hash.hexdigest()

    def _send(self) -> None:
        while len(self._waiting) >= self._WAITING:
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(self._take, self._batch))
        self._batch, self._size = [], 0

    def _take(self, batch: list[bytes | memoryview]) -> None:
        for piece in batch:
            self._hash.update(piece)
