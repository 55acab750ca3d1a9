"""Read an image where Docker's containerd image store keeps it, without the detour of ``docker image save``.

Containerd's content store is a folder of blobs named by their digests, as in an OCI layout (github.com/containerd/containerd,
docs/content-flow.md); only the index that says where to begin is missing, and the engine told that. Every blob is verified, as
those of any archive; nothing is written and no link is followed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deadweight_images.archive.archive import Archive, open_blobs
from deadweight_images.archive.digests import valid
from deadweight_images.archive.documents import MANIFEST_TYPES, MAX_DOCUMENT
from deadweight_images.archive.store import FolderStore
from deadweight_images.errors import ArchiveError
from deadweight_images.findings import LayersReport, Scanned
from deadweight_images.look.analyse import content_key
from deadweight_images.look.cache import Cache
from deadweight_images.look.judge import judged, probe_for
from deadweight_images.look.once import Look

if TYPE_CHECKING:
    from deadweight_images.secrets.allow import AllowEntry

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
        return judged(_look(archive, folder, scan, cache_dir), allow, today)
    return None


def _look(archive: Archive, folder: Path, scan: Scanned, cache_dir: Path | None) -> LayersReport:
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
            found = super().blob(name)
        except ArchiveError as error:
            if isinstance(error.__cause__, PermissionError):
                found = None
            else:
                raise
        self.missing = self.missing or found is None
        return found

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
    told = document.get("mediaType") if isinstance(document, dict) else None
    return str(told or MANIFEST_TYPES[0])
