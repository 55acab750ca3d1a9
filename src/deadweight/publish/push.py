"""Push image archives to a registry, write down their digests, and attach SBOMs."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from deadweight._errors import CommandError, DeadweightError, UsageError, wording
from deadweight.checks.scan.sbom import MEDIA_TYPES, SbomFile
from deadweight.records.reference import in_registry, split
from deadweight.records.store import write_where_told
from deadweight.toolchain import crane


def destination(repository: str, variant: str, *, several: bool) -> str:
    """Where a variant goes: ``repository`` as given for one variant, ``repository:variant`` where several share it.

    Raises UsageError for a reference with a digest, or with a tag that several variants would fight over.
    """
    given = in_registry(repository)
    if given.digest:
        raise UsageError(wording("publish.to_digest", repository=repository))
    if several and given.tag:
        raise UsageError(wording("publish.shared_tag", repository=repository))
    return f"{given.name}:{given.tag or (variant if several else 'latest')}"


def push(archive: Path, to: str, *, digest_file: Path | None = None, insecure: bool = False) -> str:
    """Push one archive (docker-save, OCI tar or layout folder) to ``to`` (REGISTRY/REPOSITORY:TAG).

    Returns what to deploy: the repository with the manifest's digest, which never moves.

    ``digest_file`` gets one line, ``REPOSITORY@sha256:…``, only after the push succeeded.
    Raises UsageError, ArchiveError, MissingError (no crane), CommandError (the registry refused).
    """
    reference = f"{in_registry(to).name}@{crane.push(archive, to, insecure=insecure)}"
    if digest_file is not None:
        write_where_told(digest_file, reference + "\n")
    return reference


# Attach SBOMs to a pushed image, as OCI referrers (distribution specification 1.1, "Referrers").
# The artifact's manifest names the image as its subject, and has a tag of its own (``sha256-<digest>.spdx``), so it is found
# without that API too. Where a registry lacks the API, crane keeps the list of referrers under the tag ``sha256-<digest>``, as the
# specification asks of clients.
@dataclass(frozen=True)
class Attached:
    """``reference`` is the artifact with its digest, ``tag`` its own tag. ``found_by``: the registry's referrers API, or by tag."""

    reference: str
    tag: str
    form: str
    found_by: Literal["referrers", "tag"]


def attach(image: str, files: Sequence[SbomFile], *, insecure: bool = False) -> tuple[Attached, ...]:
    """Attach SBOMs to ``image`` (REPOSITORY@sha256:…). Raises CommandError where the registry refuses, DeadweightError."""
    described = crane.described(image, insecure=insecure)
    repository, _, digest = split(image)
    if described["digest"] != digest:
        raise DeadweightError(wording("publish.other_image", image=image, digest=described["digest"]))
    plain = digest.replace(":", "-")
    return tuple(_attach(repository, plain, described, file, insecure) for file in files)


def _attach(repository: str, plain: str, subject: Mapping[str, Any], file: SbomFile, insecure: bool) -> Attached:
    content, kind = Path(file.path).read_bytes(), MEDIA_TYPES[file.form]
    files = (ArtifactFile(Path(file.path).name, kind, content),)
    tag = f"{repository}:{plain}.{file.form}"
    with tempfile.TemporaryDirectory(prefix="deadweight-attach-") as folder:
        lay_out(Path(folder), kind, files, subject=subject)
        digest = crane.push(Path(folder), tag, insecure=insecure)
    return Attached(f"{repository}@{digest}", tag, file.form, _found_by(f"{repository}:{plain}", digest, insecure))


def _found_by(fallback: str, digest: str, insecure: bool) -> Literal["referrers", "tag"]:
    """The fallback list is there, and names the artifact, only where the registry lacks the API."""
    try:
        listed = crane.manifest(fallback, insecure=insecure).get("manifests") or []
    except CommandError:
        return "referrers"
    return "tag" if any(manifest.get("digest") == digest for manifest in listed) else "referrers"


# Plain files as an OCI artifact: an OCI image layout folder that crane pushes and ``oras pull`` unpacks.
# The form is that of the OCI image specification 1.1, "Guidelines for Artifact Usage": ``artifactType``, the empty config
# ``{}``, and a layer for each file with its name in ``org.opencontainers.image.title``. The same files give the same digest.
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"
TITLE = "org.opencontainers.image.title"


@dataclass(frozen=True)
class ArtifactFile:
    """One file: its name in the artifact, its media type, its bytes."""

    name: str
    media_type: str
    content: bytes


def lay_out(
    folder: Path,
    kind: str,
    files: Sequence[ArtifactFile],
    annotations: Mapping[str, str] = MappingProxyType({}),
    subject: Mapping[str, Any] | None = None,
) -> str:
    """Write the layout of an artifact of this ``kind`` into an empty folder; returns the manifest's digest.

    ``annotations`` go into the manifest, and the descriptor of the image that it belongs to (``subject``: an OCI referrer;
    registries without that API get a tag from crane).
    """
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    layers = [{**_blob(blobs, file.media_type, file.content), "annotations": {TITLE: file.name}} for file in files]
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": kind,
        "config": _blob(blobs, EMPTY, b"{}"),
        "layers": layers,
        "annotations": dict(sorted(annotations.items())),
    }
    if subject is not None:
        manifest["subject"] = subject
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
