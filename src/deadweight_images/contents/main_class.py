"""Whether an image that Jib made has the main class that it starts. Jib itself takes any name that is well-formed."""

from __future__ import annotations

import io
import struct
import zipfile
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from deadweight_images.archive import entries as columns
from deadweight_images.archive.archive import open_archive
from deadweight_images.archive.entries import Entries
from deadweight_images.archive.model import Compression
from deadweight_images.errors import ArchiveError
from deadweight_images.layers.content import members_pieces
from deadweight_images.layers.indexing import Indexer

MAX_JAR_BYTES = 256 * 2**20
_MADE_BY_JIB = "jib-"  # history says jib-maven-plugin:VERSION, or jib-gradle-plugin
_CLASS_PATH = b"jib-classpath-file"
_LIBRARIES = (b"libs", b"lib")
_DAMAGED = (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, EOFError, struct.error)


def missing_main_class(archive: Path) -> str | None:
    """The class that the image starts, where it is surely not there: neither as a file of its own on the class path that Jib
    wrote, nor in a jar in one of Jib's layers.

    None too where nobody can tell: the entry point is the project's own, the class path leads into the base, a jar has more
    than 256 MiB. Raises ArchiveError for a damaged layer or library.
    """
    with open_archive(archive) as opened, Indexer(verify=False) as indexer:
        words = opened.image.config.entrypoint
        if len(words) < 3 or words[-3] != "-cp":
            return None
        search = _Search(words[-1])
        for layer in reversed(
            opened.image.layers
        ):  # the class path comes after the classes, and these after the dependencies
            if (layer.instruction or "").startswith(_MADE_BY_JIB):
                view = opened.blob(layer)
                entries = indexer.blob(view, layer.compression, f"{archive}: layer {layer.index + 1}").entries
                if search.ends_in(view, layer.compression, entries):
                    return None
    return words[-1] if search.class_path else None


class _Search:
    """Goes through layers, last one first, until there is nothing more to look for."""

    def __init__(self, name: str) -> None:
        self.wanted = f"{name.replace('.', '/')}.class".encode()
        self.class_path: frozenset[bytes] = frozenset()
        self.alike: set[bytes] = set()  # class files with that name, in whatever folder

    def ends_in(self, view: memoryview, compression: Compression, entries: Entries) -> bool:
        """Whether the class is there, or may be."""
        paths = entries.paths
        self.alike.update(b"/" + path for path in paths if path.endswith(b"/" + self.wanted))
        files = [number for number in range(len(paths)) if _may_tell(entries, number)]
        if any(entries.sizes[number] > MAX_JAR_BYTES for number in files):
            return True
        for number, parts in groupby(members_pieces(view, compression, entries, files), key=itemgetter(0)):
            path, content = paths[number], b"".join(part for _, part in parts)
            if _name(path) == _CLASS_PATH:
                self.class_path = frozenset(content.strip().split(b":"))
                own = b"/" + path[: -len(_CLASS_PATH)]
                if not all(part.startswith(own) for part in self.class_path):
                    return True  # into the base
            elif self._in_jar(path, content):
                return True
        return any(part + b"/" + self.wanted in self.alike for part in self.class_path)

    def _in_jar(self, path: bytes, content: bytes) -> bool:
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
        versions, ending = b"META-INF/versions/", b"/" + self.wanted
        return any(name == self.wanted or (name.startswith(versions) and name.endswith(ending)) for name in names)


def _may_tell(entries: Entries, number: int) -> bool:
    path = entries.paths[number]
    return entries.kinds[number] == columns.FILE and (path.endswith((b".jar", b".war")) or _name(path) == _CLASS_PATH)


def _name(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]
