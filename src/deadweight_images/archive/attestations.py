"""What a builder attests of an image: statements that lie beside it in the archive, as BuildKit writes them.

An attestation is a manifest in the same index, for the platform ``unknown/unknown``, that names the image's manifest in an
annotation; each of its layers is one in-toto statement, whose predicate type stands in the layer's annotation (BuildKit,
"attestation-storage.md"). Nothing is said here of whether a statement is true: whoever writes the archive writes it.
"""

from __future__ import annotations

from deadweight_images.archive import documents
from deadweight_images.archive.choose import Blob, leaves, place, verify
from deadweight_images.archive.model import Attestation
from deadweight_images.errors import ArchiveError


def attestations(blob: Blob, what: str, manifest_digest: str | None) -> tuple[Attestation, ...]:
    """The statements in an archive about one image. Raises ArchiveError for what is damaged, or is named and missing."""
    oci = blob("index.json")
    if oci is None or manifest_digest is None:
        return ()
    found: dict[str, Attestation] = {}
    for leaf in leaves(blob, what, documents.index(oci, f"{what}: index.json"), 0):
        if not leaf.attestation or leaf.about != manifest_digest:
            continue
        data = blob(place(leaf.digest))
        if data is None:
            raise ArchiveError(f"{what}: the attestation {leaf.digest} is missing")
        verify(data, leaf, what)
        for statement in documents.manifest(data, f"{what}: attestation {leaf.digest}", leaf.media_type).layers:
            held = blob(place(statement.digest))
            if held is None:
                raise ArchiveError(f"{what}: the attestation's statement {statement.digest} is missing")
            verify(held, statement, what)
            found[statement.digest] = Attestation(statement.predicate or "", statement.digest, statement.size)
    return tuple(found.values())
