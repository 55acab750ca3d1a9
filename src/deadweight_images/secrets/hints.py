"""Patterns that mark where encoded data (base64, hex, gzip, UTF-16) starts, matched in one pass with the rules.

Two properties make them fast. Each reports few matches: one per encoded run, not one per byte. And encoded text leaves marks to
match. Base64 of ASCII has a zero top bit in each byte, so three of a group's four characters come from half the alphabet. UTF-16
text that a rule could match holds one of its keywords, with zero bytes between.

The marks of base64 and hex have no fixed character, so searching for them takes longer than all else together. That is done only
in text. Elsewhere, as in programs, the search is for the rules' keywords as such an encoding writes them.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal

from deadweight_images.secrets.rules import RuleSet

# The rules' keywords as encodings write them: patterns for places where encoded text may hold something that a rule looks for.

_LEAST = 3  # characters of a keyword that is looked for where it is encoded
# What rules without keywords have in common.
_MORE_WORDS = ("$1$", "$5$", "$6$", "$y$", "$2y$", "$2b$", "$apr1$", "{sha}")
# How encoded JSON begins, and JSON and a PEM block that are encoded twice.
_BEGINNINGS = ("eyJ", "ZXlK", "LS0tLS1C")
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_URL_SAFE = {"+": r"[+\-]", "/": "[/_]"}  # the alphabet for URLs has two letters of its own
_SURE, _FEW = 4, 4
_TOGETHER = 32  # words in one pattern; thousands of patterns take five times as long to compile


def wide_literals(rule_set: RuleSet, width: int) -> list[bytes]:
    """The keywords, in small letters, as UTF-16 or UTF-32 writes them: characters of ``width`` bytes, without the outer zeros."""
    words = {word for rule in rule_set.rules for word in rule.keywords if len(word) >= _LEAST} | {*_MORE_WORDS}
    return [(b"\0" * (width - 1)).join(bytes([char]) for char in word.encode()) for word in sorted(words)]


def wide_patterns(rule_set: RuleSet, width: int) -> Iterator[str]:
    """Patterns for keywords in UTF-16 or UTF-32, in any case."""
    for literal in wide_literals(rule_set, width):
        yield "(?i:" + "".join(f"\\x{char:02x}" for char in literal) + ")"


def _spelled(rule_set: RuleSet) -> list[bytes]:
    """Keywords as the rules write them; those of rules for any case in small letters, in capitals and with one capital, too.

    None that holds another one.
    """
    words = {*_MORE_WORDS, *_BEGINNINGS}
    for rule in rule_set.rules:
        lowered = rule.regex.lower()
        for word in (keyword for keyword in rule.keywords if len(keyword) >= _LEAST):
            places = [match.start() for match in re.finditer(re.escape(word), lowered)]
            words |= {rule.regex[at : at + len(word)] for at in places}
            if not places or "(?i" in rule.regex:
                words |= {word, word.upper(), word[:1].upper() + word[1:]}
    least: list[str] = []
    for word in sorted(words, key=lambda word: (len(word), word)):
        if not any(other in word for other in least):
            least.append(word)
    return [word.encode() for word in least]


def _encoded(words: Iterable[bytes], encode: Callable[[bytes], Iterable[str]]) -> Iterator[str]:
    some = sorted({text for word in words for text in encode(word)})
    for at in range(0, len(some), _TOGETHER):
        yield f"(?:{'|'.join(some[at : at + _TOGETHER])})"


def _in_hex(word: bytes) -> Iterator[str]:
    yield f"(?i:{word.hex()})"


def _in_base64(word: bytes) -> Iterator[str]:
    """At the three places that a word may have in base64's groups, with as much of what it shares with its neighbours as it needs
    to be told from chance."""
    for shift in range(3):
        fillers = ((filler * shift, filler * (-(shift + len(word)) % 3)) for filler in (b"\0", b"\xff"))
        ends = [base64.b64encode(front + word + back).decode() for front, back in fillers]
        chosen = [_common(*pair) for pair in zip(*ends, strict=True)]
        most = 1 if sum(len(choice) == 1 for choice in chosen) >= _SURE else _FEW
        for letters in product(*(choice for choice in chosen if len(choice) <= most)):
            yield "".join(_URL_SAFE.get(letter, letter) for letter in letters)


def _common(low: str, high: str) -> str:
    """The characters that have the bits in which two agree."""
    first, last = _ALPHABET.index(low), _ALPHABET.index(high)
    same = ~(first ^ last)
    return "".join(_ALPHABET[value] for value in range(64) if value & same == first & same)


Kind = Literal[
    "gzip", "zlib", "xz", "bzip2", "zstd", "zip", "utf-16", "utf-32", "base64", "hex", "percent", "pack", "lzma", "lz4"
]

# Base64 alphabet positions whose bit 3, or bit 1, is zero: second and third character of a group that encodes ASCII.
_SECOND = r"[A-HQ-Xg-nw-z0-3]"
_THIRD = r"[ABEFIJMNQRUVYZcdghklopstwx014589]"
GROUP = rf"[A-Za-f]{_SECOND}{_THIRD}[A-Za-z0-9+/_-]"
# Two groups of encoded UTF-16-LE text: every second byte is zero.
WIDE_GROUP = r"[A-Za-f][AQgw][AB][A-Za-z0-9+/]A[A-H][AEIMQUYcgkosw048]A"
_BEFORE = r"[^A-Za-z0-9+/_-]"
# Text in hexadecimal digits, and as a program's source has it (``\x70``): bytes of ASCII begin with 2 to 7.
PAIR = r"(?:[2-7][0-9A-Fa-f]|0[9AaDd])"
_HEX = rf"[^0-9A-Fa-f]{PAIR}{{20}}"
_ESCAPED = r"(?:\\x[2-7][0-9A-Fa-f]){8}"
_PERCENT = r"(?:%[2-7][0-9A-Fa-f]){6}"
_ASSIGNED = r"[A-Za-z0-9_.-](?:%2[27])?%3[DdAa](?:%2[027])*[A-Za-z0-9+/_.~!@#$*%-]{6}"
# Source: lzma's own header: properties, a dictionary of 2^n or 2^n + 2^(n-1) bytes, a size or none, and a zero.
_LZMA = (
    r"\x5d\x00\x00(?:(?:[\x01\x02\x04\x08\x10\x18\x20\x30\x40\x60\x80\xc0]\x00|\x00[\x01-\x03])"
    r"(?:\xff{8}|[\x00-\xff]{4}\x00{4})|\x00\x04\xff{8})\x00"
)
# The first bytes of gzip, zip, zstd, xz and bzip2 as base64.
ENCODED_MAGIC = r"(?:H4sI|UEsDB[AB]|KLUv/|/Td6WFo|QlpoOTFBW)[A-Za-z0-9+/_-]{16}"


@dataclass(frozen=True)
class Hint:
    """``back`` is how many bytes before the reported end the encoded object starts, at most. ``patterns`` are those that do not
    depend on the rules, ``in_text`` those that are looked for in text only.

    A buffer is scanned as if a zero byte stood before it, so "the byte before" is always there.
    """

    kind: Kind
    back: int
    patterns: tuple[str, ...] = ()
    in_text: tuple[str, ...] = ()


HINTS = (
    Hint("gzip", 10, (r"\x1f\x8b\x08[\x00-\x1f][\x00-\xff]{4}[\x00\x02\x04][\x00-\x0d\xff]",)),
    Hint("zlib", 3, (r"\x00\x78[\x01\x5e\x9c\xda][\x00-\xff]",)),
    Hint("xz", 6, (r"\xfd7zXZ\x00",)),
    Hint("bzip2", 10, (r"BZh[1-9]1AY\x26SY",)),
    Hint("zstd", 4, (r"\x28\xb5\x2f\xfd",)),
    Hint("zip", 10, (r"PK\x03\x04[\x0a-\x3f]\x00[\x00-\xff]{2}[\x00-\x63]\x00",)),
    Hint("pack", 8, (r"PACK\x00\x00\x00[\x02\x03]",)),
    Hint("base64", 24, (f"{_BEFORE}(?:{WIDE_GROUP}){{3}}", ENCODED_MAGIC), (f"{_BEFORE}(?:{GROUP}){{6}}",)),
    Hint("utf-16", 1),
    Hint("utf-32", 1),
    Hint("hex", 0, (_ESCAPED,), (_HEX,)),
    Hint("percent", 0, (_PERCENT, _ASSIGNED)),
    Hint("lzma", 14, (_LZMA,)),
    Hint("lz4", 6, (r"\x04\x22\x4d\x18[\x40-\x7f][\x40-\x70]",)),
)
WIDTHS = {"utf-16": 2, "utf-32": 4}
"""Bytes of a character, of the hints that are keywords in another encoding and nothing else."""


def quick_patterns(rule_set: RuleSet) -> Iterator[tuple[str, int]]:
    """What is looked for everywhere, each with its hint's number."""
    for number, hint in enumerate(HINTS):
        patterns = list(hint.patterns)
        if hint.kind in WIDTHS:
            patterns += wide_patterns(rule_set, WIDTHS[hint.kind])
        elif hint.kind in ("base64", "hex"):
            patterns += _encoded(_spelled(rule_set), _in_base64 if hint.kind == "base64" else _in_hex)
        yield from ((text, number) for text in patterns)


def text_patterns() -> Iterator[tuple[str, int]]:
    """What is looked for in text only, each with its hint's number."""
    for number, hint in enumerate(HINTS):
        yield from ((text, number) for text in hint.in_text)
