"""Checks of values that a pattern cannot make. Each takes a candidate and returns the secret's normal form, or None to refuse it.

The normal form is what the fingerprint is made of: a PEM body without line ends is the same key in every file.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from dataclasses import dataclass

from deadweight_images.secrets.context import says_whose


@dataclass(frozen=True)
class Candidate:
    """What a rule matched: the secret, the whole match with the name in front, and what stands around the secret.

    ``front`` is the byte before the secret (empty at the start), ``tail`` the buffer from the secret on, ``line`` what
    stands before it on its line (some of it).
    """

    secret: bytes
    match: bytes
    front: bytes
    tail: memoryview
    line: bytes = b""

    @property
    def name(self) -> bytes:
        """What the match has in front of the secret."""
        return self.match.split(self.secret)[0]


def entropy(data: bytes) -> float:
    """Shannon entropy in bits per byte; 0 for nothing."""
    size = len(data)
    return -sum(count / size * math.log2(count / size) for count in Counter(data).values()) if size else 0.0


_PLACEHOLDER = re.compile(
    rb"""(?ix)^(?:
      (?:your|my|the|some|an?|insert|enter|put|set|use|replace|change|add)[-_ .]?.*
          (?:here|pass(?:word|wd)?|secret|token|key|me|this|it|yours?)\d?
    | ["'(]*[-_.]?(?:user(?:name)?|anon[a-z]*|pass(?:w(?:or)?d|phrase)?|pwd?|secret|token|key|login|guest|example|sample|dummy
          |placeholder|fake|mock|test(?:ing)?|change[-_]?(?:me|it|this)|redacted|hidden|removed|masked|none|null|nil|true|false
          |undefined|unknown|empty|default|todo|fixme|foo(?:bar)?|bar|baz|qux|string|text|value|required|optional
          |password[-_]?123?4?|[-_]|\d){1,4}["',.;)]*
    | (.)\1*
    | [x*.\-_#?]{3,}
    | .*(?:example|placeholder|changeme|xxxx|\*\*\*\*|redacted|\.\.\.).*
    | (?:\\{1,2}u(?!00[0-7])[0-9a-f]{4}[^\\\w]*)+
    | @[a-z_]+@ | %.* | .*%[sdvq(].* | .*\$[{(a-z_].* | .*\{.*\}.* | <.*> | \[.*\]
    )$"""
)
_COUNTING = re.compile(rb"(?i)(?:0?123(?:4(?:5(?:6(?:7(?:8(?:90?)?)?)?)?)?)?|abc(?:def(?:gh[a-z]*)?)?)+")
_ALPHABET = string.ascii_lowercase.encode()
_IDENTIFIER = re.compile(rb"^(?:[A-Za-z_][A-Za-z_]*|[A-Za-z_][A-Za-z0-9_]*(?:(?:\.|::|->|/)[A-Za-z_][A-Za-z0-9_]*)+)$")
_PATHLIKE = re.compile(rb"^(?:[./~]|[a-z]{1,6}://|[A-Za-z]:\\)")
_DIGEST_NAME = re.compile(
    rb"(?i)(?:sha\d*|md5|digest|checksum|hash|integrity|fingerprint|commit|revision|uuid|guid|etag)"
)
_UUID = re.compile(rb"(?i)^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$")


def is_placeholder(value: bytes) -> bool:
    """Whether documentation uses such a value."""
    return _PLACEHOLDER.match(value) is not None


def not_placeholder(candidate: Candidate) -> bytes | None:
    """A value that documentation does not use: no variable, no "changeme", no row of one character.

    Nor a word in another script, as translated messages have it in their escapes (``PASSWORD=\\u5bc6\\u7801``).
    """
    secret = candidate.secret
    if _PLACEHOLDER.match(secret) or secret.startswith((b"$", b"<", b"{", b"%")):
        return None
    if _COUNTING.fullmatch(secret) and len(secret) < 32:
        return None
    if _counts_up(secret) and not says_whose(candidate.line or candidate.name):
        return None  # a service's key may be as weak as that; under "key" alone it is an example
    return secret


def _counts_up(secret: bytes) -> bool:
    """Whether characters count up: ``abcdef1234567890`` somewhere, or letters that run through the alphabet, digits left out."""
    run = _COUNTING.search(secret)
    while run is not None and len(run[0]) < 16:
        run = _COUNTING.search(secret, run.end())
    letters = re.sub(rb"[^a-z]", b"", secret.lower())
    return run is not None or (len(letters) >= 10 and letters[:10] in _ALPHABET)


def _is_id(candidate: Candidate) -> bool:
    """A UUID, unless its name says whose key or token it is: many services give such ones."""
    if not _UUID.match(candidate.secret):
        return False
    ends_so = re.search(rb"(?i)(?:id|name|type)[\s\"'=:>]*\Z", candidate.name) is not None
    return ends_so or not says_whose(candidate.line or candidate.name)


_EXAMPLE_HOST = re.compile(
    rb"@(?:[a-z0-9-]+\.)*(?:example(?:\.(?:com|org|net))?|invalid|test)(?![a-z0-9.-])", re.IGNORECASE
)


def url_password(candidate: Candidate) -> bytes | None:
    """No placeholder, and no short word for a host that exists in documentation only (RFC 2606)."""
    secret = candidate.secret
    if len(secret) < 8 and _EXAMPLE_HOST.match(bytes(candidate.tail[len(secret) : len(secret) + 200])):
        return None
    return not_placeholder(candidate)


_REPORTS_TO = re.compile(rb"@(?:o\d+\.ingest\.(?:[a-z]{2}\.)?)?sentry\.io/", re.IGNORECASE)
"""Where Sentry takes reports. The key before it may do nothing else, and every page that reports from a browser shows it."""


def letters_and_digits(candidate: Candidate) -> bytes | None:
    """Both letters and digits: random text of that length always has both. No key that is made for being shown."""
    secret = candidate.secret
    if _REPORTS_TO.match(bytes(candidate.tail[len(secret) : len(secret) + 100])):
        return None
    return not_placeholder(candidate) if re.search(rb"[A-Za-z]", secret) and re.search(rb"\d", secret) else None


def environment_value(candidate: Candidate) -> bytes | None:
    """The value of a variable in capitals: anything that is no placeholder, path, number or mere name."""
    secret = candidate.secret
    if not_placeholder(candidate) is None or _PATHLIKE.match(secret) or secret.isdigit() or _is_id(candidate):
        return None
    if _is_key_id(candidate) or _names_itself(candidate) or _is_handed_on(candidate):
        return None
    name = re.split(rb"[ \t]*[=:]", candidate.match, maxsplit=1)[0]
    if re.search(rb"(?:_FILE|_PATH|_DIR|_URL|_URI|_NAME|_ID|_TYPE|_LEN(?:GTH)?|_SIZE|_MAX|_MIN)\W*$", name):
        return None
    if re.fullmatch(rb"[A-Z][A-Z0-9_.]*|[A-Za-z_]+(?:[._:][A-Za-z_]+)+", secret):
        return None
    spaced = re.search(rb"[ \t][=:]|[=:][ \t]", candidate.match) is not None
    quoted = re.search(rb"[=:][ \t]*[\"']", candidate.match) is not None
    if (spaced and not quoted) or b":" in candidate.name:
        return configured_value(candidate)
    return secret if entropy(secret) >= 2.0 else None


def _names_itself(candidate: Candidate) -> bool:
    """``USE_CREDENTIALS = "use-credentials"``: a constant that is called as its value."""
    name = re.sub(rb"[^a-z0-9]", b"", candidate.name.lower())
    value = re.sub(rb"[^a-z0-9]", b"", candidate.secret.lower())
    return bool(value) and name.endswith(value)


def _is_handed_on(candidate: Candidate) -> bool:
    """``API_TOKEN: exports2.API_TOKEN,``: another thing that has the same name."""
    found = re.fullmatch(rb"[A-Za-z_$][\w$]*(?:\.[\w$]+)*\.([A-Za-z_$][\w$]+)[,;)\]}]*", candidate.secret)
    name = re.split(rb"[ \t]*[=:]", candidate.match, maxsplit=1)[0].strip(b"\"' \t")
    return found is not None and name.endswith(found[1])


_KEY_ID_NAME = re.compile(rb"(?i)(?:gpg|pgp|public|signing)[_-]?keys?[_-]?(?:id|fingerprint)?[\s\"'=:]*$")


def _is_key_id(candidate: Candidate) -> bool:
    """The id of a public key (``GPG_KEY`` in many base images): 40 hex digits, and the name says so."""
    front = candidate.name
    return re.fullmatch(rb"[0-9A-Fa-f]{40}", candidate.secret) is not None and _KEY_ID_NAME.search(front) is not None


def configured_value(candidate: Candidate) -> bytes | None:
    """A value in a configuration file or in code: must look like a password, not like a name, a path or a digest."""
    secret = candidate.secret
    if (
        letters_and_digits(candidate) is None
        or _IDENTIFIER.match(secret)
        or _PATHLIKE.match(secret)
        or _is_id(candidate)
    ):
        return None
    if _DIGEST_NAME.search(candidate.name) or _is_reference(candidate) or _names_itself(candidate):
        return None
    mixed = sum(bool(re.search(kind, secret)) for kind in (rb"[a-z]", rb"[A-Z]", rb"\d", rb"[^A-Za-z0-9]"))
    if mixed < 3 and len(secret) < 16:
        return None
    return secret if entropy(secret) >= 2.8 else None


_SIGN = re.compile(rb"[!#$%&*()+,;:?<>{}|^~`@\[\]]")
_IN_CODE = re.compile(rb"\$[\w{(]|%[\w{(]|[({\[<][^)}\]>]*[)}\]>]|://|[=,:;|]{2}")


def quoted_value(candidate: Candidate) -> bytes | None:
    """A value in quotes that ``configured_value`` cannot see whole: with signs that end an unquoted one, or with escaped quotes.

    None of a call, a pattern or a template.
    """
    secret = candidate.secret
    if _IN_CODE.search(secret) or not (_SIGN.search(secret) or b"\\" in candidate.match):
        return None
    return configured_value(candidate)


def _is_reference(candidate: Candidate) -> bool:
    """Whether an unquoted value is a name or a number in program text: no language has bare strings there."""
    secret = candidate.secret
    if re.search(rb"[=:][ \t]*[\"']", candidate.match) or not re.fullmatch(rb"\w+", secret):
        return False
    behind = bytes(candidate.tail[len(secret) : len(secret) + 1])
    camel = re.fullmatch(rb"[a-z]+[A-Z0-9]\w*(?:[Kk]ey|[Ss]ecret|[Tt]oken|[Pp]assword)\w*", secret)
    return behind in (b",", b";", b"}") or camel is not None or re.fullmatch(rb"0x[0-9a-fA-F_]+", secret) is not None


def assigned_value(candidate: Candidate) -> bytes | None:
    """Upstream's widest rule, held to values that look random and stand on the line of their name."""
    secret = candidate.secret
    if letters_and_digits(candidate) is None or _IDENTIFIER.match(secret) or _is_id(candidate):
        return None
    front = candidate.name
    if _DIGEST_NAME.search(front) or front.endswith(b"h1:") or b"\n" in front or _is_key_id(candidate):
        return None  # h1: is Go's module hash
    if re.search(rb"\s>\s", front) or re.fullmatch(rb"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+", secret):
        return None  # a shell redirection; the name of a constant
    words = re.findall(rb"[A-Za-z][a-z]{3,}", secret)
    return None if 2 * sum(map(len, words)) >= len(secret) else secret
