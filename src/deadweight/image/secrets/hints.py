"""Patterns for "here begins something encoded". They run in the same pass as the rules.

Two properties make them quick. Every pattern reports few ends: one for each encoded run, not one for each of its bytes. And text
leaves marks that a matcher can look for: base64 of ASCII has a zero top bit in each byte, so three of the four characters of a
group come from half of the alphabet; UTF-16 text that any rule could match holds one of the rules' keywords, zero bytes between.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from deadweight.image.secrets.rules import RuleSet

Kind = Literal[
    "gzip", "zlib", "xz", "bzip2", "zstd", "zip", "utf-16", "utf-32", "base64", "hex", "percent", "pack", "lzma", "lz4"
]

# Base64 alphabet positions whose bit 3, or bit 1, is zero: second and third character of a group that encodes ASCII.
_SECOND = r"[A-HQ-Xg-nw-z0-3]"
_THIRD = r"[ABEFIJMNQRUVYZcdghklopstwx014589]"
_GROUP = rf"[A-Za-f]{_SECOND}{_THIRD}[A-Za-z0-9+/_-]"
# Two groups of encoded UTF-16-LE text: every second byte is zero.
_WIDE = r"[A-Za-f][AQgw][AB][A-Za-z0-9+/]A[A-H][AEIMQUYcgkosw048]A"
_BEFORE = r"[^A-Za-z0-9+/_-]"
# What rules without keywords have in common.
_MORE_WORDS = ("$1$", "$5$", "$6$", "$y$", "$2y$", "$2b$", "$apr1$", "{sha}")


@dataclass(frozen=True)
class Hint:
    """``back`` is how many bytes before the reported end the encoded object starts, at most; one of ``patterns`` matched."""

    kind: Kind
    patterns: tuple[str, ...]
    back: int
    literals: tuple[bytes, ...] = ()


def hints_for(rule_set: RuleSet) -> tuple[Hint, ...]:
    """All hints. A buffer is scanned as if a zero byte stood before it, so "the byte before" is always there."""
    words = sorted({word for rule in rule_set.rules for word in rule.keywords if len(word) >= 3} | set(_MORE_WORDS))
    literals = tuple(b"\0".join(bytes([char]) for char in word.encode()) for word in words)
    wider = tuple(b"\0\0\0".join(bytes([char]) for char in word.encode()) for word in words)
    widest = tuple("(?i:" + "".join(f"\\x{char:02x}" for char in literal) + ")" for literal in wider)
    wide = tuple("(?i:" + "".join(f"\\x{char:02x}" for char in literal) + ")" for literal in literals)
    return (
        Hint("gzip", (r"\x1f\x8b\x08[\x00-\x1f][\x00-\xff]{4}[\x00\x02\x04][\x00-\x0d\xff]",), 10),
        Hint("zlib", (r"\x00\x78[\x01\x5e\x9c\xda][\x00-\xff]",), 3),
        Hint("xz", (r"\xfd7zXZ\x00",), 6),
        Hint("bzip2", (r"BZh[1-9]1AY\x26SY",), 10),
        Hint("zstd", (r"\x28\xb5\x2f\xfd",), 4),
        Hint("zip", (r"PK\x03\x04[\x0a-\x3f]\x00[\x00-\xff]{2}[\x00-\x63]\x00",), 10),
        Hint("pack", (r"PACK\x00\x00\x00[\x02\x03]",), 8),
        Hint("base64", (f"{_BEFORE}(?:{_GROUP}){{6}}", f"{_BEFORE}(?:{_WIDE}){{3}}", _ENCODED_MAGIC), 24),
        Hint("utf-16", wide, 1, literals),
        Hint("utf-32", widest, 1, wider),
        Hint("hex", (_HEX, _ESCAPED), 0),
        Hint("percent", (_PERCENT, _ASSIGNED), 0),
        # Source: lzma's own header: properties, a dictionary of 2^n or 2^n + 2^(n-1) bytes, a size or none, and a zero.
        Hint("lzma", (_LZMA,), 14),
        Hint("lz4", (r"\x04\x22\x4d\x18[\x40-\x7f][\x40-\x70]",), 6),
    )


# Text in hexadecimal digits, and as a program's source has it (``\x70``): bytes of ASCII begin with 2 to 7.
_HEX = r"[^0-9A-Fa-f](?:[2-7][0-9A-Fa-f]|0[9AaDd]){20}"
_ESCAPED = r"(?:\\x[2-7][0-9A-Fa-f]){8}"
_PERCENT = r"(?:%[2-7][0-9A-Fa-f]){6}"
_ASSIGNED = r"[A-Za-z0-9_.-](?:%2[27])?%3[DdAa](?:%2[027])*[A-Za-z0-9+/_.~!@#$*%-]{6}"
_LZMA = (
    r"\x5d\x00\x00(?:(?:[\x01\x02\x04\x08\x10\x18\x20\x30\x40\x60\x80\xc0]\x00|\x00[\x01-\x03])"
    r"(?:\xff{8}|[\x00-\xff]{4}\x00{4})|\x00\x04\xff{8})\x00"
)
# The first bytes of gzip, zip, zstd, xz and bzip2 as base64.
_ENCODED_MAGIC = r"(?:H4sI|UEsDB[AB]|KLUv/|/Td6WFo|QlpoOTFBW)[A-Za-z0-9+/_-]{16}"
