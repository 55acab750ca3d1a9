"""Whether an image that Jib made has its main class. Jib itself takes any name that is well-formed."""

from __future__ import annotations

import io
import struct
import zipfile
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from deadweight._errors import ArchiveError
from deadweight.image import entries as columns
from deadweight.image.archive import open_archive
from deadweight.image.entries import Entries
from deadweight.image.indexing import Indexer
from deadweight.image.slices import members_pieces

MAX_JAR_BYTES = 256 * 2**20
_MADE_BY_JIB = "jib-"  # history says jib-maven-plugin:VERSION, or jib-gradle-plugin
_CLASS_PATH = b"jib-classpath-file"
_LIBRARIES = (b"libs", b"lib")
_DAMAGED = (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, EOFError, struct.error)


def may_hold(archive: Path, name: str) -> bool:
    """False if a class is surely in none of the layers that Jib made: as a file of its own, or in a jar.

    The base is not looked at, nor is a jar of more than 256 MiB: where the class path leads to one of these, a class may be there.
    Raises ArchiveError for a damaged layer or library.
    """
    wanted = f"{name.replace('.', '/')}.class".encode()
    with open_archive(archive) as opened, Indexer(verify=False) as indexer:
        for layer in reversed(opened.image.layers):  # classes come last
            if (layer.instruction or "").startswith(_MADE_BY_JIB):
                view = opened.blob(layer)
                entries = indexer.blob(view, layer.compression, f"{archive}: layer {layer.index + 1}").entries
                paths = entries.paths
                if any(path.endswith(b"/" + wanted) for path in paths):
                    return True
                files = [number for number in range(len(paths)) if _may_tell(entries, number)]
                if any(entries.sizes[number] > MAX_JAR_BYTES for number in files):
                    return True
                pieces = groupby(members_pieces(view, layer.compression, entries, files), key=itemgetter(0))
                if any(_holds(paths[file], b"".join(part for _, part in parts), wanted) for file, parts in pieces):
                    return True
    return False


def _may_tell(entries: Entries, number: int) -> bool:
    path = entries.paths[number]
    return entries.kinds[number] == columns.FILE and (path.endswith((b".jar", b".war")) or _name(path) == _CLASS_PATH)


def _holds(path: bytes, content: bytes, wanted: bytes) -> bool:
    if _name(path) == _CLASS_PATH:
        own = b"/" + path[: -len(_CLASS_PATH)]
        return not all(part.startswith(own) for part in content.strip().split(b":"))
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as jar:
            names = [name.encode("utf-8", "surrogateescape") for name in jar.namelist()]
    except _DAMAGED as error:
        if _name(path[: -len(_name(path)) - 1]) not in _LIBRARIES:
            return False  # a file of the service that only looks like one
        shown = path.decode("utf-8", "replace")
        raise ArchiveError(
            f"the dependency {shown} is damaged: {error}",
            hint="remove it from Maven's local repository (~/.m2/repository) and build again",
        ) from error
    return any(name == wanted or name.endswith(b"/" + wanted) for name in names)


def _name(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]
