"""Candidates by ``re`` alone, for machines without hyperscan: keywords first, then the rule's pattern around each."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from functools import cached_property

from deadweight_images.secrets import keywords
from deadweight_images.secrets.hints import HINTS, WIDTHS
from deadweight_images.secrets.matcher import pieces
from deadweight_images.secrets.model import Hit
from deadweight_images.secrets.rules import Rule, RuleSet

_PLAIN_PIECE = 1 << 24


class PlainMatcher:
    """Candidates by ``re`` alone: each rule's prefilter, around the places that hold one of its keywords."""

    name = "re"
    most_hints = sys.maxsize

    def __init__(self, rule_set: RuleSet) -> None:
        self._rules, self._rule_set = rule_set.rules, rule_set

    @cached_property
    def _patterns(self) -> tuple[re.Pattern[bytes], ...]:
        return tuple(re.compile(rule.prefilter.encode("latin-1")) for rule in self._rules)

    @cached_property
    def _hint_patterns(self) -> tuple[tuple[re.Pattern[bytes], ...], ...]:
        return tuple(
            tuple(re.compile(text.encode("latin-1")) for text in (*hint.patterns, *hint.in_text)) for hint in HINTS
        )

    @cached_property
    def _literals(self) -> tuple[list[bytes], ...]:
        wide = (WIDTHS.get(hint.kind) for hint in HINTS)
        return tuple(keywords.wide_literals(self._rule_set, width) if width else [] for width in wide)

    def hits(self, view: memoryview, *, decode: bool, text: Sequence[tuple[int, int]] | None = None) -> list[Hit]:  # noqa: ARG002
        """Takes everything for text: to look for each keyword in each encoding would take longer."""
        found: set[Hit] = set()
        for start, stop in pieces(len(view), _PLAIN_PIECE):
            part = b"\0" + bytes(view[start:stop])
            lowered = part.lower()
            for number, rule in enumerate(self._rules):
                for low, high in _around_keywords(rule, lowered):
                    ends = _ends(self._patterns[number], part, low, high)
                    found.update(Hit(start + end - 1, number) for end in ends)
            if decode:
                found.update(Hit(start + hit.end - 1, hit.rule) for hit in self._hint_hits(part, lowered))
        return sorted(found)

    def _hint_hits(self, part: bytes, lowered: bytes) -> Iterator[Hit]:
        for number, patterns in enumerate(self._hint_patterns):
            for pattern in patterns:
                yield from (Hit(end, len(self._rules) + number) for end in _ends(pattern, part, 0, len(part)))
            for literal in self._literals[number]:
                yield from (Hit(at + len(literal), len(self._rules) + number) for at in _places(literal, lowered))


def _around_keywords(rule: Rule, lowered: bytes) -> Iterator[tuple[int, int]]:
    """Ranges, merged where they overlap, in which the rule's prefilter could match."""
    if not rule.keywords:
        yield 0, len(lowered)
        return
    reach = rule.before + rule.after
    places = sorted(place for word in rule.keywords for place in _places(word.encode(), lowered))
    low, high = -1, -1
    for place in places:
        if place - reach > high:
            if high >= 0:
                yield low, high
            low = max(0, place - reach)
        high = min(len(lowered), place + reach)
    if high >= 0:
        yield low, high


def _places(word: bytes, text: bytes) -> Iterator[int]:
    at = text.find(word)
    while at >= 0:
        yield at
        at = text.find(word, at + 1)


def _ends(pattern: re.Pattern[bytes], text: bytes, low: int, high: int) -> Iterator[int]:
    """Where matches end, overlapping ones too: the next search begins one byte behind the last match's start."""
    match = pattern.search(text, low, high)
    while match:
        yield match.end()
        match = pattern.search(text, match.start() + 1, high)
