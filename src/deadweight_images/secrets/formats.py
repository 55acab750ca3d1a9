"""Check tokens and keys that have a format of their own; list all checks by the name that rules use.

The fingerprint is made of the normal form that a check returns: a PEM body without line ends is the same key in every file.
"""

from __future__ import annotations

import base64
import binascii
import re
import string
from collections.abc import Callable

from deadweight_images.secrets import verify
from deadweight_images.secrets.verify import Candidate, entropy, is_placeholder, letters_and_digits

_PEM_HEADER = re.compile(rb"(?m)^[A-Za-z-]{3,40}: [^\r\n]*(?:\r?\n[ \t][^\r\n]*)*\r?\n")
_ESCAPES = re.compile(rb"\\[rnt]|\\?[\s\"',+;]|\\")
_PREFIX_BYTES = 4  # of ``ghs_``
_WORD_BYTES = (string.ascii_letters + string.digits + "_").encode()
_BASE64 = re.compile(rb"[A-Za-z0-9+/]+={0,2}")


def authorization(candidate: Candidate) -> bytes | None:
    """The credentials of an Authorization header; behind ``Basic`` they decode to ``user:password`` (RFC 7617)."""
    if re.search(rb"(?i)\bbasic[ \t]+\Z", candidate.name):
        try:
            if b":" not in base64.b64decode(candidate.secret + b"=" * (-len(candidate.secret) % 4), validate=True):
                return None
        except (binascii.Error, ValueError):
            return None
    return letters_and_digits(candidate)


def not_capitals(candidate: Candidate) -> bytes | None:
    """A token of random letters has small ones; a constant's name that a prefix happens to end has none.

    Nor is it part of a name in a compiled program: there each stands behind its length (``_Z20highs_getRowsEntriesP5Highs…``).
    """
    if re.fullmatch(rb"[a-z]+_[A-Z0-9_]+", candidate.secret):
        return None
    return None if _is_in_a_name(candidate.line) else candidate.secret


def _is_in_a_name(front: bytes) -> bool:
    """Whether a name of C++ that compilers wrote behind its length reaches beyond these bytes and a token's prefix.

    Source: Itanium C++ ABI, 5.1.3, <source-name>.
    """
    word = front[len(front.rstrip(_WORD_BYTES)) :]
    name = word[word.find(b"Z") + 1 :] if b"Z" in word else b""
    sizes = re.finditer(rb"[1-9]\d{0,2}", name)
    return any(int(match[0]) - _PREFIX_BYTES > len(name) - match.end() > 0 for match in sizes)


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
    named = bool(colon) and user.isascii() and user.decode("ascii", "replace").isprintable()
    return secret if named and len(password.strip(b"\0")) >= 3 and not is_placeholder(password) else None


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
        verify.not_placeholder,
        verify.url_password,
        letters_and_digits,
        verify.environment_value,
        verify.configured_value,
        verify.quoted_value,
        verify.assigned_value,
        authorization,
        not_capitals,
        free_standing,
        pem_body,
        der_key,
        pkcs12_key,
        docker_auth,
        kubernetes_token,
    )
}
