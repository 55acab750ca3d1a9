"""Scan a buffer for secrets: one pass for candidates, exact checks per file, then decoding of encoded content."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache

from deadweight_images.errors import wording
from deadweight_images.secrets.confirm import ConfirmedSecret, Crowd, confirmed
from deadweight_images.secrets.decode import Opener
from deadweight_images.secrets.hints import HINTS
from deadweight_images.secrets.locations import (
    NAMED_SIZE,
    LineCounter,
    TarIndex,
    judged_confidence,
    named_like_a_secret,
)
from deadweight_images.secrets.matcher import PART, UNREAD, HyperscanMatcher, Matcher, PlainMatcher
from deadweight_images.secrets.model import Budget, Hit, Limits, Match, Piece, Scan, Skipped, fingerprint, redact
from deadweight_images.secrets.rules import RuleSet, load_rules
from deadweight_images.secrets.verify import Candidate, not_placeholder

Buffer = bytes | bytearray | memoryview

_ONE_LINE = re.compile(rb"\s*([^\s\x00-\x1f\x7f-\xff<>{}()$#][^\x00-\x1f\x7f-\xff<>{}()$]{4,200}?)\s*\Z")
_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
# Secrets of one file, each of which costs a millisecond (its fingerprint), and as many things in it that were not looked at; the
# rest is only counted.
_MOST = 400
_LEAST = 1 << 20  # bytes; pieces halve with each encoding that they lie in, for all of them are held at once


class Scanner:
    """Finds secrets. Holds nothing of what it scanned; one instance may be used by several threads."""

    def __init__(self, matcher: Matcher, rule_set: RuleSet | None = None, limits: Limits | None = None) -> None:
        self._matcher, self._rule_set, self.limits = matcher, rule_set or load_rules(), limits or Limits()

    @classmethod
    def default(cls, limits: Limits | None = None) -> Scanner:
        """The fastest engine that this machine has."""
        return cls(_matcher(), limits=limits)

    @property
    def rule_set(self) -> str:
        """Version of all that decides what is found; part of the key of every cached result."""
        return self._rule_set.version

    @property
    def engine(self) -> str:
        """``hyperscan`` or ``re``."""
        return self._matcher.name

    def block(self, data: Buffer, *, decode: bool = False, text: Sequence[tuple[int, int]] | None = None) -> list[Hit]:
        """Candidates in a buffer of one or many files, by end offset. With ``decode`` also places where something encoded begins.

        ``text`` says from where to where it holds text (None: all of it): there, what is encoded is found whatever it holds.
        The byte in front of a file's content must not be a letter, digit or underscore (in a tar it is a header's padding).
        """
        return self._matcher.hits(memoryview(data), decode=decode, text=text)

    def wants(self, path: str, size: int) -> bool:
        """Whether a file is worth ``confirm`` even without hits: small, and named like a secret (``etc/secret.txt``)."""
        return size <= NAMED_SIZE and named_like_a_secret(path)

    def confirm(
        self,
        data: Buffer,
        path: str,
        hits: Iterable[Hit],
        *,
        decode: bool = False,
        within: Budget | None = None,
        cut: bool = False,
    ) -> Scan:
        """What the candidates in one file are. ``hits`` are relative to the file's first byte.

        ``within`` is what many files together may have decoded; this one's part is taken off. ``cut`` says that the file goes on
        behind these bytes, and that those are not to be had together: what is encoded across that end is told, not left out.
        """
        work = _Work(self, path, decode=decode, within=within)
        work.buffer(memoryview(data), sorted(hits), inner="", depth=0, base=0, torn=cut)
        if self.wants(path, len(data)):
            work.named(bytes(data))
        return work.result()

    def scan(self, data: Buffer, *, path: str, decode: bool = True, within: Budget | None = None) -> Scan:
        """Everything in one file's bytes."""
        return self.confirm(data, path, self.block(data, decode=decode), decode=decode, within=within)

    def search(
        self, view: memoryview, path: str, hits: Iterable[Hit], budget: Budget
    ) -> tuple[list[ConfirmedSecret], list[Crowd]]:
        """Confirmed secrets of one buffer, undecorated, and where there were too many candidates."""
        return confirmed(self._rule_set, view, path, hits, budget)

    def crowded(self, hits: Sequence[Hit]) -> list[int]:
        """The hints (as numbers of hits) that have more hits than the matcher reports."""
        if len(hits) <= self._matcher.most_hints:
            return []
        counts = Counter(hit.rule for hit in hits if self.rule_count <= hit.rule < UNREAD)
        return [number for number, seen in counts.items() if seen > self._matcher.most_hints]

    @property
    def rule_count(self) -> int:
        return len(self._rule_set.rules)


@cache
def _matcher() -> Matcher:
    try:
        import hyperscan  # noqa: F401
    except ImportError:
        return PlainMatcher(load_rules())
    return HyperscanMatcher(load_rules())


class _Work:
    """One file's scan: its budget, and what was found so far."""

    def __init__(self, scanner: Scanner, path: str, *, decode: bool, within: Budget | None) -> None:
        self._scanner, self._path, self._decode, self._within = scanner, path, decode, within
        self._budget = Budget.of(scanner.limits, within)
        self._given = replace(self._budget)
        self._matches: dict[tuple[str, str, str, int], Match] = {}
        self._skipped: dict[Skipped, None] = {}
        self._unlisted = 0

    def result(self) -> Scan:
        if self._within is not None:
            self._within.spend(self._given, self._budget)
        if self._unlisted:
            self._skipped[Skipped(self._path, "", wording("skip.more_encoded", objects=self._unlisted), 0)] = None
        return Scan(tuple(self._matches.values()), tuple(self._skipped))

    def buffer(
        self,
        view: memoryview,
        hits: list[Hit],
        *,
        inner: str,
        depth: int,
        base: int,
        more: bool = False,
        torn: bool = False,
    ) -> int | None:
        """One buffer: its own secrets, then what is encoded in it. ``base`` is its offset in the content that ``inner`` names.

        Where ``more`` follows it, it answers at which offset of it the next one should begin, if something was cut off.
        """
        if len(self._matches) >= _MOST:
            self._skip("", wording("skip.too_many_secrets", most=_MOST), 0)
            return None
        count, budget = self._scanner.rule_count, self._budget
        secrets, crowds = self._scanner.search(view, self._path, (hit for hit in hits if hit.rule < count), budget)
        for crowd in crowds:
            self._skip(inner, wording("skip.too_many_candidates", rule=crowd.rule.id), crowd.size_bytes)
        if unread := sum(hit.rule == UNREAD for hit in hits):
            self._skip(inner, wording("skip.candidates_unread"), min(len(view), unread * PART))
        lines, members = LineCounter(view), TarIndex(view) if inner and secrets else None
        for one in secrets:
            if len(self._matches) >= _MOST:
                self._skip("", wording("skip.too_many_secrets", most=_MOST), 0)
                break
            member = members.name(one.start) if members else None
            place = _joined(inner, f"tar:{member}") if member else inner
            confidence = "low" if one.unsure else judged_confidence(one.rule, self._path)
            at, line = base + one.start, lines.line(one.start)
            self._record(one.rule.id, one.rule.description, one.secret, place, at, line, confidence)
        if not self._decode:
            return None
        limits = self._scanner.limits
        limits = replace(limits, piece=max(limits.piece >> depth, _LEAST))
        opener = Opener(view, limits, self._budget, base, more=more, torn=torn)
        self._encoded(opener, view, hits, inner, depth)
        return opener.cut

    def _encoded(self, opener: Opener, view: memoryview, hits: list[Hit], inner: str, depth: int) -> None:
        """What is encoded in a buffer."""
        count = self._scanner.rule_count
        for number in self._scanner.crowded(hits):
            last = max(hit.end for hit in hits if hit.rule == number)
            label = _joined(inner, HINTS[number - count].kind)
            self._skip(label, wording("skip.encoded_uncounted"), len(view) - last)
        for hit in hits:
            if hit.rule < count or hit.rule == UNREAD:
                continue
            hint = HINTS[hit.rule - count]
            if depth >= self._scanner.limits.depth:
                self._skip(
                    _joined(inner, hint.kind),
                    wording("skip.encoded_too_deep", depth=self._scanner.limits.depth),
                    len(view),
                )
                return
            for piece in opener.open(hint, hit.end):
                if isinstance(piece, Piece):
                    opener.resume = self._piece(piece, inner, depth)
                else:
                    self._skip(_joined(inner, piece.label), piece.reason, piece.size_bytes)

    def _piece(self, piece: Piece, inner: str, depth: int) -> int | None:
        hits = self._scanner.block(piece.data, decode=True)
        if not hits:
            return None
        inside, view = _joined(inner, piece.label), memoryview(piece.data)
        return self.buffer(view, hits, inner=inside, depth=depth + 1, base=piece.base, more=piece.more)

    def named(self, data: bytes) -> None:
        """A small file that is named like a secret and holds one line, perhaps behind a mark of its encoding."""
        for mark, encoding in _MARKS:
            if data.startswith(mark):
                data = data[len(mark) :].decode(encoding, "replace").encode()
                break
        value = _ONE_LINE.match(data)
        if value and not self._matches and not_placeholder(Candidate(value[1], value[1], b"", memoryview(value[1]))):
            what = "A file with one line and the name of a secret"
            self._record("named-secret-file", what, value[1], "", value.start(1), 1, "medium")

    def _record(
        self, rule: str, description: str, secret: bytes, inner: str, offset: int, line: int | None, confidence: str
    ) -> None:
        mark, shown = fingerprint(rule, secret), redact(secret)
        match = Match(
            rule, description, self._path, inner, offset, line, shown, mark, length=len(secret), confidence=confidence
        )
        self._matches.setdefault((rule, match.fingerprint, inner, offset), match)

    def _skip(self, inner: str, reason: str, size: int) -> None:
        item = Skipped(self._path, inner, reason, size)
        if len(self._skipped) < _MOST:
            self._skipped[item] = None
        elif item not in self._skipped:
            self._unlisted += 1


def _joined(inner: str, label: str) -> str:
    return f"{inner}!{label}" if inner else label
