"""Where the local APK repositories are, and whether they are whole. ``apk_build`` makes them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from deadweight.records.paths import State
from deadweight.sources.protocol import ApkFlavour, ApkRepositories
from deadweight_standins import busybox

EDITION = f"4; busybox {busybox.EDITION}"
KEY = "deadweight.rsa"
LINK = "local-apk"
FLAVOURS: tuple[ApkFlavour, ...] = ("wolfi", "alpine")


def ready(folder: Path) -> bool:
    """Whether an earlier run of this edition made all of it, and all of it is still there."""
    try:
        if (folder / "edition").read_text() != EDITION:
            return False
        files = [line.split("  ", 1) for line in (folder / "files").read_text().splitlines()]
        return all((folder / name).stat().st_size == int(size) for size, name in files)
    except (OSError, ValueError):
        return False


def repositories(state: State, flavour: ApkFlavour) -> ApkRepositories:
    """The repositories as melange and apko shall see them from the project's root: through ``link``'s link. Touches nothing."""
    inside = f"./{state.folder.relative_to(state.root).as_posix()}/{LINK}"
    return ApkRepositories((f"{inside}/{flavour}",), (f"{inside}/{KEY}.pub",), stand_in=True)


def link(state: State, folder: Path) -> None:
    """Make the repositories reachable by a path that is the same in every checkout: it gets into images and digests."""
    place = state.folder / LINK
    if place.is_symlink() and place.readlink() == folder:
        return
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    state.folder.mkdir(parents=True, exist_ok=True)
    temporary = place.with_name(f".{place.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(folder)
    temporary.replace(place)
