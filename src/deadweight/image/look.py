"""One look at an archive that no cache knows yet: read, verify, put the layers over one another, scan."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

from deadweight._errors import ArchiveError
from deadweight.image.archive import Archive, open_archive
from deadweight.image.assemble import Assembly
from deadweight.image.cache import Cache, identity
from deadweight.image.findings import LayersReport, Scanned
from deadweight.image.indexing import Indexer, PlainReading
from deadweight.image.layerindex import LayerIndex
from deadweight.image.model import Layer
from deadweight.image.probe import Probe


class Look:
    """One look at one archive, as far as the cache does not know it."""

    def __init__(
        self,
        path: Path,
        probe: Probe | None,
        scan: Scanned,
        cache: Cache,
        stamp: str,
        platform: str | None,
        name: str | None,
    ) -> None:
        self._path, self._probe, self._scan, self._cache, self._stamp = path, probe, scan, cache, stamp
        self._platform, self._name = platform, name
        self._key = probe.key if probe is not None else "no"
        self._trusted = cache.verified(stamp)

    def report(self) -> LayersReport:
        with open_archive(self._path, platform=self._platform, name=self._name) as archive:
            indices = self._indices(archive)
            assembly = Assembly(archive.image, indices, lambda number: _plain(archive, number))
            if self._scan == "hidden":
                self._scan_hidden(archive, assembly)
            sizes = [gzip_size(self._cache.folder, layer) for layer in archive.image.layers]
            report = assembly.report(self._probe.scanner if self._probe else None, self._scan, sizes)
            self._keep(archive, indices)
        return report

    def _indices(self, archive: Archive) -> list[LayerIndex]:
        """All layers' indices, in order; every layer verified against its diff-id."""
        probe = self._probe if self._scan != "hidden" else None
        layers = {layer.diff_id: layer for layer in archive.image.layers}
        found: dict[str, LayerIndex] = {}
        with Indexer(probe) as indexer:
            readings: dict[str, PlainReading] = {}
            checks: dict[str, Future[str]] = {}
            for diff_id, layer in layers.items():
                index = self._known(layer)
                if index is not None:
                    found[diff_id] = index
                    if diff_id not in self._trusted:
                        checks[diff_id] = indexer.hashed(archive.blob(layer))
                elif layer.compression == "none":
                    readings[diff_id] = indexer.plain(archive.blob(layer), self._what(layer))
            for reading in readings.values():
                reading.scan()
            for diff_id in layers.keys() - found.keys() - readings.keys():
                layer = layers[diff_id]
                found[diff_id] = indexer.blob(archive.blob(layer), layer.compression, self._what(layer))
            found.update({diff_id: reading.finish() for diff_id, reading in readings.items()})
            for diff_id, layer in layers.items():
                hashed = checks[diff_id].result() if diff_id in checks else None
                verify(layer, found[diff_id], hashed, self._what(layer))
        return [found[layer.diff_id] for layer in archive.image.layers]

    def _known(self, layer: Layer) -> LayerIndex | None:
        index = self._cache.layer(layer.diff_id, self._key)
        if index is not None and index.stored_bytes != layer.stored_bytes:
            return None
        return index

    def _scan_hidden(self, archive: Archive, assembly: Assembly) -> None:
        """Secrets in hidden files only: plain layers in place, compressed ones read once more."""
        assert self._probe is not None
        with Indexer(self._probe, verify=False) as indexer:
            for layer in archive.image.layers:
                members = assembly.hidden_members(layer.index)
                index = assembly.indices[layer.index]
                if not members or index.found:
                    continue
                if layer.compression == "none":
                    indexer.members(index, archive.blob(layer), members)
                else:
                    wanted = set(members)
                    again = indexer.blob(archive.blob(layer), layer.compression, self._what(layer))
                    index.found.extend(item for item in again.found if item.member in wanted)
                    index.skipped.extend(item for item in again.skipped if item.member in wanted)

    def _keep(self, archive: Archive, indices: list[LayerIndex]) -> None:
        """Only what was verified is kept, and never what was scanned in part."""
        if self._scan != "hidden":
            for diff_id, index in {index.diff_id: index for index in indices}.items():
                if diff_id is not None and self._cache.layer(diff_id, self._key) is None:
                    self._cache.keep_layer(index, self._key)
        if identity(self._path) == self._stamp:
            self._cache.keep_verified(self._stamp, frozenset(layer.diff_id for layer in archive.image.layers))

    def _what(self, layer: Layer) -> str:
        return f"{self._path}: layer {layer.index + 1}"


def verify(layer: Layer, index: LayerIndex, hashed: str | None, what: str) -> None:
    """Raise ArchiveError where a layer is not what manifest and config say. ``hashed`` is the digest of the blob as stored,
    where the index itself comes from the cache."""
    if index.diff_id != layer.diff_id:
        raise ArchiveError(f"{what}: the content does not match its diff-id {layer.diff_id} (it is {index.diff_id})")
    if hashed is not None and hashed != index.digest:
        raise ArchiveError(f"{what}: the content is not what it was: {hashed} instead of {index.digest}")
    if layer.digest is not None and layer.digest.startswith("sha256:") and index.digest != layer.digest:
        raise ArchiveError(f"{what}: the content does not match its digest {layer.digest} (it is {index.digest})")


def _plain(archive: Archive, number: int) -> memoryview | None:
    layer = archive.image.layers[number]
    return archive.blob(layer) if layer.compression == "none" else None


def gzip_size(folder: Path | None, layer: Layer) -> int | None:
    """The compressed size of a plain layer, if ``summary`` has measured it before; measuring it here would cost too much."""
    from deadweight.image.summary import kept_figures

    figures = kept_figures(folder, layer)
    size = figures.get("gzip") if figures else None
    return size if isinstance(size, int) else None
