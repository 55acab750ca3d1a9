"""A member of a layer as one number: views of millions of members hold these, where pairs would take several times the memory.

Loops over all members of an image shift and mask by themselves, since a call for each would be felt.
"""

from __future__ import annotations

BITS = 32
MASK = (1 << BITS) - 1


def packed(layer: int, member: int) -> int:
    """The number of the layer's member; both count from 0, and a layer has less than 2^32 members."""
    return layer << BITS | member


def split(value: int) -> tuple[int, int]:
    """Layer and member of a number."""
    return value >> BITS, value & MASK
