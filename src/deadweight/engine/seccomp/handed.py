"""Seccomp profiles where a Podman of another user reads them: it is told a file's name, and a caller's folders are his alone."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path


class Handed:
    """Copies that everybody may read, in one folder; ``close`` removes it."""

    def __init__(self) -> None:
        self._folder: Path | None = None

    def copy(self, file: Path) -> Path:
        """Of the profile as it is now: the next one with this name is another file."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="deadweight-profiles-"))
            self._folder.chmod(0o755)
        content = file.read_bytes()
        copy = self._folder / f"{hashlib.sha256(content).hexdigest()[:16]}.json"
        if not copy.exists():
            copy.write_bytes(content)
            copy.chmod(0o644)
        return copy

    def close(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
