"""Open the blobs of an image archive, from a memory-mapped tar or an OCI layout folder, without copying."""

from __future__ import annotations

import mmap
import os
import stat
from pathlib import Path
from typing import Protocol

from deadweight_images.archive import entries as columns
from deadweight_images.archive.compression import recognize_compression, refused_compression
from deadweight_images.archive.entries import Entries, clean
from deadweight_images.archive.tarwalk import TarWalker
from deadweight_images.errors import ArchiveError, wording

# Files of archives, mapped into memory instead of read.


def is_folder(path: Path) -> bool:
    """Whether the path is a folder. Raises ArchiveError where it leads nowhere: absent, too long, links in a circle, no right."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except FileNotFoundError:
        raise ArchiveError(wording("archive.no_such_file", what=path)) from None
    except (OSError, ValueError) as error:
        raise ArchiveError(wording("archive.unreadable", what=path, error=str(error))) from error


def mapped(path: Path) -> memoryview:
    """A file's bytes without reading them. Raises ArchiveError where the file cannot be mapped."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise ArchiveError(wording("archive.not_a_file", what=path))
            if status.st_size == 0:
                return memoryview(b"")
            return memoryview(mmap.mmap(handle, 0, access=mmap.ACCESS_READ))
        finally:
            os.close(handle)
    except OSError as error:
        raise ArchiveError(wording("archive.unreadable", what=path, error=error.strerror)) from error


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


MAX_MEMBERS = 100_000
_HOPS = 8


class Store(Protocol):
    """Blobs by their name in the archive."""

    def blob(self, name: str) -> memoryview | None:
        """The content under a name, or None where there is none. Raises ArchiveError where it is not a regular file."""
        ...

    def sizes(self) -> dict[str, int]:
        """The size in bytes of each blob of the layout (``blobs/sha256/…``), as far as the store is one image archive's own."""
        ...

    def forget(self, name: str, start: int, stop: int) -> None:
        """Take these bytes of a blob out of the process's memory, if they are in it; when they are read again they come back."""
        ...

    def close(self) -> None:
        """Let go of the archive. Views that were given out must not be used afterwards."""
        ...


class TarStore:
    """The members of a plain tar, read in place."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._view = mapped(path)
        packed = refused_compression(self._view[:6]) or recognize_compression(self._view[:4])
        if packed != "none":
            raise ArchiveError(wording("archive.whole_compressed", what=path, compression=packed))
        if len(self._view) < 1024:
            raise ArchiveError(wording("archive.not_a_tar", what=path))
        self.entries = Entries()
        walker = TarWalker(self.entries, str(path))
        end = walker.walk(self._view, 0, final=True)
        if len(self.entries) > MAX_MEMBERS:
            raise ArchiveError(wording("archive.too_many_members", what=path, most=MAX_MEMBERS))
        if not walker.ended and end != len(self._view):
            raise ArchiveError(wording("tar.truncated").of(path))
        self._index: dict[bytes, int] = {}
        self._twice: set[bytes] = set()
        for index, name in enumerate(self.entries.paths):
            if name in self._index:
                self._twice.add(name)
            self._index[name] = index

    def blob(self, name: str) -> memoryview | None:
        index = member(self.entries, self._index, self._twice, name, self._path)
        if index is None:
            return None
        start = self.entries.offsets[index]
        return self._view[start : start + self.entries.sizes[index]]

    def sizes(self) -> dict[str, int]:
        files = zip(self.entries.paths, self.entries.kinds, self.entries.sizes, strict=True)
        return {
            path.decode("utf-8", "surrogateescape"): size
            for path, kind, size in files
            if kind == columns.FILE and path.startswith(b"blobs/")
        }

    def forget(self, name: str, start: int, stop: int) -> None:
        index = member(self.entries, self._index, self._twice, name, self._path)
        if index is not None:
            forgotten(self._view, self.entries.offsets[index] + start, self.entries.offsets[index] + stop)

    def close(self) -> None:
        released(self._view)


def member(entries: Entries, index: dict[bytes, int], twice: set[bytes], name: str, path: Path | str) -> int | None:
    """Which member a name means, links followed within the archive. Raises ArchiveError where that is not one clear thing."""
    wanted = clean(name.encode("utf-8", "surrogateescape"))
    for _hop in range(_HOPS):
        if wanted is None:
            raise ArchiveError(wording("archive.name_outside", what=path, name=name))
        number = index.get(wanted)
        if number is None:
            return None
        if wanted in twice and entries.kinds[number] != columns.DIRECTORY:
            raise ArchiveError(wording("archive.name_twice", what=path, name=name))
        kind = entries.kinds[number]
        if kind == columns.FILE and number not in entries.sparse:
            return number
        if kind not in (columns.SYMLINK, columns.HARDLINK):
            raise ArchiveError(wording("archive.not_a_file", what=f"{path}: {name}"))
        target = entries.targets[number]
        if kind == columns.SYMLINK and not target.startswith(b"/"):
            target = wanted.rpartition(b"/")[0] + b"/" + target
        wanted = clean(target)
    raise ArchiveError(wording("archive.link_loop", what=path, name=name))


class FolderStore:
    """The files of an OCI layout folder. Links are not followed: a layout has none, and one could lead anywhere."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._views: dict[str, memoryview] = {}

    def blob(self, name: str) -> memoryview | None:
        if name not in self._views:
            try:
                path = self._place(name)
            except (OSError, ValueError) as error:
                raise ArchiveError(wording("archive.unreadable", what=self._folder / name, error=str(error))) from error
            if path is None:
                return None
            self._views[name] = mapped(path)
        return self._views[name]

    def _place(self, name: str) -> Path | None:
        path = self._folder
        for part in Path(name).parts:
            path = path / part
            if part in ("..", "/") or path.is_symlink():
                raise ArchiveError(wording("archive.layout_link", what=path))
        return path if path.is_file() else None

    def sizes(self) -> dict[str, int]:
        files = [path for path in self._folder.glob("blobs/*/*") if path.is_file() and not path.is_symlink()]
        return {path.relative_to(self._folder).as_posix(): path.stat().st_size for path in files}

    def forget(self, name: str, start: int, stop: int) -> None:
        if name in self._views:
            forgotten(self._views[name], start, stop)

    def close(self) -> None:
        for view in self._views.values():
            released(view)
