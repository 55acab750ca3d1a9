"""Files of containers, running or not, read through the engine."""

from __future__ import annotations

import http.client
import io
import tarfile
from collections.abc import Iterable
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError, MissingError
from deadweight.engine.faults import translated

if TYPE_CHECKING:
    from docker.api.client import APIClient


def read_file(api: APIClient, container: str, path: str, most: int) -> bytes:
    """A regular file of a container, as the engine sees it. Raises MissingError, or DeadweightError for one that is too large."""
    with translated(f"read {path}"):
        stream, _ = api.get_archive(container, path)
        content = b"".join(_bounded(stream, most + 65536, path))
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        member = archive.next()
        file = archive.extractfile(member) if member is not None and member.isreg() else None
        if file is None:
            raise MissingError(f"{path}: not a regular file")
        return file.read(most)


def is_there(api: APIClient, container: str, path: str) -> bool:
    """Whether a container has something at this path, whatever links lead there. An engine that does not say counts as yes."""
    with translated(f"look for {path}"):
        answer = api.head(f"{api.base_url}/containers/{container}/archive", params={"path": path}, timeout=api.timeout)
    return answer.status_code != http.client.NOT_FOUND


def _bounded(stream: Iterable[bytes], most: int, path: str) -> list[bytes]:
    chunks: list[bytes] = []
    size = 0
    for chunk in stream:
        size += len(chunk)
        if size > most:
            raise DeadweightError(f"{path}: larger than {most} bytes")
        chunks.append(chunk)
    return chunks
