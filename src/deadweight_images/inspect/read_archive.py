"""Read the layers of an archive that are not cached: verify digests, merge, scan for secrets."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight_images.archive.archive import Archive
from deadweight_images.archive.model import Layer
from deadweight_images.errors import ArchiveError, wording
from deadweight_images.inspect.cache import Cache, identity
from deadweight_images.layers.index import LayerIndex
from deadweight_images.layers.indexing import Indexer, PlainReading

if TYPE_CHECKING:
    from deadweight_images.findings import LayersReport, Scanned
    from deadweight_images.inspect.assemble import Assembly
    from deadweight_images.secrets.regions import Probe


class Look:
    """One look at one archive, as far as the cache does not know it. ``path`` names it in messages.

    ``stamp`` is the archive's identity as a file, by which it is known again as verified; None where it is no file.

    ``load`` gives the probe. Loading it takes as long as hashing 100 MB, so it waits until threads are hashing; the same holds
    for the modules that put a report together. ``key`` is what the probe's results depend on.
    """

    def __init__(
        self,
        opened: Callable[[], Archive],
        path: Path,
        load: Callable[[], Probe | None],
        key: str,
        scan: Scanned,
        cache: Cache,
        stamp: str | None = None,
    ) -> None:
        self._open = opened
        self._path, self._load, self._key, self._scan, self._cache, self._stamp = path, load, key, scan, cache, stamp
        self.trusted = cache.verified(stamp) if stamp is not None else frozenset()

    @property
    def scans(self) -> bool:
        """Whether layers are looked into for secrets as they are read."""
        return self._scan not in ("hidden", "no")

    def report(self) -> LayersReport:
        """Read, verify, put together. Raises ArchiveError."""
        with self._open() as archive, Indexer() as indexer:
            reading = _Reading(self, archive, indexer)
            reading.walk()
            probe = self._load()
            from deadweight_images.inspect.assemble import Assembly

            if self._scan != "hidden":
                indexer.probe = probe
            image = archive.image
            if probe is not None:  # now, for threads are reading
                from deadweight_images.secrets.config import with_shown_instructions

                image = with_shown_instructions(image, probe.scanner)
            reading.read()
            assembly = Assembly(image, reading.indices, lambda number: _plain(archive, number))
            if self._scan == "hidden" and probe is not None:
                self._scan_hidden(archive, assembly, probe, reading.known)
            sizes = [gzip_size(self._cache.folder, layer) for layer in archive.image.layers]
            report = assembly.report(probe.scanner if probe else None, self._scan, sizes, reading.settle)
            self._keep(archive, reading.indices, reading.known)
            count, size = archive.unnamed()
        if count:
            from dataclasses import replace

            from deadweight_images.findings import SkippedItem

            reason = wording("skip.unreferenced_blobs", count=count)
            report = replace(report, skipped=(*report.skipped, SkippedItem(None, None, "", reason, size)))
        return report

    def known(self, layer: Layer) -> LayerIndex | None:
        """A layer's index from the cache; not yet verified."""
        packed = None if layer.compression == "none" else layer.stored_bytes
        index = self._cache.layer(layer.diff_id, self._key, packed)
        if index is None or index.stored_bytes != layer.stored_bytes or layer.digest not in (None, index.digest):
            return None
        return index

    def _scan_hidden(self, archive: Archive, assembly: Assembly, probe: Probe, known: frozenset[str]) -> None:
        """Secrets in hidden files only: plain layers in place, compressed ones read once more, known ones not at all.

        A layer that an image has twice is one layer here, with what is hidden of either.
        """
        layers = {layer.diff_id: layer for layer in archive.image.layers if layer.diff_id not in known}
        wanted = {diff_id: bytearray(len(assembly.indices[layer.index].entries)) for diff_id, layer in layers.items()}
        by_layer = [wanted.get(layer.diff_id) for layer in archive.image.layers]
        for hiding in assembly.merged.hidings():
            flags = by_layer[hiding.layer]
            if flags is not None:
                flags[hiding.member] = 1
        with Indexer(probe, verify=False) as indexer:
            for diff_id, members in wanted.items():
                layer = layers[diff_id]
                index = assembly.indices[layer.index]
                if any(members) and layer.compression == "none":
                    indexer.members(index, archive.blob(layer), members)
                elif any(members):
                    again = indexer.blob(archive.blob(layer), layer.compression, self.what(layer))
                    index.take_of(members, again.secrets, again.skipped, again.unlisted)

    def _keep(self, archive: Archive, indices: list[LayerIndex], known: frozenset[str]) -> None:
        """Only what was verified is kept, and never what was scanned in part."""
        if self._scan != "hidden":
            for diff_id, index in {index.diff_id: index for index in indices}.items():
                if diff_id not in known:
                    self._cache.keep_layer(index, self._key)
        if self._stamp is not None and identity(self._path) == self._stamp:
            self._cache.keep_verified(self._stamp, frozenset(layer.diff_id for layer in archive.image.layers))

    def what(self, layer: Layer) -> str:
        """How messages name a layer."""
        return f"{self._path}: layer {layer.index + 1}"


class _Reading:
    """All layers of one archive being read: hashing begins at once, ``read`` gives ``indices`` that are complete in structure,
    and ``settle`` completes digests and secrets."""

    def __init__(self, look: Look, archive: Archive, indexer: Indexer) -> None:
        self._look, self._archive, self._indexer = look, archive, indexer
        self._layers = {layer.diff_id: layer for layer in archive.image.layers}
        self._readings: dict[str, PlainReading] = {}
        self._found = {diff_id: index for diff_id, layer in self._layers.items() if (index := look.known(layer))}
        self.known = frozenset(self._found)
        for diff_id, index in self._found.items():
            indexer.room.hold(index.entries, look.what(self._layers[diff_id]))
        missing = [layer for layer in self._layers.values() if layer.diff_id not in self._found]
        unknown = self._unknown = [layer for layer in missing if layer.compression == "none"]
        unsure = [self._layers[diff_id] for diff_id in self._found if diff_id not in look.trusted]
        # The longest first: no two threads can share one layer's digest, so the rest must fit beside it.
        self._digests = {
            layer.diff_id: indexer.hashed(archive.blob(layer))
            if look.scans
            else indexer.hashed_ahead(archive.blob(layer), partial(archive.forget, layer))
            for layer in sorted((*unknown, *unsure), key=lambda layer: layer.stored_bytes, reverse=True)
        }
        # Without a probe, packed layers are read while the probe is loaded, and what puts the report together.
        packed = [] if unknown or look.scans else sorted(missing, key=lambda layer: layer.stored_bytes, reverse=True)
        ahead = indexer.ahead(
            [
                (archive.blob(layer), layer.compression, look.what(layer), partial(archive.forget, layer))
                for layer in packed
            ]
        )
        self._ahead = {layer.diff_id: reading for layer, reading in zip(packed, ahead, strict=True)}

    def walk(self) -> None:
        """Read the structure of plain layers that the cache does not know; this needs no probe."""
        for layer in self._unknown:
            digest = self._digests.pop(layer.diff_id)
            reading = self._indexer.plain(self._archive.blob(layer), self._look.what(layer), digest)
            self._readings[layer.diff_id], self._found[layer.diff_id] = reading, reading.index

    def read(self) -> None:
        """Read all else that the cache does not know."""
        look, archive, indices = self._look, self._archive, self._found
        for reading in self._readings.values():
            reading.scan()
        for diff_id, layer in self._layers.items():
            if diff_id in self._ahead:
                indices[diff_id] = self._ahead[diff_id].result()
            elif diff_id not in indices:
                view, what = archive.blob(layer), look.what(layer)
                indices[diff_id] = self._indexer.compressed(view, layer.compression, what, wait=False)
        self.indices = [indices[layer.diff_id] for layer in archive.image.layers]

    def settle(self) -> None:
        """Wait for the threads, then verify every layer. Raises ArchiveError."""
        for reading in self._readings.values():
            reading.finish()
        self._indexer.settle()
        for diff_id, layer in self._layers.items():
            hashed = self._digests[diff_id].result() if diff_id in self._digests else None
            verify(layer, self._found[diff_id], hashed, self._look.what(layer))
        self._verify_twins()

    def _verify_twins(self) -> None:
        """Layers that say that they are another one, and so were not read: each must be that one, perhaps packed in another way."""
        for layer in self._archive.image.layers:
            read = self._layers[layer.diff_id]
            if layer is not read and self._archive.blob(layer) != self._archive.blob(read):
                with Indexer() as indexer:
                    index = indexer.blob(self._archive.blob(layer), layer.compression, self._look.what(layer))
                verify(layer, index, None, self._look.what(layer))


def verify(layer: Layer, index: LayerIndex, hashed: str | None, what: str) -> None:
    """Raise ArchiveError where a layer is not what manifest and config say. ``hashed`` is the digest of the blob as stored,
    where the index itself comes from the cache."""
    if index.diff_id != layer.diff_id:
        raise ArchiveError(wording("archive.diff_id", what=what, diff_id=layer.diff_id, actual=index.diff_id))
    if hashed is not None and hashed != index.digest:
        raise ArchiveError(wording("archive.changed", what=what, digest=index.digest, actual=hashed))
    if layer.digest is not None and layer.digest.startswith("sha256:") and index.digest != layer.digest:
        raise ArchiveError(wording("archive.digest", what=what, digest=layer.digest, actual=index.digest))


def _plain(archive: Archive, number: int) -> memoryview | None:
    layer = archive.image.layers[number]
    return archive.blob(layer) if layer.compression == "none" else None


def gzip_size(folder: Path | None, layer: Layer) -> int | None:
    """The compressed size of a plain layer, if ``summary`` has measured it before; measuring it here would cost too much."""
    from deadweight_images.inspect.summary import kept_figures

    figures = kept_figures(folder, layer)
    size = figures.get("gzip") if figures else None
    return size if isinstance(size, int) else None
