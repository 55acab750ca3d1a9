"""Images in the engine: ask for them, load them, save them."""

from __future__ import annotations

import contextlib
import io
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from deadweight import _run
from deadweight._errors import DeadweightError, Interrupted, MissingError
from deadweight.engine.faults import translated

if TYPE_CHECKING:
    from docker.api.client import APIClient

CHUNK_BYTES = 2**20
Progress = Callable[[int], None]
"""Takes the number of bytes done so far."""


@dataclass(frozen=True)
class EngineImage:
    """What the engine says of an image. ``size_bytes`` is uncompressed and includes shared base layers.

    ``folder`` is its working directory, empty where it names none.
    ``id`` is the config's digest, or the manifest's where the engine has Docker's containerd image store.
    """

    id: str
    tags: tuple[str, ...]
    size_bytes: int
    user: str
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    folder: str
    architecture: str
    layers: tuple[str, ...]


class _Chunks(io.RawIOBase):
    """Chunks as they come, as a file that can be read from front to back."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._left = chunks, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            try:
                self._left = next(self._chunks)
            except StopIteration:
                return 0
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size


class Images:
    """The image half of an engine."""

    def __init__(self, api: APIClient) -> None:
        self._api = api

    def get(self, reference: str) -> EngineImage | None:
        """An image by name or id, None where the engine has none."""
        from docker.errors import ImageNotFound

        with translated(f"image {reference}"):
            try:
                document: dict[str, Any] = self._api.inspect_image(reference)
            except ImageNotFound:
                return None
        config = document.get("Config") or {}
        return EngineImage(
            id=str(document["Id"]) if str(document["Id"]).startswith("sha256:") else f"sha256:{document['Id']}",
            tags=tuple(document.get("RepoTags") or ()),
            size_bytes=int(document.get("Size") or 0),
            user=str(config.get("User") or ""),
            entrypoint=tuple(config.get("Entrypoint") or ()),
            command=tuple(config.get("Cmd") or ()),
            folder=str(config.get("WorkingDir") or ""),
            architecture=str(document.get("Architecture") or ""),
            layers=tuple((document.get("RootFS") or {}).get("Layers") or ()),
        )

    def need(self, reference: str) -> EngineImage:
        """An image that must be there. Raises MissingError."""
        image = self.get(reference)
        if image is None:
            raise MissingError(
                f"image {reference} is not in the engine",
                hint="docker image ls lists what is; invoke build makes a variant's",
            )
        return image

    def load(self, archive: Path, tag: str | None = None, progress: Progress | None = None) -> str:
        """Load an image archive (docker-save; OCI too on Docker 25 and later), tag it, and give its id in the engine.

        Raises DeadweightError where the engine does not take it, MissingError where there is no such file.
        """
        if not archive.is_file():
            raise MissingError(f"{archive}: no image archive there", hint="invoke build makes it")
        loaded: list[str] = []
        with translated(f"load {archive}"), archive.open("rb") as file:
            # The generator is given, not the file: the client would otherwise read the file with no chance to stop.
            for message in self._api.load_image(_chunks(file, progress)):
                if "error" in message:
                    raise DeadweightError(f"engine: load {archive}: {message['error']}")
                loaded += re.findall(r"Loaded image(?: ID)?: (\S+)", str(message.get("stream", "")))
        if not loaded:
            raise DeadweightError(f"engine: load {archive}: no image came of it", hint="is it a docker-save archive?")
        image = self.need(loaded[-1])
        if tag is not None and tag not in image.tags:
            self.tag(image.id, tag)
        return image.id

    def tag(self, image: str, reference: str) -> None:
        """Give an image a further name."""
        repository, name = split_reference(reference)
        with translated(f"tag {reference}"):
            self._api.tag(image, repository, name, force=True)

    def save(self, reference: str, out: Path, progress: Progress | None = None) -> Path:
        """Write an image as an archive, whole or not at all. Raises MissingError where the engine has no such image."""
        self.need(reference)
        out.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
        done = 0
        try:
            with os.fdopen(handle, "wb") as file, translated(f"save {reference}"):
                for chunk in self._api.get_image(reference, chunk_size=CHUNK_BYTES):
                    file.write(chunk)
                    done = _told(progress, done + len(chunk))
            Path(temporary).chmod(0o644)
            Path(temporary).replace(out)
        except OSError as error:
            raise DeadweightError(f"{out}: cannot be written: {error.strerror or error}") from error
        finally:
            Path(temporary).unlink(missing_ok=True)
        return out

    @contextlib.contextmanager
    def stream(self, reference: str) -> Iterator[IO[bytes]]:
        """An image's archive as it comes from the engine, to be read once; nothing is written. Raises MissingError."""
        self.need(reference)
        with translated(f"save {reference}"):
            chunks = self._api.get_image(reference, chunk_size=CHUNK_BYTES)
            with contextlib.closing(chunks), io.BufferedReader(_Chunks(chunks), CHUNK_BYTES) as source:
                yield cast("IO[bytes]", source)

    def remove(self, reference: str, *, force: bool = False) -> bool:
        """Remove an image by name (its content goes with its last name). False where there was none."""
        from docker.errors import ImageNotFound

        with translated(f"remove image {reference}"):
            try:
                self._api.remove_image(reference, force=force)
            except ImageNotFound:
                return False
        return True


def split_reference(reference: str) -> tuple[str, str]:
    """``host:5000/name:tag`` → (``host:5000/name``, ``tag``); the tag is ``latest`` where none is given."""
    repository, colon, tag = reference.rpartition(":")
    return (repository, tag) if colon and "/" not in tag else (reference, "latest")


def _chunks(file: Any, progress: Progress | None) -> Iterator[bytes]:
    done = 0
    while chunk := file.read(CHUNK_BYTES):
        yield chunk
        done = _told(progress, done + len(chunk))


def _told(progress: Progress | None, done: int) -> int:
    if _run.cancelled():
        raise Interrupted("interrupted")
    if progress is not None:
        progress(done)
    return done
