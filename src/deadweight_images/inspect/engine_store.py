"""Read an image directly from a local engine's storage, faster than ``docker image save``.

To save 1 GB an engine takes five seconds, most of them before the first byte: it writes every layer to its own disk first. Root
can read the engine's folder in one pass instead. An overlay2 store keeps each layer's files in a folder, and the rest of the tar
(headers, padding, order) beside it. Together they give the tar again bit by bit, which its digest proves. Source of the format:
github.com/vbatts/tar-split, "tar-data.json.gz".

Nothing is written and no link is followed: names come from images.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import json
import os
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deadweight_images.archive.archive import Archive, image_of, open_blobs
from deadweight_images.archive.compression import Source
from deadweight_images.archive.documents import MANIFEST_TYPES, MAX_DOCUMENT, check, config, valid
from deadweight_images.archive.store import FolderStore
from deadweight_images.errors import ArchiveError, wording
from deadweight_images.findings import LayersReport, Scanned
from deadweight_images.inspect.analyse import content_key
from deadweight_images.inspect.cache import Cache, apply_allowlist, probe_for
from deadweight_images.inspect.read_archive import Look, verify
from deadweight_images.layers.index import LayerIndex
from deadweight_images.layers.indexing import Indexer

if TYPE_CHECKING:
    from deadweight_images.archive.model import Image
    from deadweight_images.secrets.model import AllowEntry
    from deadweight_images.secrets.regions import Probe


# Read an image where Docker's containerd image store keeps it, without the detour of ``docker image save``.
#
# Containerd's content store is a folder of blobs named by their digests, as in an OCI layout (github.com/containerd/containerd,
# docs/content-flow.md); only the index that says where to begin is missing, and the engine told that. Every blob is verified, as
# those of any archive; nothing is written and no link is followed.

CONTENT = "io.containerd.content.v1.content"
"""The folder of the content store in containerd's own (its plug-in's name)."""


def content_folders(root: Path) -> tuple[Path, ...]:
    """Where the content of an engine may lie: of a containerd that dockerd (``DockerRootDir``) started, and of the machine's."""
    return (root / "containerd" / "daemon" / CONTENT, Path("/var/lib/containerd") / CONTENT)


def analyse_content_store(
    folders: Iterable[Path],
    target: str,
    *,
    scan: Scanned = "deep",
    allow: Iterable[AllowEntry] = (),
    today: date | None = None,
    cache_dir: Path | None = None,
    platform: str | None = None,
) -> LayersReport | None:
    """Like ``analyse``, for an image in one of these folders; ``target`` is the digest of its manifest or index, the engine's id.

    None where none of them can be read or holds it all (no root, another machine, layers that containerd did not keep): then take
    ``analyse_stream``. Raises ArchiveError where a blob is damaged, UsageError where there is none for ``platform``.
    """
    valid(target, "image id")
    for folder in folders:
        store = _Blobs(folder, target)
        try:
            archive = open_blobs(folder, store, platform=platform)
        except ArchiveError:
            if store.missing:
                continue
            raise
        return apply_allowlist(_report(archive, folder, scan, cache_dir), allow, today)
    return None


def _report(archive: Archive, folder: Path, scan: Scanned, cache_dir: Path | None) -> LayersReport:
    """No stamp: what lies there is hashed every time, what the cache knows of its layers' content is not read again."""
    key = content_key(scan, None)
    return Look(lambda: archive, folder, lambda: probe_for(scan, None), key, scan, Cache(cache_dir)).report()


class _Blobs(FolderStore):
    """A content store as an OCI layout of one image. ``missing`` tells that something of it is not there."""

    def __init__(self, folder: Path, target: str) -> None:
        super().__init__(folder)
        self._target, self.missing = target, False

    def blob(self, name: str) -> memoryview | None:
        if name == "manifest.json":
            return None
        if name == "index.json":
            return self._index()
        try:
            view = super().blob(name)
        except ArchiveError as error:
            if not isinstance(error.__cause__, PermissionError):
                raise
            view = None
        self.missing = self.missing or view is None
        return view

    def sizes(self) -> dict[str, int]:
        """None: the store holds other images too."""
        return {}

    def _index(self) -> memoryview | None:
        raw = self.blob(f"blobs/{self._target.replace(':', '/')}")
        if raw is None or len(raw) > MAX_DOCUMENT:
            return None
        described: dict[str, Any] = {"mediaType": _media_type(raw), "digest": self._target, "size": len(raw)}
        return memoryview(json.dumps({"schemaVersion": 2, "manifests": [described]}).encode())


def _media_type(raw: memoryview) -> str:
    """What a manifest or index says that it is; that it says so truly is found out when it is read."""
    try:
        document = json.loads(bytes(raw))
    except (ValueError, RecursionError):
        document = None
    kind = document.get("mediaType") if isinstance(document, dict) else None
    return str(kind or MANIFEST_TYPES[0])


_DRIVER = "overlay2"
_PIECE = 1 << 20
_MAX_LINE = 8 << 20
_KEPT = 64  # handles of folders that are kept open; an image may nest more of them than a process may open
_CACHE_ID = re.compile(r"[0-9a-z]{16,128}(-init)?", re.ASCII)


def analyse_engine_store(
    root: Path,
    image_id: str,
    *,
    scan: Scanned = "deep",
    allow: Iterable[AllowEntry] = (),
    today: date | None = None,
    cache_dir: Path | None = None,
    platform: str | None = None,
) -> LayersReport | None:
    """Like ``analyse``, for an image in an engine's own folder (``DockerRootDir``), named by its id (``sha256:…``).

    None where that folder cannot be read (no root, another machine, another store than overlay2): then take
    ``analyse_stream``. Layers are verified; those that ``cache_dir`` knows are not read again, the engine verified them when
    they were loaded. Raises ArchiveError where the store is damaged.
    """
    raw = _read(root / "image" / _DRIVER / "imagedb/content/sha256" / valid(image_id, "image id").partition(":")[2])
    if raw is None:
        return None
    check(raw, image_id, f"{root}: image")
    layers = _folders(root, config(raw, f"{root}: image {image_id}").diff_ids)
    if layers is None:
        return None
    from deadweight_images.inspect.stream import assembled

    what = f"{image_id} in {root}"
    members = tuple(diff_id for diff_id, _folder, _files in layers)
    image, _members = image_of(lambda _name: (0, b""), what, raw, members, platform)
    probe = probe_for("deep" if scan == "hidden" else scan, None)
    by_id = _read_layers(image, layers, probe, Cache(cache_dir), what)
    sized = tuple(replace(layer, stored_bytes=by_id[layer.diff_id].tar_bytes) for layer in image.layers)
    image = replace(image, layers=sized)
    indices = [by_id[layer.diff_id] for layer in image.layers]
    return apply_allowlist(assembled(image, indices, probe, scan, cache_dir), allow, today)


def _read_layers(
    image: Image, layers: list[tuple[str, Path, Path]], probe: Probe | None, cache: Cache, what: str
) -> dict[str, LayerIndex]:
    """By diff-id. Each is verified; what the cache knows the engine verified when it was loaded."""
    key = probe.key if probe is not None else "no"
    indices: dict[str, LayerIndex] = {}
    with Indexer(probe) as indexer:
        for layer, (diff_id, folder, files) in zip(image.layers, layers, strict=True):
            name = f"{what}: layer {layer.index + 1}"
            index = indices.get(diff_id) or cache.layer(diff_id, key)
            if index is None:
                with _Tar(folder, files) as tar:
                    index = indexer.compressed(tar, "none", name, wait=False)
            indices[diff_id] = index
            verify(layer, index, None, name)
        indexer.settle()
    return indices


def _folders(root: Path, diff_ids: tuple[str, ...]) -> list[tuple[str, Path, Path]] | None:
    """Per layer its diff-id, the folder of its description, the folder of its files; None where the store is another kind."""
    folders = []
    chain = ""
    for diff_id in diff_ids:
        chain = diff_id if not chain else "sha256:" + hashlib.sha256(f"{chain} {diff_id}".encode()).hexdigest()
        folder = root / "image" / _DRIVER / "layerdb" / "sha256" / chain.partition(":")[2]
        stated, cache_id = _read(folder / "diff"), _read(folder / "cache-id")
        if stated is None or cache_id is None or not (folder / "tar-split.json.gz").is_file():
            return None
        name = cache_id.decode("ascii", "replace").strip()
        if stated.decode("ascii", "replace").strip() != diff_id or _CACHE_ID.fullmatch(name) is None:
            raise ArchiveError(wording("engine_store.other_layer", what=folder, diff_id=diff_id))
        files = root / _DRIVER / name / "diff"
        if not files.is_dir():
            return None
        folders.append((diff_id, folder, files))
    return folders


class _Tar(Source):
    """A layer's tar, put together from its description and its files."""

    def __init__(self, folder: Path, files: Path) -> None:
        self._folder, self._content = folder, _Folder(files)
        self._lines: gzip.GzipFile | None = None
        self._items: Iterator[dict[str, Any]] | None = None
        self._header = b""

    def __enter__(self) -> _Tar:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._content.close()
        if self._lines is not None:
            self._lines.close()

    def into(self, room: memoryview) -> int:
        """As ``Source``. Raises ArchiveError where description and files do not fit together."""
        try:
            return self._into(room)
        except (OSError, ValueError, EOFError, zlib.error, AttributeError, TypeError, LookupError) as error:
            raise ArchiveError(wording("engine_store.damaged", what=self._folder, error=repr(error))) from error

    def _into(self, room: memoryview) -> int:
        if self._items is None:
            self._lines = gzip.open(self._folder / "tar-split.json.gz", "rb")  # noqa: SIM115 - __exit__ closes it
            self._items = _items(self._lines)
        filled, size, content = 0, len(room), self._content
        while filled < size:
            if content.left:
                filled += content.into(room[filled:])
            elif self._header:
                header, self._header = self._header[: size - filled], self._header[size - filled :]
                room[filled : filled + len(header)] = header
                filled += len(header)
            elif not self._next():
                break
        return filled

    def _next(self) -> bool:
        """Go on to the next bytes: headers and padding, or a file. Answers whether there are any."""
        for item in self._items or ():
            if item.get("type") == 2:
                self._header = binascii.a2b_base64(item.get("payload") or "")
                return True
            if size := item.get("size"):
                self._content.file(_name(item), int(size))
                return True
        return False


def _items(lines: gzip.GzipFile) -> Iterator[dict[str, Any]]:
    """What the lines of a description say. Many are parsed at once, which takes half the time."""
    rest = b""
    while piece := lines.read(_PIECE):
        whole, end, rest = (rest + piece).rpartition(b"\n")
        if end:
            yield from json.loads(b"[" + whole.strip().replace(b"\n", b",") + b"]")
        elif len(rest) > _MAX_LINE:
            raise ValueError("a line without end")
    if rest.strip():
        yield json.loads(rest)


def _name(item: dict[str, Any]) -> bytes:
    if "name_raw" in item:
        return base64.b64decode(item["name_raw"])
    return str(item["name"]).encode("utf-8", "surrogateescape")


class _Folder:
    """Opens files below one folder, one component at a time, so that no link in their names is followed."""

    def __init__(self, path: Path) -> None:
        self._top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._parent = b""
        self._open: list[tuple[bytes, int]] = []
        """The folders that lead to ``_parent``, without the top: each one's name and handle. Members of a tar are neighbours."""
        self._handle, self.left = -1, 0

    def close(self) -> None:
        """Let go of all that is open."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle, self.left = -1, 0
        self._leave(0)
        if self._top >= 0:
            os.close(self._top)
            self._top = -1

    def file(self, name: bytes, size: int) -> None:
        """Begin with one file, which has that size at least: ``left`` is how much of it ``into`` has not given yet. What follows
        in it is not read: the layer's digest tells that the file is another one."""
        parent, _, last = name.strip(b"/").rpartition(b"/")
        if parent != self._parent:
            self._enter(parent)
        above = self._open[-1][1] if self._open else self._top
        self._handle = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=above)
        self.left = size

    def into(self, room: memoryview) -> int:
        """The next bytes of the file."""
        got = os.readv(self._handle, (room[: self.left],))
        if not got:
            raise ValueError("a file is truncated")
        self.left -= got
        if not self.left:
            os.close(self._handle)
            self._handle = -1
        return got

    def _enter(self, parent: bytes) -> None:
        parts = [part for part in parent.split(b"/") if part not in (b"", b".")]
        if b".." in parts:
            raise ValueError(f"{parent!r} points outside the layer")
        parts[_KEPT:] = [b"/".join(parts[_KEPT:])] if parts[_KEPT:] else []
        shared = 0
        while shared < min(len(parts), len(self._open)) and parts[shared] == self._open[shared][0]:
            shared += 1
        self._leave(shared)
        for part in parts[shared:]:
            self._open.append((part, _folder(part, self._open[-1][1] if self._open else self._top)))
        self._parent = parent

    def _leave(self, depth: int) -> None:
        self._parent = b""
        while len(self._open) > depth:
            os.close(self._open.pop()[1])


def _folder(path: bytes, above: int) -> int:
    """A handle of a folder below another one; no link is followed on the way."""
    handle = above
    for part in path.split(b"/"):
        after = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=handle)
        if handle != above:
            os.close(handle)
        handle = after
    return handle


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(MAX_DOCUMENT + 1)
    except OSError:
        return None
