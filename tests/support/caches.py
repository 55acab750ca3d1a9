"""Caches for one test: empty, but for what takes seconds to compile: patterns that look for secrets, and our own Go programs."""

import functools
import os
import platform
import shutil
from pathlib import Path

from deadweight.engine import sidecars
from deadweight.records.paths import user_cache
from deadweight.toolchain import golang
from deadweight_attacks import helper
from deadweight_images.secrets.scanner import Scanner
from deadweight_standins import recipes

MINE = golang.ARCHITECTURES[platform.machine()]
FAR = 1 << 20
"""Bytes: more than the matcher takes as a small content, for which one set of patterns is enough."""


def fresh_cache(folder: Path, *, programs: bool = False, architecture: str = MINE) -> Path:
    """Make a cache in ``folder``, for DEADWEIGHT_CACHE_DIR, and give it back; with our ``programs`` where containers are run, for
    an ``architecture`` by Go's name."""
    _compile()
    shutil.copytree(user_cache() / "secrets", folder / "secrets", copy_function=linked)
    if programs:
        for source in (helper.SOURCE, sidecars.SOURCE, sidecars.RECORDER, recipes.SOURCE):
            file = golang.built(architecture, source)
            (folder / file.parent.name).mkdir(exist_ok=True)
            linked(str(file), str(folder / file.parent.name / file.name))
    return folder


@functools.cache
def _compile() -> None:
    """In the cache of the user who runs the tests, where it was not done before."""
    scanner = Scanner.default()
    for decode in (False, True):
        scanner.block(b"\0" * FAR, decode=decode)


def local_cache(shared: Path, folder: Path, *more: str) -> Path:
    """What the local source works with, in a folder of a test's own: the packages that ``shared`` has as hard links, and a copy of
    what apt answered, and of ``more``. Others may be adding packages meanwhile."""
    for file in [*shared.glob("debs/*.deb"), *shared.glob("debs/state*/plans.json")]:
        target = folder / file.relative_to(shared)
        target.parent.mkdir(parents=True, exist_ok=True)
        (linked if file.suffix == ".deb" else shutil.copy2)(str(file), str(target))
    for name in more:
        shutil.copytree(shared / name, folder / name)
    return folder


def linked(source: str, target: str) -> str:
    """Copy a file as a hard link, where both lie on one disk; what is there already stays."""
    try:
        os.link(source, target)
    except FileExistsError:
        pass
    except OSError:
        shutil.copy2(source, target)
    return target


def hard_linked(source: Path, target: Path) -> None:
    """A copy that takes no room; what the target has already stays, and what is being uploaded to a registry is left out.

    A source that is not there yet is made.
    """
    source.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, target, copy_function=linked, dirs_exist_ok=True, ignore=shutil.ignore_patterns("_uploads"))
