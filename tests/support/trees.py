"""Folders with files."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path


def written(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write these files below a folder, which is made; gives the folder."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def zipped(files: Mapping[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive, or a jar, of these files."""
    with zipfile.ZipFile(packed := io.BytesIO(), "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def shell_script(path: Path, script: str) -> Path:
    """A shell script that can be run; gives its path. Its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path
