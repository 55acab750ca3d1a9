"""Rendezvous hashing: each key has an order of preference over all endpoints, which changes for no key but a lost endpoint's.

Source: Thaler and Ravishankar, "A Name-Based Mapping Scheme for Rendezvous" (1996).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def ranked(key: str, names: Iterable[str]) -> list[str]:
    """The names, the one first that the key prefers."""
    return sorted(names, key=lambda name: hashlib.sha256(f"{name}\0{key}".encode()).digest(), reverse=True)
