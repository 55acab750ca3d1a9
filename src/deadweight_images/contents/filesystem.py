"""Look up files in an image as its container sees them: links resolved inside the image, read without unpacking."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from deadweight_images.archive import entries as columns
from deadweight_images.archive.archive import Archive
from deadweight_images.archive.model import shown
from deadweight_images.contents.packages import packages
from deadweight_images.findings import Package
from deadweight_images.layers.index import GoProgram, LayerIndex, members_pieces, split
from deadweight_images.layers.merge import IMPLIED, Merged


@dataclass(frozen=True, slots=True)
class File:
    """A regular file: its real path (no links in it, no leading slash), and where its content lies."""

    path: bytes
    layer: int
    member: int
    size_bytes: int
    mode: int

    @property
    def name(self) -> str:
        return self.path.rpartition(b"/")[2].decode("utf-8", "replace")


class Filesystem:
    """The final view of an opened archive whose layers were read once. Paths are text, with or without a leading slash."""

    def __init__(self, archive: Archive, indices: Sequence[LayerIndex]) -> None:
        self._archive, self._indices = archive, indices
        self._merged = Merged([index.entries for index in indices])

    def file(self, path: str) -> File | None:
        """The file that a path leads to; None for what is absent, a folder or a loop of links."""
        real = self._merged.resolve(path.strip("/").encode("utf-8", "surrogateescape"))
        value = self._merged.view.get(real) if real is not None else None
        if real is None or value is None or value == IMPLIED:
            return None
        if self._merged.kind(value) not in (columns.FILE, columns.HARDLINK):
            return None
        content = self._merged.content(value)
        if content is None:
            return None
        layer, member = split(content)
        entries = self._indices[layer].entries
        return File(real, layer, member, entries.sizes[member], entries.modes[member])

    def start(self, file: File, most: int) -> bytes:
        """The first ``most`` bytes of a file."""
        content = bytearray()
        for piece in self.pieces(file):
            content += piece
            if len(content) >= most:
                break
        return bytes(content[:most])

    def pieces(self, file: File) -> Iterator[bytes]:
        """The content, in pieces of at most 1 MiB."""
        layer, entries = self._archive.image.layers[file.layer], self._indices[file.layer].entries
        parts = members_pieces(self._archive.blob(layer), layer.compression, entries, (file.member,))
        return (piece for _member, piece in parts)

    def go_program(self, file: File) -> GoProgram | None:
        """The build information, where the file is a Go binary."""
        return self._indices[file.layer].programs.get(file.member)

    def paths(self) -> Collection[bytes]:
        """Every path of the view, folders included."""
        return self._merged.view.keys()

    def listed(self) -> Iterator[tuple[str, str]]:
        """Every path with mode and owner (``0755 0:0``, ``link 0:0``, ``broken link 0:0``); with an empty text a folder that no
        layer names."""
        for path, value in self._merged.view.items():
            if value == IMPLIED:
                yield shown(path), ""
                continue
            layer, member = split(value)
            entries = self._indices[layer].entries
            mode = f"{entries.modes[member]:04o}"
            if entries.kinds[member] == columns.SYMLINK:
                mode = "link" if self._merged.resolve(path) is not None else "broken link"
            yield shown(path), f"{mode} {entries.uids[member]}:{entries.gids[member]}"

    def installed(self) -> tuple[Package, ...]:
        """The packages that the image's own databases name, and what is in Go binaries and jars."""
        return packages(self._merged, self._indices)
