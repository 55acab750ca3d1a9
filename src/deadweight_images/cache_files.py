"""Locate the user's cache folder, and write files atomically into a cache."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def user_cache() -> Path:
    """The cache that a user's projects share: tools, the local registry, the local APK repository, the engine of our own.

    ``DEADWEIGHT_CACHE_DIR`` overrides the platform's usual place.
    """
    given = os.environ.get("DEADWEIGHT_CACHE_DIR")
    if given:
        return Path(given).absolute()
    from platformdirs import user_cache_path

    return user_cache_path("deadweight", appauthor=False)


def write_atomically(path: Path, content: bytes | str, *, mode: int = 0o644) -> None:
    """Put ``content`` at ``path``: to a temporary name first, then renamed. Raises OSError."""
    data = content.encode() if isinstance(content, str) else content
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, mode)  # noqa: PTH101 - mkstemp gives a str
        os.replace(temporary, path)  # noqa: PTH105
    except OSError:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise
