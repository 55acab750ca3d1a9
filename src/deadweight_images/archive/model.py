"""Records of an image: its manifest, config and layers, and the entries in a layer.

Paths in an image are bytes to the kernel, so code works on bytes. They are shown as text, with bytes that are not UTF-8 as
``\\xNN``. Byte paths have no leading slash; shown paths do.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

EntryKind = Literal["file", "hardlink", "symlink", "chardevice", "blockdevice", "directory", "fifo", "other"]
Compression = Literal["none", "gzip", "zstd"]


def shown(path: bytes) -> str:
    """A path in an image as text: absolute, bytes that are no UTF-8 as ``\\xNN``, control characters escaped."""
    text = printable(path.decode("utf-8", "backslashreplace"))
    return text if text.startswith("/") else "/" + text


def printable(text: str) -> str:
    """Text of an image as a terminal may show it: control characters are escaped, so that none of them is obeyed."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def format_bytes(size: int) -> str:
    """A size in decimal units with three figures, as engines show it: ``12.7 MB``."""
    if size < 1000:
        return f"{size} B"
    amount = float(size)
    for unit in ("kB", "MB"):
        amount /= 1000
        if amount < 999.5:
            return f"{amount:.3g} {unit}"
    amount /= 1000
    return f"{amount:.3g} GB" if amount < 999.5 else f"{amount:.0f} GB"


def harmless(document: str) -> str:
    """A JSON document in which each character that a terminal could obey (U+009B, U+202E …) is written as its escape.

    JSON's own control characters are escaped already, so this leaves nothing but line ends; readers see the same text.
    """
    if document.replace("\n", "").isprintable():
        return document
    return "".join(c if c == "\n" or c.isprintable() else json.dumps(c)[1:-1] for c in document)


@dataclass(frozen=True, slots=True)
class Entry:
    """One member of a layer. ``size_bytes`` is the file's size, ``stored_bytes`` what the layer holds of it (sparse files).

    ``offset`` is where the content starts in the uncompressed layer. ``target`` is the link's target as written.
    """

    path: bytes
    kind: EntryKind
    size_bytes: int
    mode: int
    uid: int
    gid: int
    offset: int
    stored_bytes: int
    target: bytes | None = None


@dataclass(frozen=True, slots=True)
class HistoryStep:
    """One line of the config's history. ``instruction`` is ``created_by`` as written; ``empty`` steps made no layer."""

    instruction: str
    empty: bool
    comment: str = ""
    created: str = ""


@dataclass(frozen=True)
class Attestation:
    """One statement of a builder about an image: its predicate type (a URL) as the archive names it, and the blob that holds it."""

    predicate: str
    digest: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer as the manifest and config describe it. No field is computed from its content.

    ``digest`` is the blob's as stored (None where the archive does not say), ``diff_id`` that of the uncompressed tar.
    ``stored_bytes`` is the blob's size as it lies in the archive. ``instruction`` is None where the history does not tell.
    """

    index: int
    digest: str | None
    diff_id: str
    media_type: str | None
    stored_bytes: int
    compression: Compression
    instruction: str | None


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """The parts of the image config that Deadweight uses. ``env`` and ``labels`` keep their order."""

    os: str
    architecture: str
    variant: str | None
    user: str
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    env: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]
    working_dir: str
    exposed_ports: tuple[str, ...]
    created: str
    diff_ids: tuple[str, ...]
    history: tuple[HistoryStep, ...]


@dataclass(frozen=True, slots=True)
class Image:
    """One image of an archive. ``config_digest`` is computed from the config's bytes, not copied from the archive.

    ``manifest_digest`` is None where the archive holds no OCI manifest (old docker-save layout).
    """

    config_digest: str
    manifest_digest: str | None
    config: ImageConfig
    raw_config: bytes
    layers: tuple[Layer, ...]
    names: tuple[str, ...]
    layout: Literal["docker-save", "oci"]
