"""Push a variant's archive to a repository, and write down under which digest it is there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deadweight._errors import UsageError
from deadweight.records.reference import in_registry
from deadweight.records.store import write_where_told
from deadweight.toolchain import crane


@dataclass(frozen=True)
class Pushed:
    """``reference`` is what to deploy: the repository with the manifest's digest, which never moves. ``tag`` moves."""

    reference: str
    digest: str
    tag: str


def destination(repository: str, variant: str, *, several: bool) -> str:
    """Where a variant goes: ``repository`` as given for one variant, ``repository:variant`` where several share it.

    Raises UsageError for a reference with a digest, or with a tag that several variants would fight over.
    """
    given = in_registry(repository)
    if given.digest:
        raise UsageError(f"{repository}: an image cannot be pushed to a digest", hint="remove @sha256:…, or name a tag")
    if several and given.tag:
        raise UsageError(
            f"{repository}: several variants cannot share one tag",
            hint="remove the tag: each variant's name becomes its tag",
        )
    return f"{given.name}:{given.tag or (variant if several else 'latest')}"


def push(archive: Path, to: str, *, digest_file: Path | None = None, insecure: bool = False) -> Pushed:
    """Push one archive (docker-save, OCI tar or layout folder) to ``to`` (REGISTRY/REPOSITORY:TAG).

    ``digest_file`` gets one line, ``REPOSITORY@sha256:…``, only after the push succeeded.
    Raises UsageError, ArchiveError, MissingError (no crane), CommandError (the registry refused).
    """
    name = in_registry(to).name
    digest = crane.push(archive, to, insecure=insecure)
    reference = f"{name}@{digest}"
    if digest_file is not None:
        write_where_told(digest_file, reference + "\n")
    return Pushed(reference, digest, to)
