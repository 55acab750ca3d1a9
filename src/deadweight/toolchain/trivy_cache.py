"""Prepare a Trivy cache that needs no downloads: the databases it looks up are present or empty.

- Jars need a Java index, which is a separate download; with an empty one, Trivy reads the jars' own files instead.
- Trivy reads jars only when it looks for vulnerabilities, so an empty database is used if only packages are wanted.
"""

from __future__ import annotations

import json
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from deadweight._errors import wording

# Read the names in the root of a bbolt file, which is what a vulnerability database is: enough to tell what it covers. And write
# one with no names.
#
# The format is that of bbolt's ``page.go`` and ``db.go``: two meta pages, of which the one with the higher transaction that has a
# right checksum counts; branch and leaf pages of sorted keys. Only root pages are read, however large the file is.
#
# Writing one is home-made: without a database of its kind Trivy does not look for vulnerabilities at all, and asked for licenses
# alone, which needs none, it lists no jars (0.76: 8 packages of an image that has 11). The other way would be a program in Go
# that links bbolt, compiled first on every machine, for four pages of nothing.
MAGIC, VERSION = 0xED0CDAED, 2
BRANCH, LEAF = 0x01, 0x02
META, FREE = 0x04, 0x10
BUCKET = 0x01
MAX_PAGES = 10_000
_META = struct.Struct("<IIIIQQQQQ")


class NotBolt(ValueError):
    """Not a bbolt file, or a damaged one; the message says why."""


def buckets(file: Path) -> frozenset[str]:
    """The names of the root's buckets. Raises NotBolt; OSError where the file cannot be read."""
    with file.open("rb") as stream:
        size = file.stat().st_size
        root, page_size, pages = _newest_meta(stream, size)
        if pages * page_size > size:
            raise NotBolt(wording("toolchain.bolt_cut_off", size=size, whole=pages * page_size))
        return frozenset(name.decode("utf-8", "replace") for name in _names(stream, root, page_size, size))


def empty_bolt() -> bytes:
    """A whole bbolt file with nothing in it: two meta pages, an empty free list, and an empty leaf as its root."""
    size, free, root = 4096, 2, 3
    contents = []
    for transaction in (0, 1):
        meta = _META.pack(MAGIC, VERSION, size, 0, root, 0, free, root + 1, transaction)
        contents.append((META, meta + struct.pack("<Q", fnv1a(meta))))
    contents += [(FREE, b""), (LEAF, b"")]
    pages = (struct.pack("<QHHI", number, kind, 0, 0) + data for number, (kind, data) in enumerate(contents))
    return b"".join(page.ljust(size, b"\0") for page in pages)


def _newest_meta(stream: BinaryIO, size: int) -> tuple[int, int, int]:
    if size == 0:
        raise NotBolt(wording("toolchain.bolt_empty"))
    found = []
    first = _meta(stream, 0)
    for place in (0, first[0] if first else 4096):
        meta = _meta(stream, place)
        if meta is not None:
            found.append(meta)
    if not found:
        raise NotBolt(wording("toolchain.no_bolt"))
    page_size, root, pages, _ = max(found, key=lambda meta: meta[3])
    return root, page_size, pages


def _meta(stream: BinaryIO, place: int) -> tuple[int, int, int, int] | None:
    """Page size, root page, number of pages, transaction; None where there is no valid meta page."""
    stream.seek(place + 16)
    data = stream.read(_META.size + 8)
    if len(data) < _META.size + 8:
        return None
    magic, version, page_size, _, root, _, _, pages, transaction = _META.unpack(data[: _META.size])
    (checksum,) = struct.unpack("<Q", data[_META.size :])
    if magic != MAGIC or version != VERSION or checksum != fnv1a(data[: _META.size]):
        return None
    return (page_size, root, pages, transaction) if 512 <= page_size <= 65536 else None


def fnv1a(data: bytes) -> int:
    """FNV-1a with 64 bits, the checksum of a meta page."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def _names(stream: BinaryIO, root: int, page_size: int, size: int) -> Iterator[bytes]:
    waiting, seen = [root], 0
    while waiting:
        seen += 1
        if seen > MAX_PAGES:
            raise NotBolt(wording("toolchain.bolt_loop"))
        data = _page(stream, waiting.pop(), page_size, size)
        flags, count = struct.unpack_from("<HH", data, 8)
        for index in range(count):
            place = 16 + index * 16
            if place + 16 > len(data):
                raise NotBolt(wording("toolchain.bolt_damaged"))
            if flags & BRANCH:
                waiting.append(struct.unpack_from("<Q", data, place + 8)[0])
            else:
                kind, offset, length, _ = struct.unpack_from("<IIII", data, place)
                name = data[place + offset : place + offset + length]
                if len(name) != length or not flags & LEAF:
                    raise NotBolt(wording("toolchain.bolt_damaged"))
                if kind & BUCKET:
                    yield name


def _page(stream: BinaryIO, number: int, page_size: int, size: int) -> bytes:
    if number * page_size + 16 > size:
        raise NotBolt(wording("toolchain.bolt_beyond_end"))
    stream.seek(number * page_size)
    head = stream.read(16)
    (overflow,) = struct.unpack_from("<I", head, 12)
    if (number + 1 + overflow) * page_size > size:
        raise NotBolt(wording("toolchain.bolt_beyond_end"))
    return head + stream.read((1 + overflow) * page_size - 16)


SCHEMA = 2
"""The layout of the database that it reads (``aquasecurity/trivy-db``, its ``SchemaVersion``)."""
_INDEX = 1


def prepare(cache: Path, database: Path | None) -> None:
    """Lay out the folder that ``--cache-dir`` names; ``database`` is that of a vulnerability database, None for an empty one."""
    cache.mkdir(parents=True, exist_ok=True)
    link = cache / "db"
    target = database.absolute() if database else _empty_database(cache / "no-db").relative_to(cache)
    if not link.is_symlink() or link.readlink() != target:
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    index = cache / "java-db"
    if not (index / "metadata.json").exists():
        index.mkdir(exist_ok=True)
        connection = sqlite3.connect(index / "trivy-java.db")
        connection.executescript(
            "CREATE TABLE IF NOT EXISTS artifacts(id INTEGER PRIMARY KEY, group_id TEXT, artifact_id TEXT);"
            "CREATE TABLE IF NOT EXISTS indices(artifact_id INTEGER, version TEXT, sha1 BLOB, archive_type TEXT, license TEXT);"
        )
        connection.close()
        _write_metadata(index, _INDEX)


def _empty_database(folder: Path) -> Path:
    if not (folder / "metadata.json").exists():
        folder.mkdir(exist_ok=True)
        (folder / "trivy.db").write_bytes(empty_bolt())
        _write_metadata(folder, SCHEMA)
    return folder


def _write_metadata(folder: Path, schema: int) -> None:
    """Written last, since it says that the folder is whole: with a next update so late that none is due."""
    times = dict.fromkeys(("UpdatedAt", "DownloadedAt"), "2000-01-01T00:00:00Z")
    (folder / "metadata.json").write_text(
        json.dumps({"Version": schema, "NextUpdate": "2100-01-01T00:00:00Z", **times})
    )
