"""Names that Debian's packages had when many Dockerfiles were written, for releases that know them no more.

Each is an empty package that depends on what it is called now, and that says of itself that it is a stand-in. It is older than
any real one, so it is taken only where there is none.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from deadweight import _run
from deadweight_standins.flat_repository import repository_of
from deadweight_standins.machine import Machine
from deadweight_standins.workshop import put

RENAMED: Mapping[str, str] = {
    "netcat": "netcat-openbsd",
    "mysql-client": "default-mysql-client",
    "python": "python3",
    "python-dev": "python3-dev",
    "python-pip": "python3-pip",
    "python-setuptools": "python3-setuptools",
    "libgl1-mesa-glx": "libgl1",
    "libncurses5": "libncurses6",
    "libtinfo5": "libtinfo6",
    "libpng12-0": "libpng16-16",
}
"""What Dockerfiles ask for, and what it is called now."""

_VERSIONS: Mapping[str, str] = {"netcat": "1.10-99~stand-in"}
"""Where what it is called now cannot be installed beside an old one."""

_LINKS: Mapping[str, tuple[str, str]] = {"python": ("usr/bin/python", "python3")}
"""A program by its old name."""

FOLDER = "renamed"
PLACE = "/media"
"""Where the packages are while a RUN lasts: every Debian image has this folder, and it is empty."""

SOURCES = f"Types: deb\nURIs: file:{PLACE}\nSuites: ./\nTrusted: yes\n"

_ASKED = re.compile(rf"(?<![\w.+-])(?:{'|'.join(map(re.escape, RENAMED))})(?![\w.+-])")


def asked(command: str) -> bool:
    """Whether a command may install one of them by its old name."""
    return bool(_ASKED.search(command))


def fill(root: Path, machine: Machine) -> None:
    """Write a flat repository of them into ``root``. Raises CommandError where dpkg-deb fails."""
    with tempfile.TemporaryDirectory(prefix="deadweight-renamed-") as work:
        made = [_package(Path(work), name, now) for name, now in RENAMED.items()]
        repository_of(made, machine, root / FOLDER)


def _package(work: Path, name: str, now: str) -> Path:
    version = _VERSIONS.get(name, "0~stand-in")
    tree, package = work / "trees" / name, work / f"{name}_{version}_all.deb"
    control = (
        f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: Deadweight <nobody@example.invalid>\n"
        f"Depends: {now}\nDescription: stand-in for a name that this release does not know\n"
    )
    put(tree, "DEBIAN/control", control)
    (tree / "DEBIAN").chmod(0o755)
    if name in _LINKS:
        link = tree / _LINKS[name][0]
        link.parent.mkdir(parents=True)
        link.symlink_to(_LINKS[name][1])
    environment = {"SOURCE_DATE_EPOCH": "0"}
    _run.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", tree, package], env=environment)
    return package
