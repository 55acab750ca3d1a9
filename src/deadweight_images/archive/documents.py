"""Parse an image archive's JSON (manifest.json, index.json, manifests, configs) into records.

Sources: OCI image-spec v1.1 (index.md, manifest.md, config.md, image-layout.md), Docker image spec v1.2. A document that can be
read as two things is refused (CVE-2021-41190). So is a field in the wrong case: engines are written in Go, whose JSON reader
accepts ``user`` for ``User`` and takes the last of both.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any, NamedTuple

from deadweight_images.archive.model import HistoryStep, ImageConfig
from deadweight_images.errors import ArchiveError, wording

# Digest strings and what they must be the digest of.
#
# A digest becomes part of a path and of a URL, so only its exact form is let through (OCI image-spec, descriptor.md, "Digests";
# CVE-2024-3727 is what happens otherwise).

_FORM = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)


def valid(text: object, what: str) -> str:
    """The digest itself if it is a SHA-256 in its exact form. Raises ArchiveError (SHA-512 is registered too; nobody uses it)."""
    if not isinstance(text, str) or _FORM.fullmatch(text) is None:
        raise ArchiveError(wording("document.digest", what=what, digest=text))
    return text


def of(data: bytes | memoryview) -> str:
    """``sha256:…`` of some bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def check(data: bytes | memoryview, digest: str, what: str) -> None:
    """Raise ArchiveError where the content is not what its digest says."""
    if of(data) != digest:
        raise ArchiveError(wording("archive.digest", what=what, digest=digest, actual=of(data)))


class Running:
    """The digest of pieces that come one after another, computed by another thread while the next ones are being made.

    Whoever must wait for a piece takes it, and those before it, itself, unless another thread is at it. Without a ``thread``
    whoever adds pieces takes them.
    """

    _BATCH = 1 << 20
    _WAITING = 4

    def __init__(self, thread: ThreadPoolExecutor | None) -> None:
        self._thread, self._hash, self._lock = thread, hashlib.sha256(), Lock()
        self._batch: list[bytes | memoryview] = []
        self._size = self._given = self._taken = 0
        self._waiting: deque[list[bytes | memoryview]] = deque()

    def add(self, piece: bytes | memoryview) -> None:
        """Take one more piece; it must not change before it is taken."""
        self._batch.append(piece)
        self._size += len(piece)
        if self._size >= self._BATCH:
            self._send()

    def sent(self) -> Sent:
        """Have all pieces so far taken: what tells when they are, and their memory may change."""
        if self._batch:
            self._send()
        return Sent(self, self._given)

    def result(self) -> str:
        """``sha256:…`` of all pieces so far."""
        self.sent().result()
        return "sha256:" + self._hash.hexdigest()

    def taken(self, number: int) -> bool:
        """Whether so many batches were taken."""
        return self._taken >= number

    def take(self, number: int) -> None:
        """Have so many batches taken by now. Raises whatever goes wrong with one of them, and again with any behind it."""
        while self._taken < number:
            with self._lock:
                if self._taken < number:
                    for piece in self._waiting[0]:
                        self._hash.update(piece)
                    self._waiting.popleft()
                    self._taken += 1

    def _send(self) -> None:
        self.take(self._given - self._WAITING)
        self._waiting.append(self._batch)
        self._given += 1
        self._batch, self._size = [], 0
        if self._thread is None:
            self.take(self._given)
        else:
            self._thread.submit(self.take, self._given)


class Sent(NamedTuple):
    """Pieces on their way into a digest, as one waits for another thread's work."""

    running: Running
    number: int

    def done(self) -> bool:
        """Whether they are taken."""
        return self.running.taken(self.number)

    def result(self) -> None:
        """Wait until they are."""
        self.running.take(self.number)


MAX_DOCUMENT = 4 * 1024 * 1024
MAX_LAYERS = 1024
INDEX_TYPES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
CONFIG_TYPES = ("application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json")
MANIFEST_TYPES = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")

# The fields that are read here. Labels, annotations and the like are maps: their keys are whatever somebody chose.
_SAVED = ("Config", "Layers", "RepoTags")
_DOCUMENT = ("mediaType", "manifests", "layers", "config", "fsLayers", "schemaVersion", "artifactType", "subject")
_DESCRIPTOR = ("mediaType", "digest", "size", "annotations", "platform", "artifactType")
_PLATFORM = ("os", "architecture", "variant")
_CONFIG = (*_PLATFORM, "created", "config", "rootfs", "history")
_RUN = ("User", "Entrypoint", "Cmd", "Env", "Labels", "WorkingDir", "ExposedPorts")
_ROOTFS = ("type", "diff_ids")
_STEP = ("created_by", "empty_layer", "comment", "created")


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A pointer at content. ``platform`` is ``os/architecture[/variant]`` or None; ``urls`` are never followed, so not kept.

    ``artifact`` says that it points at something that is no image to run (OCI 1.1, descriptor.md, "artifactType"). ``about`` is the
    digest of the manifest that an attestation is about, ``predicate`` the type of the in-toto statement that it points at.
    """

    media_type: str
    digest: str
    size: int
    platform: str | None
    name: str | None
    attestation: bool
    artifact: bool = False
    about: str | None = None
    predicate: str | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """An image manifest: where config and layers are.

    ``artifact`` says that it describes no image to run but an SBOM, a signature, a chart (OCI image-spec 1.1, manifest.md,
    "Guidelines for Artifact Usage"); ``refers`` that it is about another manifest, its subject.
    """

    config: Descriptor
    layers: tuple[Descriptor, ...]
    artifact: bool = False
    refers: bool = False


@dataclass(frozen=True, slots=True)
class SavedImage:
    """One item of a docker-save archive's manifest.json: member names of config and layers, and the image's names."""

    config: str
    layers: tuple[str, ...]
    names: tuple[str, ...]


def parsed(data: bytes | memoryview, what: str) -> Any:
    """JSON of bounded size and depth, with no text in it that UTF-8 could not hold. Raises ArchiveError."""
    if len(data) > MAX_DOCUMENT:
        raise ArchiveError(wording("document.too_large", what=what, size=len(data), most=MAX_DOCUMENT))
    try:
        return _encodable(json.loads(bytes(data), object_pairs_hook=lambda pairs: _no_twins(pairs, what)), what)
    except (ValueError, RecursionError) as error:
        raise ArchiveError(wording("document.not_json", what=what, error=str(error))) from error


def saved_images(data: bytes | memoryview, what: str) -> tuple[SavedImage, ...]:
    """The items of manifest.json."""
    items = parsed(data, what)
    if not isinstance(items, list) or not items:
        raise ArchiveError(wording("document.not_images", what=what))
    images = []
    for item in items:
        fields = _object(item, what, _SAVED)
        images.append(
            SavedImage(
                config=_text(fields.get("Config"), what, "Config"),
                layers=_texts(fields.get("Layers"), what, "Layers"),
                names=_texts(fields.get("RepoTags"), what, "RepoTags"),
            )
        )
        if len(images[-1].layers) > MAX_LAYERS:
            raise ArchiveError(wording("document.too_many_layers", what=what, most=MAX_LAYERS))
    return tuple(images)


def index(data: bytes | memoryview, what: str) -> tuple[Descriptor, ...]:
    """The descriptors of an index."""
    fields = _object(parsed(data, what), what, _DOCUMENT)
    if fields.keys() & {"layers", "config", "fsLayers"}:
        raise ArchiveError(wording("document.two_kinds", what=what))
    media_type = fields.get("mediaType")
    if media_type is not None and media_type not in INDEX_TYPES:
        raise ArchiveError(wording("document.media_type", what=what, expected=INDEX_TYPES[0], actual=media_type))
    return tuple(_descriptor(item, what) for item in _list(fields.get("manifests"), what, "manifests"))


def manifest(data: bytes | memoryview, what: str, expected_type: str) -> Manifest:
    """An image manifest. ``expected_type`` is the media type by which it was found."""
    fields = _object(parsed(data, what), what, _DOCUMENT)
    if fields.keys() & {"manifests", "fsLayers"}:
        raise ArchiveError(wording("document.two_kinds", what=what))
    media_type = fields.get("mediaType")
    if media_type is not None and media_type != expected_type:
        raise ArchiveError(wording("document.media_type", what=what, expected=expected_type, actual=media_type))
    layers = tuple(_descriptor(item, what) for item in _list(fields.get("layers"), what, "layers"))
    if len(layers) > MAX_LAYERS:
        raise ArchiveError(wording("document.too_many_layers", what=what, most=MAX_LAYERS))
    config = _descriptor(fields.get("config"), what)
    artifact = _is_artifact(fields.get("artifactType")) or config.media_type not in CONFIG_TYPES
    return Manifest(config, layers, artifact, refers=fields.get("subject") is not None)


def config(data: bytes | memoryview, what: str) -> ImageConfig:
    """An image's config."""
    fields = _object(parsed(data, what), what, _CONFIG)
    rootfs = _object(fields.get("rootfs"), f"{what}: rootfs", _ROOTFS)
    inner = _object(fields.get("config") or {}, f"{what}: config", _RUN)
    labels = _object(inner.get("Labels") or {}, f"{what}: Labels")
    variant = fields.get("variant")
    return ImageConfig(
        os=str(fields.get("os") or ""),
        architecture=str(fields.get("architecture") or ""),
        variant=str(variant) if variant else None,
        user=_text(inner.get("User") or "", what, "User"),
        entrypoint=_texts(inner.get("Entrypoint"), what, "Entrypoint"),
        command=_texts(inner.get("Cmd"), what, "Cmd"),
        env=_texts(inner.get("Env"), what, "Env"),
        labels=tuple((key, str(value)) for key, value in labels.items()),
        working_dir=_text(inner.get("WorkingDir") or "", what, "WorkingDir"),
        exposed_ports=tuple(_object(inner.get("ExposedPorts") or {}, what)),
        created=str(fields.get("created") or ""),
        diff_ids=tuple(valid(item, f"{what}: diff_ids") for item in _list(rootfs.get("diff_ids"), what, "diff_ids")),
        history=tuple(_step(item, what) for item in _list(fields.get("history"), what, "history")),
    )


def instructions(config: ImageConfig) -> tuple[str | None, ...]:
    """For each layer the history step that made it: steps marked empty made none (config.md, "history").

    All None where the history does not fit the layers (squashed or hand-made images): a wrong name is worse than none.
    """
    made = [_made_by(step) for step in config.history if not step.empty]
    if len(made) != len(config.diff_ids):
        return (None,) * len(config.diff_ids)
    return tuple(text or None for text in made)


def _made_by(step: HistoryStep) -> str:
    """What made a layer. Jib, ko and apko tell in the comment which of their layers it is; BuildKit's says nothing of it."""
    useful = step.comment and not step.comment.startswith("buildkit")
    return f"{step.instruction} ({step.comment})" if useful and step.instruction else step.instruction


def _step(item: Any, what: str) -> HistoryStep:
    fields = _object(item, f"{what}: history", _STEP)
    return HistoryStep(
        instruction=str(fields.get("created_by") or ""),
        empty=fields.get("empty_layer") is True,
        comment=str(fields.get("comment") or ""),
        created=str(fields.get("created") or ""),
    )


def _descriptor(item: Any, what: str) -> Descriptor:
    fields = _object(item, what, _DESCRIPTOR)
    size = fields.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 1 << 62:
        raise ArchiveError(wording("document.size", what=what))
    notes = _object(fields.get("annotations") or {}, what)
    platform = fields.get("platform")
    shown = None
    if platform is not None:
        parts = _object(platform, what, _PLATFORM)
        shown = "/".join(str(parts[key]) for key in ("os", "architecture", "variant") if parts.get(key))
    name = notes.get("io.containerd.image.name") or notes.get("org.opencontainers.image.ref.name")
    return Descriptor(
        media_type=_text(fields.get("mediaType"), what, "mediaType"),
        digest=valid(fields.get("digest"), what),
        size=size,
        platform=shown,
        name=str(name) if name else None,
        attestation=shown == "unknown/unknown" or notes.get("vnd.docker.reference.type") == "attestation-manifest",
        artifact=_is_artifact(fields.get("artifactType")),
        about=_note(notes, "vnd.docker.reference.digest"),
        predicate=_note(notes, "in-toto.io/predicate-type"),
    )


def _note(notes: dict[str, Any], name: str) -> str | None:
    return str(notes[name]) if notes.get(name) else None


def _is_artifact(kind: Any) -> bool:
    """Whether an artifact type names something else than an image: some tools write the type of an image's config there."""
    return kind not in (None, "", *CONFIG_TYPES)


def _no_twins(pairs: list[tuple[str, Any]], what: str) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ArchiveError(wording("document.key_twice", what=what))
    return fields


def _encodable(value: Any, what: str) -> Any:
    """The same with lone surrogates as their escapes: JSON can write them (``\\ud800``), nothing could print or hash them."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, list):
        return [_encodable(item, what) for item in value]
    if isinstance(value, dict):
        return _no_twins([(_encodable(key, what), _encodable(item, what)) for key, item in value.items()], what)
    return value


def _object(value: Any, what: str, fields: tuple[str, ...] = ()) -> dict[str, Any]:
    """An object, none of whose keys is one of ``fields`` in another case."""
    if not isinstance(value, dict):
        raise ArchiveError(wording("document.not_an_object", what=what))
    written = {field.casefold(): field for field in fields}
    for key in value:
        field = written.get(key.casefold(), key)
        if field != key:
            raise ArchiveError(wording("document.key_case", what=what, key=key, expected=field))
    return value


def _list(value: Any, what: str, key: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise ArchiveError(wording("document.not_a_list", what=what, key=key))
    return value


def _text(value: Any, what: str, key: str) -> str:
    if not isinstance(value, str):
        raise ArchiveError(wording("document.not_text", what=what, key=key))
    return value


def _texts(value: Any, what: str, key: str) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else _list(value, what, key)
    if not all(isinstance(item, str) for item in items):
        raise ArchiveError(wording("document.not_texts", what=what, key=key))
    return tuple(items)
