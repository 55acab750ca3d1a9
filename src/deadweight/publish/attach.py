"""Attach SBOMs to a pushed image, as OCI referrers (distribution specification 1.1, "Referrers").

The artifact's manifest names the image as its subject, and has a tag of its own (``sha256-<digest>.spdx``), so it is found without
that API too. Where a registry lacks the API, crane keeps the list of referrers under the tag ``sha256-<digest>``, as the
specification asks of clients.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from deadweight._errors import CommandError, DeadweightError
from deadweight.checks.scan.sbom import MEDIA_TYPES, SbomFile
from deadweight.publish.artifact import Artifact, ArtifactFile, Subject, lay_out
from deadweight.records.reference import split
from deadweight.toolchain import crane


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
        raise DeadweightError(
            f"{image}: the registry answered with another image, whose digest is {described['digest']}",
            hint="push again; if this repeats, a proxy on the way or the registry alters manifests",
        )
    subject = Subject(described["digest"], described["size"], described["mediaType"])
    plain = digest.replace(":", "-")
    return tuple(_attach(repository, plain, subject, each, insecure) for each in files)


def _attach(repository: str, plain: str, subject: Subject, file: SbomFile, insecure: bool) -> Attached:
    content, kind = Path(file.path).read_bytes(), MEDIA_TYPES[file.form]
    artifact = Artifact(kind, (ArtifactFile(Path(file.path).name, kind, content),), {}, subject)
    tag = f"{repository}:{plain}.{file.form}"
    with tempfile.TemporaryDirectory(prefix="deadweight-attach-") as folder:
        lay_out(artifact, Path(folder))
        digest = crane.push(Path(folder), tag, insecure=insecure)
    return Attached(f"{repository}@{digest}", tag, file.form, _found_by(f"{repository}:{plain}", digest, insecure))


def _found_by(fallback: str, digest: str, insecure: bool) -> Literal["referrers", "tag"]:
    """The fallback list is there, and names the artifact, only where the registry lacks the API."""
    try:
        listed = crane.manifest(fallback, insecure=insecure).get("manifests") or []
    except CommandError:
        return "referrers"
    return "tag" if any(each.get("digest") == digest for each in listed) else "referrers"
