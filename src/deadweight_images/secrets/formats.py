"""Checks of tokens and keys that have a format of their own, and all checks by the name that rules call them by."""

from __future__ import annotations

import base64
import binascii
import re
import string
from collections.abc import Callable, Iterator

from deadweight_images.secrets import verify
from deadweight_images.secrets.verify import Candidate, entropy, is_placeholder, letters_and_digits

# LZ4 frames, decoded in bounded steps.
#
# Home-made because the format is thirty lines, its files are rare in images, and a compiled dependency for them would burden every
# installation. It is slow (some MB/s), so a frame is read up to ``MOST`` bytes; what goes on is told as too long.
#
# Source: LZ4 frame format 1.6.4 and LZ4 block format (github.com/lz4/lz4/doc).

MAGIC = b"\x04\x22\x4d\x18"
MOST = 8 << 20
_WINDOW = 1 << 16
_BLOCK_SIZES = {4: 1 << 16, 5: 1 << 18, 6: 1 << 20, 7: 1 << 22}
_STORED = 0x80000000


class Damaged(ValueError):
    """This is no LZ4 frame, or not from here on."""


def blocks(view: memoryview, start: int) -> Iterator[tuple[bytes, int]]:
    """Each decoded block of the frame at ``start`` and the offset behind it; at the end nothing and the offset behind the frame.

    Raises Damaged, and EOFError where the frame goes on behind the end of the buffer.
    """
    flags, size, at = _header(view, start)
    before = b""
    while True:
        word, at = int.from_bytes(_taken(view, at, 4), "little"), at + 4
        if not word:
            yield b"", at + (4 if flags & 4 else 0)
            return
        length = word & ~_STORED
        if length > size:
            raise Damaged("a block larger than its frame says")
        data = _taken(view, at, length)
        plain = bytes(data) if word & _STORED else _block(bytes(data), before, size)
        at += length + (4 if flags & 16 else 0)
        before = b"" if flags & 32 else (before + plain)[-_WINDOW:]
        yield plain, at


def _header(view: memoryview, start: int) -> tuple[int, int, int]:
    """Flags, the most bytes of a block, and the offset of the first one."""
    flags, descriptor = _taken(view, start + 4, 2)
    size = _BLOCK_SIZES.get(descriptor >> 4)
    if flags >> 6 != 1 or flags & 2 or size is None or descriptor & 0x8F:
        raise Damaged("no frame header")
    return flags, size, start + 6 + (8 if flags & 8 else 0) + (4 if flags & 1 else 0) + 1


def _taken(view: memoryview, at: int, size: int) -> memoryview:
    part = view[at : at + size]
    if len(part) < size:
        raise EOFError
    return part


def _block(data: bytes, before: bytes, most: int) -> bytes:
    out, at, end, base = bytearray(before), 0, len(data), len(before)
    try:
        while at < end:
            token = data[at]
            literals, at = _length(data, at + 1, token >> 4)
            out += data[at : at + literals]
            at += literals
            if at >= end:
                break
            offset = data[at] | data[at + 1] << 8
            size, at = _length(data, at + 2, token & 15)
            size += 4
            if not 0 < offset <= len(out) or len(out) - base + size > most:
                raise Damaged("a match outside of the block")
            start = len(out) - offset
            if offset >= size:
                out += out[start : start + size]
            else:
                out += (out[start:] * (size // offset + 1))[:size]
    except IndexError:
        raise Damaged("a block that ends too early") from None
    if len(out) - base > most:
        raise Damaged("a block that decodes to more than its frame says")
    return bytes(out[base:])


def _length(data: bytes, at: int, nibble: int) -> tuple[int, int]:
    if nibble < 15:
        return nibble, at
    total = nibble
    while True:
        byte = data[at]
        total += byte
        at += 1
        if byte != 255:
            return total, at


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
    return any(
        int(each[0]) - _PREFIX_BYTES > len(name) - each.end() > 0 for each in re.finditer(rb"[1-9]\d{0,2}", name)
    )


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
    return secret if fine and not is_placeholder(password) else None


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
