"""Analyse an image in a registry: layers are streamed, never written to disk, and skipped if cached.

The caller makes the requests; this module knows only documents and digests. All sizes and digests are verified.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from datetime import date
from functools import partial
from http.client import HTTPException
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from deadweight_images.archive import documents
from deadweight_images.archive.archive import read_image
from deadweight_images.archive.compression import recognize_compression
from deadweight_images.archive.documents import INDEX_TYPES, MANIFEST_TYPES, MAX_DOCUMENT
from deadweight_images.archive.model import Layer
from deadweight_images.errors import ArchiveError, DeadweightError, wording
from deadweight_images.findings import LayersReport, Scanned
from deadweight_images.inspect.cache import Cache, apply_allowlist, probe_for
from deadweight_images.inspect.read_archive import verify
from deadweight_images.inspect.stream import assembled
from deadweight_images.layers.index import LayerIndex
from deadweight_images.layers.indexing import Indexer

if TYPE_CHECKING:
    from deadweight_images.secrets.model import AllowEntry

_PIECE = 1 << 20
_TRIES = 3  # to go on with a layer whose transfer broke off
_NO_MANIFEST = "check the reference, and that a registry answers there: it may be a proxy or a login page"
_GZIP, _ZSTD, _PLAIN = b"\x1f\x8b\x08\0\0\0", b"\x28\xb5\x2f\xfd\0\0", b"\0\0\0\0\0\0"


class Remote(Protocol):
    """One image reference in a registry."""

    def manifest(self, digest: str | None = None) -> bytes:
        """What the reference names, or the manifest of that digest in the same repository."""
        ...

    def blob(self, digest: str) -> AbstractContextManager[IO[bytes]]:
        """A blob of the repository, to be read once."""
        ...

    def rest(self, digest: str, offset: int) -> AbstractContextManager[IO[bytes]]:
        """The same from an offset (bytes) on, after a broken transfer. Raises OSError where it cannot be had."""
        ...


def analyse_registry(
    remote: Remote,
    what: str,
    *,
    scan: Scanned = "deep",
    allow: Iterable[AllowEntry] = (),
    today: date | None = None,
    platform: str | None = None,
    cache_dir: Path | None = None,
) -> LayersReport:
    """Like ``analyse``, for an image that lies in a registry. ``what`` names it in messages. Raises as ``analyse`` does."""
    probe = probe_for("deep" if scan == "hidden" else scan, None)
    blobs = _Documents(remote, what)
    image, _members = read_image(blobs.document, blobs.head, what, platform=platform, name=None)
    cache, key = Cache(cache_dir), probe.key if probe is not None else "no"
    by_id: dict[str, LayerIndex] = {}
    with Indexer(probe) as indexer:
        for layer in image.layers:
            name = f"{what}: layer {layer.index + 1}"
            if layer.diff_id not in by_id:
                known = _known(cache, layer, key)
                if known is not None:
                    indexer.room.hold(known.entries, name)
                by_id[layer.diff_id] = known or _fetched(remote, layer, indexer, name)
            elif by_id[layer.diff_id].digest != layer.digest:  # the same content, packed in another way
                with Indexer() as other:
                    verify(layer, _fetched(remote, layer, other, name), None, name)
                continue
            verify(layer, by_id[layer.diff_id], None, name)
        indexer.settle()
    indices = [by_id[layer.diff_id] for layer in image.layers]
    layers = tuple(map(_as_it_came, image.layers, indices))
    report = assembled(replace(image, layers=layers), indices, probe, scan, cache_dir)
    return apply_allowlist(report, allow, today)


def _as_it_came(layer: Layer, index: LayerIndex) -> Layer:
    """The layer with what its bytes, not its media type, said of its compression: gzip here stands for any."""
    packed = index.digest != index.diff_id
    if packed == (layer.compression != "none"):
        return layer
    return replace(layer, compression="gzip" if packed else "none")


def _known(cache: Cache, layer: Layer, key: str) -> LayerIndex | None:
    """What an earlier look at the very blob found: its digest was verified then, and is what the manifest names."""
    for packed in (layer.stored_bytes, None):
        index = cache.layer(layer.diff_id, key, packed)
        if index is not None and index.digest == layer.digest:
            return index
    return None


def _fetched(remote: Remote, layer: Layer, indexer: Indexer, what: str) -> LayerIndex:
    """Read a layer as it comes, recognized by its first bytes whatever its media type says."""
    assert layer.digest is not None
    index = None
    try:
        with remote.blob(layer.digest) as stream:
            pieces = _whole(stream, partial(remote.rest, layer.digest), layer.stored_bytes, what)
            first = next(pieces, b"")
            packing = recognize_compression(first[:4])
            index = indexer.compressed(chain((first,), pieces), packing, what, wait=False)
    except DeadweightError:
        if index is None:
            raise
    return index  # where the transfer broke off, the rest came in another one


def _whole(
    stream: IO[bytes], rest: Callable[[int], AbstractContextManager[IO[bytes]]], size: int, what: str
) -> Iterator[bytes]:
    """No more than the manifest says there is, and no less: a transfer that broke off goes on where it did."""
    done = 0

    def pieces(source: IO[bytes]) -> Iterator[bytes]:
        nonlocal done
        while piece := source.read(min(_PIECE, size - done + 1)):
            done += len(piece)
            if done > size:
                raise ArchiveError(wording("registry.too_large", what=what, expected=size))
            yield piece

    yield from pieces(stream)
    for _again in range(_TRIES if done else 0):
        if done >= size:
            return
        with suppress(OSError, HTTPException), rest(done) as more:
            yield from pieces(more)
    if done < size:
        raise ArchiveError(wording("registry.truncated", what=what, size=done, expected=size))


class _Documents:
    """Manifests and configs by the names that they would have in an OCI layout, each fetched when it is asked for."""

    def __init__(self, remote: Remote, what: str) -> None:
        self._remote, self._what = remote, what
        self._held: dict[str, bytes] = {}
        self._layers: dict[str, tuple[int, str]] = {}
        raw = remote.manifest()
        digest = documents.of(raw)
        self._held[digest] = raw
        listed = {"mediaType": self._type(raw), "digest": digest, "size": len(raw)}
        self._index = json.dumps({"schemaVersion": 2, "manifests": [listed]}).encode()
        self._note_layers(raw)

    def _type(self, raw: bytes) -> str:
        document = documents.parsed(raw, f"{self._what}: the registry's answer")
        if not isinstance(document, dict):
            raise ArchiveError(wording("registry.not_a_manifest", what=self._what), hint=_NO_MANIFEST)
        kind = document.get("mediaType")
        return str(kind) if kind else INDEX_TYPES[0] if "manifests" in document else MANIFEST_TYPES[0]

    def document(self, name: str) -> bytes | None:
        """A document of the layout; None for what a registry has not."""
        if name == "index.json":
            return self._index
        digest = name.removeprefix("blobs/").replace("/", ":", 1)
        if not name.startswith("blobs/"):
            return None
        if digest not in self._held:
            self._held[digest] = self._fetched(digest)
        return self._held[digest]

    def _fetched(self, digest: str) -> bytes:
        if digest in self._configs():
            with self._remote.blob(digest) as stream:
                return stream.read(MAX_DOCUMENT + 1)
        raw = self._remote.manifest(digest)
        self._note_layers(raw)
        return raw

    def _configs(self) -> set[str]:
        return {digest for digest, (size, _type) in self._layers.items() if size < 0}

    def _note_layers(self, raw: bytes) -> None:
        """What a manifest says of its layers; its config is noted with a size of -1."""
        document = documents.parsed(raw, f"{self._what}: the registry's answer")
        if isinstance(document, dict) and isinstance(document.get("layers"), list):
            made = documents.manifest(raw, f"{self._what}: manifest", self._type(raw))
            self._layers[made.config.digest] = (-1, made.config.media_type)
            self._layers |= {layer.digest: (layer.size, layer.media_type) for layer in made.layers}

    def head(self, name: str) -> tuple[int, bytes] | None:
        """A layer's size and, in place of its first bytes, those that its media type promises: the real ones come later."""
        size, kind = self._layers.get(name.removeprefix("blobs/").replace("/", ":", 1), (-1, ""))
        if size < 0:
            return None
        return size, _GZIP if kind.endswith("gzip") else _ZSTD if kind.endswith("zstd") else _PLAIN
