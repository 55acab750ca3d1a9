"""Build a Trivy vulnerability database from package registries, for machines that cannot download one.

It holds all Go modules and the standard library, from the Go vulnerability database (Go module ``golang.org/x/vulndb``, which Go
verifies by its checksum database). It also holds the fixes named in changelogs of the Debian or Ubuntu packages that stand-ins
are made of. Most entries have no severity. Python, Java and Node.js packages are missing: their registries carry no advisories.
``coverage.json`` beside the database says all this.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deadweight._errors import DeadweightError, MissingError
from deadweight._run import run
from deadweight.checks.scan.model import COVERAGE, LICENCES, Contents, Part
from deadweight.records import store
from deadweight.records.paths import user_cache
from deadweight.sources.protocol import Say
from deadweight.toolchain import catalogue, golang
from deadweight.toolchain.find import find
from deadweight_standins import changelogs
from deadweight_standins.changelogs import Fixes
from deadweight_standins.debian import Packages
from deadweight_standins.machine import os_release, this_machine, wording

MODULE = "golang.org/x/vulndb"
GO_BUCKET = "go::The Go Vulnerability Database"
FETCH_SECONDS = 600.0
FIXES_ONLY = wording("advisories.fixes_only")
_KINDS = {"debian": ("Debian", "https://www.debian.org/security/"), "ubuntu": ("Ubuntu", "https://ubuntu.com/security")}


@dataclass(frozen=True)
class _GoRecords:
    """The Go vulnerability database as Go unpacked it; ``time`` is that of its newest commit."""

    folder: Path
    version: str
    time: str


def make(target: Path, say: Say, log: Path) -> Contents:
    """Put ``trivy.db``, ``metadata.json``, ``coverage.json`` and the licences into a folder, which is made.

    Raises MissingError without Go; CommandError where the module is not in reach or its checksum is wrong.
    """
    writer = golang.build(catalogue.program("vulndb"), log)
    records = _go_records(log)
    osv = records.folder / "data" / "osv"
    fixes = _fixes(say, log)
    what = wording("advisories.of_go", number=sum(1 for _ in osv.glob("*.json")))
    source = f"Go module {MODULE} {records.version}, data/osv"
    parts = [Part(GO_BUCKET, what, source, records.time[:10], "CC-BY-4.0")]
    with tempfile.TemporaryDirectory(prefix="deadweight-advisories-") as work:
        words: list[str | Path] = [writer, "-osv", osv, "-date", records.time, "-out", target]
        if fixes is not None:
            bucket, kind = fixes[0], fixes[0].partition(" ")[0]
            parts.append(_fixes_part(bucket, fixes[1]))
            name, tracker = _KINDS[kind]
            origin = {"bucket": bucket, "source": kind, "name": f"{name} changelogs", "url": tracker}
            file = Path(work) / "fixes.json"
            file.write_text(json.dumps({**origin, "packages": fixes[1].packages}), encoding="utf-8")
            words += ["-fixes", file]
        target.mkdir(parents=True, exist_ok=True)
        run(words, log=log, timeout=FETCH_SECONDS)
    for file_name in LICENCES:
        shutil.copyfile(records.folder / "data" / file_name.removeprefix("go-vulndb-"), target / file_name)
    contents = Contents(datetime.now(UTC).isoformat(timespec="seconds"), tuple(parts))
    store.save(contents, target / COVERAGE)
    return contents


def _go_records(log: Path) -> _GoRecords:
    go = find("go")
    with tempfile.TemporaryDirectory(prefix="deadweight-advisories-") as work:
        words: list[str | Path] = [go.path, "mod", "download", "-json", f"{MODULE}@latest"]
        hint = golang.OFFLINE_HINT
        output = run(words, cwd=Path(work), env=golang.go_environment(go), timeout=FETCH_SECONDS, hint=hint).output
    try:
        module = json.loads(output)
        info = json.loads(Path(module["Info"]).read_bytes())
        return _GoRecords(Path(module["Dir"]), str(module["Version"]), str(info["Time"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DeadweightError(wording("advisories.answer", module=MODULE, error=repr(error), log=log)) from error


def _fixes_part(bucket: str, fixes: Fixes) -> Part:
    what = wording("advisories.fixes", number=fixes.count, packages=len(fixes.packages))
    date = fixes.newest.date().isoformat() if fixes.newest else "unknown"
    return Part(bucket, what, wording("advisories.changelogs"), date, wording("advisories.own_license"), FIXES_ONLY)


def _fixes(say: Say, log: Path) -> tuple[str, Fixes] | None:
    """The release, as Trivy calls it, and what its packages' changelogs say; None where there are no packages to read."""
    bucket = _bucket()
    there = user_cache() / "local" / "debs"
    names = sorted({path.name.partition("_")[0] for path in there.glob("*.deb")})
    if bucket is None or not names:
        return None
    try:
        packages = Packages(user_cache() / "local" / "changelogs", this_machine(), log)
        return bucket, changelogs.read(_newest(packages, names, there))
    except DeadweightError as error:
        say(wording("advisories.lacking", release=bucket, reason=error.message))
        return None


def _newest(packages: Packages, names: list[str], there: Path) -> list[Path]:
    """Files of the newest version of each source package: those that are there, and one of each that is not."""
    files: list[Path] = []
    absent: list[str] = []
    for candidates in packages.latest(names).values():
        places = [folder / candidate.file for candidate in candidates for folder in (there, packages.folder)]
        kept = [place for place in places if place.is_file()]
        files += kept
        absent += [] if kept else [candidates[0].name]
    if absent:
        packages.download(absent)
        wanted = dict.fromkeys(absent)
        files += [path for path in packages.folder.glob("*.deb") if path.name.partition("_")[0] in wanted]
    return files


def _bucket() -> str | None:
    try:
        this_machine()
    except MissingError:
        return None
    release = os_release()
    kind, version = release.get("ID", ""), release.get("VERSION_ID", "")
    if kind == "debian" and re.fullmatch(r"\d+", version):
        return f"debian {version}"
    return f"ubuntu {version}" if kind == "ubuntu" and version else None
