"""Plain files as an OCI artifact: an OCI image layout folder that crane pushes and ``oras pull`` unpacks.

The form is that of the OCI image specification 1.1, "Guidelines for Artifact Usage": ``artifactType``, the empty config
``{}``, and a layer for each file with its name in ``org.opencontainers.image.title``. The same files give the same digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"
TITLE = "org.opencontainers.image.title"


@dataclass(frozen=True)
class ArtifactFile:
    """One file: its name in the artifact, its media type, its bytes."""

    name: str
    media_type: str
    content: bytes


@dataclass(frozen=True)
class Subject:
    """The image that an artifact belongs to (an OCI referrer; registries without that API get a tag from crane)."""

    digest: str
    size_bytes: int
    media_type: str = MANIFEST


@dataclass(frozen=True)
class Artifact:
    """Files and what they are. ``annotations`` go into the manifest."""

    artifact_type: str
    files: tuple[ArtifactFile, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)
    subject: Subject | None = None


def lay_out(artifact: Artifact, folder: Path) -> str:
    """Write the layout into an empty folder; returns the manifest's digest."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    layers = [
        {**_blob(blobs, file.media_type, file.content), "annotations": {TITLE: file.name}} for file in artifact.files
    ]
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": artifact.artifact_type,
        "config": _blob(blobs, EMPTY, b"{}"),
        "layers": layers,
        "annotations": dict(sorted(artifact.annotations.items())),
    }
    if artifact.subject is not None:
        subject = artifact.subject
        manifest["subject"] = {"mediaType": subject.media_type, "digest": subject.digest, "size": subject.size_bytes}
    described = _blob(blobs, MANIFEST, _json(manifest))
    (folder / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))
    (folder / "index.json").write_bytes(_json({"schemaVersion": 2, "manifests": [described]}))
    return str(described["digest"])


def file_digest(manifest: Mapping[str, Any], name: str) -> str | None:
    """Digest of the file of that name in an artifact's manifest, None where there is none."""
    layers: Sequence[Any] = manifest.get("layers") or ()
    for layer in layers:
        if isinstance(layer, dict) and (layer.get("annotations") or {}).get(TITLE) == name:
            return str(layer.get("digest"))
    return None


def _blob(folder: Path, media_type: str, content: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    (folder / digest).write_bytes(content)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
