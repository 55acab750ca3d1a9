"""Files of archives, mapped into memory instead of read."""

from __future__ import annotations

import mmap
import os
import stat
from pathlib import Path

from deadweight_images.errors import ArchiveError


def is_folder(path: Path) -> bool:
    """Whether the path is a folder. Raises ArchiveError where it leads nowhere: absent, too long, links in a circle, no right."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except FileNotFoundError:
        raise ArchiveError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise ArchiveError(f"{path}: cannot be read: {error}") from error


def mapped(path: Path) -> memoryview:
    """A file's bytes without reading them. Raises ArchiveError where the file cannot be mapped."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise ArchiveError(f"{path}: is not a regular file")
            if status.st_size == 0:
                return memoryview(b"")
            return memoryview(mmap.mmap(handle, 0, access=mmap.ACCESS_READ))
        finally:
            os.close(handle)
    except OSError as error:
        raise ArchiveError(f"{path}: cannot be read: {error.strerror}") from error


def released(view: memoryview) -> None:
    """Unmap what ``mapped`` gave, unless somebody still looks at it."""
    owner = view.obj
    try:
        view.release()
        if isinstance(owner, mmap.mmap):
            owner.close()
    except BufferError:
        return


def forgotten(view: memoryview, start: int, stop: int) -> None:
    """Take whole pages out of what ``mapped`` gave: to unmap an archive in the end takes as long as to hash a tenth of it."""
    page = mmap.PAGESIZE
    start, stop = -(-start // page) * page, stop // page * page
    if isinstance(view.obj, mmap.mmap) and start < stop and hasattr(mmap, "MADV_DONTNEED"):
        view.obj.madvise(mmap.MADV_DONTNEED, start, stop - start)
