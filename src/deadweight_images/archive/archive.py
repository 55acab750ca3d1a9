"""Open an image archive: docker-save (both layouts), OCI layout folder or tar; choose the image; give its layers' bytes.

Documents are verified against the digests that name them. Layers are verified where they are read (``indexing``).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from deadweight_images.archive import digests, documents
from deadweight_images.archive.attestations import attestations
from deadweight_images.archive.choose import Blob, chosen_descriptor, chosen_item, leaves, place, verify
from deadweight_images.archive.documents import Descriptor, Manifest, SavedImage
from deadweight_images.archive.kinds import recognized, refused
from deadweight_images.archive.model import Attestation, Image, Layer
from deadweight_images.archive.platforms import fits
from deadweight_images.archive.store import Store, open_store
from deadweight_images.archive.unnamed import unnamed
from deadweight_images.errors import ArchiveError, UsageError

Head = Callable[[str], tuple[int, bytes] | None]


class Archive:
    """An open archive and the one image in it that was asked for. Use as a context manager."""

    def __init__(self, path: Path, store: Store, image: Image, members: tuple[str, ...]) -> None:
        self.path, self.image = path, image
        self._store, self._members = store, members

    def blob(self, layer: Layer) -> memoryview:
        """A layer's bytes as stored, in place. Only to be used while the archive is open."""
        found = self._store.blob(self._members[layer.index])
        assert found is not None
        return found

    def forget(self, layer: Layer, start: int, stop: int) -> None:
        """Take these bytes of a layer out of the process's memory until they are read again."""
        self._store.forget(self._members[layer.index], start, stop)

    def unnamed(self) -> tuple[int, int]:
        """How many blobs no manifest names, and their bytes."""
        sizes = self._store.sizes()
        return unnamed(self._store.blob, sizes, str(self.path)) if sizes else (0, 0)

    def attestations(self) -> tuple[Attestation, ...]:
        """What the builder states about the image, as far as it lies in the archive."""
        return attestations(self._store.blob, str(self.path), self.image.manifest_digest)

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._store.close()


def open_archive(path: Path, *, platform: str | None = None, name: str | None = None) -> Archive:
    """Open an archive. ``platform`` (``linux/arm64``) and ``name`` choose where it holds several images.

    Raises ArchiveError for what is damaged, hostile or no image archive, UsageError where a choice is needed or impossible.
    """
    return open_blobs(path, open_store(path), platform=platform, name=name)


def open_blobs(path: Path, store: Store, *, platform: str | None = None, name: str | None = None) -> Archive:
    """The same for blobs that lie somewhere else; ``path`` names them in messages. The archive closes the store."""
    try:
        image, members = read_image(store.blob, _heads(store), str(path), platform=platform, name=name)
        return Archive(path, store, image, members)
    except BaseException:
        store.close()
        raise


def read_image(
    blob: Blob, head: Head, what: str, *, platform: str | None, name: str | None
) -> tuple[Image, tuple[str, ...]]:
    """The image that an archive holds, and the member name of each layer.

    ``blob`` gives a document's bytes by its name, ``head`` the size and the first six bytes of a layer.
    """
    saved, oci = blob("manifest.json"), blob("index.json")
    if saved is not None:
        item = chosen_item(documents.saved_images(saved, f"{what}: manifest.json"), what, name)
        found = _saved_image(blob, head, what, item, oci)
        if oci is None or _is_for(found[0], platform):
            return _fitting(found, platform, what)
    if oci is None:
        raise ArchiveError(
            f"{what}: is not an image archive: it has neither manifest.json nor index.json",
            hint="docker image save, ko, apko, jib and buildx --output type=oci write such archives",
        )
    descriptor = chosen_descriptor(blob, what, documents.index(oci, f"{what}: index.json"), platform, name)
    return _fitting(_oci_image(blob, head, what, descriptor), None if descriptor.platform else platform, what)


def _fitting(found: tuple[Image, tuple[str, ...]], platform: str | None, what: str) -> tuple[Image, tuple[str, ...]]:
    """The image, unless its own config says that it is for another platform than was asked for. Raises UsageError."""
    if _is_for(found[0], platform):
        return found
    raise UsageError(f"{what}: holds no image for {platform}", hint=f"it holds {_platform(found[0])}")


def _is_for(image: Image, platform: str | None) -> bool:
    own = _platform(image)
    return platform is None or not own or fits(own, platform) or fits(platform, own)


def _platform(image: Image) -> str:
    config = image.config
    return "/".join(part for part in (config.os, config.architecture, config.variant) if part)


def _saved_image(
    blob: Blob, head: Head, what: str, item: SavedImage, oci: memoryview | bytes | None
) -> tuple[Image, tuple[str, ...]]:
    raw = blob(item.config)
    if raw is None:
        raise ArchiveError(f"{what}: manifest.json names the config {item.config[:200]!r}, which is missing")
    config_digest = digests.of(raw)
    claimed = item.config.rpartition("/")[2].removesuffix(".json").removeprefix("sha256:")
    if len(claimed) == 64 and all(c in "0123456789abcdef" for c in claimed) and "sha256:" + claimed != config_digest:
        raise ArchiveError(f"{what}: the config {item.config!r} does not match the digest in its name")
    manifest_digest, manifest = _manifest_of(blob, what, oci, config_digest)
    descriptors = manifest.layers if manifest else None
    return _image(head, what, raw, item.layers, descriptors, manifest_digest, item.names, layout="docker-save")


def _manifest_of(
    blob: Blob, what: str, oci: memoryview | bytes | None, config_digest: str
) -> tuple[str | None, Manifest | None]:
    """The OCI manifest of the same config, in archives that hold both kinds of manifest (Docker from 25 on)."""
    if oci is None:
        return None, None
    listed = documents.index(oci, f"{what}: index.json")
    if not listed:  # Docker 25 and later save an image without a name so: ``"manifests": null``
        return None, None
    for descriptor in leaves(blob, what, listed, 0):
        data = blob(place(descriptor.digest)) or blob(descriptor.digest)  # apko: the digest itself is the member's name
        if data is None or descriptor.attestation:
            continue
        verify(data, descriptor, what)
        manifest = documents.manifest(data, f"{what}: manifest {descriptor.digest}", descriptor.media_type)
        if manifest.config.digest == config_digest:
            return descriptor.digest, manifest
    raise ArchiveError(f"{what}: manifest.json and index.json name different images")


def _oci_image(blob: Blob, head: Head, what: str, descriptor: Descriptor) -> tuple[Image, tuple[str, ...]]:
    data = blob(place(descriptor.digest))
    if data is None:
        raise ArchiveError(f"{what}: the manifest {descriptor.digest} is missing")
    verify(data, descriptor, what)
    manifest = documents.manifest(data, f"{what}: manifest {descriptor.digest}", descriptor.media_type)
    raw = blob(place(manifest.config.digest))
    if raw is None:
        raise ArchiveError(f"{what}: the config {manifest.config.digest} is missing")
    verify(raw, manifest.config, what)
    members = tuple(place(layer.digest) for layer in manifest.layers)
    names = (descriptor.name,) if descriptor.name else ()
    return _image(head, what, raw, members, manifest.layers, descriptor.digest, names, layout="oci")


def _image(
    head: Head,
    what: str,
    raw: memoryview | bytes,
    members: tuple[str, ...],
    descriptors: tuple[Descriptor, ...] | None,
    manifest_digest: str | None,
    names: tuple[str, ...],
    *,
    layout: str,
) -> tuple[Image, tuple[str, ...]]:
    digest = digests.of(raw)
    config = documents.config(raw, f"{what}: config {digest}")
    if len(config.diff_ids) != len(members) or (descriptors is not None and len(descriptors) != len(members)):
        raise ArchiveError(f"{what}: the config names {len(config.diff_ids)} layers, the manifest {len(members)}")
    texts = documents.instructions(config)
    layers = tuple(
        _layer(
            head, what, index, member, descriptors[index] if descriptors else None, config.diff_ids[index], texts[index]
        )
        for index, member in enumerate(members)
    )
    kind = "oci" if layout == "oci" else "docker-save"
    image = Image(digest, manifest_digest, config, bytes(raw), layers, names, kind)  # type: ignore[arg-type]
    return image, members


def image_of(
    head: Head, what: str, raw: bytes, members: tuple[str, ...], platform: str | None
) -> tuple[Image, tuple[str, ...]]:
    """The image of a config alone, where no manifest lies beside it (an engine's own store)."""
    return _fitting(_image(head, what, raw, members, None, None, (), layout="docker-save"), platform, what)


def _layer(
    head: Head, what: str, index: int, member: str, descriptor: Descriptor | None, diff_id: str, instruction: str | None
) -> Layer:
    found = head(member)
    if found is None:
        raise ArchiveError(f"{what}: the manifest names the layer {member[:200]!r}, which is missing")
    size, first = found
    if descriptor is not None and size != descriptor.size:
        raise ArchiveError(
            f"{what}: the layer {descriptor.digest} has {size} bytes, the manifest says {descriptor.size}"
        )
    if other := refused(first):
        raise ArchiveError(
            f"{what}: the layer {member[:200]!r} is compressed with {other}, which image layers do not use"
        )
    compression = recognized(first)
    digest = descriptor.digest if descriptor else None
    if digest is None and compression == "none":
        digest = diff_id
    return Layer(index, digest, diff_id, descriptor.media_type if descriptor else None, size, compression, instruction)


def _heads(store: Store) -> Head:
    def head(name: str) -> tuple[int, bytes] | None:
        view = store.blob(name)
        return None if view is None else (len(view), bytes(view[:6]))

    return head
