"""Digest strings and what they must be the digest of.

A digest becomes part of a path and of a URL, so only its exact form is let through (OCI image-spec, descriptor.md, "Digests";
CVE-2024-3727 is what happens otherwise).
"""

from __future__ import annotations

import hashlib
import re
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import NamedTuple

from deadweight_images.errors import ArchiveError

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

    Whoever must wait for a piece takes it, and those before it, itself, unless another thread is at it. Without a ``thread``
    whoever adds pieces takes them.
    """

    _BATCH = 1 << 20
    _WAITING = 4

    def __init__(self, thread: ThreadPoolExecutor | None) -> None:
        self._thread, self._hash, self._lock = thread, hashlib.sha256(), Lock()
        self._batch: list[bytes | memoryview] = []
        self._size = self._given = self._taken = 0
        self._waiting: deque[list[bytes | memoryview]] = deque()

    def add(self, piece: bytes | memoryview) -> None:
        """Take one more piece; it must not change before it is taken."""
        self._batch.append(piece)
        self._size += len(piece)
        if self._size >= self._BATCH:
            self._send()

    def sent(self) -> Sent:
        """Have all pieces so far taken: what tells when they are, and their memory may change."""
        if self._batch:
            self._send()
        return Sent(self, self._given)

    def result(self) -> str:
        """``sha256:…`` of all pieces so far."""
        self.sent().result()
        return "sha256:" + self._hash.hexdigest()

    def taken(self, number: int) -> bool:
        """Whether so many batches were taken."""
        return self._taken >= number

    def take(self, number: int) -> None:
        """Have so many batches taken by now. Raises whatever goes wrong with one of them, and again with any behind it."""
        while self._taken < number:
            with self._lock:
                if self._taken < number:
                    for piece in self._waiting[0]:
                        self._hash.update(piece)
                    self._waiting.popleft()
                    self._taken += 1

    def _send(self) -> None:
        self.take(self._given - self._WAITING)
        self._waiting.append(self._batch)
        self._given += 1
        self._batch, self._size = [], 0
        if self._thread is None:
            self.take(self._given)
        else:
            self._thread.submit(self.take, self._given)


class Sent(NamedTuple):
    """Pieces on their way into a digest, as one waits for another thread's work."""

    running: Running
    number: int

    def done(self) -> bool:
        """Whether they are taken."""
        return self.running.taken(self.number)

    def result(self) -> None:
        """Wait until they are."""
        self.running.take(self.number)
