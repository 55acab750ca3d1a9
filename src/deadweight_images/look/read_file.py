"""One file out of an image: as the container would see it, links followed inside the image, nothing unpacked."""

from __future__ import annotations

from pathlib import Path

from deadweight_images.archive.archive import open_archive
from deadweight_images.contents.filesystem import Filesystem
from deadweight_images.errors import ArchiveError
from deadweight_images.layers.indexing import Indexer

MAX_FILE_BYTES = 256 * 2**20


def read_file(archive: Path, path: str, *, platform: str | None = None) -> tuple[bytes, int]:
    """The content of a file in the image's final view, and its mode.

    Raises ArchiveError where the path leads nowhere, to something that is no file, or to more than 256 MiB.
    """
    with open_archive(archive, platform=platform) as opened, Indexer(verify=True) as indexer:
        layers = opened.image.layers
        indices = [
            indexer.blob(opened.blob(each), each.compression, f"{archive}: layer {each.index + 1}") for each in layers
        ]
        files = Filesystem(opened, indices)
        file = files.file(path)
        if file is None:
            raise ArchiveError(f"{archive}: no file {path} in the image")
        if file.size_bytes > MAX_FILE_BYTES:
            raise ArchiveError(f"{archive}: {path} is larger than {MAX_FILE_BYTES // 2**20} MiB")
        return b"".join(files.pieces(file)), file.mode
