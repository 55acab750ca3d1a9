"""Mounts of an engine of ours, on Linux and as root."""

from __future__ import annotations

import contextlib
from pathlib import Path

from deadweight._run import run


def bind(held: Path, shown: Path) -> None:
    """Show the folder ``held`` at ``shown`` too; both are made if missing, for us alone. Raises CommandError, OSError."""
    for folder in (held, shown):
        folder.mkdir(mode=0o700, exist_ok=True)
    run(["mount", "--bind", held, shown], timeout=30)


def unmount_below(folder: Path) -> None:
    """Undo what is mounted on a folder or below it, the last first; what is in use goes once it no longer is."""
    with contextlib.suppress(OSError):
        for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
            point = line.split()[4].encode().decode("unicode_escape")
            if point == str(folder) or point.startswith(f"{folder}/"):
                run(["umount", "-l", point], check=False, timeout=30)
