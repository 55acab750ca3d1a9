"""Blobs of an archive that no manifest in it names: whoever gets the archive gets them, and no image shows them."""

from __future__ import annotations

from collections.abc import Callable

from deadweight_images.archive import documents
from deadweight_images.errors import ArchiveError

Blob = Callable[[str], memoryview | bytes | None]
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
        for found in _names(blob, place, what):
            if found not in named:
                named.add(found)
                pending.append(found)
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
    digests = [each.get("digest") for each in listed if isinstance(each, dict)]
    return [f"blobs/{digest.replace(':', '/', 1)}" for digest in digests if isinstance(digest, str)]


def _listed(document: dict[str, object], key: str) -> list[object]:
    value = document.get(key)
    return value if isinstance(value, list) else []
