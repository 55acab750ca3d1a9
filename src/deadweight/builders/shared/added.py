"""Files on top of an archive that a builder wrote: one more layer, for builders that put nothing but a program into an image."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from deadweight._errors import ArchiveError, UsageError
from deadweight._packages import images
from deadweight.records.ignore import Ignore, walk


def staged(files: Mapping[str, Path], left_out: Callable[[Path], bool], tree: Path, root: Path) -> Path:
    """Lay files and folders out as they are to be in the image. ``files``: absolute path there → file or folder here.

    ``left_out`` says of a file in a folder whether it is no input. Links are followed: what they lead to may not be there.
    Raises UsageError for one that leads out of ``root``, the project's folder.
    """
    home = root.resolve()
    for target, source in files.items():
        place = tree / target.lstrip("/")
        if source.is_dir():
            place.mkdir(parents=True, exist_ok=True)
            for path in walk(source, Ignore(())):
                if not left_out(path) and path.is_file():
                    if not path.resolve().is_relative_to(home):
                        raise UsageError(
                            f"files: {path} leads out of {root}", hint="only the project's files can be put in"
                        )
                    _copied(path, place / path.relative_to(source))
        else:
            _copied(source, place)
    return tree


def _copied(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(source.stat().st_mode & 0o777)


def with_layer(archive: Path, out: Path, tree: Path, *, workdir: str | None = None) -> None:
    """Copy a docker-save archive with a folder as its last layer, and with another working folder where one is given.

    Raises ArchiveError where that is not a docker-save archive of one image.
    """
    layer = images.pack_tree(tree, out.with_suffix(".layer"))
    try:
        with tarfile.open(archive, "r:") as source, tarfile.open(out, "w:", format=tarfile.USTAR_FORMAT) as target:
            manifest = json.load(_content(source, "manifest.json"))
            (image,) = manifest
            config = _with(json.load(_content(source, image["Config"])), layer, workdir)
            name, old = _named(config), image["Config"]
            image.update(Config=name, Layers=[*image["Layers"], f"{layer.digest.removeprefix('sha256:')}.tar.gz"])
            for member in source:
                if member.name not in ("manifest.json", old):
                    target.addfile(member, source.extractfile(member))
            with layer.path.open("rb") as content:
                target.addfile(_member(image["Layers"][-1], layer.size), content)
            for each, data in ((name, config), ("manifest.json", json.dumps(manifest).encode())):
                target.addfile(_member(each, len(data)), io.BytesIO(data))
    except (tarfile.TarError, ValueError, LookupError, TypeError) as error:
        raise ArchiveError(f"{archive}: is not a docker-save archive: {error}") from error
    finally:
        layer.path.unlink(missing_ok=True)


def _content(source: tarfile.TarFile, name: str) -> io.BufferedReader:
    content = source.extractfile(name)
    if not isinstance(content, io.BufferedReader):
        raise LookupError(name)
    return content


def _with(config: dict[str, Any], layer: images.PackedLayer, workdir: str | None) -> bytes:
    """The config with one more layer (OCI image config: ``rootfs.diff_ids``, ``history``)."""
    config["rootfs"]["diff_ids"].append(layer.diff_id)
    entry = {"created": config.get("created"), "created_by": "deadweight: files", "comment": "files beside the program"}
    config["history"] = [*(config.get("history") or ()), {key: value for key, value in entry.items() if value}]
    if workdir is not None:
        config["config"]["WorkingDir"] = workdir
    return json.dumps(config, separators=(",", ":")).encode()


def _named(config: bytes) -> str:
    return f"sha256:{hashlib.sha256(config).hexdigest()}"


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size
    return member
