"""Confirm secret candidates: match the exact pattern around each, then check entropy, format and allow lists."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from deadweight_images.secrets.formats import CHECKS
from deadweight_images.secrets.matcher import CLOSE
from deadweight_images.secrets.model import Budget, Hit
from deadweight_images.secrets.rules import BROAD, AllowList, Rule, RuleSet
from deadweight_images.secrets.verify import Candidate, entropy, meant_to_be_seen, misshapen

_MARGIN = 64  # bytes in front of a candidate: context for look-behind, and what the prefilter left off
_CROWD = 8 << 20  # bytes; candidates of one rule in one buffer that need more than this are not all looked at
_MOST = 400  # different secrets that one rule may find in one buffer
_LONGEST = 1 << 20  # bytes; a match that is longer is taken as it is
_LINE_REACH = 500
_NAME_REACH = 60
_AROUND = 512  # bytes; no verdict depends on what lies farther from a match, but for the checks in _FAR
_REMEMBERED, _SHORT = 256, 4096  # verdicts of one rule at a time, for what repeats does so soon; bytes of such a match
_FAR = frozenset({"pkcs12_key"})


@dataclass(frozen=True)
class ConfirmedSecret:
    """One confirmed secret. ``start`` and ``stop`` are offsets of the raw secret, ``secret`` is its normal form; ``unsure`` as
    ``context.misshapen`` says."""

    rule: Rule
    start: int
    stop: int
    secret: bytes
    unsure: bool = False


@dataclass(frozen=True)
class Crowd:
    """A rule that had so many candidates in one buffer that ``size_bytes`` around them were not looked at."""

    rule: Rule
    size_bytes: int


def confirmed(
    rule_set: RuleSet, view: memoryview, path: str, hits: Iterable[Hit], budget: Budget
) -> tuple[list[ConfirmedSecret], list[Crowd]]:
    """What the candidates really are, by offset, each secret once; and what was too much. Verdicts are taken off the budget.

    Where several rules find the same secret, the most specific one names it.
    """
    by_rule: dict[int, list[int]] = {}
    for hit in hits:
        by_rule.setdefault(hit.rule, []).append(hit.end)
    findings: list[ConfirmedSecret] = []
    crowds: list[Crowd] = []
    # A rule with a crowd of candidates comes last, for it may take what is left of the budget.
    for number, ends in sorted(by_rule.items(), key=lambda item: len(item[1])):
        rule = rule_set.rules[number]
        if rule.path_pattern is not None and not rule.path_pattern.search(path):
            continue
        secrets: dict[bytes, ConfirmedSecret] = {}
        for item in _of_rule(rule, rule_set.allow, view, sorted(ends), budget):
            if isinstance(item, Crowd):
                crowds.append(item)
            elif len(secrets) < _MOST:
                secrets.setdefault(item.secret, item)
            else:
                crowds.append(Crowd(rule, len(view) - item.start))
                break
        findings += secrets.values()
    return _most_specific(findings), crowds


def _most_specific(findings: Iterable[ConfirmedSecret]) -> list[ConfirmedSecret]:
    kept: list[ConfirmedSecret] = []  # by start; they do not overlap
    for one in sorted(findings, key=lambda item: (-item.rule.rank, item.start - item.stop, item.start, item.rule.id)):
        place = bisect_left(kept, one.start, key=lambda item: item.start)
        free_before = place == 0 or kept[place - 1].stop <= one.start
        if free_before and (place == len(kept) or kept[place].start >= one.stop):
            kept.insert(place, one)
    return kept


def _of_rule(
    rule: Rule, allow: tuple[AllowList, ...], view: memoryview, ends: list[int], budget: Budget
) -> Iterator[ConfirmedSecret | Crowd]:
    verdicts = _Verdicts(rule, allow, view)
    looked = 0
    windows = list(_windows(rule, ends, len(view)))
    for number, (low, high) in enumerate(windows):
        if looked + high - low > _CROWD:
            rest = sum(stop - start for start, stop in windows[number:]) - max(0, _CROWD - looked)
            high = low + max(0, _CROWD - looked)
            yield Crowd(rule, rest)
        looked += high - low
        for match, base in _matches(rule, view, low, high) if high > low else ():
            one = verdicts.of(match, base, budget)
            if one is not None:
                yield one
            if budget.verdicts < 0:
                return
        if looked >= _CROWD:
            return


class _Verdicts:
    """What becomes of one rule's matches in one buffer. What was judged once is not judged again."""

    def __init__(self, rule: Rule, allow: tuple[AllowList, ...], view: memoryview) -> None:
        self._rule, self._allow, self._view = rule, allow, view
        self._found: set[bytes] = set()
        self._refused: set[tuple[int, bytes]] = set()

    def of(self, match: re.Match[bytes], base: int, budget: Budget) -> ConfirmedSecret | Crowd | None:
        """A new secret, nothing, or that no more may be refused, which leaves less than nothing in the budget."""
        if match[0] in self._found:
            return None
        start, stop = match.span()
        front = base + start - _AROUND
        around = stop - start, bytes(self._view[front if front > 0 else 0 : base + stop + _AROUND])
        if around in self._refused:
            return None
        one = _judged(self._rule, self._allow, self._view, match, base)
        if one is not None:
            self._found.add(match[0])
            return one
        budget.verdicts -= 1
        if budget.verdicts < 0:
            return Crowd(self._rule, len(self._view) - base - start)
        if self._rule.check not in _FAR and stop - start <= _SHORT:
            if len(self._refused) >= _REMEMBERED:
                self._refused.clear()
            self._refused.add(around)
        return None


def _windows(rule: Rule, ends: list[int], size: int) -> Iterator[tuple[int, int]]:
    """Ranges around the candidates, merged where they overlap."""
    low, high = -1, -1
    for end in ends:
        begin, stop = max(0, end - rule.before - _MARGIN), min(size, end + rule.after + CLOSE)
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
    while at >= 0:
        after = at
        at = -1
        for match in rule.matches(text, after):
            if base + match.start() >= high:
                return  # what begins behind the window is another one's, or not looked at
            if match.end() == len(text) and base + len(text) < len(view) and len(text) < _LONGEST:
                text, at = bytes(view[base : base + 4 * len(text) + 1024]), after
                break
            yield match, base
            after = match.end()


def _judged(
    rule: Rule, allow: tuple[AllowList, ...], view: memoryview, match: re.Match[bytes], base: int
) -> ConfirmedSecret | None:
    group = _secret_group(rule, match)
    secret = match[group]
    if rule.entropy and entropy(secret) <= rule.entropy:
        return None
    start, stop = base + match.start(group), base + match.end(group)
    whole = _lead(rule, view, base + match.start()) + match[0]
    front = bytes(view[max(0, start - _NAME_REACH) : start])
    candidate = Candidate(secret, whole, front[-1:], view[start:], front[front.rfind(b"\n") + 1 :])
    if rule.check:
        verified = CHECKS[rule.check](candidate)
        if verified is None:
            return None
        secret = verified
    line = _line(view, start, stop)
    if any(entry.covers(match[group], whole, line, secret) for entry in (*allow, *rule.allow)):
        return None
    if rule.id not in BROAD:
        return ConfirmedSecret(rule, start, stop, secret)
    if meant_to_be_seen(candidate.name):
        return None
    return ConfirmedSecret(rule, start, stop, secret, misshapen(candidate.line, candidate.name, match[group]))


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
    match = _NAME_END.search(bytes(view[max(0, start - rule.lead) : start]))
    return match[0] if match else b""


_NAME_END = re.compile(rb"[\w.-]*\Z")


def _line(view: memoryview, start: int, stop: int) -> bytes:
    """The line that holds the secret, as far as it reaches at most 500 bytes to either side."""
    front = bytes(view[max(0, start - _LINE_REACH) : start])
    back = bytes(view[stop : stop + _LINE_REACH])
    return front[front.rfind(b"\n") + 1 :] + bytes(view[start : min(stop, start + 4096)]) + back.split(b"\n", 1)[0]
