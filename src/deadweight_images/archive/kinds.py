"""What a blob is compressed with.

It is recognized by its first bytes, never by its name or media type: names lie, and engines look at the bytes too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deadweight_images.archive.model import Compression


def recognized(head: bytes | memoryview) -> Compression:
    """What the first bytes say. zstd may begin with a skippable frame (zstd:chunked)."""
    first = bytes(head[:4])
    if first[:2] == b"\x1f\x8b":
        return "gzip"
    if first == b"\x28\xb5\x2f\xfd" or (first[1:] == b"\x2a\x4d\x18" and first[0] & 0xF0 == 0x50):
        return "zstd"
    return "none"


def refused(head: bytes | memoryview) -> str | None:
    """The name of a compression that image layers never use but that could hide a tar; None for anything else."""
    first = bytes(head[:6])
    if first == b"\xfd7zXZ\x00":
        return "xz"
    return "bzip2" if first[:3] == b"BZh" else None
