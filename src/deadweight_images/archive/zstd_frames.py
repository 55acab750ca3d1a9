"""Whether a zstd stream was read to its end: the library's reader stops without a word where its input is cut off.

Follows the frames' outlines only (RFC 8878, 3.1.1: frame header, block headers, checksum; 3.1.2: skippable frames).
"""

from __future__ import annotations

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
        if _is_skippable(held):
            return 8
        return 4 + _header_size(held[4])

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
