"""Folders with files, for what reads repositories."""

from __future__ import annotations

from pathlib import Path


def written(root: Path, files: dict[str, str]) -> Path:
    """Write these files below a folder, which is made; gives the folder."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root
