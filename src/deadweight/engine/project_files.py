"""Files of a project that its containers get: those under ``run.files``, and a seccomp profile of the suite's own."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

from deadweight._errors import UsageError
from deadweight.engine.options import Mount, RunOptions


def mounted(root: str, options: RunOptions) -> RunOptions:
    """The same options with the project's files as mounts. Raises UsageError for one that is not there."""
    if not options.files:
        return options
    absent = next((path for path in options.files.values() if not (Path(root) / path).exists()), None)
    if absent is not None:
        raise UsageError(f"run.files: no such file or folder: {absent}", hint=f"paths are relative to {root}")
    mounts = (Mount(Path(root) / path, target) for target, path in options.files.items())
    return options.but(mounts=(*options.mounts, *mounts), files={})


def profile(root: str, seccomp: str) -> Path:
    """The file of a seccomp profile. Raises UsageError where there is none."""
    file = Path(root) / seccomp
    if not file.is_file():
        raise UsageError(f"run.seccomp: no such file: {seccomp}", hint=f"paths are relative to {root}")
    return file


# Seccomp profiles where a Podman of another user reads them: it is told a file's name, and a caller's folders are his alone.
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
