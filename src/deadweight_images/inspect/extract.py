"""Extract hidden files from an image to disk as proof. Only their bytes are written: no links, devices or file modes."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from deadweight_images.archive import entries as columns
from deadweight_images.archive.archive import open_archive
from deadweight_images.archive.model import Layer, shown
from deadweight_images.contents.filesystem import Filesystem
from deadweight_images.errors import ArchiveError, DeadweightError, UsageError, wording
from deadweight_images.findings import HiddenFile
from deadweight_images.layers.index import LayerIndex, members_pieces
from deadweight_images.layers.indexing import Indexer

# One file out of an image: as the container would see it, links followed inside the image, nothing unpacked.

MAX_FILE_BYTES = 256 * 2**20


def read_file(archive: Path, path: str, *, platform: str | None = None) -> tuple[bytes, int]:
    """The content of a file in the image's final view, and its mode.

    Raises ArchiveError where the path leads nowhere, to something that is no file, or to more than 256 MiB.
    """
    with open_archive(archive, platform=platform) as opened, Indexer(verify=True) as indexer:
        indices = [
            indexer.blob(opened.blob(layer), layer.compression, f"{archive}: layer {layer.index + 1}")
            for layer in opened.image.layers
        ]
        files = Filesystem(opened, indices)
        file = files.file(path)
        if file is None:
            raise ArchiveError(wording("extract.no_such_file", what=archive, path=path))
        if file.size_bytes > MAX_FILE_BYTES:
            raise ArchiveError(wording("extract.too_large", what=archive, path=path, most=MAX_FILE_BYTES >> 20))
        return b"".join(files.pieces(file)), file.mode


MAX_FILE = 1 << 30
MAX_TOTAL = 4 << 30
_SAFE = re.compile(r"[^A-Za-z0-9._+@=-]")
_MAX_PART = 80
_MAX_PARTS = 12


@dataclass(frozen=True, slots=True)
class Extracted:
    """One file that was written (``written``), or why not (``problem``)."""

    path: str
    layer: int
    written: Path | None
    problem: str | None = None


def extract(
    path: Path, hidden: Iterable[HiddenFile], folder: Path, *, platform: str | None = None, name: str | None = None
) -> tuple[Extracted, ...]:
    """Write hidden files of an archive below ``folder``, as ``layer-<n>/<path>``, with safe names.

    The folder must be new or empty: nothing that is there can lead a write elsewhere. Files are 0600. Files of more than
    1 GiB, or after 4 GiB in all, are not written and say so. Raises UsageError for a folder with content, ArchiveError as
    ``open_archive`` does, DeadweightError where nothing can be written.
    """
    prepare(folder)
    wanted: dict[int, list[HiddenFile]] = {}
    for file in hidden:
        wanted.setdefault(file.index, []).append(file)
    done: list[Extracted] = []
    left = MAX_TOTAL
    with open_archive(path, platform=platform, name=name) as archive, Indexer(verify=False) as indexer:
        for layer in archive.image.layers:
            files = wanted.get(layer.index, [])
            if not files:
                continue
            view = archive.blob(layer)
            index = indexer.blob(view, layer.compression, f"{path}: layer {layer.index + 1}")
            extraction = _Extraction(index, layer, folder / f"layer-{layer.index + 1}", left)
            try:
                done.extend(extraction.write(view, files))
            except OSError as error:
                raise DeadweightError(wording("folder.unwritable", what=folder, error=error.strerror)) from error
            left = extraction.left
    return tuple(done)


class _Extraction:
    """Hidden files of one layer on their way out. ``left`` is how many bytes may still be written."""

    def __init__(self, index: LayerIndex, layer: Layer, folder: Path, left: int) -> None:
        self._index, self._layer, self._folder, self.left = index, layer, folder, left
        self._names = _Names()

    def write(self, view: memoryview, files: list[HiddenFile]) -> list[Extracted]:
        """Write them in one pass over the layer; answers in the order of ``files``."""
        members = self._members({file.path for file in files})
        done: list[Extracted] = []
        targets: dict[int, Path] = {}
        for file in files:
            member, problem = self._chosen(members.get((file.path, file.size_bytes)))
            if member is not None:
                targets[member] = self._names.free(self._folder, safe_name(file.path))
                self.left -= self._index.entries.sizes[member]
                _create(targets[member])
            written = None if member is None else targets[member]
            done.append(Extracted(file.path, self._layer.index, written, problem))
        for member, piece in members_pieces(view, self._layer.compression, self._index.entries, targets):
            _append(targets[member], piece)
        return done

    def _members(self, wanted: set[str]) -> dict[tuple[str, int], deque[int]]:
        """Plain files by path and size: one name may be there many times. A path in which a secret was cut is known again."""
        entries = self._index.entries
        members: dict[tuple[str, int], deque[int]] = {}
        names, cuts = [shown(path) for path in entries.paths], {}
        if any("…" in path for path in wanted):
            from deadweight_images.secrets.config import published
            from deadweight_images.secrets.scanner import Scanner

            cuts = published(names, Scanner.default())
        for number, raw in enumerate(names):
            name = raw if raw in wanted else cuts.get(raw, raw)
            if entries.kinds[number] == columns.FILE and name in wanted:
                members.setdefault((name, entries.sizes[number]), deque()).append(number)
        return members

    def _chosen(self, members: deque[int] | None) -> tuple[int | None, str | None]:
        """The member that a hidden file is, or why it is not written."""
        entries = self._index.entries
        if not members:
            return None, wording("extract.no_content")
        member = members.popleft()
        if member in entries.sparse:
            return None, wording("extract.sparse")
        if entries.sizes[member] > min(MAX_FILE, self.left):
            return None, wording("extract.over_limit", file=MAX_FILE >> 30, total=MAX_TOTAL >> 30)
        return member, None


class _Names:
    """Gives out names that are not taken: safe names can fall together, and one's file can be where another needs a folder."""

    def __init__(self) -> None:
        self._next: dict[Path, int] = {}

    def free(self, folder: Path, name: Path) -> Path:
        """``name`` below ``folder``, whose parts become ``part.2``, ``part.3`` … where they must. Makes the folders."""
        for part in name.parts[:-1]:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder = self._untaken(folder / part, lambda place: place.is_dir())
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self._untaken(folder / name.name, lambda _place: False)

    def _untaken(self, target: Path, good: Callable[[Path], bool]) -> Path:
        number = self._next.get(target, 1)
        while True:
            place = target if number == 1 else target.with_name(f"{target.name}.{number}")
            if place.is_symlink() or (place.exists() and not good(place)):
                number += 1
                continue
            self._next[target] = number
            return place


def _create(target: Path) -> None:
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))


def _append(target: Path, piece: bytes) -> None:
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC), "wb") as out:
        out.write(piece)


def safe_name(path: str) -> Path:
    """A relative path below any folder on any file system: no ``..``, no strange characters, of bounded length."""
    parts = []
    for part in path.split("/"):
        name = _SAFE.sub("_", part)[:_MAX_PART]
        if name and name.strip("."):
            parts.append(name)
        elif name:
            parts.append("_" * len(name))
    if len(parts) > _MAX_PARTS:
        parts = [*parts[: _MAX_PARTS - 1], "_".join(parts[_MAX_PARTS - 1 :])[-_MAX_PART:]]
    return Path(*parts) if parts else Path("_")


def prepare(folder: Path) -> None:
    """Make the folder. Raises UsageError where it is something else or holds something, DeadweightError where it cannot be made."""
    try:
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise UsageError(wording("folder.not_a_folder", what=folder))
        if folder.exists() and any(folder.iterdir()):
            raise UsageError(wording("folder.not_empty", what=folder))
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise DeadweightError(wording("folder.unwritable", what=folder, error=error.strerror)) from error
