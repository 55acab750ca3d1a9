"""A flat apt repository over some packages, which mmdebstrap makes a root file system from."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from deadweight import _run
from deadweight_standins.machine import Machine


def _linked(package: Path, link: Path) -> bool:
    try:
        os.link(package, link)
    except OSError:
        return False
    return True


def repository_of(packages: Iterable[Path], machine: Machine, suite: str, target: Path) -> Path:
    """A flat apt repository of links to the packages, with a Release file: mmdebstrap takes the essential ones of that suite."""
    target.mkdir(parents=True)
    target.parent.chmod(0o755)
    stanzas = []
    for package in sorted(packages):
        link = target / package.name.replace("%3a", "_")
        shutil.copy(package, link) if not _linked(package, link) else None
        control = _run.run(["dpkg-deb", "--field", package]).output.rstrip("\n")
        with package.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        stanzas.append(f"{control}\nFilename: ./{link.name}\nSize: {package.stat().st_size}\nSHA256: {digest}\n")
    index = "\n".join(stanzas).encode()
    (target / "Packages").write_bytes(index)
    (target / "Release").write_text(
        f"Suite: stable\nCodename: {suite}\nArchitectures: {machine.deb}\n"
        f"Date: Thu, 01 Jan 1970 00:00:00 UTC\nSHA256:\n {hashlib.sha256(index).hexdigest()} {len(index)} Packages\n"
    )
    return target
