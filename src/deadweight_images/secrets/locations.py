"""Locate a secret by line number or tar member, and rate how sure it is from the file's name."""

from __future__ import annotations

import re
from bisect import bisect_right

from deadweight_images.secrets.rules import Confidence, Rule

_MADE_UP = re.compile(
    r"(?i)(?:\A|/)(?:docs?|man|info|examples?|samples?|demos?|tests?|testdata|testing|fixtures?|specs?|__tests__|mocks?|locales?"
    r"|i18n|l10n|tutorials?|vendor|site-packages|node_modules)/|[^/]*(?:[._-](?:test|tests|spec|example|sample|mock)s?\.[a-z]+\Z"
    r"|\A(?:readme|changelog|changes|news|history)[^/]*\Z|/(?:readme|changelog|changes|news|history)[^/]*\Z)|\A/?usr/(?:(?:local/)?include|local/go|lib/python3|share/perl\d?|lib/ruby)/"
)
NAMED_SIZE = 512  # bytes; larger files are not judged by their name
_FAR = 1 << 26  # bytes; lines are not counted further in
_PRINTABLE = bytes([9, 10, 13, *range(32, 127)])

_NAMED_SECRET = re.compile(
    r"(?i)(?:secret|password|[._]passwd|passphrase|token|credential|api[-_]?key)[a-z0-9_-]{0,20}(?:\.(?:txt|key|pass|conf|env))?$"
)


def named_like_a_secret(path: str) -> bool:
    """Whether a file's own name says that it holds a secret (``etc/secret.txt``, ``run/db_password``)."""
    return _NAMED_SECRET.search(path.rsplit("/", 1)[-1]) is not None


def judged_confidence(rule: Rule, path: str) -> Confidence:
    """How sure a finding is. What goes by a name alone is unsure among documentation, examples, tests and translations, where
    most such values are made up; a token's own shape is as sure there as anywhere."""
    if rule.confidence == "medium" and _MADE_UP.search(path):
        return "low"
    return rule.confidence


class LineCounter:
    """Line numbers for rising offsets, each byte counted once."""

    def __init__(self, view: memoryview) -> None:
        self._view, self._at, self._line = view, 0, 1

    def line(self, offset: int) -> int | None:
        """The line of an offset, from 1; None in binary content and far into a huge file."""
        around = bytes(self._view[max(0, offset - 1024) : offset + 256])
        if offset > _FAR or b"\0" in around or len(around.translate(None, _PRINTABLE)) > len(around) // 4:
            return None
        if offset < self._at:
            self._at, self._line = 0, 1
        self._line += bytes(self._view[self._at : offset]).count(b"\n")
        self._at = offset
        return self._line


class TarIndex:
    """The members of a buffer that is a plain tar; empty where it is none, and up to the first damage."""

    def __init__(self, view: memoryview) -> None:
        self._starts: list[int] = []
        self._names: list[str] = []
        at = 0
        while at + 512 <= len(view) and bytes(view[at + 257 : at + 262]) == b"ustar":
            try:
                size = int(bytes(view[at + 124 : at + 136]).strip(b"\0 ") or b"0", 8)
            except ValueError:
                break
            name = bytes(view[at : at + 100]).split(b"\0", 1)[0]
            prefix = bytes(view[at + 345 : at + 500]).split(b"\0", 1)[0]
            self._starts.append(at)
            self._names.append(shown_name(prefix + b"/" + name if prefix else name))
            at += 512 + (max(0, size) + 511) // 512 * 512

    def name(self, offset: int) -> str | None:
        """The member that holds an offset."""
        number = bisect_right(self._starts, offset) - 1
        return self._names[number] if number >= 0 else None


def shown_name(raw: bytes) -> str:
    """A member's name as it may be printed: control characters escaped, at most 200 characters."""
    text = raw.decode("utf-8", "backslashreplace")[:200]
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
