"""Create melange's temporary work folders, move the finished one into place, and remove leftovers of killed runs."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deadweight.records.paths import State
from deadweight.toolchain.tool_cache import remove_tree

_swap = threading.Lock()


def put(made: Path, place: Path) -> None:
    """Replace a folder by another. Between the two renames there is none: the step's record says that it is not built."""
    with _swap:
        old = place.with_name(f".{place.name}.old")
        remove_tree(old)
        if place.exists():
            place.replace(old)
        made.replace(place)
        remove_tree(old)


def remove_left_by(state: State, pid: int) -> int:
    """Remove the folders of a process that was killed during a build, on disk and in memory; how many there were."""
    left = [*state.packages.glob(f".work-{pid}-*"), *left_in_memory(state.root, pid)]
    for leftover in left:
        remove_tree(leftover)
    return len(left)


@contextmanager
def work_folder(state: State) -> Iterator[Path]:
    """A folder for one run, beside the packages; what a killed run left goes first."""
    own = f".work-{os.getpid()}-"
    for old in state.packages.glob(".work-*"):  # the state folder's lock keeps other living runs out
        if not old.name.startswith(own):
            remove_tree(old)
    folder = Path(tempfile.mkdtemp(dir=state.packages, prefix=own))
    try:
        yield folder
    finally:
        remove_tree(folder)


# A folder in memory for what lives as long as one run: for every build melange unpacks a sandbox of thousands of files.
MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own with a name that nobody can guess is made in it
ROOM_BYTES = 6 * 2**30
"""How much memory must be free, there and in the machine, before any of it is taken: ten times what a sandbox needs."""


def memory_folder(root: Path) -> Path | None:
    """A new folder in memory, for the project at ``root``; None where there is no such place, or not enough memory.

    What killed runs of this project left there goes first: the state folder's lock keeps other living runs out.
    """
    try:
        if not MEMORY.is_mount() or os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:
            return None  # programs run from there
        if min(shutil.disk_usage(MEMORY).free, _available()) < ROOM_BYTES:
            return None
        name = _memory_name(root)
        own = f"{name}-{os.getpid()}-"
        for old in MEMORY.glob(f"{name}-*"):
            if not old.name.startswith(own):
                shutil.rmtree(old, ignore_errors=True)
        return Path(tempfile.mkdtemp(dir=MEMORY, prefix=own))
    except OSError:
        return None


def left_in_memory(root: Path, pid: int) -> list[Path]:
    """The folders of this project that a process made there."""
    return sorted(MEMORY.glob(f"{_memory_name(root)}-{pid}-*"))


def _memory_name(root: Path) -> str:
    return f"deadweight-{hashlib.sha256(os.fsencode(root)).hexdigest()[:12]}"


def _available() -> int:
    """Bytes of memory that can be had without swapping (Linux, ``MemAvailable``)."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0
