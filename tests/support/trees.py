"""Folders with files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def written(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write these files below a folder, which is made; gives the folder."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root
