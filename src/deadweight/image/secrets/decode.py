"""Open what a hint points at: compressed streams, zip members, git packs, UTF-16, base64. Bounded; what is left out is told.

A stored (uncompressed) zip or tar member needs no opening: its bytes were part of the buffer that was scanned.
"""

from __future__ import annotations

import binascii
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from deadweight.image.secrets.hints import Hint
from deadweight.image.secrets.model import Limits
from deadweight.image.secrets.streams import GZIP, MEMORY, RAW, ZLIB, Stream, ZstdStream, bzipped, deflated, xzipped

OVERLAP = 1 << 16  # bytes that two pieces of one stream share, so that a secret at the seam is whole in one of them

_ALPHABET = rb"A-Za-z0-9+/_\-"
_ALPHABET_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/_-"
_RUN = re.compile(rb"(?:[" + _ALPHABET + rb"]{40,}(?:\r?\n[ \t]*|(?:\\r)?\\n))*[" + _ALPHABET + rb"]*")
_SEPARATORS = re.compile(rb"\\r|\\n|[\r\n \t]+")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_ZIP_HEADER = struct.Struct("<4s5H3I2H")


@dataclass(frozen=True)
class Piece:
    """Decoded bytes. ``base`` is their offset in the decoded whole; ``label`` names the step for ``Match.inner``."""

    label: str
    data: bytes
    base: int = 0


@dataclass(frozen=True)
class Refused:
    """An encoded object that was not, or not wholly, opened."""

    label: str
    reason: str
    size_bytes: int


@dataclass
class Budget:
    """What may still be decoded: bytes and encoded objects, of one file or of many together."""

    left: int
    objects: int

    @classmethod
    def of(cls, limits: Limits, within: Budget | None = None) -> Budget:
        """One file's, which may not be more than what is left of that of many."""
        if within is None:
            return cls(limits.total, limits.objects)
        return cls(min(limits.total, within.left), min(limits.objects, within.objects))

    def spend(self, whole: Budget, rest: Budget) -> None:
        """Take off what lies between a file's budget as it was given out and what is left of it."""
        self.left -= whole.left - rest.left
        self.objects -= whole.objects - rest.objects


class Opener:
    """Opens the hints of one buffer, in order. Hints inside what was just decoded are passed over (compressed bytes are noise)."""

    def __init__(self, view: memoryview, limits: Limits, budget: Budget) -> None:
        self._view, self._limits, self._budget = view, limits, budget
        self._done: dict[str, int] = {}
        self._noise = 0

    def open(self, hint: Hint, end: int) -> Iterator[Piece | Refused]:
        """What the hint that was reported at ``end`` holds."""
        if end <= self._noise or end <= self._done.get(hint.kind, 0):
            return
        if self._budget.objects <= 0 or self._budget.left <= 0:
            yield Refused(hint.kind, "too much encoded content", len(self._view) - max(0, end - hint.back))
            self._noise = len(self._view)
            return
        self._budget.objects -= 1
        start = max(0, end - hint.back)
        if hint.kind == "base64":
            yield from self._base64(end)
        elif hint.kind == "utf-16":
            yield from self._wide(end - 1)
        elif hint.kind == "zip":
            yield from self._zip_member(start)
        elif hint.kind == "pack":
            yield from self._pack(start)
        else:
            yield from self._compressed(hint.kind, start)

    def _compressed(self, kind: str, start: int) -> Iterator[Piece | Refused]:
        if kind == "zlib":
            start += self._view[start] != 0x78  # the pattern may have taken the byte in front
            if (self._view[start] * 256 + self._view[start + 1]) % 31:
                return
            stream = deflated(self._view, start, ZLIB)
        elif kind == "gzip":
            stream = deflated(self._view, start, GZIP)
        elif kind == "xz":
            stream = xzipped(self._view, start)
        elif kind == "bzip2":
            stream = bzipped(self._view, start)
        else:
            stream = ZstdStream(self._view, start)
        yield from self._pieces(stream, f"{kind}@{start}")

    def _pieces(self, stream: Stream, label: str) -> Iterator[Piece | Refused]:
        """The stream in pieces of bounded size that overlap."""
        held, base, total = bytearray(), 0, 0
        for chunk in stream.chunks():
            held += chunk
            total += len(chunk)
            self._budget.left -= len(chunk)
            if self._budget.left <= 0:
                yield Refused(label, "decodes to more than the limit", total)
                break
            if len(held) >= self._limits.piece:
                piece = Piece(label, bytes(held), base)
                base += len(held) - OVERLAP
                del held[:-OVERLAP]  # before what is encoded in the piece is opened in turn: each level would hold both
                yield piece
        if held:
            yield Piece(label, bytes(held), base)
        if stream.complete:
            self._noise = max(self._noise, stream.end)
        elif stream.too_big:
            yield Refused(
                label, f"needs more than {MEMORY >> 20} MiB of memory to be decoded", len(self._view) - stream.end
            )
        elif stream.damaged and total > 4096:
            yield Refused(label, "damaged after its beginning", total)

    def _zip_member(self, start: int) -> Iterator[Piece | Refused]:
        if start + _ZIP_HEADER.size > len(self._view):
            return
        header = _ZIP_HEADER.unpack_from(self._view, start)
        flags, method, compressed, name_length, extra_length = header[2], header[3], header[7], header[9], header[10]
        name_at = start + _ZIP_HEADER.size
        body = name_at + name_length + extra_length
        if body > len(self._view) or name_length == 0:
            return
        label = f"zip:{shown_name(bytes(self._view[name_at : name_at + name_length]))}"
        if flags & 1:
            yield Refused(label, "encrypted", compressed)
        elif method == 8:
            yield from self._pieces(deflated(self._view, body, RAW), label)
        elif method == 12:
            yield from self._pieces(bzipped(self._view, body), label)
        elif method == 93:
            yield from self._pieces(ZstdStream(self._view, body), label)
        elif method != 0:
            yield Refused(label, f"zip compression method {method} is not known", compressed)

    def _pack(self, start: int) -> Iterator[Piece | Refused]:
        """A git pack (gitformat-pack): each object inflated; deltas hold their new text in the clear."""
        at, held, label = start + 12, bytearray(), f"git-pack@{start}"
        for _ in range(int.from_bytes(self._view[start + 8 : start + 12], "big")):
            body = _pack_body(self._view, at)
            stream = deflated(self._view, body, ZLIB)
            for chunk in stream.chunks():
                held += chunk
                self._budget.left -= len(chunk)
                if self._budget.left <= 0:
                    yield Refused(label, "decodes to more than the limit", len(self._view) - at)
                    return
            if not stream.complete:
                break
            at = stream.end
            held += b"\0\0"
            if len(held) >= self._limits.piece:
                piece = Piece(label, bytes(held))
                held.clear()
                yield piece
        if held:
            yield Piece(label, bytes(held))
        self._noise = max(self._noise, at)

    def _wide(self, at: int) -> Iterator[Piece]:
        """The run of UTF-16 text (its Latin-1 part) around the character at ``at``; byte order does not matter."""
        reach = 1024
        while True:
            low = max(at % 2, at - 2 * reach)
            text, between = bytes(self._view[low : at + 2 * reach : 2]), bytes(self._view[low + 1 : at + 2 * reach : 2])
            here = (at - low) // 2
            begin = max(len(between[:here].rstrip(b"\0")), text.rfind(b"\0", 0, here) + 1)
            zeros = len(between) - here - len(between[here:].lstrip(b"\0"))
            end = text.find(b"\0", here)
            stop = min(here + zeros + 1, len(text), end if end >= 0 else len(text))
            inside = (begin > 0 or low == at % 2) and (stop < len(text) or at + 2 * reach >= len(self._view))
            if inside or reach >= self._limits.piece:
                break
            reach *= 8
        begin += begin < here and text[begin] >= 0xFE  # the mark of the byte order
        self._done["utf-16"] = low + 2 * stop
        self._budget.left -= stop - begin
        if stop - begin >= 8:
            yield Piece(f"utf-16@{low + 2 * begin}", text[begin:stop])

    def _base64(self, end: int) -> Iterator[Piece | Refused]:
        front = bytes(self._view[max(0, end - 4096) : end])
        start = end - (len(front) - len(front.rstrip(_ALPHABET_BYTES)))
        run = _RUN.match(self._view, start)
        if run is None:
            return
        stop = min(run.end(), start + self._limits.piece)
        self._done["base64"] = stop
        if stop < run.end():
            yield Refused(f"base64@{start}", "decodes to more than the limit", run.end() - stop)
        encoded = _SEPARATORS.sub(b"", bytes(self._view[start:stop])).translate(_URL_SAFE)
        spare = len(encoded) % 4
        encoded = encoded[:-1] if spare == 1 else encoded + b"=" * (-len(encoded) % 4)
        decoded = binascii.a2b_base64(encoded)
        self._budget.left -= len(decoded)
        yield Piece(f"base64@{start}", decoded)


def base64_end(data: bytes, start: int) -> int:
    """Where the run of base64 that begins at an offset ends (line breaks within it included)."""
    run = _RUN.match(data, start)
    stop = start if run is None else run.end()
    return stop + len(data[stop : stop + 2]) - len(data[stop : stop + 2].lstrip(b"="))


def _pack_body(view: memoryview, at: int) -> int:
    """Offset of an object's zlib stream in a pack: behind its type and size, and a delta's base."""
    kind = (view[at] >> 4) & 7 if at < len(view) else 0
    at = _behind_varint(view, at)
    if kind == 6:
        return _behind_varint(view, at)
    return at + 20 if kind == 7 else at


def _behind_varint(view: memoryview, at: int) -> int:
    limit = min(len(view), at + 10)
    while at < limit and view[at] & 0x80:
        at += 1
    return at + 1


def shown_name(raw: bytes) -> str:
    """A member's name as it may be printed: control characters escaped, at most 200 characters."""
    text = raw.decode("utf-8", "backslashreplace")[:200]
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
