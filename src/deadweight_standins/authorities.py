"""CAs that this machine trusts beside the public ones: a company's proxy, a private registry. Stand-ins trust them as it does."""

from __future__ import annotations

import re
from pathlib import Path

PUBLIC = Path("/usr/share/ca-certificates")
"""Where the OS's package keeps the public ones (Debian, Ubuntu)."""

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


def authorities(bundle: Path | None, public: Path = PUBLIC) -> tuple[bytes, ...]:
    """The certificates of ``bundle`` (PEM) that are not among the OS's public ones, in the bundle's order; each ends a line."""
    if bundle is None or not bundle.is_file():
        return ()
    known = {_bare(one) for file in public.rglob("*.crt") for one in _PEM.findall(file.read_bytes())}
    found = {_bare(one): one for one in _PEM.findall(bundle.read_bytes())}
    return tuple(one + b"\n" for bare, one in found.items() if bare not in known)


def _bare(certificate: bytes) -> bytes:
    return b"".join(certificate.split())
