"""Read the name and version of a jar, war or ear and of the jars inside it, in place and within fixed limits."""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
import zlib
from dataclasses import replace

from deadweight_images.layers.index import Jar

MAX_MEMBERS = 50_000
MAX_INNER = 32 * 1024 * 1024
MAX_JARS = 2000
MAX_UNPACKED = 1 << 30  # of all jars of one layer
MAX_SBOM = 16 * 1024 * 1024
_MAX_TEXT = 256 * 1024
_MAX_DIRECTORY = 16 * 1024 * 1024
_MAGIC, _END = b"PK", b"PK\x05\x06"
_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError),
    *(ValueError, NotImplementedError, OSError, RuntimeError),
)
"""What zipfile raises for archives that are damaged, encrypted, or packed in a way it does not know."""
_SBOM = re.compile(r"(^|/)META-INF/sbom/[^/]+\.json$")
_FILE_NAME = re.compile(r"^(?P<name>.+?)-(?P<version>\d[\w.+-]*)$")


class Budget:
    """Bytes that may still be taken out of jars: every name in a directory may point at the same few bytes, a bomb.

    ``unnamed`` says that a jar was passed over since it was last set to False.
    """

    def __init__(self, left: int = MAX_UNPACKED) -> None:
        self.left, self.unnamed = left, False


def jars(data: memoryview, path: str, budget: Budget, *, depth: int = 2) -> tuple[Jar, ...]:
    """The archive itself first, then those in it, as far as the budget goes. Empty where the data is no zip, or one that is damaged
    or has absurd counts."""
    if not _sane(data):
        budget.unnamed = budget.unnamed or bytes(data[:2]) == _MAGIC
        return ()
    try:
        with zipfile.ZipFile(_Window(data)) as archive:
            return _read(archive, path, "", len(data), depth, budget)
    except _DAMAGED:
        budget.unnamed = True
        return ()


def _read(archive: zipfile.ZipFile, path: str, inner: str, size: int, depth: int, budget: Budget) -> tuple[Jar, ...]:
    jars = [_identity(archive, path, inner, size)]
    groups = _groups(archive, budget)
    for info in archive.infolist():
        if not info.filename.lower().endswith((".jar", ".war", ".ear")):
            continue
        if depth <= 0 or len(jars) >= MAX_JARS or budget.left <= 0 or info.file_size > MAX_INNER:
            budget.unnamed = True
            continue
        place = f"{inner}!/{info.filename}" if inner else info.filename
        try:
            with archive.open(info) as member:
                data = memoryview(member.read(MAX_INNER + 1))
            budget.left -= len(data)
            if not _sane(data):
                budget.unnamed = budget.unnamed or bytes(data[:2]) == _MAGIC
                continue
            with zipfile.ZipFile(io.BytesIO(data)) as nested:
                jars.extend(_read(nested, info.filename, place, info.compress_size, depth - 1, budget))
        except _DAMAGED:
            # names that share bytes too: some versions of zipfile refuse them, others give the bytes to each
            budget.unnamed = True
    return tuple(_grouped(jar, groups) for jar in jars[:MAX_JARS])


def _groups(archive: zipfile.ZipFile, budget: Budget) -> dict[tuple[str, str], str]:
    """Maven groups by name and version, as the SBOM says that a build put into the archive (CycloneDX, ``META-INF/sbom``).

    What it says beside that is not taken: whether a jar is there is seen.
    """
    groups: dict[tuple[str, str], str] = {}
    for info in archive.infolist():
        if not _SBOM.search(info.filename) or info.file_size > MAX_SBOM or budget.left <= 0:
            continue
        budget.left -= info.file_size
        try:
            document = json.loads(archive.read(info))
            components = [document["metadata"]["component"], *document.get("components", ())]
            for component in components:
                groups[str(component["name"]), str(component.get("version", ""))] = str(component.get("group", ""))
        except (*_DAMAGED, KeyError, TypeError, AttributeError, RecursionError):
            continue
    return groups


def _grouped(jar: Jar, groups: dict[tuple[str, str], str]) -> Jar:
    group = "" if ":" in jar.name else groups.get((jar.name, jar.version), "")
    return replace(jar, name=f"{group}:{jar.name}") if group else jar


def _identity(archive: zipfile.ZipFile, path: str, inner: str, size: int) -> Jar:
    """Maven's own record, if there is one only or one of the file's name; then the manifest, then the file's name."""
    stem = path.rpartition("/")[2].rpartition(".")[0]
    named = _FILE_NAME.match(stem)
    name, version = (named["name"], named["version"]) if named else (stem, "")
    names = (item for item in archive.namelist() if item.startswith("META-INF/maven/"))
    records = [item for item in names if item.endswith("/pom.properties")]
    if len(records) > 1:  # others were shaded into it
        records = [item for item in records if item.split("/")[-2] == name]
    if len(records) == 1:
        fields = _fields(archive, records[0], "=")
        if fields.get("artifactId"):
            group = fields.get("groupId")
            full = f"{group}:{fields['artifactId']}" if group else fields["artifactId"]
            return Jar(full, fields.get("version") or version, inner, size)
    fields = _fields(archive, "META-INF/MANIFEST.MF", ":")
    stated = fields.get("Implementation-Version") or fields.get("Bundle-Version") or ""
    return Jar(name, version or stated, inner, size)


def _fields(archive: zipfile.ZipFile, member: str, separator: str) -> dict[str, str]:
    try:
        with archive.open(member) as file:
            text = file.read(_MAX_TEXT).decode("utf-8", "replace")
    except KeyError:
        return {}
    pairs = (line.partition(separator) for line in text.splitlines() if not line.startswith((" ", "#")))
    return {key.strip(): value.strip() for key, mark, value in pairs if mark}


def _sane(data: memoryview) -> bool:
    """Whether the end record declares a directory that is worth holding in memory (zipfile reads all of it)."""
    if bytes(data[:2]) != _MAGIC:
        return False
    tail = bytes(data[-66_000:])
    place = tail.rfind(_END)
    if place < 0 or place + 20 > len(tail):
        return False
    count, size = struct.unpack_from("<HI", tail, place + 10)
    return bool(count < 0xFFFF and count <= MAX_MEMBERS and size <= _MAX_DIRECTORY)


class _Window(io.RawIOBase):
    """A seekable file over a buffer, without copying it."""

    def __init__(self, data: memoryview) -> None:
        self._data, self._position = data, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = 0) -> int:
        start = (0, self._position, len(self._data))[whence]
        self._position = max(0, start + offset)
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        stop = len(self._data) if size is None or size < 0 else self._position + size
        piece = bytes(self._data[self._position : stop])
        self._position += len(piece)
        return piece
