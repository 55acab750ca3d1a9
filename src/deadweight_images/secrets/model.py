"""Records of the secret scan. A secret itself is never part of one: only its redacted form and its fingerprint."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

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
