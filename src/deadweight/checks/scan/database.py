"""Choose, download, build and describe the vulnerability database: its age, content and origin.

It is stored in the user's cache, shared by all projects, in a folder named after its content. Nothing is downloaded unless
you ask for it; ``invoke demo`` counts as asking.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deadweight._errors import MissingError, UsageError, wording
from deadweight.checks.scan.model import COVERAGE, LICENCES, Contents, contents_of
from deadweight.records.paths import user_cache
from deadweight.records.store import load, write_atomically
from deadweight.sources.protocol import Say
from deadweight.toolchain import trivy_cache
from deadweight.toolchain.trivy_cache import SCHEMA

FILES = ("trivy.db", "metadata.json")
LOCAL = "local"
HINT = (
    "invoke scan --database download downloads the newest; --database FILE, FOLDER or oci://REFERENCE uses yours; "
    "--database local makes a smaller one from package registries"
)
PUBLIC = ("mirror.gcr.io/aquasec/trivy-db:2", "ghcr.io/aquasecurity/trivy-db:2")


@dataclass(frozen=True)
class Database:
    """A database to use. ``updated_at`` is ISO 8601 in UTC; ``identity`` names its content; ``origin`` where it came from."""

    folder: Path
    identity: str
    updated_at: str
    origin: str
    contents: Contents | None = None
    """What one that was made here says of itself."""

    @property
    def made_here(self) -> bool:
        """Whether ``--database local`` made it, on this machine."""
        return self.origin == LOCAL

    @property
    def lacks(self) -> dict[str, str]:
        """What it lacks in buckets that are not whole, in words, by the bucket."""
        return {part.bucket: part.lacks for part in self.contents.parts if part.lacks} if self.contents else {}

    def told(self) -> list[str]:
        """Which one it is, how new, and what it covers: a line each."""
        age = f"{'made here ' if self.made_here else ''}{self.age_days():.1f} days {'ago' if self.made_here else 'old'}"
        lines = [f"database of {self.updated_at[:10]} ({age}) from {self.origin}"]
        if self.contents is None:
            return lines
        for part in self.contents.parts:
            lacking = f"; {part.lacks}" if part.lacks else ""
            lines.append(f"  {part.bucket}: {part.what} ({part.date}, {part.licence}; {part.source}){lacking}")
        return [*lines, f"  severities: {self.contents.severities}", "  no other distribution or language"]

    def age_days(self, now: datetime | None = None) -> float:
        """Days since it was made. One that was made here is as new as the asking: there was no newer data of its sources then."""
        asked = self.contents.made_at if self.made_here and self.contents else self.updated_at
        made = datetime.fromisoformat(asked)
        return ((now or datetime.now(UTC)) - made).total_seconds() / 86400

    def buckets(self) -> frozenset[str]:
        """Names of what it holds: ``debian 12``, ``go::The Go Vulnerability Database``. Raises MissingError if damaged."""
        try:
            return trivy_cache.buckets(self.folder / FILES[0])
        except (trivy_cache.NotBolt, OSError) as error:
            raise MissingError(
                wording("scan.database_damaged", folder=self.folder, problem=error), hint=HINT
            ) from error


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
    folder = home() / chosen.identity
    try:
        database = _opened(folder, chosen.origin, chosen.identity)
    except UsageError as error:
        raise MissingError(wording("scan.installed_database_damaged", problem=error.message), hint=HINT) from error
    database.buckets()
    return database


def use_files(place: Path) -> Database:
    """Take a database from a folder (``trivy.db`` and ``metadata.json``, or ``db/`` with them), a ``trivy.db`` or a ``.tar.gz``.

    Raises UsageError for what is none, is empty or damaged, or is of another schema version.
    """
    if not place.exists():
        raise UsageError(wording("scan.database_missing", path=place), hint=HINT)
    with tempfile.TemporaryDirectory(prefix="deadweight-database-") as name:
        folder = place if place.is_dir() else place.parent if place.name == FILES[0] else _unpacked(place, Path(name))
        if (folder / "db" / FILES[0]).is_file():
            folder = folder / "db"
        return _keep(folder, str(place))


def use_registry(references: tuple[str, ...]) -> Database:
    """Get a database from OCI repositories, the first that answers. Raises CommandError, UsageError, MissingError (no scanner)."""
    from deadweight.checks.scan.trivy import download_database

    with tempfile.TemporaryDirectory(prefix="deadweight-database-") as name:
        download_database(references, Path(name))
        return _keep(Path(name) / "db", f"oci://{references[0]}")


def use_local(say: Say) -> Database:
    """Make one from what package registries give. Raises MissingError (no Go), CommandError (no registry answers)."""
    from deadweight._packages import standins

    say("making a vulnerability database from package registries")
    with tempfile.TemporaryDirectory(prefix="deadweight-database-") as name:
        standins.make_database(Path(name) / "db", say, user_cache() / "logs" / "vulnerability-database.log")
        return _keep(Path(name) / "db", LOCAL)


def use(asked: str, repository: str | None = None, say: Say = lambda _line: None) -> Database:
    """What ``--database`` says: ``download`` (from ``repository`` or the public ones), ``oci://REFERENCE``, ``local``, a file or a
    folder; a file of that name is meant by ``./local``."""
    if asked == LOCAL:
        return use_local(say)
    if asked == "download":
        return use_registry((repository.removeprefix("oci://"),) if repository else PUBLIC)
    if asked.startswith("oci://"):
        from deadweight.records.reference import in_registry

        return use_registry((str(in_registry(asked.removeprefix("oci://"))),))
    return use_files(Path(asked))


def _opened(folder: Path, origin: str, identity: str) -> Database:
    for name in FILES:
        if not (folder / name).is_file():
            raise UsageError(wording("scan.database_incomplete", origin=origin, file=name), hint=HINT)
    metadata = _metadata(folder / FILES[1], origin)
    if metadata.get("Version") != SCHEMA:
        raise UsageError(
            wording("scan.database_schema", origin=origin, version=metadata.get("Version"), expected=SCHEMA), hint=HINT
        )
    updated = _time(metadata.get("UpdatedAt"))
    if updated is None:
        raise UsageError(wording("scan.database_undated", origin=origin, file=FILES[1]), hint=HINT)
    return Database(folder, identity, updated, origin, contents_of(folder))


def _metadata(file: Path, origin: str) -> dict[str, Any]:
    try:
        parsed = json.loads(file.read_bytes()[: 1 << 16])
    except (OSError, ValueError):
        parsed = None
    if not isinstance(parsed, dict):
        raise UsageError(wording("scan.database_file_damaged", origin=origin, file=FILES[1]), hint=HINT)
    return parsed


def _time(value: object) -> str | None:
    try:
        made = datetime.fromisoformat(str(value).split(".")[0].rstrip("Z"))
    except ValueError:
        return None
    return made.replace(tzinfo=UTC).isoformat(timespec="seconds")


def _keep(folder: Path, origin: str) -> Database:
    """Look through it, copy it under its content's name, and make it the one in use."""
    checked = _opened(folder, origin, "")
    try:
        trivy_cache.buckets(folder / FILES[0])
    except trivy_cache.NotBolt as error:
        raise UsageError(
            wording("scan.database_unreadable", origin=origin, file=FILES[0], problem=error), hint=HINT
        ) from error
    with (folder / FILES[0]).open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256")
    digest.update(checked.updated_at.encode())
    identity = digest.hexdigest()[:32]
    target = home() / identity
    if not target.is_dir():
        _copy(folder, target)
    write_atomically(home() / "current.json", json.dumps(asdict(_Chosen(identity, origin))))
    return Database(target, identity, checked.updated_at, origin, checked.contents)


def _copy(folder: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=target.parent, prefix=".new-"))
    try:
        for name in (*FILES, COVERAGE, *LICENCES):
            if name in FILES or (folder / name).is_file():
                shutil.copyfile(folder / name, beside / name)
        beside.chmod(0o755)
        beside.rename(target)
    except OSError:
        shutil.rmtree(beside, ignore_errors=True)
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
        raise UsageError(wording("scan.not_a_database", file=archive, problem=error), hint=HINT) from error
    return folder
