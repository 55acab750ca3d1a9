"""Write hidden files out, to prove that they are there. Only bytes are written: no links, no devices, no modes of the image."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from deadweight._errors import DeadweightError, UsageError
from deadweight.image import entries as columns
from deadweight.image.archive import open_archive
from deadweight.image.findings import HiddenFile
from deadweight.image.indexing import Indexer
from deadweight.image.layerindex import LayerIndex
from deadweight.image.model import Layer, shown
from deadweight.image.slices import member_pieces

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
    ``open_archive`` does.
    """
    _prepare(folder)
    wanted: dict[int, list[HiddenFile]] = {}
    for file in hidden:
        wanted.setdefault(file.index, []).append(file)
    done: list[Extracted] = []
    total = 0
    with open_archive(path, platform=platform, name=name) as archive, Indexer(verify=False) as indexer:
        for layer in archive.image.layers:
            files = wanted.get(layer.index, [])
            if not files:
                continue
            view = archive.blob(layer)
            index = indexer.blob(view, layer.compression, f"{path}: layer {layer.index + 1}")
            for file in files:
                item = _one(view, layer, index, file, folder, MAX_TOTAL - total)
                total += item.written.stat().st_size if item.written is not None else 0
                done.append(item)
    return tuple(done)


def _one(view: memoryview, layer: Layer, index: LayerIndex, file: HiddenFile, folder: Path, left: int) -> Extracted:
    members = [number for number, path in enumerate(index.entries.paths) if shown(path) == file.path]
    files = [number for number in members if index.entries.kinds[number] == columns.FILE]
    if not files:
        return Extracted(file.path, layer.index, None, "is a link or a device: it has no content of its own")
    member = next((n for n in files if index.entries.sizes[n] == file.size_bytes), files[-1])
    if member in index.entries.sparse:
        return Extracted(file.path, layer.index, None, "is a sparse file")
    if index.entries.sizes[member] > min(MAX_FILE, left):
        return Extracted(file.path, layer.index, None, "is larger than what is written out")
    target = folder / f"layer-{layer.index + 1}" / safe_name(file.path)
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    target = _free(target)
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as out:
        for piece in member_pieces(view, layer.compression, index.entries, member):
            out.write(piece)
    return Extracted(file.path, layer.index, target)


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


def _free(target: Path) -> Path:
    """The name itself, or the first of ``name.2``, ``name.3`` … that is not taken (safe names can fall together)."""
    for number in range(1, 10_000):
        candidate = target if number == 1 else target.with_name(f"{target.name}.{number}")
        if not candidate.exists() and not candidate.is_symlink():
            return candidate
    raise DeadweightError(f"{target}: too many files of one name")


def _prepare(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise UsageError(f"{folder}: is not empty", hint="give a new or an empty folder")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise DeadweightError(f"{folder}: cannot be made: {error.strerror}") from error
