"""A folder in memory for what lives as long as one run: for every build melange unpacks a sandbox of thousands of files."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own with a name that nobody can guess is made in it
ROOM_BYTES = 6 * 2**30
"""How much memory must be free, there and in the machine, before any of it is taken: ten times what a sandbox needs."""


def folder(root: Path) -> Path | None:
    """A new folder in memory, for the project at ``root``; None where there is no such place, or not enough memory.

    What killed runs of this project left there goes first: the state folder's lock keeps other living runs out.
    """
    try:
        if not MEMORY.is_mount() or os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:
            return None  # programs run from there
        if min(shutil.disk_usage(MEMORY).free, _available()) < ROOM_BYTES:
            return None
        name = _name(root)
        own = f"{name}-{os.getpid()}-"
        for old in MEMORY.glob(f"{name}-*"):
            if not old.name.startswith(own):
                shutil.rmtree(old, ignore_errors=True)
        return Path(tempfile.mkdtemp(dir=MEMORY, prefix=own))
    except OSError:
        return None


def left_by(root: Path, pid: int) -> list[Path]:
    """The folders of this project that a process made there."""
    return sorted(MEMORY.glob(f"{_name(root)}-{pid}-*"))


def _name(root: Path) -> str:
    return f"deadweight-{hashlib.sha256(os.fsencode(root)).hexdigest()[:12]}"


def _available() -> int:
    """Bytes of memory that can be had without swapping (Linux, ``MemAvailable``)."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0
