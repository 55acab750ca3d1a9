"""Records of an analysed image: the JSON behind ``invoke layers`` and the report's ``variants.<name>.layers``."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from typing import Any, Literal, TypeVar

SCHEMA = 1
MAX_FINDINGS = 5000
"""Of each kind of finding so many are listed; the rest is counted."""
MINE, BASE = "mine", "base"
Scanned = Literal["deep", "plain", "hidden", "no"]


@dataclass(frozen=True, slots=True)
class LayerFigures:
    """One layer. ``digest`` is the blob's; ``verified`` says that its content was hashed and matches its digest.

    ``hidden_bytes`` is how much of it later layers hide. ``compressed_how`` is ``stored`` if the archive contains the compressed
    layer, ``gzip-6`` if it was compressed to measure its size, or ``not_measured``.
    """

    digest: str | None
    diff_id: str
    size_bytes: int
    tar_bytes: int
    compressed_bytes: int | None
    compressed_how: str
    instruction: str | None
    media_type: str | None
    files: int
    hidden_bytes: int
    verified: bool


@dataclass(frozen=True, slots=True)
class SecretMark:
    """A secret in a hidden file, redacted. ``inner`` is its place inside the file if it was packed or encoded, or the part of the
    file's tar headers that contains it (``name``, ``link target``, ``extended header``)."""

    rule: str
    fingerprint: str
    description: str = ""
    redacted: str = ""
    inner: str = ""
    line: int | None = None
    allowed: str | None = None
    confidence: str = "high"


@dataclass(frozen=True, slots=True)
class HiddenFile:
    """A file that a later layer removed, replaced or made unreachable. Layers are given by diff-id, instructions as in the history.

    ``index`` and ``hidden_index`` are the layers' positions, counted from 0. ``owner`` is as in ``SecretFinding``, for files that
    contain secrets.
    """

    path: str
    size_bytes: int
    layer: str
    added_by: str | None
    hidden_in: str
    hidden_by: str | None
    how: Literal["removed", "replaced", "unreachable"]
    index: int
    hidden_index: int
    secrets: tuple[SecretMark, ...] = ()
    owner: str = MINE


@dataclass(frozen=True, slots=True)
class SecretFinding:
    """A secret that is not in a hidden file: in a visible file, in the config or history, or between the files of a layer.

    ``where`` is ``file``, ``layer``, or the place in the config (``config.Env[0]``, ``history[2]``). ``allowed`` is the reason
    given in the allow list, None if the secret is not on it. ``owner`` is ``mine``, ``base`` for a layer of the base image, or the
    package (``deb libgnutls30``) that installed the file. ``confidence`` is ``high`` if the secret's own form shows what it is,
    ``medium`` if its name and context suggest it, and ``low`` if it may just as well be an example: gates ignore these.
    """

    rule: str
    fingerprint: str
    where: str
    path: str | None = None
    layer: str | None = None
    added_by: str | None = None
    description: str = ""
    redacted: str = ""
    inner: str = ""
    line: int | None = None
    allowed: str | None = None
    owner: str = MINE
    confidence: str = "high"


BY_CONTENT = "by content"
"""The kind of a program that is a shell or package manager under another name."""


@dataclass(frozen=True, slots=True)
class PathFigure:
    """A path in the final view: a set-uid file, a shell, a package manager, or a large file or folder.

    ``kind`` is ``file`` or ``folder``; for package managers, ``os`` or ``language``; for a shell or package manager under another
    name, ``by content``. ``mode`` is an octal string. ``target`` is where a link ends.
    ``why`` says why the path counts although the specification hides it; it is empty for all other paths.
    """

    path: str
    size_bytes: int
    layer: str | None = None
    kind: str = "file"
    mode: str | None = None
    uid: int | None = None
    gid: int | None = None
    target: str | None = None
    why: str = ""

    @property
    def described(self) -> str:
        """Its path, and how it is known where that is not by its name."""
        return f"{self.path} (by its content)" if self.kind == BY_CONTENT else self.path


@dataclass(frozen=True, slots=True)
class DuplicateFile:
    """One of ``copies`` files with the same content; they share a ``group``. ``index`` is the layer's position, counted from 0."""

    path: str
    index: int
    size_bytes: int
    group: int
    copies: int


@dataclass(frozen=True, slots=True)
class FolderFigure:
    """How many bytes one layer (its position, counted from 0) contains below one folder, including hidden files."""

    layer: int
    folder: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Package:
    """An installed package. ``size_bytes`` is measured in the final view or declared by the package; ``how`` says which.

    ``kind`` is ``deb``, ``apk``, ``go`` (a binary, with the modules linked into it) or ``jar``.
    """

    kind: Literal["deb", "apk", "go", "jar"]
    name: str
    version: str
    size_bytes: int
    files: int
    how: Literal["measured", "declared"]
    path: str | None = None
    go_version: str | None = None
    modules: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class SkippedItem:
    """Something that was not examined, or only in part, and why.

    ``unread`` says that it could contain an undetected secret; otherwise, only sizes or names are affected. ``owner`` is as in
    ``SecretFinding``.
    """

    path: str | None
    layer: str | None
    inner: str
    reason: str
    size_bytes: int
    unread: bool = False
    owner: str = MINE

    @property
    def was_looked_at(self) -> bool:
        """Whether this only says that a list was cut: what is missing there was looked at and counted."""
        return self.path is None and self.layer is None and not (self.unread or self.size_bytes)


@dataclass(frozen=True, slots=True)
class LayersReport:
    """What an image's layers contain. Sizes are in bytes; ``skipped`` says which lists are incomplete.

    ``hidden_bytes``: content that no path in the final view leads to. ``overwritten_bytes``: the part of it that a later
    version replaced. ``duplicated_bytes``: the same content (16 KiB or more) stored more than once.
    ``duplicates`` lists copies, starting with those of the largest content; it is not complete.
    ``scanned`` is ``deep`` (including decoded content), ``plain``, ``hidden`` (hidden files only) or ``no``. ``notes`` are
    sentences about the image as a whole.
    """

    config_digest: str
    manifest_digest: str | None
    scanned: Scanned
    rule_set: str | None
    user: str
    size_bytes: int
    compressed_bytes: int | None
    files: int
    hidden_files: int
    hidden_bytes: int
    overwritten_bytes: int
    duplicated_bytes: int
    layers: tuple[LayerFigures, ...]
    hidden: tuple[HiddenFile, ...]
    secrets: tuple[SecretFinding, ...]
    setuid: tuple[PathFigure, ...]
    shells: tuple[PathFigure, ...]
    package_managers: tuple[PathFigure, ...]
    packages: tuple[Package, ...]
    heaviest: tuple[PathFigure, ...]
    folders: tuple[FolderFigure, ...]
    skipped: tuple[SkippedItem, ...]
    notes: tuple[str, ...] = ()
    duplicates: tuple[DuplicateFile, ...] = ()
    schema: int = SCHEMA

    @property
    def counted_secrets(self) -> int:
        """Secrets that are on no allow list, and more than a guess (``confidence``)."""
        return sum(self.counted.values())

    @property
    def counted(self) -> Counter[str]:
        """The same by owner: ``mine`` and ``base``, which packages' files count as too."""
        marks = [(file.owner, mark) for file in self.hidden for mark in file.secrets]
        rows: list[tuple[str, SecretMark | SecretFinding]] = [*marks, *((entry.owner, entry) for entry in self.secrets)]
        counted = (owner for owner, entry in rows if entry.allowed is None and entry.confidence != "low")
        return Counter(MINE if owner == MINE else BASE for owner in counted)

    @property
    def unread(self) -> Counter[str]:
        """What a secret could lie in unseen, counted by owner in the same way."""
        return Counter(MINE if item.owner == MINE else BASE for item in self.skipped if item.unread)

    @property
    def more_secrets(self) -> bool:
        """Whether there are so many that not all of them are listed: hidden files that hold some are listed first."""
        hidden_cut = len(self.hidden) < self.hidden_files and bool(self.hidden) and bool(self.hidden[-1].secrets)
        return hidden_cut or len(self.secrets) >= MAX_FINDINGS

    def json(self) -> dict[str, Any]:
        """The document, ready for ``json.dumps``."""
        document: dict[str, Any] = _plain(self)
        return document


@cache
def _names(kind: Any) -> tuple[str, ...]:
    """The fields of a kind of record; none of anything else."""
    return tuple(field.name for field in fields(kind)) if is_dataclass(kind) else ()


def _plain(value: Any) -> Any:
    """As ``dataclasses.asdict``, which copies each leaf and takes four times as long."""
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    names = _names(value.__class__)
    return {name: _plain(getattr(value, name)) for name in names} if names else value


def format_place(place: str, inner: str) -> str:
    """A file, or a place in the config, and where inside it, as one says it."""
    return ", ".join(part for part in (place, inner) if part)


_T = TypeVar("_T")
_ITEMS: dict[str, type[Any]] = {
    "layers": LayerFigures,
    "hidden": HiddenFile,
    "secrets": SecretFinding,
    "setuid": PathFigure,
    "shells": PathFigure,
    "package_managers": PathFigure,
    "packages": Package,
    "heaviest": PathFigure,
    "folders": FolderFigure,
    "skipped": SkippedItem,
    "duplicates": DuplicateFile,
}


def from_json(data: dict[str, Any]) -> LayersReport:
    """The record of a document that ``json`` gave. Raises KeyError, TypeError or ValueError for anything else."""
    if data.get("schema") != SCHEMA:
        raise ValueError("another schema")
    values = dict(data)
    for key, kind in _ITEMS.items():
        values[key] = tuple(_item(kind, item) for item in data[key])
    values["notes"] = tuple(data.get("notes", ()))
    return LayersReport(**values)


def _item(kind: type[_T], data: dict[str, Any]) -> _T:
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    values = {key: value for key, value in data.items() if key in known}
    if kind is HiddenFile:
        values["secrets"] = tuple(SecretMark(**mark) for mark in values["secrets"])
    if kind is Package:
        values["modules"] = tuple((str(path), str(version)) for path, version in values["modules"])
    return kind(**values)


# What of an image lies in the base that it is built on: told, and gated, apart from its own.

_STEP = re.compile(r"history\[(\d{1,6})\]")


@dataclass(frozen=True, slots=True)
class BaseImage:
    """What is known of the image that another one is built on: its layers' diff-ids and how many steps its history has."""

    layers: frozenset[str] = frozenset()
    steps: int = 0


def with_base(report: LayersReport, base: BaseImage) -> LayersReport:
    """The same report; what lies in the base's own layers and history is the base's."""
    groups: dict[str, Any] = {
        key: tuple(replace(item, owner=BASE) if _is_of(base, item) else item for item in getattr(report, key))
        for key in ("hidden", "secrets", "skipped")
    }
    return replace(report, **groups)


def _is_of(base: BaseImage, item: HiddenFile | SecretFinding | SkippedItem) -> bool:
    step = _STEP.match(item.where) if isinstance(item, SecretFinding) else None
    return item.owner == MINE and (item.layer in base.layers or (step is not None and int(step[1]) < base.steps))
