"""Decode content that a hint marks (compressed streams, zip, git packs, UTF-16, base64), within limits; report what is skipped.

Stored (uncompressed) zip and tar members need no decoding: their bytes were in the scanned buffer.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from deadweight_images.errors import wording
from deadweight_images.secrets.hints import Hint
from deadweight_images.secrets.locations import shown_name
from deadweight_images.secrets.model import Budget, Limits, Piece, Refused
from deadweight_images.secrets.streams import MEMORY, OPENED, RAW, ZLIB, Stream, bzipped, deflated, following, pack_body
from deadweight_images.secrets.text_encodings import Base64Lines, base64_end, digits, from_base64, from_digits

OVERLAP = 1 << 16  # bytes that two pieces of one stream share, so that a secret at the seam is whole in one of them

_ZIP_HEADER = struct.Struct("<4s5H3I2H")


class Opener:
    """Opens the hints of one buffer, in order. Hints inside what was just decoded are passed over (compressed bytes are noise).

    ``base`` is the buffer's offset in the content that it is a piece of, ``more`` whether another piece follows it. Then ``cut``
    is where in the buffer something begins that its end cuts off; that is left for the next piece, which should begin there.
    Who is given a piece says in ``resume`` what the ``cut`` of its content is. ``torn`` says that what lies behind is lost.
    """

    def __init__(
        self, view: memoryview, limits: Limits, budget: Budget, base: int = 0, *, more: bool = False, torn: bool = False
    ) -> None:
        self._view, self._limits, self._budget, self._base, self._more = view, limits, budget, base, more
        self._torn, self._lines = torn, Base64Lines(view, limits.piece)
        self._done: dict[str, int] = {}
        self._noise = 0
        self.cut: int | None = None
        self.resume: int | None = None

    def open(self, hint: Hint, end: int) -> Iterator[Piece | Refused]:
        """What the hint that was reported at ``end`` holds."""
        if end <= self._noise or end <= self._done.get(hint.kind, 0):
            return
        if self._budget.objects <= 0 or self._budget.left <= 0:
            yield Refused(hint.kind, wording("skip.too_much_encoded"), len(self._view) - max(0, end - hint.back))
            self._noise = len(self._view)
            return
        self._budget.objects -= 1
        start = max(0, end - hint.back)
        if hint.kind == "base64":
            yield from self._base64(end)
        elif hint.kind in ("utf-16", "utf-32"):
            yield from self._wide(end - 1, hint.kind)
        elif hint.kind in ("hex", "percent"):
            yield from self._encoded_text(end, hint.kind)
        elif hint.kind == "zip":
            yield from self._zip_member(start)
        elif hint.kind == "pack":
            yield from self._pack(start)
        else:
            yield from self._compressed(hint.kind, start)

    def _label(self, kind: str, start: int) -> str:
        return f"{kind}@{self._base + start}"

    def _left_for_later(self, start: int, *, cut: bool) -> bool:
        """Whether something is ``cut`` by the end of the buffer and can be had whole: in the next piece, if that begins with it."""
        if not (cut and self._more and start > 0):
            return False
        self.cut, self._noise = start, len(self._view)
        return True

    def _too_long(self, label: str, start: int, *, cut: bool) -> Iterator[Refused]:
        """What even a piece that begins with it does not hold whole is not opened as a whole, and that is told."""
        if cut and self._torn and len(self._view) - start > OVERLAP:
            yield Refused(label, wording("skip.beyond_the_part"), len(self._view) - start)
        if cut and self._more and start == 0:
            self._noise = len(self._view)
            yield Refused(label, wording("skip.longer_than_scanned", megabytes=len(self._view) >> 20), len(self._view))

    def _compressed(self, kind: str, start: int) -> Iterator[Piece | Refused]:
        if kind == "zlib":
            start += self._view[start] != 0x78  # the pattern may have taken the byte in front
            if (self._view[start] * 256 + self._view[start + 1]) % 31:
                return
        yield from self._pieces(OPENED[kind](self._view, start), self._label(kind, start), start, kind)

    def _pieces(self, stream: Stream, label: str, start: int, kind: str = "") -> Iterator[Piece | Refused]:
        """The stream, and those that carry it on, in pieces of bounded size that overlap; ``start`` is where the object begins."""
        held, base, streams = bytearray(), 0, [stream]
        for chunk in self._chunks(streams, kind):
            held += chunk
            self._budget.left -= len(chunk)
            if self._budget.left <= 0:
                yield Refused(label, wording("skip.decodes_too_large"), base + len(held))
                break
            if len(held) >= self._limits.piece:
                piece = Piece(label, bytes(held), base, more=True)
                held.clear()  # before what is encoded in the piece is opened in turn: each level would hold both
                self.resume = None
                yield piece
                shared = self._shared(len(piece.data))
                held += piece.data[-shared:]
                base += len(piece.data) - shared
        if self._left_for_later(start, cut=streams[-1].cut):
            return
        if held:
            yield Piece(label, bytes(held), base)
        yield from self._refusals(streams[-1], label)
        yield from self._too_long(label, start, cut=streams[-1].cut)

    def _chunks(self, streams: list[Stream], kind: str) -> Iterator[bytes]:
        """What a stream holds, and those that follow it; ``streams`` gets the one that is read."""
        while True:
            yield from streams[-1].chunks()
            if streams[-1].complete:
                self._noise = max(self._noise, streams[-1].end)
            more = following(kind, self._view, streams[-1])
            if more is None or self._budget.objects <= 0:
                return
            self._budget.objects -= 1
            streams[-1] = more

    def _shared(self, size: int) -> int:
        """How much of a piece the next one begins with; what is looked at twice is counted twice."""
        if self.resume is None or self.resume >= size - OVERLAP:
            return min(size, OVERLAP)
        self._budget.left -= size - OVERLAP - self.resume
        return size - self.resume

    def _refusals(self, stream: Stream, label: str) -> Iterator[Refused]:
        """Why a stream was not read to its end."""
        if stream.too_big:
            yield Refused(label, wording("skip.memory", megabytes=MEMORY >> 20), len(self._view) - stream.end)
        elif stream.damaged and stream.given > 4096:
            yield Refused(label, wording("skip.damaged_after_start"), stream.given)

    def _zip_member(self, start: int) -> Iterator[Piece | Refused]:
        if start + _ZIP_HEADER.size > len(self._view):
            self._left_for_later(start, cut=True)
            return
        header = _ZIP_HEADER.unpack_from(self._view, start)
        flags, method, compressed, name_length, extra_length = header[2], header[3], header[7], header[9], header[10]
        name_at = start + _ZIP_HEADER.size
        body = name_at + name_length + extra_length
        if body > len(self._view) or name_length == 0:
            self._left_for_later(start, cut=name_length != 0)
            return
        label = f"zip:{shown_name(bytes(self._view[name_at : name_at + name_length]))}"
        if flags & 1:
            yield Refused(label, wording("skip.encrypted"), compressed)
        elif method == 8:
            yield from self._pieces(deflated(self._view, body, RAW), label, start)
        elif method == 12:
            yield from self._pieces(bzipped(self._view, body), label, start)
        elif method == 93:
            yield from self._pieces(OPENED["zstd"](self._view, body), label, start)
        elif method != 0:
            yield Refused(label, wording("skip.zip_method", method=method), compressed)

    def _pack(self, start: int) -> Iterator[Piece | Refused]:
        """A git pack (gitformat-pack): each object inflated; deltas hold their new text in the clear."""
        at, held, label, cut = start + 12, bytearray(), self._label("git-pack", start), False
        for _ in range(int.from_bytes(self._view[start + 8 : start + 12], "big")):
            body = pack_body(self._view, at)
            stream = deflated(self._view, body, ZLIB)
            for chunk in stream.chunks():
                held += chunk
                self._budget.left -= len(chunk)
                if self._budget.left <= 0:
                    yield Refused(label, wording("skip.decodes_too_large"), len(self._view) - at)
                    return
            if not stream.complete:
                cut = stream.cut
                break
            at = stream.end
            held += b"\0\0"
            if len(held) >= self._limits.piece:
                piece = Piece(label, bytes(held))
                held.clear()
                yield piece
        if self._left_for_later(start, cut=cut):
            return
        if held:
            yield Piece(label, bytes(held))
        self._noise = max(self._noise, at)
        yield from self._too_long(label, start, cut=cut)

    def _wide(self, at: int, kind: str) -> Iterator[Piece | Refused]:
        """The run of UTF-16 or UTF-32 text (its Latin-1 part) around the character at ``at``; byte order does not matter."""
        step, reach = 2 if kind == "utf-16" else 4, 1024
        while True:
            low = max(at % step, at - step * reach)
            high = at + step * reach
            text = bytes(self._view[low:high:step])
            here = (at - low) // step
            begin, stop = text.rfind(b"\0", 0, here) + 1, text.find(b"\0", here)
            stop = stop if stop >= 0 else len(text)
            for lane in range(1, step):
                between = bytes(self._view[low + lane : high : step])
                begin = max(begin, len(between[:here].rstrip(b"\0")))
                zeros = len(between) - here - len(between[here:].lstrip(b"\0"))
                stop = min(stop, here + zeros + 1)
            stop = min(stop, len(text))
            inside = (begin > 0 or low == at % step) and (stop < len(text) or high >= len(self._view))
            if inside or reach >= self._limits.piece:
                break
            reach *= 8
        begin += begin < here and text[begin] >= 0xFE  # the mark of the byte order
        start, cut = low + step * begin, low + step * stop >= len(self._view) - 1
        if self._left_for_later(start, cut=cut):
            return
        self._done[kind] = low + step * stop
        self._budget.left -= stop - begin
        label = self._label(kind, start)
        if stop - begin >= 8:
            yield Piece(label, text[begin:stop])
        yield from self._too_long(label, start, cut=cut)

    def _encoded_text(self, end: int, kind: str) -> Iterator[Piece | Refused]:
        """Text in hexadecimal digits or percent-encoding."""
        run = digits(self._view, end, kind, self._limits.piece)
        if run is None:
            return
        start, stop = run
        cut, label = stop == len(self._view), self._label(kind, start)
        if self._left_for_later(start, cut=cut):
            return
        self._done[kind] = max(stop, end)
        decoded = from_digits(bytes(self._view[start:stop]), kind)
        self._budget.left -= len(decoded)
        yield Piece(label, decoded)
        yield from self._too_long(label, start, cut=cut)

    def _base64(self, end: int) -> Iterator[Piece | Refused]:
        start = self._lines.start(end)
        if start is None:
            return
        behind = base64_end(self._view, start, padding=False)
        cut, label = behind == len(self._view), self._label("base64", start)
        if self._left_for_later(start, cut=cut):
            return
        self._done["base64"] = stop = min(behind, start + self._limits.piece)
        if stop < behind:
            yield Refused(label, wording("skip.decodes_too_large"), behind - stop)
        decoded = from_base64(bytes(self._view[start:stop]))
        self._budget.left -= len(decoded)
        yield Piece(label, decoded)
        yield from self._too_long(label, start, cut=cut)
