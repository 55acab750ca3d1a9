"""Patterns for "here begins something encoded". They run in the same pass as the rules.

Two properties make them quick. Every pattern reports few ends: one for each encoded run, not one for each of its bytes. And text
leaves marks that a matcher can look for: base64 of ASCII has a zero top bit in each byte, so three of the four characters of a
group come from half of the alphabet; UTF-16 text that any rule could match holds one of the rules' keywords, zero bytes between.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from deadweight.image.secrets.rules import RuleSet

Kind = Literal["gzip", "zlib", "xz", "bzip2", "zstd", "zip", "utf-16", "base64", "pack"]

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
    )


# The first bytes of gzip, zip, zstd, xz and bzip2 as base64.
_ENCODED_MAGIC = r"(?:H4sI|UEsDB[AB]|KLUv/|/Td6WFo|QlpoOTFBW)[A-Za-z0-9+/_-]{16}"
