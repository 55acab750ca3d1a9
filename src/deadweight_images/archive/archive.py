"""Open an image archive (docker-save tar, OCI layout folder or tar), choose one image, and return its layers' bytes.

Documents are verified here against the digests that name them. Layers are verified when they are read (``indexing``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from deadweight_images.archive import documents
from deadweight_images.archive.compression import recognize_compression, refused_compression
from deadweight_images.archive.documents import Descriptor, Manifest, SavedImage
from deadweight_images.archive.model import Attestation, Image, Layer
from deadweight_images.archive.store import FolderStore, Store, TarStore, is_folder
from deadweight_images.errors import ArchiveError, UsageError, wording

# Which image of several in an archive is meant: by name and by platform, through nested indexes.

Blob = Callable[[str], memoryview | bytes | None]
_DEPTH = 4


def chosen_item(items: tuple[SavedImage, ...], what: str, name: str | None) -> SavedImage:
    fitting = [item for item in items if name is None or name in item.names]
    distinct = {(item.config, item.layers): item for item in fitting}
    if len(distinct) == 1:
        return fitting[0]
    known = ", ".join(sorted(tag for item in items for tag in item.names)[:20]) or "(without names)"
    if not fitting:
        raise UsageError(wording("archive.name_missing", what=what, name=name, known=known))
    raise UsageError(wording("archive.name_ambiguous", what=what, images=len(distinct), known=known))


def chosen_descriptor(
    blob: Blob, what: str, top: tuple[Descriptor, ...], platform: str | None, name: str | None
) -> Descriptor:
    if name is not None:
        known = ", ".join(sorted({descriptor.name for descriptor in top if descriptor.name})[:20]) or "(without names)"
        top = tuple(descriptor for descriptor in top if descriptor.name == name)
        if not top:
            raise UsageError(wording("archive.name_missing", what=what, name=name, known=known))
    every = {leaf.digest: leaf for leaf in leaves(blob, what, top, 0) if not (leaf.attestation or leaf.artifact)}
    wanted = platform or machine_platform()
    fitting = [leaf for leaf in every.values() if leaf.platform is None or fits(leaf.platform, wanted)]
    if platform is None and not fitting and len(every) == 1:
        fitting = list(every.values())
    there = [leaf for leaf in fitting if blob(place(leaf.digest)) is not None] or fitting
    there = [leaf for leaf in there if leaf.platform == wanted] or there  # linux/amd64 beside linux/amd64/v3
    there = _images(blob, what, there) if len(there) > 1 else there
    if len(there) == 1:
        return there[0]
    known = ", ".join(sorted({leaf.platform or leaf.name or leaf.digest for leaf in every.values()})[:20]) or "nothing"
    if not there:
        raise UsageError(wording("archive.platform_missing", what=what, platform=wanted, known=known))
    raise UsageError(wording("archive.platform_ambiguous", what=what, images=len(there), platform=wanted, known=known))


def _images(blob: Blob, what: str, leaves: list[Descriptor]) -> list[Descriptor]:
    """Those of some manifests that are images, none that only refers to one (an SBOM or signature that lies beside it)."""
    images = []
    for leaf in leaves:
        data = blob(place(leaf.digest))
        if data is not None:
            verify(data, leaf, what)
            images.append((leaf, documents.manifest(data, f"{what}: manifest {leaf.digest}", leaf.media_type)))
    runnable = [(leaf, manifest) for leaf, manifest in images if not manifest.artifact]
    own = [leaf for leaf, manifest in runnable if not manifest.refers] or [leaf for leaf, _manifest in runnable]
    return own or leaves


def leaves(blob: Blob, what: str, descriptors: tuple[Descriptor, ...], depth: int) -> list[Descriptor]:
    """The manifests of an index, nested indexes included. Unknown kinds (artifacts) are passed over."""
    if depth > _DEPTH or len(descriptors) > 1000:
        raise ArchiveError(wording("archive.indexes_too_deep", what=what))
    manifests: list[Descriptor] = []
    for descriptor in descriptors:
        if descriptor.media_type in documents.MANIFEST_TYPES:
            manifests.append(descriptor)
        elif descriptor.media_type in documents.INDEX_TYPES:
            data = blob(place(descriptor.digest))
            if data is None:
                continue
            verify(data, descriptor, what)
            inner = documents.index(data, f"{what}: index {descriptor.digest}")
            for leaf in leaves(blob, what, inner, depth + 1):
                manifests.append(replace(leaf, name=leaf.name or descriptor.name))
        if len(manifests) > 10_000:
            raise ArchiveError(wording("archive.too_many_manifests", what=what))
    return manifests


def verify(data: memoryview | bytes, descriptor: Descriptor, what: str) -> None:
    if len(data) != descriptor.size:
        raise ArchiveError(wording("archive.blob_size", what=what, size=len(data), descriptor=descriptor))
    documents.check(data, descriptor.digest, what)


def place(digest: str) -> str:
    algorithm, _, encoded = digest.partition(":")
    return f"blobs/{algorithm}/{encoded}"


# Platforms of images: this machine's, and whether one is the other.
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


def machine_platform() -> str:
    """The platform of images that this machine runs: which one of several is meant where nobody says so."""
    import platform  # which takes longer to import than an image with one platform needs for all its documents

    machine = platform.machine()
    return f"linux/{_ARCHITECTURES.get(machine, machine)}"


def fits(platform: str, wanted: str) -> bool:
    """Whether a platform is the wanted one, or a variant of it. ``linux/arm64`` and ``linux/arm64/v8`` are one platform."""
    platform, wanted = _one_name(platform), _one_name(wanted)
    return platform == wanted or platform.startswith(wanted + "/")


def _one_name(platform: str) -> str:
    return platform.removesuffix("/v8") if platform.endswith("/arm64/v8") else platform


# Blobs of an archive that no manifest in it names: whoever gets the archive gets them, and no image shows them.

_MOST = 10_000


def unnamed(blob: Blob, sizes: dict[str, int], what: str) -> tuple[int, int]:
    """How many of the blobs (``sizes`` by their place in the layout) no manifest leads to, and their bytes together.

    What cannot be read as an index or a manifest names nothing.
    """
    named: set[str] = set()
    saved = blob("manifest.json")
    if saved is not None:
        for item in documents.saved_images(saved, what):
            named |= {item.config, *item.layers}
    pending = ["index.json"]
    while pending and len(named) < _MOST:
        place = pending.pop()
        for name in _names(blob, place, what):
            if name not in named:
                named.add(name)
                pending.append(name)
    left = [size for place, size in sizes.items() if place not in named]
    return len(left), sum(left)


def _names(blob: Blob, place: str, what: str) -> list[str]:
    """The places that an index or a manifest names; nothing for any other document, for a layer least of all."""
    data = blob(place)
    if data is None or len(data) > documents.MAX_DOCUMENT or bytes(data[:1]) != b"{":
        return []
    try:
        document = documents.parsed(data, what)
    except ArchiveError:
        return []
    listed = [*_listed(document, "manifests"), *_listed(document, "layers"), document.get("config")]
    digests = [entry.get("digest") for entry in listed if isinstance(entry, dict)]
    return [f"blobs/{digest.replace(':', '/', 1)}" for digest in digests if isinstance(digest, str)]


def _listed(document: dict[str, object], key: str) -> list[object]:
    value = document.get(key)
    return value if isinstance(value, list) else []


Head = Callable[[str], tuple[int, bytes] | None]


class Archive:
    """An open archive and the one image in it that was asked for. Use as a context manager."""

    def __init__(self, path: Path, store: Store, image: Image, members: tuple[str, ...]) -> None:
        self.path, self.image = path, image
        self._store, self._members = store, members

    def blob(self, layer: Layer) -> memoryview:
        """A layer's bytes as stored, in place. Only to be used while the archive is open."""
        view = self._store.blob(self._members[layer.index])
        assert view is not None
        return view

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
    store = FolderStore(path) if is_folder(path) else TarStore(path)
    return open_blobs(path, store, platform=platform, name=name)


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
        pair = _saved_image(blob, head, what, item, oci)
        if oci is None or _is_for(pair[0], platform):
            return _fitting(pair, platform, what)
    if oci is None:
        raise ArchiveError(wording("archive.not_an_image", what=what))
    descriptor = chosen_descriptor(blob, what, documents.index(oci, f"{what}: index.json"), platform, name)
    return _fitting(_oci_image(blob, head, what, descriptor), None if descriptor.platform else platform, what)


def _fitting(pair: tuple[Image, tuple[str, ...]], platform: str | None, what: str) -> tuple[Image, tuple[str, ...]]:
    """The image, unless its own config says that it is for another platform than was asked for. Raises UsageError."""
    if _is_for(pair[0], platform):
        return pair
    raise UsageError(wording("archive.platform_missing", what=what, platform=platform, known=_platform(pair[0])))


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
        raise ArchiveError(wording("archive.config_missing", what=what, name=item.config))
    config_digest = documents.of(raw)
    claimed = item.config.rpartition("/")[2].removesuffix(".json").removeprefix("sha256:")
    if len(claimed) == 64 and all(c in "0123456789abcdef" for c in claimed) and "sha256:" + claimed != config_digest:
        raise ArchiveError(wording("archive.config_digest", what=what, name=item.config))
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
    raise ArchiveError(wording("archive.two_images", what=what))


def _oci_image(blob: Blob, head: Head, what: str, descriptor: Descriptor) -> tuple[Image, tuple[str, ...]]:
    data = blob(place(descriptor.digest))
    if data is None:
        raise ArchiveError(wording("archive.manifest_missing", what=what, name=descriptor.digest))
    verify(data, descriptor, what)
    manifest = documents.manifest(data, f"{what}: manifest {descriptor.digest}", descriptor.media_type)
    raw = blob(place(manifest.config.digest))
    if raw is None:
        raise ArchiveError(wording("archive.config_missing", what=what, name=manifest.config.digest))
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
    digest = documents.of(raw)
    config = documents.config(raw, f"{what}: config {digest}")
    if len(config.diff_ids) != len(members) or (descriptors is not None and len(descriptors) != len(members)):
        raise ArchiveError(wording("archive.layer_count", what=what, config=len(config.diff_ids), layers=len(members)))
    texts = documents.instructions(config)
    described = descriptors or (None,) * len(members)
    parts = zip(members, described, config.diff_ids, texts, strict=True)
    layers = tuple(_layer(head, what, index, *part) for index, part in enumerate(parts))
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
    info = head(member)
    if info is None:
        raise ArchiveError(wording("archive.layer_missing", what=what, name=member))
    size, first = info
    if descriptor is not None and size != descriptor.size:
        raise ArchiveError(wording("archive.blob_size", what=what, size=size, descriptor=descriptor))
    if other := refused_compression(first):
        raise ArchiveError(wording("archive.compression", what=f"{what}: {member}", compression=other))
    compression = recognize_compression(first)
    digest = descriptor.digest if descriptor else None
    if digest is None and compression == "none":
        digest = diff_id
    return Layer(index, digest, diff_id, descriptor.media_type if descriptor else None, size, compression, instruction)


def _heads(store: Store) -> Head:
    def head(name: str) -> tuple[int, bytes] | None:
        view = store.blob(name)
        return None if view is None else (len(view), bytes(view[:6]))

    return head


# What a builder attests of an image: statements that lie beside it in the archive, as BuildKit writes them.
#
# An attestation is a manifest in the same index, for the platform ``unknown/unknown``, that names the image's manifest in an
# annotation; each of its layers is one in-toto statement, whose predicate type stands in the layer's annotation (BuildKit,
# "attestation-storage.md"). Nothing is said here of whether a statement is true: whoever writes the archive writes it.
def attestations(blob: Blob, what: str, manifest_digest: str | None) -> tuple[Attestation, ...]:
    """The statements in an archive about one image. Raises ArchiveError for what is damaged, or is named and missing."""
    oci = blob("index.json")
    if oci is None or manifest_digest is None:
        return ()
    statements: dict[str, Attestation] = {}
    for leaf in leaves(blob, what, documents.index(oci, f"{what}: index.json"), 0):
        if not leaf.attestation or leaf.about != manifest_digest:
            continue
        data = blob(place(leaf.digest))
        if data is None:
            raise ArchiveError(wording("archive.attestation_missing", what=what, name=leaf.digest))
        verify(data, leaf, what)
        for statement in documents.manifest(data, f"{what}: attestation {leaf.digest}", leaf.media_type).layers:
            held = blob(place(statement.digest))
            if held is None:
                raise ArchiveError(wording("archive.statement_missing", what=what, name=statement.digest))
            verify(held, statement, what)
            statements[statement.digest] = Attestation(statement.predicate or "", statement.digest, statement.size)
    return tuple(statements.values())
