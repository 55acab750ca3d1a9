"""Caches for one test: empty, but for the patterns that look for secrets, which take seconds to compile."""

from __future__ import annotations

import functools
import os
import shutil
from pathlib import Path

from deadweight.image.secrets.scanner import Scanner
from deadweight.records.paths import user_cache

FAR = 1 << 20
"""Bytes: more than the matcher takes as a small content, for which one set of patterns is enough."""


def fresh_cache(folder: Path) -> Path:
    """Make a cache in ``folder``, for DEADWEIGHT_CACHE_DIR, and give it back."""
    _compile()
    shutil.copytree(user_cache() / "secrets", folder / "secrets", copy_function=linked)
    return folder


@functools.cache
def _compile() -> None:
    """In the cache of the user who runs the tests, where it was not done before."""
    scanner = Scanner.default()
    for decode in (False, True):
        scanner.block(b"\0" * FAR, decode=decode)


def linked(source: str, target: str) -> str:
    """Copy a file as a hard link, where both lie on one disk."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target
