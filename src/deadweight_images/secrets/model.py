"""Records of the secret scan. A secret is never stored: only its redacted form and fingerprint."""

from __future__ import annotations

import datetime
import hashlib
import json
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

# The version of all that decides what is found. It is part of each cached result's key, so it must be quick to tell.

FOLDER = Path(__file__).parent  # importlib.resources takes longer to import than all of this
# What decides what is found and told, beside all modules here: those that hand the scanner its texts.
_DECIDING = ("layers/gaps.py",)


@cache
def rules_version() -> str:
    """The version of the rule set that is part of this package, and of the code that applies it."""
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in _deciding())).hexdigest()
    named = "+".join(f"{source['module'].split('/')[2]}-{source['version']}" for source in _upstream())
    return f"{named}+{digest[:12]}"


def _upstream() -> list[dict[str, str]]:
    """Where the rules come from. It stands first in ``rules.json``: the rest of that takes ten times as long to parse."""
    text = (FOLDER / "rules.json").read_text(encoding="utf-8")
    sources: list[dict[str, str]]
    sources, _end = json.JSONDecoder().raw_decode(text, text.index("[", text.index('"upstream"')))
    return sources


def _deciding() -> list[Path]:
    """Files that are part of the version, so that no cached result outlives a change of any of them."""
    own = [file for file in FOLDER.iterdir() if file.name.endswith((".py", ".json"))]
    return [*sorted(own, key=lambda file: file.name), *(FOLDER.parent / name for name in _DECIDING)]


# The fingerprint is slow on purpose (about a millisecond): a report may be public, and a short password must not be found by
# trying all of them against a plain hash.
_ROUNDS = 4_000
_SALT = b"deadweight secret fingerprint 1"


class Hit(NamedTuple):
    """Something may be here: ``end`` is the exclusive end offset in the buffer that was scanned, ``rule`` is opaque."""

    end: int
    rule: int


@dataclass(frozen=True)
class Match:
    """One secret.

    ``path`` is as given. ``inner`` is where inside the file it was, step by step (``gzip@0!tar:etc/x!base64@12``), empty if in
    its plain bytes. ``offset`` (bytes from 0) and ``line`` (from 1, None in binary content) are those of the secret in the
    content that ``inner`` names. ``redacted`` shows a few first characters and the length. ``fingerprint`` (32 hex digits)
    depends on rule and secret alone, so that one allow-list entry covers a secret wherever it lies. ``where`` names the
    place in an image config, empty for files. ``length`` is the secret's in bytes. ``confidence``: ``high`` where the secret's own
    shape tells, ``medium`` where its name and context do, ``low`` where that may as well be an example.
    """

    rule: str
    description: str
    path: str
    inner: str
    offset: int
    line: int | None
    redacted: str
    fingerprint: str
    where: str = ""
    length: int = 0
    confidence: str = "high"


@dataclass(frozen=True)
class Skipped:
    """Something that was not looked at, and why. ``size_bytes`` is its size as far as known."""

    path: str
    inner: str
    reason: str
    size_bytes: int


@dataclass(frozen=True)
class Scan:
    """What one file or text gave."""

    matches: tuple[Match, ...] = ()
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True)
class Limits:
    """Bounds of the decoding, per file of an image.

    ``depth`` counts encodings inside one another, ``piece`` is how much of one decoded stream is held in memory at a time
    (bytes; a longer one is looked at piece by piece), ``total`` how much is decoded at most (bytes), ``objects`` how many
    encoded objects are opened at most.
    """

    depth: int = 10
    piece: int = 16 << 20
    total: int = 256 << 20
    objects: int = 50_000


@lru_cache(maxsize=4096)
def fingerprint(rule: str, secret: bytes) -> str:
    """The id of a secret under a rule: PBKDF2 with SHA-256 and no key, 32 hex digits; the same on every machine."""
    return hashlib.pbkdf2_hmac("sha256", rule.encode() + b"\0" + secret, _SALT, _ROUNDS, 16).hex()


def redact(secret: bytes) -> str:
    """The first two to four characters and the length; nothing but the length where the secret is short or not text."""
    count = f"({len(secret)} bytes)"
    if len(secret) < 8 or not secret[:4].isascii() or not secret[:4].decode("latin-1").isprintable():
        return f"… {count}"
    return f"{secret[: 4 if len(secret) >= 16 else 2].decode('ascii')}… {count}"


# The allow list: known findings that do not count, each with a reason and, if its owner is wise, a day on which it ends.
@dataclass(frozen=True)
class AllowEntry:
    """One fingerprint that is accepted. It counts again the day after ``expires``; None is for ever."""

    fingerprint: str
    reason: str
    expires: datetime.date | None = None


# What comes of an encoded object: decoded bytes, or why it was not opened; and how much may still be decoded and judged.

VERDICTS = 20_000  # each takes some twenty microseconds; files of packages have one in ten thousand bytes


@dataclass(frozen=True)
class Piece:
    """Decoded bytes. ``base`` is their offset in the decoded whole; ``label`` names the step for ``Match.inner``. ``more`` says
    that they end where that is cut into pieces."""

    label: str
    data: bytes
    base: int = 0
    more: bool = False


@dataclass(frozen=True)
class Refused:
    """An encoded object that was not, or not wholly, opened."""

    label: str
    reason: str
    size_bytes: int


@dataclass
class Budget:
    """What may still be decoded, bytes and encoded objects, and how many candidates may still be refused: of one file or of many
    together."""

    left: int
    objects: int
    verdicts: int = VERDICTS

    @classmethod
    def of(cls, limits: Limits, within: Budget | None = None) -> Budget:
        """One file's, which may not be more than what is left of that of many."""
        if within is None:
            return cls(limits.total, limits.objects)
        return cls(min(limits.total, within.left), min(limits.objects, within.objects), within.verdicts)

    def spend(self, whole: Budget, rest: Budget) -> None:
        """Take off what lies between a file's budget as it was given out and what is left of it."""
        self.left -= whole.left - rest.left
        self.objects -= whole.objects - rest.objects
        self.verdicts -= whole.verdicts - rest.verdicts
