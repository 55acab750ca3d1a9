"""Parse untrusted JSON (service responses, image documents) with limits on depth and size."""

from __future__ import annotations

import json
from typing import Any

from deadweight._errors import wording

MAX_DEPTH = 200
"""Whatever walks a document afterwards, or writes it, does so by recursion."""
MAX_BYTES = 16 * 2**20
"""``[[],[],…`` takes 20 times its size in memory."""
MAX_LISTS = MAX_BYTES // 2
"""Lists and mappings in a document, those of YAML that are named again counted each time."""


def parsed(data: bytes | str) -> Any:
    """The document. Raises ValueError for what is no JSON, larger than 16 MiB, or not ``bounded``."""
    small(data)
    try:
        return bounded(json.loads(data))
    except RecursionError:
        raise ValueError(wording("json.too_deep", most=MAX_DEPTH)) from None


def small(data: bytes | str) -> None:
    """Raises ValueError for what is larger than 16 MiB."""
    if len(data) > MAX_BYTES:
        raise ValueError(wording("json.too_large", mebibytes=MAX_BYTES // 2**20))


def bounded(document: Any) -> Any:
    """The same document. Raises ValueError for one that is nested deeper than 200 levels, or without an end."""
    level, left = [document], MAX_LISTS
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for node in level:
            inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
            below += [one for one in inner if isinstance(one, dict | list)]
            if len(below) > left:
                raise ValueError(wording("json.too_many", most=MAX_LISTS))
        if not below:
            return document
        level, left = below, left - len(below)
    raise ValueError(wording("json.too_deep", most=MAX_DEPTH))
