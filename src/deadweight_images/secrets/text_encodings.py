"""Find and decode runs of base64, hexadecimal digits and percent-encoding in a buffer."""

from __future__ import annotations

import binascii
import codecs
import re
import string

from deadweight_images.secrets.hints import ENCODED_MAGIC, GROUP, PAIR, WIDE_GROUP

_LETTERS = rb"A-Za-z0-9+/_\-"
_NOT_LETTERS = re.compile(rb"[^" + _LETTERS + rb"]")
_LETTER_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/_-"
_LINE = 40  # letters; behind fewer the run ends with its line
_LINE_END = re.compile(rb"\r?\n[ \t]*|(?:\\r)?\\n")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_REACH = 4096  # bytes in front of a place that is encoded: where the run that it is in begins, or near enough
_FRONT = {
    "hex": re.compile(rb"(?:[0-9A-Fa-f]{2}x\\)+|[0-9A-Fa-f]*"),
    "percent": re.compile(rb"[A-Za-z0-9%+/_.~:=&?@,;#!$()*-]*"),
}
_ESCAPES = re.compile(rb"(?:\\x[0-9A-Fa-f]{2})+")
_HEX_BYTES = string.hexdigits.encode()
_INDENT = re.compile(rb"\r?\n[ \t]*")
_PERCENT_BYTES = (string.ascii_letters + string.digits + "%+/_.~:=&?@,;#!$'()*-").encode()
# What a keyword must stand in, which rules chance out: so much that encodes text.
_ENOUGH = 20
_TEXT = re.compile(f"(?:{GROUP}){{5}}|.{{4}}(?:{WIDE_GROUP}){{2}}".encode())
_TEXT_PAIRS = re.compile(f"(?:{PAIR}){{10}}".encode())
_NO_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_MAGIC = re.compile(ENCODED_MAGIC.encode())


class Base64Lines:
    """The lines of base64 in a buffer, of which none is searched twice: a long one may hold many hints."""

    def __init__(self, view: memoryview, most: int) -> None:
        self._view, self._most = view, most
        self._start = self._stop = 0

    def start(self, end: int) -> int | None:
        """Where the line begins that holds a hint which ends at ``end``, or its text, if something binary is directly in front;
        None where the hint is there by chance."""
        if not self._start < end <= self._stop:
            self._find(end)
        start, stop = self._start, self._stop
        if _MAGIC.search(self._view, max(start, end - _ENOUGH - 4), end):
            return start
        for shift in range(4):
            first = start + shift
            low = min(max(first, end - (end - first) % 4 - _ENOUGH), first + (stop - first - _ENOUGH) // 4 * 4)
            if low >= first and _TEXT.match(self._view, low, stop):
                return first
        return None

    def _find(self, end: int) -> None:
        """The line that holds the byte in front of ``end``, or the last of it."""
        floor, reach = max(0, end - self._most), _REACH
        while True:
            front = bytes(self._view[max(floor, end - reach) : end])
            self._start = end - (len(front) - len(front.rstrip(_LETTER_BYTES)))
            if self._start > end - len(front) or end - reach <= floor:
                break
            reach *= 8
        behind = _NOT_LETTERS.search(self._view, end)
        self._stop = behind.start() if behind else len(self._view)


def base64_end(data: bytes | memoryview, start: int, padding: bool = True) -> int:
    """Where the run of base64 that begins at an offset ends (line breaks within it included), or its ``padding``."""
    view, stop = memoryview(data), start
    while True:
        first, stop = stop, _stripped(view, stop, len(view), _LETTER_BYTES)
        line_end = _LINE_END.match(view, stop) if stop - first >= _LINE else None
        if line_end is None:
            break
        stop = line_end.end()
    behind = bytes(data[stop : stop + 2])
    return stop + (len(behind) - len(behind.lstrip(b"=")) if padding else 0)


def from_base64(text: bytes) -> bytes:
    """What a run stands for; of an incomplete group what can be known."""
    encoded = text.replace(b"\\r", b"").replace(b"\\n", b"").translate(_URL_SAFE, b"\r\n \t")
    spare = len(encoded) % 4
    return binascii.a2b_base64(encoded[:-1] if spare == 1 else encoded + b"=" * (-len(encoded) % 4))


def digits(view: memoryview, end: int, kind: str, most: int) -> tuple[int, int] | None:
    """From where to where the run reaches that holds a hint which ends at ``end``, ``most`` bytes of it; None where that is chance.

    ``kind`` is ``hex`` (digits, perhaps each two with ``\\x`` in front) or ``percent``.
    """
    front = bytes(view[max(0, end - _REACH) : end])
    before = _FRONT[kind].match(front[::-1])
    start = end - (len(before[0]) if before else 0)
    if kind == "hex" and view[start] != 0x5C:
        start += (end - start) % 2  # the hint's digits are whole pairs
        if not _TEXT_PAIRS.match(view, max(start, end - _ENOUGH)):
            return None
    if kind == "percent":
        stop = _stripped(view, start, start + most, _PERCENT_BYTES)
    else:
        escapes = _ESCAPES.match(view, start, start + most)
        stop = escapes.end() if escapes else _pairs(view, start, start + most)
    return (start, stop) if stop > start else None


def _pairs(view: memoryview, start: int, most: int) -> int:
    """Where lines of pairs of hexadecimal digits end, with the end of the last one."""
    while True:
        behind = _stripped(view, start, most, _HEX_BYTES)
        odd, start, none = (behind - start) % 2, behind - (behind - start) % 2, behind - start < 2
        line_end = None if odd or none else _INDENT.match(view, start, most)
        if line_end is None:
            return start
        start = line_end.end()


def _stripped(view: memoryview, start: int, stop: int, letters: bytes) -> int:
    """Where a run of such bytes ends: ten times as fast as a pattern."""
    reach = _REACH
    while start < stop:
        some = bytes(view[start : min(stop, start + reach)])
        rest = len(some.lstrip(letters))
        start += len(some) - rest
        if rest or not some:
            break
        reach = min(8 * reach, 1 << 20)
    return start


def _from_percent(text: bytes) -> bytes:
    """As ``urllib.parse.unquote_to_bytes``, which makes an object of every escape and takes twenty times as long."""
    escaped = text.replace(b"\\", b"\\x5c")
    try:
        return _unescaped(escaped)
    except UnicodeDecodeError:  # not every sign begins an escape
        return _unescaped(_NO_ESCAPE.sub(rb"\\x25", escaped))


def _unescaped(text: bytes) -> bytes:
    return codecs.decode(text.replace(b"%", b"\\x"), "unicode_escape").encode("latin-1")


def from_digits(text: bytes, kind: str) -> bytes:
    """What such a run stands for."""
    if kind == "percent":
        return _from_percent(text)
    plain = text.translate(None, b"\\x\r\n \t")
    return binascii.unhexlify(plain[: len(plain) & ~1])
