"""Look up, load, tag, pull, save and remove engine images."""

from __future__ import annotations

import contextlib
import io
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast
from urllib.parse import quote

from deadweight._errors import DeadweightError, MissingError, wording
from deadweight.engine.faults import stop_if_cancelled, translated
from deadweight.records.reference import split
from deadweight.records.store import refused

if TYPE_CHECKING:
    from docker.api.client import APIClient

    from deadweight.engine.options import Docker

CHUNK_BYTES = 2**20
CONFIG_NOTE = "config.digest"
"""The annotation in which BuildKit leaves the config's digest (moby/buildkit, exptypes.ExporterConfigDigestKey)."""
INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)


@dataclass(frozen=True)
class Identity:
    """The digests that one image goes by. They are of different documents, and which of them an engine takes for its own id
    depends on its store: the config's with overlay2 (and in Podman), with Docker's containerd store that of the manifest, or of
    the index where there is one.

    ``config`` is None where the engine does not tell it: then only the image's archive does. ``manifest`` and ``index`` are None
    where the engine has none; it then makes a manifest of its own whenever it saves or pushes.
    """

    engine_id: str
    config: str | None
    manifest: str | None = None
    index: str | None = None

    def goes_by(self, digest: str) -> bool:
        """Whether a digest is one of these."""
        return digest in (self.engine_id, self.config, self.manifest, self.index)


@dataclass(frozen=True)
class EngineImage:
    """What the engine says of an image.

    ``folder`` is its working directory, empty where it names none. ``id`` is what the engine calls it (``Identity.engine_id``).
    ``healthcheck`` are the words of its own health check, empty where it has none or says NONE. ``exposed`` are the TCP ports that
    its EXPOSE names.
    """

    id: str
    tags: tuple[str, ...]
    user: str
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    folder: str
    healthcheck: tuple[str, ...] = ()
    exposed: tuple[int, ...] = ()


def _words(test: Sequence[str]) -> tuple[str, ...]:
    """What a health check runs (OCI has no word for it; moby, image specification 1.2, ``Healthcheck``)."""
    kind, *words = test or ("NONE",)
    return {"CMD": tuple(words), "CMD-SHELL": ("/bin/sh", "-c", *words)}.get(kind, ())


class Images:
    """The image half of an engine."""

    def __init__(self, api: APIClient, dialect: Callable[[], Docker]) -> None:
        """``dialect`` gives the engine's, once it is needed."""
        self._api, self._dialect = api, dialect

    def get(self, reference: str) -> EngineImage | None:
        """An image by name or id, None where the engine has none."""
        document = self._document(reference)
        if document is None:
            return None
        config = document.get("Config") or {}
        ports = (port.partition("/") for port in config.get("ExposedPorts") or ())
        return EngineImage(
            id=_id(document),
            tags=tuple(document.get("RepoTags") or ()),
            user=str(config.get("User") or ""),
            entrypoint=tuple(config.get("Entrypoint") or ()),
            command=tuple(config.get("Cmd") or ()),
            folder=str(config.get("WorkingDir") or ""),
            healthcheck=_words((config.get("Healthcheck") or {}).get("Test") or ()),
            exposed=tuple(sorted(int(port) for port, _, kind in ports if kind in ("", "tcp") and port.isdigit())),
        )

    def need(self, reference: str) -> EngineImage:
        """An image that must be there. Raises MissingError."""
        image = self.get(reference)
        if image is None:
            raise MissingError(wording("engine.no_such_image", image=reference))
        return image

    def identity(self, reference: str) -> Identity | None:
        """The digests that an image in the engine goes by, as far as the engine tells; None where it has no such image."""
        document = self._document(reference)
        if document is None:
            return None
        return identity_of(document, by_manifest=self._dialect().info.containerd_store)

    def _document(self, reference: str) -> dict[str, Any] | None:
        from docker.errors import NotFound

        with translated(f"image {reference}"):
            try:
                document: dict[str, Any] = self._api.inspect_image(reference)
            except NotFound:  # Podman words it so that the SDK does not know it for an image's
                return None
        return document

    def load(self, archive: Path, tag: str | None = None) -> str:
        """Load an image archive (docker-save; OCI too on Docker 25 and later), tag it, and give its id in the engine.

        Raises DeadweightError where the engine does not take it, MissingError where there is no such file.
        """
        if not archive.is_file():
            raise MissingError(wording("engine.no_such_archive", archive=archive))
        loaded: list[str] = []
        with translated(f"load {archive}"), archive.open("rb") as file:
            # The generator is given, not the file: the client would otherwise read the file with no chance to stop.
            for message in self._api.load_image(_chunks(file)):
                if "error" in message:
                    raise DeadweightError(wording("engine.archive_refused", archive=archive, problem=message["error"]))
                loaded += re.findall(r"Loaded image(?: ID)?: (\S+)", str(message.get("stream", "")))
        if not loaded:
            raise DeadweightError(wording("engine.nothing_loaded", archive=archive))
        image = self.need(loaded[-1])
        if tag is not None and tag not in image.tags:
            self.tag(image.id, tag)
        return image.id

    def pull(self, reference: str) -> str:
        """Have the engine get an image that it has not, and give its reference. Raises DeadweightError."""
        if self.get(reference) is not None:
            return reference
        with translated(f"pull {reference}"):
            # An engine that fails after its first words has answered 200.
            messages = self._dialect().pull(self._api, reference)
            failures = [str(message["error"]) for message in messages if message.get("error")]
        if failures:
            raise DeadweightError(wording("engine.not_pulled", image=reference, problem=failures[-1]))
        return reference

    def tag(self, image: str, reference: str) -> None:
        """Give an image a further name."""
        repository, name, _ = split(reference)
        with translated(f"tag {reference}"):
            self._api.tag(image, repository, name or "latest", force=True)

    def save(self, reference: str, out: Path) -> Path:
        """Write an image as an archive, whole or not at all. Raises MissingError where the engine has no such image."""
        with self.stream(reference) as source:
            out.parent.mkdir(parents=True, exist_ok=True)
            temporary = out.with_name(f".{out.name}.{uuid.uuid4().hex}")
            try:
                with temporary.open("wb") as file:
                    file.writelines(_chunks(source))
                temporary.chmod(0o644)
                temporary.replace(out)
            except OSError as error:
                raise refused(out, error) from error
            finally:
                temporary.unlink(missing_ok=True)
        return out

    @contextlib.contextmanager
    def stream(self, reference: str) -> Iterator[IO[bytes]]:
        """An image's archive as it comes from the engine, to be read once; nothing is written. Raises MissingError."""
        self.need(reference)
        with translated(f"save {reference}"):
            url = f"{self._api.base_url}/images/{quote(reference)}/get"
            answer = self._api.get(url, stream=True, timeout=self._api.timeout)
            answer.raw.auto_close = False  # its end is no error
            with contextlib.closing(answer), io.BufferedReader(answer.raw, CHUNK_BYTES) as source:
                if not answer.ok:
                    raise DeadweightError(wording("engine.refused", action=f"save {reference}", problem=answer.text))
                yield cast("IO[bytes]", source)

    def remove(self, reference: str, *, force: bool = False) -> bool:
        """Remove an image by name (its content goes with its last name). False where there was none."""
        from docker.errors import NotFound

        with translated(f"remove image {reference}"):
            try:
                self._api.remove_image(reference, force=force)
            except NotFound:  # Podman words it so that the SDK does not know it for an image's
                return False
        return True

    def let_go(self, reference: str) -> bool:
        """Remove an image by name unless a container uses it: False then. The engine calls that a conflict (409)."""
        try:
            self.remove(reference)
        except DeadweightError as error:
            if getattr(error.__cause__, "status_code", None) != HTTPStatus.CONFLICT:
                raise
            return False
        return True


def identity_of(document: Mapping[str, Any], *, by_manifest: bool) -> Identity:
    """Read the engine's document on an image (``GET /images/NAME/json``).

    ``Descriptor`` says what kind of document the id is of (Engine API 1.48, "ImageInspect"); BuildKit notes the config's digest
    there, for images of one manifest that were built here.
    """
    image_id = _id(document)
    if not by_manifest:
        return Identity(image_id, image_id)
    descriptor = document.get("Descriptor") or {}
    kind = str(descriptor.get("mediaType") or "")
    if kind in INDEX_TYPES:
        return Identity(image_id, None, index=image_id)
    config = str((descriptor.get("annotations") or {}).get(CONFIG_NOTE) or "")
    return Identity(image_id, config or None, image_id if kind else None)


def _id(document: Mapping[str, Any]) -> str:
    return f"sha256:{str(document['Id']).removeprefix('sha256:')}"


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(CHUNK_BYTES):
        yield chunk
        stop_if_cancelled()
