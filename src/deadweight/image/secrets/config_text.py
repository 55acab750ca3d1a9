"""Secrets in an image's config: environment, labels, build arguments in the history, command lines.

Here a name is enough: whatever a variable called ``*_PASSWORD`` holds in an image config is there for everyone who pulls the
image, however simple the value is. Only placeholders, references and paths are no secrets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from deadweight.image.secrets.commands import command_secrets
from deadweight.image.secrets.model import Match, Scan, fingerprint, redact
from deadweight.image.secrets.verify import Candidate, not_placeholder

if TYPE_CHECKING:
    from deadweight.image.secrets.decode import Budget
    from deadweight.image.secrets.scanner import Scanner

_WORDS = "PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|CREDENTIALS?|(?:API|ACCESS|PRIVATE|SIGNING|ENCRYPTION|AUTH)_?KEY"
_NAME = re.compile(rf"(?i)(?:{_WORDS}|(?:^|[_.-])(?:PWD|PASS|PW|PAT)(?=$|[_.-]))")
# Names of things beside a secret: where it lies, how long it is, what it is called.
_BESIDE = re.compile(
    r"(?i)(?:_FILE|_PATH|_DIR|_URL|_URI|_HOST|_NAME|_ID|_TYPE|_LENGTH|_SIZE|_STDIN|_TTL|_EXPIRY|_ENABLED|_ALGORITHM|_POLICY)$"
)
_PUBLIC = re.compile(r"(?i)^(?:OLDPWD|PWD|GPG_KEYS?|PUBLIC_.*|.*_PUBLIC_KEY)$")
_ASSIGNMENT = re.compile(r"""(?:^|(?<=[\s;|&"']))([A-Za-z_][A-Za-z0-9_.-]{0,80})=("[^"]*"|'[^']*'|[^\s;|&]+)""")
_ENV_PAIR = re.compile(r"\bENV\s+([A-Za-z_][A-Za-z0-9_.-]{0,80})\s+([^\s=]\S*)\s*$")
_ARGUMENT = re.compile(r"(?:^|\s)--?([A-Za-z][A-Za-z0-9-]{0,60})(?:=|\s+)([^\s-]\S*)")
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


def scan_text(scanner: Scanner, where: str, text: str, kind: str, within: Budget | None) -> Scan:
    """All secrets in one string of a config; ``kind`` and ``within`` as in ``Scanner``."""
    data = text.encode("utf-8", "surrogateescape")
    scan = scanner.scan(data, path="", decode=True, within=within)
    named = _named(text, kind)
    whole = [
        (offset, offset + _bytes(value))
        for rule, _what, value, offset in named
        if rule == "config-variable" and " " in value and _counts(value)
    ]
    matches = [replace(match, where=where) for match in scan.matches if not _is_part(match, whole)]
    taken = [(match.offset, match.inner) for match in matches]
    for rule, description, value, offset in named:
        stop = offset + _bytes(value)
        if not any(inner == "" and offset <= start < stop for start, inner in taken) and _counts(value):
            secret = value.encode("utf-8", "surrogateescape")
            mark = fingerprint(rule, secret)
            matches.append(
                Match(rule, description, "", "", offset, None, redact(secret), mark, where, length=len(secret))
            )
            taken.append((offset, ""))
    return Scan(tuple(matches), scan.skipped)


def _is_part(match: Match, whole: list[tuple[int, int]]) -> bool:
    """Whether a match is the first word of a value of several: the rest of a passphrase would be printed."""
    inside = any(start <= match.offset < stop for start, stop in whole)
    return inside and match.inner == "" and match.rule in _BY_NAME


def _named(text: str, kind: str) -> list[tuple[str, str, str, int]]:
    """Values whose name says that they are secret: rule, description, value, offset in bytes."""
    pairs: list[tuple[str, str, str, int]] = []
    if kind == "env":
        name, equals, value = text.partition("=")
        if equals and _is_secret_name(name):
            pairs.append(
                ("config-variable", f"Secret in the variable {name[:80]}", value, _bytes(text[: len(name) + 1]))
            )
        return pairs
    if kind == "history":
        pairs += _variables(text)
    for pattern, rule, what in (
        (_ASSIGNMENT, "config-variable", "variable or build argument"),
        (_ENV_PAIR, "config-variable", "variable"),
        (_ARGUMENT, "config-argument", "argument"),
    ):
        for match in pattern.finditer(text):
            if _is_secret_name(match[1].replace("-", "_")):
                value = match[2].strip("\"'")
                start = match.start(2) + match[2].find(value)
                pairs.append((rule, f"Secret in the {what} {match[1]}", value, _bytes(text[:start])))
    pairs += [(rule, what, value, _bytes(text[:start])) for rule, what, value, start in command_secrets(text)]
    return pairs


def _variables(text: str) -> Iterator[tuple[str, str, str, int]]:
    """Variables of ``ENV``, ``ARG``, ``LABEL`` and of the build arguments in front of a command, with all words of their values."""
    head = _VARIABLES.search(text)
    for match in _VARIABLE.finditer(head[1].rstrip()) if head else ():
        if _is_secret_name(match[1]):
            value = match[2].strip("\"'")
            start = head.start(1) + match.start(2) + match[2].find(value) if head else 0
            yield "config-variable", f"Secret in the variable or build argument {match[1]}", value, _bytes(text[:start])


def _is_secret_name(name: str) -> bool:
    return _NAME.search(name) is not None and not _BESIDE.search(name) and not _PUBLIC.match(name)


def _counts(value: str) -> bool:
    """Whether a value is a secret and not a reference to one."""
    if len(value) < _SHORTEST or value.startswith(("/", "$", "./", "file:", "env:", "vault:")):
        return False
    if value.isdigit() and len(value) < 6:
        return False
    secret = value.encode("utf-8", "surrogateescape")
    return not_placeholder(Candidate(secret, secret, b"", memoryview(secret))) is not None


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))
