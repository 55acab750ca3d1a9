"""A cache for Trivy in which it has nothing to download: what it looks up is there, or is known to be empty.

- Jars need a Java index that is a download of its own; an empty one makes it read the jars' own files instead.
- It reads jars only where it looks for vulnerabilities: so an empty database stands for one where packages alone are wanted.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from deadweight.toolchain import bolt

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
        (folder / "trivy.db").write_bytes(bolt.empty())
        _write_metadata(folder, SCHEMA)
    return folder


def _write_metadata(folder: Path, schema: int) -> None:
    """Written last, since it says that the folder is whole: with a next update so late that none is due."""
    times = dict.fromkeys(("UpdatedAt", "DownloadedAt"), "2000-01-01T00:00:00Z")
    (folder / "metadata.json").write_text(
        json.dumps({"Version": schema, "NextUpdate": "2100-01-01T00:00:00Z", **times})
    )
