"""Names that Debian's packages had when many Dockerfiles were written, for releases that know them no more.

Each is an empty package that depends on what it is called now, and that says of itself that it is a stand-in. It is older than
any real one, so it is taken only where there is none.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from deadweight import _run
from deadweight_standins.bases import Renamed, names
from deadweight_standins.flat_repository import repository_of
from deadweight_standins.machine import Machine
from deadweight_standins.workshop import link, put

FOLDER = "renamed"
PLACE = "/media"
"""Where the packages are while a RUN lasts: every Debian image has this folder, and it is empty."""

SOURCES = f"Types: deb\nURIs: file:{PLACE}\nSuites: ./\nTrusted: yes\n"


def asked(command: str) -> bool:
    """Whether a command may install one of them by its old name."""
    old = "|".join(map(re.escape, names().renamed))
    return bool(re.search(rf"(?<![\w.+-])(?:{old})(?![\w.+-])", command))


def fill(root: Path, machine: Machine) -> None:
    """Write a flat repository of them into ``root``. Raises CommandError where dpkg-deb fails."""
    with tempfile.TemporaryDirectory(prefix="deadweight-renamed-") as work:
        made = [_package(Path(work), name, entry) for name, entry in names().renamed.items()]
        repository_of(made, machine, machine.codename, root / FOLDER)


def _package(work: Path, name: str, entry: Renamed) -> Path:
    tree, package = work / "trees" / name, work / f"{name}_{entry.version}_all.deb"
    control = (
        f"Package: {name}\nVersion: {entry.version}\nArchitecture: all\nMaintainer: Deadweight <nobody@example.invalid>\n"
        f"Depends: {entry.now}\nDescription: stand-in for a name that this release does not know\n"
    )
    put(tree, "DEBIAN/control", control)
    (tree / "DEBIAN").chmod(0o755)
    if entry.link is not None:
        link(tree, *entry.link)
    environment = {"SOURCE_DATE_EPOCH": "0"}
    _run.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", tree, package], env=environment)
    return package
