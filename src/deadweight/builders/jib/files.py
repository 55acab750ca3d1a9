"""Files that go into a Jib image beside the service: of this project, or one file out of another image (``IMAGE#PATH``)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from deadweight._errors import ArchiveError
from deadweight.builders.jib.variant import JibVariant
from deadweight.builders.protocol import Site, WrongKey
from deadweight.builders.shared import common
from deadweight.records.built import Base
from deadweight.records.paths import STATE_DIR


def donors(variant: JibVariant) -> dict[str, tuple[str, str]]:
    """Files of other images, by their path in this one: (image reference, path there)."""
    parted = {target: given.partition("#") for target, given in variant.files.items()}
    return {target: (image, path) for target, (image, mark, path) in parted.items() if mark}


def local_files(variant: JibVariant) -> dict[str, str]:
    """Files and folders of this project, by their path in the image."""
    return {target: given for target, given in variant.files.items() if "#" not in given}


def check(variant: JibVariant, root: Path) -> None:
    """Raises ConfigError: a path in the image that is not absolute or has a comma, a file that is not there."""
    for target, given in variant.files.items():
        parts = target.split("/")
        if parts[0] or {"", ".", ".."} & set(parts[1:]) or "," in target or "=" in target:
            problem = "expected the absolute path of a file or folder in the image, without comma or ="
            raise WrongKey(variant, ("files", target), problem, root)
        image, mark, path = given.partition("#")
        if mark and not (image and path.startswith("/")):
            problem = f"{given!r}: expected IMAGE#/PATH"
            raise WrongKey(variant, ("files", target), problem, root)
        if not mark and not (root / given).exists():
            raise WrongKey(variant, ("files", target), "no such file", root / given)
        below = next((other for other in variant.files if other.startswith(f"{target}/")), None)
        if below is not None and (mark or not (root / given).is_dir()):
            raise WrongKey(variant, ("files", below), f"lies below {target}, which is a file", root)


def lay_out(variant: JibVariant, site: Site, bases: Mapping[str, Base], folder: Path) -> dict[str, str]:
    """Put the files below ``folder`` as they shall lie in the image. Gives those that are executable, with Jib's mode for them.

    Raises ConfigError where another image has no such file, or a folder cannot be copied.
    """
    executable: list[str] = []
    for target, (image, path) in donors(variant).items():
        content, mode = _from_image(bases[target], site, f"{image}#{path}", variant, target)
        place = _place(folder, target)
        place.write_bytes(content)
        executable += [target] if mode & 0o111 else []
    for target, name in local_files(variant).items():
        source, place = site.root / name, _place(folder, target)
        try:
            if source.is_dir():
                _refuse_ways_out(source, site.root, variant, target)
                shutil.copytree(source, place, dirs_exist_ok=True, ignore=_kept_out)
            else:
                shutil.copy2(source, place)
        except (shutil.Error, OSError) as error:
            raise WrongKey(
                variant, ("files", target), f"cannot be copied: {error}", source, hint="make it readable"
            ) from error
        executable += [
            f"/{found.relative_to(folder).as_posix()}" for found in _files(place) if os.access(found, os.X_OK)
        ]
    return dict.fromkeys(sorted(executable), "755")


def _refuse_ways_out(source: Path, root: Path, variant: JibVariant, target: str) -> None:
    """What a link leads to is copied. Raises WrongKey for one that leads out of the project."""
    home = root.resolve()
    for path in source.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(home):
            raise WrongKey(variant, ("files", target), f"leads out of {root}", path)


def _kept_out(folder: str, names: list[str]) -> set[str]:
    """No build holds a state folder, and its keys, wherever the folder lies that it copies."""
    del folder
    return {STATE_DIR} & set(names)


def _from_image(base: Base, site: Site, given: str, variant: JibVariant, target: str) -> tuple[bytes, int]:
    from deadweight._packages import images
    from deadweight.toolchain.crane import pulled

    image, _, path = given.partition("#")
    platform = f"linux/{common.architecture().oci}"
    with pulled(common.pinned(base), platform=platform, env=common.program_environment(site)) as layout:
        try:
            return images.read_file(layout, path, platform=platform)
        except ArchiveError as error:
            problem = error.message.replace(str(layout), image)
            raise site.suite.error(variant, ("files", target), problem) from error


def _place(folder: Path, target: str) -> Path:
    place = folder.joinpath(*target.strip("/").split("/"))
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def _files(place: Path) -> list[Path]:
    return sorted(found for found in (place.rglob("*") if place.is_dir() else (place,)) if found.is_file())
