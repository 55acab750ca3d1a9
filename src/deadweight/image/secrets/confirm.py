"""From candidates to findings: the exact pattern around each candidate, then entropy, verification and allow lists."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from deadweight.image.secrets.model import Hit
from deadweight.image.secrets.rules import AllowList, Rule, RuleSet
from deadweight.image.secrets.verify import CHECKS, Candidate, entropy

_MARGIN = 64  # bytes in front of a candidate: context for look-behind, and what the prefilter left off
_LONGEST = 1 << 20  # bytes; a match that is longer is taken as it is
_LINE_REACH = 500


@dataclass(frozen=True)
class Found:
    """One confirmed secret. ``start`` and ``stop`` are offsets of the raw secret, ``secret`` is its normal form."""

    rule: Rule
    start: int
    stop: int
    secret: bytes


def confirmed(rule_set: RuleSet, view: memoryview, path: str, hits: Iterable[Hit]) -> list[Found]:
    """What the candidates really are, by offset; where several rules find the same secret, the most specific one names it."""
    by_rule: dict[int, list[int]] = {}
    for hit in hits:
        by_rule.setdefault(hit.rule, []).append(hit.end)
    found: dict[tuple[str, int, int], Found] = {}
    for number, ends in by_rule.items():
        rule = rule_set.rules[number]
        if rule.path_pattern is not None and not rule.path_pattern.search(path):
            continue
        for one in _of_rule(rule, rule_set.allow, view, sorted(ends)):
            found[rule.id, one.start, one.stop] = one
    return _most_specific(found.values())


def _most_specific(found: Iterable[Found]) -> list[Found]:
    kept: list[Found] = []
    for one in sorted(found, key=lambda item: (-item.rule.rank, item.start - item.stop, item.start, item.rule.id)):
        if not any(one.start < other.stop and other.start < one.stop for other in kept):
            kept.append(one)
    return sorted(kept, key=lambda item: item.start)


def _of_rule(rule: Rule, allow: tuple[AllowList, ...], view: memoryview, ends: list[int]) -> Iterator[Found]:
    for low, high in _windows(rule, ends, len(view)):
        for match, base in _matches(rule, view, low, high):
            one = _judged(rule, allow, view, match, base)
            if one is not None:
                yield one


def _windows(rule: Rule, ends: list[int], size: int) -> Iterator[tuple[int, int]]:
    """Ranges around the candidates, merged where they overlap."""
    low, high = -1, -1
    for end in ends:
        begin, stop = max(0, end - rule.before - _MARGIN), min(size, end + rule.after + 2)
        if begin > high:
            if high >= 0:
                yield low, high
            low = begin
        high = max(high, stop)
    if high >= 0:
        yield low, high


def _matches(rule: Rule, view: memoryview, low: int, high: int) -> Iterator[tuple[re.Match[bytes], int]]:
    """Exact matches in a window, each with the window's offset. The window grows while a match touches its end."""
    base = max(0, low - 1)  # one byte more, so that ^ and \\b see what stands in front
    text, at = bytes(view[base:high]), low - base
    while True:
        match = rule.pattern.search(text, at)
        if match is None:
            return
        if match.end() == len(text) and base + len(text) < len(view) and len(text) < _LONGEST:
            text = bytes(view[base : base + 4 * len(text) + 1024])
            continue
        yield match, base
        at = max(match.end(), match.start() + 1)


def _judged(
    rule: Rule, allow: tuple[AllowList, ...], view: memoryview, match: re.Match[bytes], base: int
) -> Found | None:
    group = _secret_group(rule, match)
    secret = match[group]
    if rule.entropy and entropy(secret) <= rule.entropy:
        return None
    start, stop = base + match.start(group), base + match.end(group)
    whole = _lead(rule, view, base + match.start()) + match[0]
    if rule.check:
        verified = CHECKS[rule.check](Candidate(secret, whole, bytes(view[max(0, start - 1) : start]), view[start:]))
        if verified is None:
            return None
        secret = verified
    line = _line(view, start, stop)
    if any(entry.covers(match[group], whole, line) for entry in (*allow, *rule.allow)):
        return None
    return Found(rule, start, stop, secret)


def _secret_group(rule: Rule, match: re.Match[bytes]) -> int:
    """Which group is the secret: the one named so, the one that the rule says, the first that took part, or the whole match."""
    named = match.re.groupindex
    if "secret" in named and match["secret"] is not None:
        return named["secret"]
    if rule.group:
        return rule.group
    ignored = named.get("quote", 0)
    return next((number for number in range(1, match.re.groups + 1) if number != ignored and match[number]), 0)


def _lead(rule: Rule, view: memoryview, start: int) -> bytes:
    """The name characters directly in front of a match, as far as they belong to it."""
    if not rule.lead:
        return b""
    found = _NAME_END.search(bytes(view[max(0, start - rule.lead) : start]))
    return found[0] if found else b""


_NAME_END = re.compile(rb"[\w.-]*\Z")


def _line(view: memoryview, start: int, stop: int) -> bytes:
    """The line that holds the secret, as far as it reaches at most 500 bytes to either side."""
    front = bytes(view[max(0, start - _LINE_REACH) : start])
    back = bytes(view[stop : stop + _LINE_REACH])
    return front[front.rfind(b"\n") + 1 :] + bytes(view[start : min(stop, start + 4096)]) + back.split(b"\n", 1)[0]
