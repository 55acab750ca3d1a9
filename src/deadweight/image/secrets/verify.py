"""Checks that a pattern cannot make. Each takes a candidate and returns the secret in its normal form, or None to refuse it.

The normal form is what the fingerprint is made of: a PEM body without line ends is the same key in every file.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Candidate:
    """What a rule matched: the secret, the whole match with the name in front, and what stands around the secret.

    ``front`` is the byte before the secret (empty at the start), ``tail`` the buffer from the secret on.
    """

    secret: bytes
    match: bytes
    front: bytes
    tail: memoryview


def entropy(data: bytes) -> float:
    """Shannon entropy in bits per byte; 0 for nothing."""
    size = len(data)
    return -sum(count / size * math.log2(count / size) for count in Counter(data).values()) if size else 0.0


_PLACEHOLDER = re.compile(
    rb"""(?ix)^(?:
      (?:your|my|the|some|an?|insert|enter|put|set|use|replace|change|add)[-_ .]?.*
          (?:here|pass(?:word|wd)?|secret|token|key|me|this|it|yours?)
    | ["'(]*[-_.]?(?:user(?:name)?|anon[a-z]*|pass(?:w(?:or)?d|phrase)?|pwd?|secret|token|key|login|guest|example|sample|dummy
          |placeholder|fake|mock|test(?:ing)?|change[-_]?(?:me|it|this)|redacted|hidden|removed|masked|none|null|nil|true|false
          |undefined|unknown|empty|default|todo|fixme|foo(?:bar)?|bar|baz|qux|string|text|value|required|optional
          |password[-_]?123?4?|[-_]|\d){1,4}["',.;)]*
    | (.)\1*
    | [x*.\-_#?]{3,}
    | .*(?:example|placeholder|changeme|xxxx|\*\*\*\*|redacted|\.\.\.).*
    | (?:0?123(?:4(?:5(?:6(?:7(?:8(?:90?)?)?)?)?)?)?|abc(?:def(?:gh[a-z]*)?)?)+
    | (?:\\{1,2}u(?!00[0-7])[0-9a-f]{4}[^\\\w]*)+
    | @[a-z_]+@ | %.* | .*%[sdvq(].* | .*\$[{(a-z_].* | .*\{.*\}.* | <.*> | \[.*\]
    )$"""
)
_IDENTIFIER = re.compile(rb"^(?:[A-Za-z_][A-Za-z_]*|[A-Za-z_][A-Za-z0-9_]*(?:(?:\.|::|->|/)[A-Za-z_][A-Za-z0-9_]*)+)$")
_PATHLIKE = re.compile(rb"^(?:[./~]|[a-z]{1,6}://|[A-Za-z]:\\)")
_DIGEST_NAME = re.compile(
    rb"(?i)(?:sha\d*|md5|digest|checksum|hash|integrity|fingerprint|commit|revision|uuid|guid|etag)"
)
_UUID = re.compile(rb"(?i)^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
_PEM_HEADER = re.compile(rb"(?m)^[A-Za-z-]{3,40}: [^\r\n]*(?:\r?\n[ \t][^\r\n]*)*\r?\n")
_ESCAPES = re.compile(rb"\\[rnt]|\\?[\s\"',+;]|\\")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]+={0,2}")


def not_placeholder(candidate: Candidate) -> bytes | None:
    """A value that documentation does not use: no variable, no "changeme", no row of one character.

    Nor a word in another script, as translated messages have it in their escapes (``PASSWORD=\\u5bc6\\u7801``).
    """
    secret = candidate.secret
    return None if _PLACEHOLDER.match(secret) or secret.startswith((b"$", b"<", b"{", b"%")) else secret


_EXAMPLE_HOST = re.compile(
    rb"@(?:[a-z0-9-]+\.)*(?:example(?:\.(?:com|org|net))?|invalid|test)(?![a-z0-9.-])", re.IGNORECASE
)


def url_password(candidate: Candidate) -> bytes | None:
    """No placeholder, and no short word for a host that exists in documentation only (RFC 2606)."""
    secret = candidate.secret
    if len(secret) < 8 and _EXAMPLE_HOST.match(bytes(candidate.tail[len(secret) : len(secret) + 200])):
        return None
    return not_placeholder(candidate)


def letters_and_digits(candidate: Candidate) -> bytes | None:
    """Both letters and digits: random text of that length always has both."""
    secret = candidate.secret
    return not_placeholder(candidate) if re.search(rb"[A-Za-z]", secret) and re.search(rb"\d", secret) else None


def environment_value(candidate: Candidate) -> bytes | None:
    """The value of a variable in capitals: anything that is no placeholder, path, number or mere name."""
    secret = candidate.secret
    if not_placeholder(candidate) is None or _PATHLIKE.match(secret) or secret.isdigit() or _UUID.match(secret):
        return None
    if _is_key_id(candidate) or _names_itself(candidate):
        return None
    name = re.split(rb"[ \t]*[=:]", candidate.match, maxsplit=1)[0]
    if re.search(rb"(?:_FILE|_PATH|_DIR|_URL|_URI|_NAME|_ID|_TYPE|_LEN(?:GTH)?|_SIZE|_MAX|_MIN)\W*$", name):
        return None
    if re.fullmatch(rb"[A-Z][A-Z0-9_.]*|[A-Za-z_]+(?:[._:][A-Za-z_]+)+", secret):
        return None
    spaced = re.search(rb"[ \t][=:]|[=:][ \t]", candidate.match) is not None
    quoted = re.search(rb"[=:][ \t]*[\"']", candidate.match) is not None
    if (spaced and not quoted) or b":" in candidate.match.split(secret)[0]:
        return configured_value(candidate)
    return secret if entropy(secret) >= 2.0 else None


def _names_itself(candidate: Candidate) -> bool:
    """``USE_CREDENTIALS = "use-credentials"``: a constant that is called as its value."""
    name = re.sub(rb"[^a-z0-9]", b"", candidate.match.split(candidate.secret)[0].lower())
    value = re.sub(rb"[^a-z0-9]", b"", candidate.secret.lower())
    return bool(value) and name.endswith(value)


_KEY_ID_NAME = re.compile(rb"(?i)(?:gpg|pgp|public|signing)[_-]?keys?[_-]?(?:id|fingerprint)?[\s\"'=:]*$")


def _is_key_id(candidate: Candidate) -> bool:
    """The id of a public key (``GPG_KEY`` in many base images): 40 hex digits, and the name says so."""
    front = candidate.match.split(candidate.secret)[0]
    return re.fullmatch(rb"[0-9A-Fa-f]{40}", candidate.secret) is not None and _KEY_ID_NAME.search(front) is not None


def configured_value(candidate: Candidate) -> bytes | None:
    """A value in a configuration file or in code: must look like a password, not like a name, a path or a digest."""
    secret = candidate.secret
    if (
        letters_and_digits(candidate) is None
        or _IDENTIFIER.match(secret)
        or _PATHLIKE.match(secret)
        or _UUID.match(secret)
    ):
        return None
    if _DIGEST_NAME.search(candidate.match.split(secret)[0]) or _is_reference(candidate) or _names_itself(candidate):
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
    if letters_and_digits(candidate) is None or _IDENTIFIER.match(secret) or _UUID.match(secret):
        return None
    front = candidate.match.split(secret)[0]
    if _DIGEST_NAME.search(front) or front.endswith(b"h1:") or b"\n" in front or _is_key_id(candidate):
        return None  # h1: is Go's module hash
    if re.search(rb"\s>\s", front) or re.fullmatch(rb"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+", secret):
        return None  # a shell redirection; the name of a constant
    words = re.findall(rb"[A-Za-z][a-z]{3,}", secret)
    return None if 2 * sum(map(len, words)) >= len(secret) else secret


def free_standing(candidate: Candidate) -> bytes | None:
    """A token whose short prefix also occurs by chance in encoded data: not where it runs on as base64."""
    size = len(candidate.secret)
    behind = bytes(candidate.tail[size : size + 1])
    return None if candidate.front in (b"+", b"/") or behind in (b"+", b"/", b"=") else candidate.secret


def pem_body(candidate: Candidate) -> bytes | None:
    """The base64 of a PEM block without line ends; None where the block holds none (a program that parses such blocks)."""
    text = candidate.secret.replace(b"\\r", b"").replace(b"\\n", b"\n").lstrip(b"\r\n\"' ")
    text = _PEM_HEADER.sub(b"", text)
    body = _ESCAPES.sub(b"", text)
    run = _BASE64.match(body)
    if run is None or len(run[0]) < 64 or entropy(run[0]) < 3.5:
        return None
    return run[0]


def der_key(candidate: Candidate) -> bytes | None:
    """A DER key: the sizes that it declares must fit into each other, and its bytes must be random."""
    return candidate.secret if entropy(candidate.secret) > 3.5 else None


_KEY_BAG = bytes.fromhex("2a864886f70d010c0a01")  # PKCS#12 keyBag .01 and shroudedKeyBag .02 (RFC 7292, appendix D)


def pkcs12_key(candidate: Candidate) -> bytes | None:
    """A bundle that has a key bag; one with certificates alone (a trust store) has not."""
    size = int.from_bytes(candidate.secret[2:4], "big") + 4
    return candidate.secret if _KEY_BAG in bytes(candidate.tail[:size]) else None


def docker_auth(candidate: Candidate) -> bytes | None:
    """A docker config's ``auth`` decodes to ``user:password`` with a password; other tokens must look random."""
    secret = candidate.secret
    if not candidate.match.lstrip(b'"').startswith(b"auth"):
        return letters_and_digits(candidate)
    try:
        user, colon, password = base64.b64decode(secret, validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    fine = (
        bool(colon)
        and user.isascii()
        and user.decode("ascii", "replace").isprintable()
        and len(password.strip(b"\0")) >= 3
    )
    return secret if fine and not _PLACEHOLDER.match(password) else None


def kubernetes_token(candidate: Candidate) -> bytes | None:
    """A JWT whose claims are those of a service account."""
    claims = candidate.secret.split(b".")[1]
    try:
        decoded = base64.urlsafe_b64decode(claims + b"=" * (-len(claims) % 4))
    except (binascii.Error, ValueError):
        return None
    return candidate.secret if b"kubernetes.io" in decoded or b"system:serviceaccount" in decoded else None


CHECKS: dict[str, Callable[[Candidate], bytes | None]] = {
    check.__name__: check
    for check in (
        not_placeholder,
        url_password,
        letters_and_digits,
        environment_value,
        configured_value,
        quoted_value,
        assigned_value,
        free_standing,
        pem_body,
        der_key,
        pkcs12_key,
        docker_auth,
        kubernetes_token,
    )
}
