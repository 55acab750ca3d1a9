"""One file out of an image: as the container would see it, links followed inside the image, nothing unpacked."""

from __future__ import annotations

from pathlib import Path

from deadweight._errors import ArchiveError
from deadweight.image.archive import entries as columns
from deadweight.image.archive.archive import open_archive
from deadweight.image.layers.content import member_pieces
from deadweight.image.layers.indexing import Indexer
from deadweight.image.layers.merge import IMPLIED, Merged

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
        merged = Merged([index.entries for index in indices])
        found = merged.resolve(path.strip("/").encode("utf-8", "surrogateescape"))
        value = merged.view.get(found) if found is not None else None
        if value is None or value == IMPLIED or merged.kind(value) not in (columns.FILE, columns.HARDLINK):
            raise ArchiveError(f"{archive}: no file {path} in the image")
        content = merged.content(value)
        if content is None:
            raise ArchiveError(f"{archive}: {path} is a link to nothing")
        layer, member = Merged.split(content)
        entries = indices[layer].entries
        if entries.sizes[member] > MAX_FILE_BYTES:
            raise ArchiveError(f"{archive}: {path} is larger than {MAX_FILE_BYTES // 2**20} MiB")
        pieces = member_pieces(opened.blob(layers[layer]), layers[layer].compression, entries, member)
        return b"".join(pieces), entries.modes[member]
