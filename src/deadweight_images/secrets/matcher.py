"""Match all secret rules against a buffer in one pass, and return candidates.

There are two engines with the same result. ``HyperscanMatcher`` is fast: hundreds of patterns at hundreds of MB/s, without the
GIL. ``PlainMatcher`` is for machines without hyperscan.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from deadweight_images.cache_files import user_cache, write_atomically
from deadweight_images.secrets import hints
from deadweight_images.secrets.hints import HINTS, WIDTHS, quick_patterns, text_patterns
from deadweight_images.secrets.model import Hit
from deadweight_images.secrets.rules import Rule, RuleSet

# Candidates by ``re`` alone, for machines without hyperscan: keywords first, then the rule's pattern around each.

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
        texts = ((*hint.patterns, *hint.in_text) for hint in HINTS)
        return tuple(tuple(re.compile(text.encode("latin-1")) for text in some) for some in texts)

    @cached_property
    def _literals(self) -> tuple[list[bytes], ...]:
        wide = (WIDTHS.get(hint.kind) for hint in HINTS)
        return tuple(hints.wide_literals(self._rule_set, width) if width else [] for width in wide)

    def hits(self, view: memoryview, *, decode: bool, text: Sequence[tuple[int, int]] | None = None) -> list[Hit]:  # noqa: ARG002
        """Takes everything for text: to look for each keyword in each encoding would take longer."""
        hits: set[Hit] = set()
        for start, stop in pieces(len(view), _PLAIN_PIECE):
            part = b"\0" + bytes(view[start:stop])
            lowered = part.lower()
            for number, rule in enumerate(self._rules):
                for low, high in _around_keywords(rule, lowered):
                    ends = _ends(self._patterns[number], part, low, high)
                    hits.update(Hit(start + end - 1, number) for end in ends)
            if decode:
                hits.update(Hit(start + hit.end - 1, hit.rule) for hit in self._hint_hits(part, lowered))
        return sorted(hits)

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


# Candidates of one rule that lie closer together than this are one: their windows overlap. In a tar, two files are further apart.
CLOSE = 256
MANY_HINTS = 100_000  # per kind and call; from there on they are thinned out, which one too many tells
# Hits of one kind in a call, each of which costs a call back: behind so many only rules are looked for.
MOST_EVENTS = 150_000
# In place of a rule: of the ``PART`` bytes that end here not all was looked at, there are too many candidates.
UNREAD = 1 << 30
PART = 1 << 16  # bytes
_FEW = 256  # events of all rules in a part, once there were too many before
_SMALL = 4096  # bytes; so few are copied rather than looked at twice
PIECE = 1 << 28  # hyperscan takes less than 4 GiB at a time
_HEAD = 64  # bytes at the start of a buffer that are looked at once more, behind a zero byte
OVERLAP = 1 << 13  # more than the longest reach of any prefilter (relax.UNBOUNDED)


KEPT = 12  # compiled databases in the user's cache, of 2 MB each
_UNUSED = 86_400.0  # seconds; what was used later is left alone, whatever there is
_OURS = re.compile(r"(?:plain|decode|text)-[0-9a-f]{24}\.hsdb")


class Matcher(Protocol):
    """Reports where a rule (or, with ``decode``, a hint) may match: ids below the rules' count are rules, others hints."""

    name: str
    most_hints: int
    """A hint of which there are more than so many hits was thinned out from there on."""

    def hits(self, view: memoryview, *, decode: bool, text: Sequence[tuple[int, int]] | None = None) -> list[Hit]:
        """All candidates, by end offset, and ``UNREAD`` where there are more than can be looked at in time. Safe to call from
        several threads.

        ``text`` says from where to where the buffer holds text (None: all of it). What is encoded elsewhere may be found by the
        rules' keywords alone.
        """


def pieces(size: int, step: int) -> Iterator[tuple[int, int]]:
    """Offsets from and to, overlapping, that cover a buffer."""
    start = 0
    while start < size:
        yield max(0, start - OVERLAP), min(size, start + step)
        start += step


class HyperscanMatcher:
    """Compiled databases of the rules, of the rules with hints, and of the hints for text; all kept in the user's cache."""

    name = "hyperscan"
    most_hints = MANY_HINTS

    def __init__(self, rule_set: RuleSet) -> None:
        self._rule_set, self._local, self._lock = rule_set, threading.local(), threading.Lock()
        self._databases: dict[str, Any] = {}

    def _patterns(self, name: str) -> list[tuple[str, int]]:
        count = len(self._rule_set.rules)
        if name == "text":
            return [(text, count + number) for text, number in text_patterns()]
        rules = [(rule.prefilter, number) for number, rule in enumerate(self._rule_set.rules)]
        if name == "plain":
            return rules
        return [*rules, *((text, count + number) for text, number in quick_patterns(self._rule_set))]

    def hits(self, view: memoryview, *, decode: bool, text: Sequence[tuple[int, int]] | None = None) -> list[Hit]:
        if not decode:
            return sorted(set(self._scan("plain", view)[0]))
        hits, whole = self._scan("decode", view)
        if not whole:  # that there is more is told: more hits of a hint than ``most_hints``
            hits = [*(hit for hit in hits if hit.rule >= len(self._rule_set.rules)), *self._scan("plain", view)[0]]
        for start, stop in ((0, len(view)),) if text is None else text:
            before = max(0, start - 1)
            more, _whole = self._scan("text", view[before:stop])
            hits += [Hit(hit.end + before, hit.rule) for hit in more] if before else more
        return sorted(set(hits))

    def _scan(self, name: str, view: memoryview) -> tuple[list[Hit], bool]:
        """What one database finds, some of it twice, and whether that is all: a scan ends at too many hits of a hint."""
        import hyperscan

        database, scratch = self._ready(name)
        collector, head = _Collector(len(self._rule_set.rules)), _Collector(len(self._rule_set.rules))
        if name != "plain":  # hints look at the byte in front of what they find
            head.base, small = -1, len(view) <= _SMALL
            first = b"\0" + bytes(view if small else view[:_HEAD])
            database.scan(first, match_event_handler=head.take, scratch=scratch)
            if small:
                return head.hits, True
        for collector.base, stop in pieces(len(view), PIECE):
            part = view if (collector.base, stop) == (0, len(view)) else view[collector.base : stop]
            try:
                database.scan(part, match_event_handler=collector.take, scratch=scratch)
            except hyperscan.ScanTerminated:
                if collector.stopped is None:
                    return head.hits + collector.hits, False
                self._in_parts(database, scratch, view, collector)
                break
        return head.hits + collector.hits, True

    def _in_parts(self, database: Any, scratch: Any, view: memoryview, collector: _Collector) -> None:
        """Go on where so many candidates were that all of them would take too long: in each part, up to a few."""
        import hyperscan

        for start in range(collector.stopped or 0, len(view), PART):
            stop = min(len(view), start + PART)
            collector.base = max(0, start - OVERLAP)
            collector.events = MOST_EVENTS - _FEW
            try:
                database.scan(view[collector.base : stop], match_event_handler=collector.take, scratch=scratch)
            except hyperscan.ScanTerminated:
                collector.hits.append(Hit(stop, UNREAD))

    def _ready(self, name: str) -> tuple[Any, Any]:
        """A database and this thread's own scratch space for it."""
        scratch = getattr(self._local, name, None)
        with self._lock:
            if name not in self._databases:
                self._databases[name] = _database(name, self._rule_set, lambda: self._patterns(name))
            database = self._databases[name]
        if scratch is None:
            import hyperscan

            scratch = hyperscan.Scratch(database)
            setattr(self._local, name, scratch)
        return database, scratch


class _Collector:
    """Takes the matcher's events; keeps so few of a dense crowd that hostile content cannot fill the memory.

    ``events`` counts those of rules. At ``stopped`` there were too many of them, which ended the scan.
    """

    def __init__(self, rules: int) -> None:
        self.hits: list[Hit] = []
        self.base = self.events = 0
        self.stopped: int | None = None
        self._rules = rules
        self._last: dict[int, int] = {}
        self._seen: dict[int, int] = {}
        self._count: dict[int, int] = {}

    def take(self, rule: int, _start: int, end: int, _flags: int, _context: object) -> bool | None:
        at = self.base + end
        if rule >= self._rules:
            if at <= self._seen.get(rule, -1):
                return None  # another pattern of the hint, or the overlap of two pieces: ends come in order
            self._seen[rule] = at
            self._count[rule] = count = self._count.get(rule, 0) + 1
            if count <= MANY_HINTS + 1:
                self.hits.append(Hit(at, rule))
                return None
            if count > MOST_EVENTS:
                return True  # ends the scan
        else:
            self.events += 1
            if self.events > MOST_EVENTS:
                self.stopped = at
                return True
        last = self._last.get(rule)
        if last is None or not 0 <= at - last < CLOSE:
            self._last[rule] = at
            self.hits.append(Hit(at, rule))
        return None


def _database(name: str, rule_set: RuleSet, patterns_of: Callable[[], Sequence[tuple[str, int]]]) -> Any:
    """Load a compiled database, or compile and keep it. A damaged, foreign or unwritable cache costs time, nothing else.

    It is known by what its patterns are made of, which takes less time than to make them.
    """
    import hyperscan

    made_of = [rule_set.version, [(rule.prefilter, rule.keywords) for rule in rule_set.rules]]
    described = json.dumps([made_of, str(getattr(hyperscan, "__version__", "")), platform.machine()])
    key = hashlib.sha256(described.encode()).hexdigest()[:24]
    file = user_cache() / "secrets" / f"{name}-{key}.hsdb"
    loaded = _load(file)
    if loaded is not None:
        return loaded
    patterns = patterns_of()
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=[pattern.encode() for pattern, _ in patterns],
        ids=[number for _, number in patterns],
        elements=len(patterns),
        flags=[0] * len(patterns),
    )
    content = bytes(hyperscan.dumpb(database))
    try:
        write_atomically(file, hashlib.sha256(content).digest() + content)
    except OSError:
        return database
    prune_cache(file.parent, time.time())
    return database


def prune_cache(folder: Path, now: float) -> None:
    """Remove compiled databases that nobody uses, all but the ``KEPT`` that were used last: each version of the rules leaves
    three. What goes while another process needs it is compiled again. ``now`` is in seconds since 1970."""
    with contextlib.suppress(OSError):
        ages = sorted((now - file.lstat().st_mtime, file) for file in folder.iterdir() if _OURS.fullmatch(file.name))
        for age, file in ages[KEPT:]:
            if age > _UNUSED:
                file.unlink(missing_ok=True)


def _load(file: Path) -> Any | None:
    """The database in that file; None where it is missing, damaged, or of another processor or library version."""
    import hyperscan

    try:
        stored = file.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(stored[32:]).digest() != stored[:32]:
        return None
    with contextlib.suppress(OSError):
        if time.time() - file.stat().st_mtime > _UNUSED / 2:
            os.utime(file)
    try:
        return hyperscan.loadb(stored[32:], hyperscan.HS_MODE_BLOCK)
    except hyperscan.error:
        return None
