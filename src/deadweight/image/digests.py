"""Digest strings and what they must be the digest of.

A digest becomes part of a path and of a URL, so only its exact form is let through (OCI image-spec, descriptor.md, "Digests";
CVE-2024-3727 is what happens otherwise).
"""

from __future__ import annotations

import hashlib
import re

from deadweight._errors import ArchiveError

_FORM = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}", re.ASCII)


def valid(text: object, what: str) -> str:
    """The digest itself if it is one of the two registered algorithms in its exact form. Raises ArchiveError."""
    if not isinstance(text, str) or _FORM.fullmatch(text) is None:
        raise ArchiveError(f"{what}: {str(text)[:100]!r} is no valid digest")
    return text


def hasher(digest: str) -> hashlib._Hash:
    """A hash object of the algorithm that a (valid) digest names."""
    return hashlib.new(digest.partition(":")[0], usedforsecurity=True)


def of(data: bytes | memoryview) -> str:
    """``sha256:…`` of some bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def check(data: bytes | memoryview, digest: str, what: str) -> None:
    """Raise ArchiveError where the content is not what its digest says."""
    algorithm, _, expected = digest.partition(":")
    if hashlib.new(algorithm, data).hexdigest() != expected:
        raise ArchiveError(f"{what}: the content does not match its digest {digest}")
