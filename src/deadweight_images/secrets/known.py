"""Content that was looked into once and for all: large files that many images carry, with no secret in them.

Each is known by the digest of all its bytes, so that a file in which one is changed is looked into like any other. ``known.json``
says where each comes from; ``bench.known_files`` makes it. It holds for the rules with which those files were looked into: with
others nothing is known.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache

from deadweight_images.secrets.version import FOLDER

LEAST_BYTES = 256 << 10
"""Smaller files are looked into as quickly as they are hashed and looked up."""


def known(data: memoryview) -> bool:
    """Whether these bytes are such a file."""
    digests = table().get(len(data))
    return digests is not None and hashlib.sha256(data).hexdigest() in digests


@cache
def table() -> dict[int, frozenset[str]]:
    """SHA-256 digests by size in bytes; empty where the rules have changed since."""
    document = json.loads((FOLDER / "known.json").read_bytes())
    if document["rules"] != rules_digest():
        return {}
    found: dict[int, set[str]] = {}
    for entries in document["origins"].values():
        for digest, (size, _) in entries.items():
            found.setdefault(size, set()).add(digest)
    return {size: frozenset(digests) for size, digests in found.items()}


def rules_digest() -> str:
    """What tells a set of rules from another one: the digest of ``rules.json``."""
    return hashlib.sha256((FOLDER / "rules.json").read_bytes()).hexdigest()
