"""Secrets that an instruction's commands write into files, or are given as ``-p``: the talk's own slip, and its relatives.

The value stands in the history for ever, whatever becomes of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from deadweight_images.secrets.places import named_like_a_secret

_WINDOW, _OVERLAP = 1 << 15, 1 << 12  # characters that idioms are looked for in at a time: what they match is no longer

_PRINTS = r"""\b(?:echo|printf)(?P<args>(?:[ \t]{1,40}(?:"[^"]*"|'[^']*'|[^\s>|&;"']+)){1,12})\s{0,40}"""
_FILE = r"""["']?(?P<file>[^\s"'&|;<>]+)["']?"""
_MARK = r"""<<-?\s{0,40}["']?(?P<mark>\w+)["']?"""
_TEXT = r"""[^\n]{0,1000}\n(?P<text>(?:[^\n]{0,1000}\n){1,30}?)\s{0,40}(?P=mark)\b"""
_WRITTEN = (
    re.compile(rf"{_PRINTS}>>?\s{{0,40}}{_FILE}"),
    re.compile(rf"{_PRINTS}\|\s{{0,40}}(?:sudo\s{{1,40}})?tee\s{{1,40}}(?:-\w+\s{{1,40}}){{0,4}}{_FILE}"),
    re.compile(rf">>?\s{{0,40}}{_FILE}\s{{1,40}}{_PRINTS}"),
    re.compile(rf"{_MARK}\s{{0,40}}>>?\s{{0,40}}{_FILE}{_TEXT}"),
    re.compile(rf">>?\s{{0,40}}{_FILE}\s{{0,40}}{_MARK}{_TEXT}"),
)
_NAMES_ONE = re.compile(
    r"(?i)secret|passw|passphrase|token|credential|api[-_]?key"
)  # as ``named_like_a_secret`` wants it
_CHPASSWD = re.compile(rf"{_PRINTS}\|\s{{0,40}}(?:sudo\s{{1,40}})?chpasswd\b")
# What is printed: all behind the flags and, of printf, behind a format.
_PRINTED = re.compile(r"""(?s)(?:\s+-[neE]+)*(?:\s+(?:"%[^"]*"|'%[^']*'|%\S*)(?=\s))?\s+(.*\S)""")
_GIVEN = re.compile(
    r"""\b(?:(?:docker|podman|buildah|nerdctl|crane|oras|helm\s+registry)\s+(?:auth\s+)?login\b[^|;&\n]{0,200}?\s-p[ =]?
    |sshpass\s+-p\s?|(?:useradd|usermod)\b[^|;&\n]{0,200}?\s-p\s|(?:mysql|mysqldump|mysqladmin|mariadb)\b[^|;&\n]{0,200}?\s-p)
    ("[^"]*"|'[^']*'|[^\s|;&"']+)""",
    re.VERBOSE,
)


def command_secrets(text: str) -> Iterator[tuple[str, str, str, int]]:
    """Rule, description, value and offset (in characters) of each."""
    text = text.removesuffix(" # buildkit")
    for at in range(0, len(text), _WINDOW):
        for rule, what, value, start in _within(text[at : at + _WINDOW + _OVERLAP]):
            if start < _WINDOW or at + _WINDOW + _OVERLAP >= len(text):
                yield rule, what, value, at + start


def _within(text: str) -> Iterator[tuple[str, str, str, int]]:
    for pattern in _WRITTEN if _NAMES_ONE.search(text) else ():
        for match in pattern.finditer(text):
            if named_like_a_secret(match["file"]):
                what = f"Secret written to {match['file'][:80]} by an instruction"
                for value, start in _values(match):
                    yield "config-written-secret", what, value, start
    for match in _CHPASSWD.finditer(text) if "chpasswd" in text else ():
        for value, start in _values(match):
            user, colon, password = value.partition(":")
            if colon:
                yield (
                    "config-written-secret",
                    "Password of a user set by an instruction",
                    password,
                    start + len(user) + 1,
                )
    for match in _GIVEN.finditer(text) if " -p" in text else ():
        yield "config-argument", "Secret passed to a command with -p", *_bare(match[1], match.start(1))


def _values(match: re.Match[str]) -> Iterator[tuple[str, int]]:
    """What a command prints, or the text that it is given on the lines behind it."""
    if "text" in match.re.groupindex:
        yield _bare(match["text"], match.start("text"))
    elif printed := _PRINTED.fullmatch(match["args"]):
        yield _bare(printed[1], match.start("args") + printed.start(1))


def _bare(value: str, start: int) -> tuple[str, int]:
    """A value without what quotes it, and where it begins."""
    bare = value.strip("\"' \t\r\n")
    return bare, start + value.find(bare)
