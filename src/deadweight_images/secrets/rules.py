"""Load the secret rules from ``rules.json``; each pattern compiles on first use."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, Literal

from deadweight_images.secrets.model import FOLDER, rules_version

_LONG = 100
Target = Literal["secret", "match", "line"]
Confidence = Literal["high", "medium", "low"]


_PARTS = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?(?:[aiLmsux-]*:)|[()|]|.", re.DOTALL)
_OPENING, _CLOSING = "(?i:(?:", "))"


def searched(pattern: str) -> str:
    """The same pattern for ``search``, without characters that may stand in front of an alternative: ``[a-z]*?api`` is found
    where ``api`` is, but tried at each letter up to the end of the word. Only ``(?i:(?:…|…))`` is taken apart."""
    inner = pattern[len(_OPENING) : -len(_CLOSING)]
    if not pattern.startswith(_OPENING) or not pattern.endswith(_CLOSING):
        return pattern
    parts = _PARTS.findall(inner)
    depth, kept, at = 0, [], 0
    while at < len(parts):
        part = parts[at]
        depth += part.startswith("(") - (part == ")")
        if depth < 0:
            return pattern  # those were not its outermost groups
        begins = depth == 0 and (at == 0 or parts[at - 1] == "|")
        if begins and part.startswith("[") and parts[at + 1 : at + 3] == ["*", "?"]:
            at += 3
            continue
        kept.append(part)
        at += 1
    return _OPENING + "".join(kept) + _CLOSING


@dataclass(frozen=True)
class AllowList:
    """What a rule finds by mistake. ``sha256`` holds known example secrets."""

    target: Target = "secret"
    regexes: tuple[str, ...] = ()
    stopwords: tuple[str, ...] = ()
    sha256: frozenset[str] = frozenset()

    @cached_property
    def _patterns(self) -> tuple[re.Pattern[bytes], ...]:
        return tuple(re.compile(searched(text).encode("latin-1")) for text in self.regexes)

    @cached_property
    def _words(self) -> dict[int, frozenset[bytes]]:
        """The stop words by their length."""
        words = [word.encode() for word in self.stopwords]
        return {size: frozenset(word for word in words if len(word) == size) for size in sorted({*map(len, words)})}

    def _says(self, text: bytes) -> bool:
        """Whether a stop word is in a text. There are more of them than a short text has parts of their lengths."""
        if len(text) > _LONG:
            return any(word in text for words in self._words.values() for word in words)
        return any(
            text[at : at + size] in words for size, words in self._words.items() for at in range(len(text) - size + 1)
        )

    def covers(self, secret: bytes, match: bytes, line: bytes, normal: bytes) -> bool:
        """Whether this finding is a known mistake. Stop words look at the secret, hashes at its normal form."""
        text = {"secret": secret, "match": match, "line": line}[self.target]
        if self.stopwords and self._says(secret.lower()):
            return True
        if any(pattern.search(text) for pattern in self._patterns):
            return True
        return bool(self.sha256) and hashlib.sha256(normal).hexdigest() in self.sha256


@dataclass(frozen=True)
class Rule:
    """One rule.

    ``regex`` is exact, ``prefilter`` what the multi-pattern matcher looks for. ``before`` and ``after`` are how far (bytes) an
    exact match may reach to either side of the end that the prefilter reports. ``lead`` is how many name characters in front
    belong to the match as allow lists see it. ``confidence`` is high where the token's own shape tells, medium where a name in
    front does. ``entropy`` is in bits per byte, 0 where it does not count.
    """

    id: str
    description: str
    origin: Literal["house", "upstream"]
    regex: str
    prefilter: str
    before: int
    after: int
    lead: int = 0
    entropy: float = 0.0
    keywords: tuple[str, ...] = ()
    group: int = 0
    path: str = ""
    check: str = ""
    allow: tuple[AllowList, ...] = ()
    confidence: Confidence = "high"

    @cached_property
    def pattern(self) -> re.Pattern[bytes]:
        return re.compile(self.regex.encode("latin-1"))

    def matches(self, text: bytes, start: int) -> Iterator[re.Match[bytes]]:
        """Exact matches from ``start`` on, as ``finditer`` gives them. Where all begin with one of a few words, only those places
        are tried: a pattern that is tried at each byte takes most of the time of a whole look."""
        if not self.regex.startswith(_NAMED):
            yield from self.pattern.finditer(text, start)
            return
        end = start
        for place in _named(text.lower(), start):
            if place >= end and (match := self.pattern.match(text, place)) is not None:
                yield match
                end = match.end()

    @cached_property
    def path_pattern(self) -> re.Pattern[str] | None:
        return re.compile(self.path) if self.path else None

    @property
    def rank(self) -> int:
        """Which rule names a secret that several find: the more specific one."""
        if self.id in BROAD:
            return BROAD[self.id]
        return 4 if self.origin == "house" else 3


# How a pattern for any assignment to such a name begins, and the words that this is, in small letters.
_NAMED = "(?i:(?:access|auth|(?-i:[Aa]pi|API)|credential|creds|key|passw(?:or)?d|secret|token)"
_NAMES = (b"access", b"auth", b"api", b"credential", b"creds", b"key", b"passwd", b"password", b"secret", b"token")
BROAD = {"generic-api-key": 0, "quoted-secret": 0, "configured-secret": 1, "environment-secret": 2}


@dataclass(frozen=True)
class RuleSet:
    """All rules; ``version`` changes whenever what they find may change."""

    rules: tuple[Rule, ...]
    allow: tuple[AllowList, ...]
    version: str
    by_id: dict[str, Rule] = field(default_factory=dict, compare=False)


def _named(text: bytes, start: int) -> list[int]:
    """Where one of the names stands, in order."""
    places = []
    for word in _NAMES:
        place = text.find(word, start)
        while place >= 0:
            places.append(place)
            place = text.find(word, place + 1)
    return sorted(places)


@cache
def load_rules() -> RuleSet:
    """The rule set that is part of this package."""
    document: dict[str, Any] = json.loads((FOLDER / "rules.json").read_bytes())
    rules = tuple(_rule(entry) for entry in document["rules"])
    allow = tuple(_allow(entry) for entry in document["allow"])
    return RuleSet(rules, allow, rules_version(), {rule.id: rule for rule in rules})


def _rule(entry: dict[str, Any]) -> Rule:
    allow = tuple(_allow(item) for item in entry.get("allow", []))
    return Rule(**{**entry, "keywords": tuple(entry.get("keywords", ())), "allow": allow})


def _allow(entry: dict[str, Any]) -> AllowList:
    texts = {key: tuple(entry.get(key, ())) for key in ("regexes", "stopwords")}
    return AllowList(target=entry["target"], sha256=frozenset(entry.get("sha256", ())), **texts)
