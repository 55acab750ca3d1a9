"""Checksums of zlib, as ISA-L computes them in a third of the time where its package is there."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cache
from typing import Any


@cache
def adler32() -> Callable[[Any], int]:
    """Adler-32 of some bytes."""
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib.adler32
    return isal_zlib.adler32


@cache
def crc32() -> Callable[..., int]:
    """CRC-32 of some bytes, or of these behind others whose CRC-32 is given."""
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib.crc32
    return isal_zlib.crc32
