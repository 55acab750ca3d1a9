"""Summarise an image quickly: sizes, layers, settings; no secret scan, no hash of plain layers."""

from __future__ import annotations

import json
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from deadweight_images.archive.archive import Archive, open_archive
from deadweight_images.archive.compression import cut
from deadweight_images.archive.model import Attestation, Image, Layer
from deadweight_images.contents.exposure import content_bytes
from deadweight_images.errors import ArchiveError, DeadweightError, wording
from deadweight_images.layers.indexing import Indexer

_PIECE = 4 << 20
_FORMAT = 2


@dataclass(frozen=True, slots=True)
class LayerSize:
    """What one layer weighs, in bytes.

    ``size_bytes`` is what the layer takes up unpacked, regular files once per inode plus the length of symlink targets: what
    engines with an overlay2 store show as an image's size (with Docker's containerd store they add the packed bytes).
    ``tar_bytes`` is the uncompressed tar. ``compressed_bytes`` is what a registry transfers; ``compressed_how`` says whether it is
    ``stored`` (the archive holds the compressed blob) or was computed (``gzip-6``).
    """

    digest: str | None
    diff_id: str
    size_bytes: int
    tar_bytes: int
    compressed_bytes: int | None
    compressed_how: Literal["stored", "gzip-6", "not_measured"]
    instruction: str | None
    media_type: str | None
    files: int


@dataclass(frozen=True, slots=True)
class Summary:
    """What an image weighs and how it is set up, without a look at what its files say. Sizes are in bytes."""

    config_digest: str
    manifest_digest: str | None
    size_bytes: int
    compressed_bytes: int | None
    compressed_how: Literal["stored", "gzip-6", "mixed", "not_measured"]
    layers: tuple[LayerSize, ...]
    os: str
    architecture: str
    user: str
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    env: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]
    working_dir: str
    exposed_ports: tuple[str, ...]
    created: str
    names: tuple[str, ...]
    attestations: tuple[Attestation, ...] = ()


def summary(
    path: Path,
    *,
    platform: str | None = None,
    name: str | None = None,
    cache_dir: Path | None = None,
    compressed: bool = True,
) -> Summary:
    """Sizes, layers and settings of the image in an archive (tar or OCI layout folder).

    Compressed layers weigh what the archive holds. Plain ones are compressed with gzip level 6 to see (about 25 s per GB and
    core, once: with ``cache_dir`` the figure is kept per diff-id), unless ``compressed`` is False: then the figure is None.
    Raises ArchiveError for what is damaged, hostile or no image archive; UsageError where a choice is needed.
    """
    with open_archive(path, platform=platform, name=name) as archive:
        sizes = tuple(_layer_size(archive, layer, cache_dir, compressed) for layer in archive.image.layers)
        return replace(summed(archive.image, sizes), attestations=archive.attestations())


def summed(image: Image, sizes: tuple[LayerSize, ...]) -> Summary:
    """The summary of an image whose layers were weighed."""
    hows, config = {size.compressed_how for size in sizes} or {"stored"}, image.config
    known = [size.compressed_bytes for size in sizes if size.compressed_bytes is not None]
    return Summary(
        config_digest=image.config_digest,
        manifest_digest=image.manifest_digest,
        size_bytes=sum(size.size_bytes for size in sizes),
        compressed_bytes=sum(known) if len(known) == len(sizes) else None,
        compressed_how="not_measured" if len(known) < len(sizes) else hows.pop() if len(hows) == 1 else "mixed",
        layers=sizes,
        os=config.os,
        architecture=config.architecture,
        user=config.user,
        entrypoint=config.entrypoint,
        command=config.command,
        env=config.env,
        labels=config.labels,
        working_dir=config.working_dir,
        exposed_ports=config.exposed_ports,
        created=config.created,
        names=image.names,
    )


def gzip_bytes(data: memoryview) -> int:
    """What gzip at level 6 makes of a buffer, in pieces of 4 MiB on all cores; within 0.1 % of one stream, and deterministic."""
    with ThreadPoolExecutor() as pool:
        return 18 + sum(pool.map(_deflated, cut(data, _PIECE)))


def _deflated(piece: memoryview) -> int:
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return len(packer.compress(piece)) + len(packer.flush())


def _layer_size(archive: Archive, layer: Layer, cache_dir: Path | None, compressed: bool) -> LayerSize:
    cached = _place(cache_dir, layer)
    figures = kept_figures(cache_dir, layer)
    wants_gzip = compressed and layer.compression == "none"
    if figures is None or (wants_gzip and figures.get("gzip") is None):
        figures = _measured(archive, layer, figures, wants_gzip)
        if cached is not None:
            from deadweight_images.cache_files import write_atomically

            try:
                write_atomically(cached, json.dumps(figures) + "\n")
            except OSError as error:
                raise DeadweightError(wording("cache.unwritable", what=cached, error=error.strerror)) from error
    how: Literal["stored", "gzip-6", "not_measured"] = "stored"
    weight: int | None = layer.stored_bytes
    if layer.compression == "none":
        weight = figures.get("gzip") if compressed else None
        how = "not_measured" if weight is None else "gzip-6"
    return LayerSize(
        digest=layer.digest or figures.get("digest"),
        diff_id=layer.diff_id,
        size_bytes=figures["size"],
        tar_bytes=figures["tar"],
        compressed_bytes=weight,
        compressed_how=how,
        instruction=layer.instruction,
        media_type=layer.media_type,
        files=figures["files"],
    )


def _measured(archive: Archive, layer: Layer, known: dict[str, Any] | None, wants_gzip: bool) -> dict[str, Any]:
    """A layer's figures: ``size``, ``tar``, ``files``, ``gzip`` or None, ``digest`` or None."""
    view, figures = archive.blob(layer), known
    if figures is None:
        what = f"{archive.path}: layer {layer.index + 1}"
        with Indexer(verify=layer.compression != "none") as indexer:
            index = indexer.blob(view, layer.compression, what)
        if index.diff_id is not None and index.diff_id != layer.diff_id:
            raise ArchiveError(wording("archive.diff_id", what=what, diff_id=layer.diff_id, actual=index.diff_id))
        size, files = content_bytes(index.entries)
        figures = {"format": _FORMAT, "size": size, "files": files, "tar": index.tar_bytes}
        figures |= {"digest": index.digest, "gzip": None}
    if wants_gzip:
        figures = {**figures, "gzip": gzip_bytes(view)}
    return figures


def _place(cache_dir: Path | None, layer: Layer) -> Path | None:
    name = f"{layer.diff_id.replace(':', '-')}-{layer.stored_bytes}.json"
    return None if cache_dir is None else cache_dir / "layer-sizes" / name


def kept_figures(cache_dir: Path | None, layer: Layer) -> dict[str, Any] | None:
    """A layer's figures from an earlier summary, None where there are none."""
    path = _place(cache_dir, layer)
    if path is None:
        return None
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    keys = ("format", "size", "files", "tar")
    numbers = isinstance(data, dict) and all(isinstance(data.get(key), int) for key in keys)
    return data if numbers and data["format"] == _FORMAT else None
