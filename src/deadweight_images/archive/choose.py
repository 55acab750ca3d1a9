"""Which image of several in an archive is meant: by name and by platform, through nested indexes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from deadweight_images.archive import digests, documents
from deadweight_images.archive.documents import Descriptor, SavedImage
from deadweight_images.archive.platforms import fits, machine_platform
from deadweight_images.errors import ArchiveError, UsageError

Blob = Callable[[str], memoryview | bytes | None]
_DEPTH = 4


def chosen_item(items: tuple[SavedImage, ...], what: str, name: str | None) -> SavedImage:
    fitting = [item for item in items if name is None or name in item.names]
    distinct = {(item.config, item.layers): item for item in fitting}
    if len(distinct) == 1:
        return fitting[0]
    known = ", ".join(sorted(tag for item in items for tag in item.names)[:20]) or "(without names)"
    if not fitting:
        raise UsageError(f"{what}: holds no image {name!r}", hint=f"it holds {known}")
    raise UsageError(f"{what}: holds {len(distinct)} images", hint=f"choose one with --name: {known}")


def chosen_descriptor(
    blob: Blob, what: str, top: tuple[Descriptor, ...], platform: str | None, name: str | None
) -> Descriptor:
    if name is not None:
        known = ", ".join(sorted({each.name for each in top if each.name})[:20]) or "(without names)"
        top = tuple(descriptor for descriptor in top if descriptor.name == name)
        if not top:
            raise UsageError(f"{what}: holds no image {name!r}", hint=f"it holds {known}")
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
    problem = f"no image for {wanted}" if not there else f"{len(there)} images for {wanted}"
    raise UsageError(f"{what}: holds {problem}", hint=f"it holds {known}; choose one with --platform and --name")


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
        raise ArchiveError(f"{what}: its indexes are nested too deep, or have too many entries")
    found: list[Descriptor] = []
    for descriptor in descriptors:
        if descriptor.media_type in documents.MANIFEST_TYPES:
            found.append(descriptor)
        elif descriptor.media_type in documents.INDEX_TYPES:
            data = blob(place(descriptor.digest))
            if data is None:
                continue
            verify(data, descriptor, what)
            inner = documents.index(data, f"{what}: index {descriptor.digest}")
            for leaf in leaves(blob, what, inner, depth + 1):
                found.append(leaf if leaf.name or not descriptor.name else _named(leaf, descriptor.name))
        if len(found) > 10_000:
            raise ArchiveError(f"{what}: has more than 10,000 manifests")
    return found


def _named(leaf: Descriptor, name: str) -> Descriptor:
    return replace(leaf, name=name)


def verify(data: memoryview | bytes, descriptor: Descriptor, what: str) -> None:
    if len(data) != descriptor.size:
        raise ArchiveError(f"{what}: {descriptor.digest} has {len(data)} bytes, expected {descriptor.size}")
    digests.check(data, descriptor.digest, what)


def place(digest: str) -> str:
    algorithm, _, encoded = digest.partition(":")
    return f"blobs/{algorithm}/{encoded}"
