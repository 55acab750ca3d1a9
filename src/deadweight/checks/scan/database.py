"""Choose, download, build and describe the vulnerability database: its age, content and origin; lay out Trivy's cache with one.

It is stored in the user's cache, shared by all projects, in a folder named after its content. Nothing is downloaded unless
you ask for it; ``invoke demo`` counts as asking.
"""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
import sqlite3
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from deadweight._errors import MissingError, UsageError, wording
from deadweight._packages import standins
from deadweight._run import run
from deadweight.checks.scan.model import COVERAGE, LICENCES, Contents
from deadweight.records.paths import user_cache
from deadweight.records.reference import in_registry
from deadweight.records.store import load, save
from deadweight.sources.protocol import Say
from deadweight.toolchain.find import find

FILES = ("trivy.db", "metadata.json")
LOCAL = "local"
HINT = (
    "invoke scan --database download downloads the newest; --database FILE, FOLDER or oci://REFERENCE uses yours; "
    "--database local makes a smaller one from package registries"
)
PUBLIC = ("mirror.gcr.io/aquasec/trivy-db:2", "ghcr.io/aquasecurity/trivy-db:2")
DOWNLOAD_SECONDS = 900.0
ALONE = {"TRIVY_SKIP_VERSION_CHECK": "true", "TRIVY_DISABLE_TELEMETRY": "true", "TRIVY_NO_PROGRESS": "true"}
"""Trivy calls home by default. By environment, not by flags: older versions and some of its commands lack the flags."""
SCHEMA = 2
"""The layout of the database that Trivy reads (``aquasecurity/trivy-db``, its ``SchemaVersion``)."""
_JAVA_SCHEMA = 1
_refusal = functools.partial(UsageError, hint=HINT)


@dataclass(frozen=True)
class Database:
    """A database to use. ``updated_at`` is ISO 8601 in UTC; ``identity`` names its content; ``origin`` where it came from.

    ``buckets`` are the names of what it holds: ``debian 12``, ``go::The Go Vulnerability Database``.
    """

    folder: Path
    identity: str
    updated_at: str
    origin: str
    buckets: frozenset[str]
    contents: Contents | None
    """What one that was made here says of itself."""

    @property
    def made_here(self) -> bool:
        """Whether ``--database local`` made it, on this machine."""
        return self.origin == LOCAL

    @property
    def lacks(self) -> dict[str, str]:
        """What it lacks in buckets that are not whole, in words, by the bucket."""
        return {part.bucket: part.lacks for part in self.contents.parts if part.lacks} if self.contents else {}

    def describe(self) -> list[str]:
        """Which one it is, how new, and what it covers: a line each."""
        age = f"{'made here ' if self.made_here else ''}{self.age_days():.1f} days {'ago' if self.made_here else 'old'}"
        lines = [f"database of {self.updated_at[:10]} ({age}) from {self.origin}"]
        if self.contents is None:
            return lines
        for part in self.contents.parts:
            lacking = f"; {part.lacks}" if part.lacks else ""
            lines.append(f"  {part.bucket}: {part.what} ({part.date}, {part.licence}; {part.source}){lacking}")
        return [*lines, f"  severities: {self.contents.severities}", "  no other distribution or language"]

    def age_days(self) -> float:
        """Days since it was made. One that was made here is as new as the asking: there was no newer data of its sources then."""
        made = self.contents.made_at if self.made_here and self.contents else self.updated_at
        return (datetime.now(UTC) - datetime.fromisoformat(made)).total_seconds() / 86400


@dataclass(frozen=True)
class _Chosen:
    identity: str
    origin: str


def home() -> Path:
    """Where databases are kept."""
    return user_cache() / "vulnerability-databases"


def current() -> Database:
    """The database in use. Raises MissingError (with the command that gets one) where there is none or it is damaged."""
    chosen = load(_Chosen, home() / "current.json")
    if chosen is None:
        raise MissingError(wording("scan.no_database"), hint=HINT)
    try:
        return _opened(home() / chosen.identity, chosen.origin, chosen.identity)
    except UsageError as error:
        raise MissingError(wording("scan.installed_database_damaged", problem=error.message), hint=HINT) from error


def use(asked: str, repository: str | None = None, say: Say = lambda _line: None) -> Database:
    """What ``--database`` says: ``download`` (from ``repository`` or the public ones), ``oci://REFERENCE``, ``local`` (made of what
    package registries give), a file or a folder; a file of that name is meant by ``./local``.

    Raises UsageError for what is none, is empty or damaged, or is of another schema version; CommandError where no registry
    answers, MissingError without scanner or Go.
    """
    with tempfile.TemporaryDirectory(prefix="deadweight-database-") as name:
        work = Path(name)
        if asked == LOCAL:
            say("making a vulnerability database from package registries")
            standins.make_database(work / "db", say, user_cache() / "logs" / "vulnerability-database.log")
            return _keep(work / "db", LOCAL)
        if asked == "download":
            return download((repository.removeprefix("oci://"),) if repository else PUBLIC, work)
        if asked.startswith("oci://"):
            return download((str(in_registry(asked.removeprefix("oci://"))),), work)
        return _keep(_folder_of(Path(asked), work), str(Path(asked)))


def download(references: tuple[str, ...], work: Path) -> Database:
    """From the first of these OCI repositories that answers."""
    words = [str(find("trivy").path), "image", "--cache-dir", str(work), "--download-db-only"]
    words += [word for reference in references for word in ("--db-repository", reference)]
    if all(reference.startswith(("127.0.0.1:", "localhost:")) for reference in references):
        words.append("--insecure")
    hint = "check that the repository can be reached, or set scan.database_repository in deadweight.yaml to a mirror"
    run(words, cwd=work, env=ALONE, timeout=DOWNLOAD_SECONDS, hint=hint)
    return _keep(work / "db", f"oci://{references[0]}")


def _folder_of(place: Path, work: Path) -> Path:
    """Of a folder (``trivy.db`` and ``metadata.json``, or ``db/`` with them), a ``trivy.db`` or a ``.tar.gz``."""
    if not place.exists():
        raise _refusal(wording("scan.database_missing", path=place))
    folder = place if place.is_dir() else place.parent if place.name == FILES[0] else _unpacked(place, work)
    return folder / "db" if (folder / "db" / FILES[0]).is_file() else folder


def _opened(folder: Path, origin: str, identity: str) -> Database:
    """Look through it. Raises UsageError for what is none, is damaged or of another schema version."""
    for name in FILES:
        if not (folder / name).is_file():
            raise _refusal(wording("scan.database_incomplete", origin=origin, file=name))
    file, described = (folder / name for name in FILES)
    try:
        metadata = json.loads(described.read_bytes()[: 1 << 16])
        version, updated = metadata.get("Version"), str(metadata.get("UpdatedAt"))
    except (OSError, ValueError, AttributeError):
        raise _refusal(wording("scan.database_file_damaged", origin=origin, file=described.name)) from None
    if version != SCHEMA:
        raise _refusal(wording("scan.database_schema", origin=origin, version=version, expected=SCHEMA))
    try:
        made = datetime.fromisoformat(updated).astimezone(UTC).isoformat(timespec="seconds")
    except ValueError:
        raise _refusal(wording("scan.database_undated", origin=origin, file=described.name)) from None
    try:
        buckets = buckets_of(file)
    except (NotBolt, OSError) as error:
        raise _refusal(wording("scan.database_unreadable", origin=origin, file=file.name, problem=error)) from error
    return Database(folder, identity, made, origin, buckets, load(Contents, folder / COVERAGE))


def _keep(folder: Path, origin: str) -> Database:
    """Look through it, copy it under its content's name, and make it the one in use."""
    checked = _opened(folder, origin, "")
    with (folder / FILES[0]).open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256")
    digest.update(checked.updated_at.encode())
    identity = digest.hexdigest()[:32]
    target = home() / identity
    if not target.is_dir():
        _copy(folder, target)
    save(_Chosen(identity, origin), home() / "current.json")
    return replace(checked, folder=target, identity=identity)


def _copy(folder: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".new-") as work:
        beside = Path(work) / "database"
        beside.mkdir()
        for name in (*FILES, COVERAGE, *LICENCES):
            if name in FILES or (folder / name).is_file():
                shutil.copyfile(folder / name, beside / name)
        try:
            beside.rename(target)
        except OSError:
            if not target.is_dir():
                raise


def _unpacked(archive: Path, folder: Path) -> Path:
    """The two files out of a tar, by their exact names; nothing else of it is written."""
    import tarfile

    try:
        with tarfile.open(archive, "r:*") as tar:
            for member in tar:
                name = member.name.removeprefix("./").removeprefix("db/")
                source = tar.extractfile(member) if member.isreg() and name in FILES else None
                if source is not None:
                    with (folder / name).open("wb") as target:
                        shutil.copyfileobj(source, target, 1 << 20)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise _refusal(wording("scan.not_a_database", file=archive, problem=error)) from error
    return folder


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


def buckets_of(file: Path) -> frozenset[str]:
    """The names of the root's buckets. Raises NotBolt; OSError where the file cannot be read."""
    with file.open("rb") as stream:
        size = file.stat().st_size
        if size == 0:
            raise NotBolt(wording("toolchain.bolt_empty"))
        first = _meta(stream, 0)
        metas = [meta for meta in (first, _meta(stream, first[1] if first else 4096)) if meta is not None]
        if not metas:
            raise NotBolt(wording("toolchain.no_bolt"))
        _, page_size, root, pages = max(metas)
        if pages * page_size > size:
            raise NotBolt(wording("toolchain.bolt_cut_off", size=size, whole=pages * page_size))
        return frozenset(name.decode("utf-8", "replace") for name in _names(stream, root, page_size, size))


def _meta(stream: BinaryIO, place: int) -> tuple[int, int, int, int] | None:
    """Transaction, page size, root page, number of pages; None where there is no valid meta page."""
    stream.seek(place + 16)
    data = stream.read(_META.size + 8)
    if len(data) < _META.size + 8:
        return None
    magic, version, page_size, _, root, _, _, pages, transaction = _META.unpack(data[: _META.size])
    (checksum,) = struct.unpack("<Q", data[_META.size :])
    if magic != MAGIC or version != VERSION or checksum != fnv1a(data[: _META.size]):
        return None
    return (transaction, page_size, root, pages) if 512 <= page_size <= 65536 else None


def fnv1a(data: bytes) -> int:
    """FNV-1a with 64 bits, the checksum of a meta page."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def _names(stream: BinaryIO, root: int, page_size: int, size: int) -> Iterator[bytes]:
    waiting = [root]
    for _ in range(MAX_PAGES):
        if not waiting:
            return
        data = _page(stream, waiting.pop(), page_size, size)
        flags, count = struct.unpack_from("<HH", data, 8)
        heads = data[16 : 16 + 16 * count]
        if len(heads) < 16 * count or not flags & (BRANCH | LEAF):
            raise NotBolt(wording("toolchain.bolt_damaged"))
        if flags & BRANCH:
            waiting += [number for _, number in struct.iter_unpack("<QQ", heads)]
            continue
        for index, (kind, offset, length, _) in enumerate(struct.iter_unpack("<IIII", heads)):
            place = 16 + 16 * index + offset
            if place + length > len(data):
                raise NotBolt(wording("toolchain.bolt_damaged"))
            if kind & BUCKET:
                yield data[place : place + length]
    raise NotBolt(wording("toolchain.bolt_loop"))


def _page(stream: BinaryIO, number: int, page_size: int, size: int) -> bytes:
    if number * page_size + 16 > size:
        raise NotBolt(wording("toolchain.bolt_beyond_end"))
    stream.seek(number * page_size)
    head = stream.read(16)
    (overflow,) = struct.unpack_from("<I", head, 12)
    if (number + 1 + overflow) * page_size > size:
        raise NotBolt(wording("toolchain.bolt_beyond_end"))
    return head + stream.read((1 + overflow) * page_size - 16)


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


# Trivy's cache, laid out so that it downloads nothing: the databases that it looks up are present or empty.
#
# Jars need a Java index, which is a separate download; with an empty one, Trivy reads the jars' own files instead. It reads jars
# only when it looks for vulnerabilities, so an empty database is used if only packages are wanted.


def prepare(cache: Path, database: Path | None) -> None:
    """Lay out the folder that ``--cache-dir`` names; ``database`` is that of a vulnerability database, None for an empty one."""
    cache.mkdir(parents=True, exist_ok=True)
    if database is None and not (cache / "no-db" / FILES[1]).exists():
        (cache / "no-db").mkdir(exist_ok=True)
        (cache / "no-db" / FILES[0]).write_bytes(empty_bolt())
        _write_metadata(cache / "no-db", SCHEMA)
    link, target = cache / "db", database.absolute() if database else Path("no-db")
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
        _write_metadata(index, _JAVA_SCHEMA)


def _write_metadata(folder: Path, schema: int) -> None:
    """Written last, since it says that the folder is whole: with a next update so late that none is due."""
    times = dict.fromkeys(("UpdatedAt", "DownloadedAt"), "2000-01-01T00:00:00Z")
    (folder / "metadata.json").write_text(
        json.dumps({"Version": schema, "NextUpdate": "2100-01-01T00:00:00Z", **times})
    )
