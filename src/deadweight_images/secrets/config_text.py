"""Match secrets in config strings of an image: environment, labels, build arguments, commands.

Here a name is enough. The value of ``*_PASSWORD`` in an image config is readable to everyone who pulls the image, so even a simple
value counts. Only placeholders, references and paths do not.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import accumulate, islice
from typing import TYPE_CHECKING, NamedTuple

from deadweight_images.errors import wording
from deadweight_images.secrets.locations import named_like_a_secret
from deadweight_images.secrets.model import Match, Scan, Skipped, fingerprint, redact
from deadweight_images.secrets.verify import Candidate, not_placeholder

if TYPE_CHECKING:
    from deadweight_images.secrets.model import Budget
    from deadweight_images.secrets.scanner import Scanner


# Secrets that an instruction's commands write into files, or are given as ``-p``: the talk's own slip, and its relatives.
#
# The value stands in the history for ever, whatever becomes of the file.

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
# as ``named_like_a_secret`` wants it
_NAMES_ONE = re.compile(r"(?i)secret|passw|passphrase|token|credential|api[-_]?key")
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
                what = "Password of a user set by an instruction"
                yield "config-written-secret", what, password, start + len(user) + 1
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


_WORDS = "PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|CREDENTIALS?|(?:API|ACCESS|PRIVATE|SIGNING|ENCRYPTION|AUTH)_?KEY"
_NAME = re.compile(rf"(?i)(?:{_WORDS}|(?:^|[_.-])(?:PWD|PASS|PW|PAT)(?=$|[_.-]))")
# Names of things beside a secret: where it lies, how long it is, what it is called.
_BESIDE = re.compile(
    r"(?i)(?:_FILE|_PATH|_DIR|_URL|_URI|_HOST|_NAME|_ID|_TYPE|_LENGTH|_SIZE|_STDIN|_TTL|_EXPIRY|_ENABLED|_ALGORITHM|_POLICY)$"
)
_PUBLIC = re.compile(r"(?i)^(?:OLDPWD|PWD|GPG_KEYS?|PUBLIC_.*|.*_PUBLIC_KEY)$")
_ASSIGNMENT = re.compile(r"""(?:^|(?<=[\s;|&"']))([A-Za-z_][A-Za-z0-9_.-]{0,80})=("[^"]*"|'[^']*'|[^\s;|&]+)""")
_ENV_PAIR = re.compile(r"\bENV\s+([A-Za-z_][A-Za-z0-9_.-]{0,80})\s+([^\s=]\S*)\s*$")
_ARGUMENT = re.compile(r"""(?:^|\s)--?([A-Za-z][A-Za-z0-9-]{0,60})(?:=|\s+)("[^"]*"|'[^']*'|[^\s;|&"'-][^\s;|&"']*)""")
_ONLY_ARGUMENT = re.compile(r"--?([A-Za-z][A-Za-z0-9-]{0,60})[= ](\S+)")
_EXEC = re.compile(
    r"(?:RUN |/bin/sh -c #\(nop\) )?\s{0,10}(?:CMD|ENTRYPOINT|RUN|HEALTHCHECK)?[^\[\n]{0,200}\[\s{0,10}\""
)
_EXEC_ARGUMENT = re.compile(r"\"--?([A-Za-z][A-Za-z0-9-]{0,60})(?:=|\"[ ,]{1,10}\")([^\"]+)\"")
# A text in quotes that is a name and its value and nothing else, as ``echo`` is given it.
_PAIR = re.compile(r"""(["'])([A-Za-z_][A-Za-z0-9_.-]{0,80})[ \t]{0,8}[=:][ \t]{0,8}([^\s"'\\]+)(?:\\n)?\1""")
# Where a builder writes variables out, no value has quotes: each reaches up to the next name.
_VARIABLES = re.compile(
    r"(?s)(?:(?:\A|#\(nop\)\s{1,40})(?:ENV|ARG|LABEL)|\A(?:RUN\s)?\|\d+)\s(.*?)(?=\s/bin/\w*sh -c|\s# buildkit|\Z)"
)
_VARIABLE = re.compile(
    r"(?s)(?<!\S)([A-Za-z_][A-Za-z0-9_.-]{0,80})=(\S.*?)(?=\s{1,40}[A-Za-z_][A-Za-z0-9_.-]{0,80}=|\Z)"
)
# Rules that go by a name and end at a space, where the value may go on.
_BY_NAME = ("configured-secret", "environment-secret", "generic-api-key", "quoted-secret")
_SHORTEST = 4
MOST = 1000
"""Secrets of one text; each costs a millisecond (its fingerprint), and nobody reads more."""


def scan_text(scanner: Scanner, *, where: str, text: str, kind: str = "text", within: Budget | None = None) -> Scan:
    """All secrets in one string of an image config.

    ``kind``: ``env`` (NAME=value, labels too), ``history`` (an instruction), ``text``. ``within`` as in ``Scanner.confirm``.
    """
    data = text.encode("utf-8", "surrogateescape")
    scan = scanner.scan(data, path="", decode=True, within=within)
    named = list(islice((one for one in _named(text, kind) if _counts(one)), MOST + 1))
    at = _places(text, data)
    spans = [(at(one.start), at(one.start + len(one.value))) for one in named]
    whole = [span for one, span in zip(named, spans, strict=True) if one.whole]
    matches = [replace(match, where=where) for match in scan.matches if not _is_part(match, whole)]
    taken = sorted(match.offset for match in matches if match.inner == "")
    for one, (start, stop) in zip(named, spans, strict=True):
        if len(matches) >= MOST:
            rest = Skipped("", "", wording("skip.too_many_secrets", most=MOST), len(data) - start)
            return Scan(tuple(matches), (*scan.skipped, rest))
        place = bisect_left(taken, start)
        if place == len(taken) or taken[place] >= stop:
            secret = one.value.encode("utf-8", "surrogateescape")
            mark = fingerprint(one.rule, secret)
            place_of = (start, None, redact(secret), mark, where)
            matches.append(Match(one.rule, one.what, "", "", *place_of, length=len(secret)))
            taken.insert(place, start)
    return Scan(tuple(matches), scan.skipped)


def _places(text: str, data: bytes) -> Callable[[int], int]:
    """From an offset in a text to the one in its bytes."""
    if len(text) == len(data):
        return lambda offset: offset
    sizes = (1 if char < "\x80" else len(char.encode("utf-8", "surrogateescape")) for char in text)
    return array("I", accumulate(sizes, initial=0)).__getitem__


def _is_part(match: Match, whole: list[tuple[int, int]]) -> bool:
    """Whether a match is less than a value whose ends are known, up to a space or a sign in it: the rest would be printed."""
    inside = any(start <= match.offset < stop and match.length < stop - start for start, stop in whole)
    return inside and match.inner == "" and match.rule in _BY_NAME


class _Named(NamedTuple):
    """A value whose name says that it is secret; ``start`` in characters. ``whole`` says that its ends are known, whatever signs it
    holds, ``literal`` that nothing in it stands for something else."""

    rule: str
    what: str
    value: str
    start: int
    whole: bool = False
    literal: bool = False


def _named(text: str, kind: str) -> Iterator[_Named]:
    if kind == "env":
        name, equals, value = text.partition("=")
        if equals and _is_secret_name(name):
            what = f"Secret in the variable {name[:80]}"
            yield _Named("config-variable", what, value, len(name) + 1, whole=True, literal=True)
        return
    if kind == "history":
        yield from _variables(text)
        yield from _exec_arguments(text)
        yield from _pairs(text)
    else:
        yield from _only_argument(text)
    for pattern, rule, what in (
        (_ASSIGNMENT, "config-variable", "variable or build argument"),
        (_ENV_PAIR, "config-variable", "variable"),
        (_ARGUMENT, "config-argument", "argument"),
    ):
        for match in pattern.finditer(text):
            if _is_secret_name(match[1].replace("-", "_")):
                value = match[2].strip("\"'")
                start = match.start(2) + match[2].find(value)
                quoted = match[2][:1] == "'" and match[2][-1:] == "'"
                yield _Named(rule, f"Secret in the {what} {match[1]}", value, start, literal=quoted)
    yield from (_Named(*secret) for secret in command_secrets(text))


def _variables(text: str) -> Iterator[_Named]:
    """Variables of ``ENV``, ``ARG``, ``LABEL`` and of the build arguments in front of a command, with all words of their values.
    The builder has put in what they refer to."""
    head = _VARIABLES.search(text)
    for match in _VARIABLE.finditer(head[1].rstrip()) if head else ():
        if _is_secret_name(match[1]):
            value = match[2].strip("\"'")
            start = head.start(1) + match.start(2) + match[2].find(value) if head else 0
            what = f"Secret in the variable or build argument {match[1]}"
            yield _Named("config-variable", what, value, start, whole=True, literal=True)


def _only_argument(text: str) -> Iterator[_Named]:
    """A text that is one argument, or a flag and its argument, and nothing else."""
    match = _ONLY_ARGUMENT.fullmatch(text)
    if match and _is_secret_name(match[1].replace("-", "_")):
        what = f"Secret in the argument {match[1]}"
        yield _Named("config-argument", what, match[2], match.start(2), whole=True)


def _exec_arguments(text: str) -> Iterator[_Named]:
    """Arguments of a command that is written as a list: ``CMD ["app" "--password=x"]``."""
    if _EXEC.match(text):
        for match in _EXEC_ARGUMENT.finditer(text):
            if _is_secret_name(match[1].replace("-", "_")):
                what = f"Secret in the argument {match[1]}"
                yield _Named("config-argument", what, match[2], match.start(2), whole=True)


def _pairs(text: str) -> Iterator[_Named]:
    for match in _PAIR.finditer(text):
        if _is_secret_name(match[2]):
            what = f"Secret in the value of {match[2]}"
            yield _Named("config-variable", what, match[3], match.start(3), whole=True, literal=match[1] == "'")


def _is_secret_name(name: str) -> bool:
    return _NAME.search(name) is not None and not _BESIDE.search(name) and not _PUBLIC.match(name)


def _counts(one: _Named) -> bool:
    """Whether a value is a secret and not a reference to one."""
    value = one.value
    if len(value) < _SHORTEST or value.startswith(("/", "$", "./", "file:", "env:", "vault:")):
        return False
    if value.isdigit() and len(value) < 6:
        return False
    secret = value.encode("utf-8", "surrogateescape")
    if one.literal:
        secret = secret.replace(b"$", b"_")
    return not_placeholder(Candidate(secret, secret, b"", memoryview(secret))) is not None
