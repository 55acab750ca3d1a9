"""The rules' keywords as encodings write them: patterns for places where encoded text may hold something that a rule looks for."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import product

from deadweight_images.secrets.rules import RuleSet

_LEAST = 3  # characters of a keyword that is looked for where it is encoded
# What rules without keywords have in common.
_MORE_WORDS = ("$1$", "$5$", "$6$", "$y$", "$2y$", "$2b$", "$apr1$", "{sha}")
# How encoded JSON begins, and JSON and a PEM block that are encoded twice.
_BEGINNINGS = ("eyJ", "ZXlK", "LS0tLS1C")
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
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


def base64_patterns(rule_set: RuleSet) -> Iterator[str]:
    return _encoded(_spelled(rule_set), _in_base64)


def hex_patterns(rule_set: RuleSet) -> Iterator[str]:
    return _encoded(_spelled(rule_set), _in_hex)


def _spelled(rule_set: RuleSet) -> list[bytes]:
    """Keywords as the rules write them; those of rules for any case in small letters, in capitals and with one capital, too.

    None that holds another one.
    """
    found = {*_MORE_WORDS, *_BEGINNINGS}
    for rule in rule_set.rules:
        lowered = rule.regex.lower()
        for word in (each for each in rule.keywords if len(each) >= _LEAST):
            places = [match.start() for match in re.finditer(re.escape(word), lowered)]
            found |= {rule.regex[at : at + len(word)] for at in places}
            if not places or "(?i" in rule.regex:
                found |= {word, word.upper(), word[:1].upper() + word[1:]}
    least: list[str] = []
    for word in sorted(found, key=lambda each: (len(each), each)):
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
        ends = [base64.b64encode(_padded(shift, word, filler)).decode() for filler in (b"\0", b"\xff")]
        chosen = [_common(*pair) for pair in zip(*ends, strict=True)]
        most = 1 if sum(len(each) == 1 for each in chosen) >= _SURE else _FEW
        for letters in product(*(each for each in chosen if len(each) <= most)):
            yield "".join(map(_in_any_alphabet, letters))


def _padded(shift: int, word: bytes, filler: bytes) -> bytes:
    return filler * shift + word + filler * (-(shift + len(word)) % 3)


def _common(low: str, high: str) -> str:
    """The characters that have the bits in which two agree."""
    first, last = _ALPHABET.index(low), _ALPHABET.index(high)
    same = ~(first ^ last)
    return "".join(_ALPHABET[value] for value in range(64) if value & same == first & same)


def _in_any_alphabet(letter: str) -> str:
    """The alphabet for URLs has two letters of its own."""
    return {"+": r"[+\-]", "/": "[/_]"}.get(letter, letter)
