"""Folders that melange works in, beside the packages: made for one run, moved into place whole, and removed whoever made them."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from deadweight.builders.apko import memory
from deadweight.records.paths import State

_swap = threading.Lock()


def put(made: Path, place: Path) -> None:
    """Replace a folder by another. Between the two renames there is none: the step's record says that it is not built."""
    with _swap:
        old = place.with_name(f".{place.name}.old")
        remove(old)
        if place.exists():
            place.replace(old)
        made.replace(place)
        remove(old)


def remove_left_by(state: State, pid: int) -> int:
    """Remove the folders of a process that was killed during a build, on disk and in memory; how many there were."""
    left = [*state.packages.glob(f".work-{pid}-*"), *memory.left_by(state.root, pid)]
    for each in left:
        remove(each)
    return len(left)


class work_folder:
    """A folder for one run, beside the packages; what a killed run left goes first."""

    def __init__(self, state: State) -> None:
        self.state = state

    def __enter__(self) -> Path:
        own = f".work-{os.getpid()}-"
        for old in self.state.packages.glob(".work-*"):  # the state folder's lock keeps other living runs out
            if not old.name.startswith(own):
                remove(old)
        self.path = Path(tempfile.mkdtemp(dir=self.state.packages, prefix=own))
        return self.path

    def __exit__(self, *_: object) -> None:
        remove(self.path)


def remove(folder: Path) -> None:
    """Remove a tree, also where a sandbox left folders without permissions."""

    def open_up(again: Callable[[str], object], name: str, _error: object) -> None:
        path = Path(name)
        with suppress(OSError):
            path.parent.chmod(0o700)
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)
            again(name)

    if folder.exists():
        shutil.rmtree(folder, onerror=open_up)
