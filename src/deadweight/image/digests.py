"""Digest strings and what they must be the digest of.

A digest becomes part of a path and of a URL, so only its exact form is let through (OCI image-spec, descriptor.md, "Digests";
CVE-2024-3727 is what happens otherwise).
"""

from __future__ import annotations

import hashlib
import re

from deadweight._errors import ArchiveError

_FORM = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)


def valid(text: object, what: str) -> str:
    """The digest itself if it is a SHA-256 in its exact form. Raises ArchiveError (SHA-512 is registered too; nobody uses it)."""
    if not isinstance(text, str) or _FORM.fullmatch(text) is None:
        raise ArchiveError(f"{what}: {str(text)[:100]!r} is no valid SHA-256 digest")
    return text


def of(data: bytes | memoryview) -> str:
    """``sha256:…`` of some bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def check(data: bytes | memoryview, digest: str, what: str) -> None:
    """Raise ArchiveError where the content is not what its digest says."""
    if of(data) != digest:
        raise ArchiveError(f"{what}: the content does not match its digest {digest}")
