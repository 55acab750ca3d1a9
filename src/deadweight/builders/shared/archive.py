"""Read, rename and extend the image archives that build tools write, and move them into place whole."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deadweight._errors import ArchiveError, DeadweightError, MissingError, UsageError, wording
from deadweight._packages import images
from deadweight.builders.protocol import BuiltImage, Site
from deadweight.builders.shared import common
from deadweight.records.built_image import ARCHIVE_FILE, BUILT_FILE, Base
from deadweight.records.ignore import Ignore, walk
from deadweight.records.paths import State
from deadweight.records.store import load
from deadweight.suite.model import Variant

if TYPE_CHECKING:
    from deadweight_images.archive.model import Image


SBOM_DIR = "sbom"


def archive_path(variant: Variant, site: Site) -> Path:
    return site.state.image(variant.name) / ARCHIVE_FILE


def image_in(archive: Path) -> Image:
    """The image that an archive holds, by its documents. Raises ArchiveError for a damaged archive."""
    with images.open_archive(archive) as opened:
        return opened.image


def config_digest(archive: Path) -> str:
    """The digest of the image's config. Raises ArchiveError for a damaged archive."""
    return image_in(archive).config_digest


def holds(archive: Path, digest: str) -> bool:
    """Whether an archive is there and holds this very image (by its config's digest)."""
    try:
        return archive.is_file() and config_digest(archive) == digest
    except DeadweightError:
        return False


def last_built(variant: Variant, state: State) -> BuiltImage | None:
    """The record of the variant's last build."""
    return load(BuiltImage, state.image(variant.name) / BUILT_FILE)


def there(variant: Variant, site: Site) -> bool:
    """Whether the last build's archive still exists and is complete, judging by its metadata and size."""
    built = last_built(variant, site.state)
    return built is not None and holds(archive_path(variant, site), built.config_digest)


def made_by_the_build(variant: Variant, built: BuiltImage, site: Site) -> Path:
    """The archive of a builder that writes it itself (ko, apko, jib). Raises MissingError if it is missing or has been replaced."""
    path = archive_path(variant, site)
    if not holds(path, built.config_digest):
        raise MissingError(
            wording(
                "builders.archive_changed" if path.exists() else "builders.archive_gone",
                archive=path,
                variant=variant.name,
            )
        )
    return path


@contextmanager
def scratch(variant: Variant, site: Site) -> Iterator[Path]:
    """A temporary folder for one build, next to its output, so that moving the result there is a rename. Removed at the end."""
    place = site.state.image(variant.name)
    place.mkdir(parents=True, exist_ok=True)
    for old in place.glob(".work-*"):  # of a build that was killed; the state folder's lock keeps others out
        shutil.rmtree(old, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(dir=place, prefix=".work-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def keep(variant: Variant, site: Site, archive: Path, sboms: Path | None) -> tuple[str, ...]:
    """Move a finished archive and its SBOMs to their places; gives the SBOM files, relative to the image's folder."""
    place = site.state.image(variant.name)
    kept: tuple[str, ...] = ()
    if sboms is not None:
        target = place / SBOM_DIR
        shutil.rmtree(target, ignore_errors=True)
        sboms.replace(target)
        kept = tuple(sorted(f"{SBOM_DIR}/{file.relative_to(target)}" for file in target.rglob("*") if file.is_file()))
    archive.replace(place / ARCHIVE_FILE)
    return kept


def result(
    variant: Variant,
    site: Site,
    *,
    digest: str,
    base: Base | None,
    tool: str,
    sbom: tuple[str, ...] = (),
    go_version: str | None = None,
) -> BuiltImage:
    """The record of an image that is an archive. Time and fingerprint are the scheduler's to fill in."""
    return BuiltImage(
        variant=variant.name,
        builder=variant.builder,
        reference=common.image_name(site.suite, variant),
        config_digest=digest,
        in_engine=False,
        base=base,
        seconds=0.0,
        cached=False,
        fingerprint="",
        tool=tool,
        built_at=datetime.now(UTC).isoformat(timespec="seconds"),
        go_version=go_version,
        sbom=sbom,
    )


def renamed(archive: Path, out: Path, reference: str) -> None:
    """Copy a docker-save archive with another name for its image; every other byte of content stays.

    apko names its image ``NAME-amd64`` whatever it is told. Raises ArchiveError where that is not a docker-save archive.
    """
    try:
        with tarfile.open(archive, "r:") as source, tarfile.open(out, "w:", format=tarfile.USTAR_FORMAT) as target:
            for member in source:
                content = source.extractfile(member)
                if member.name == "manifest.json" and content is not None:
                    manifest = json.load(content)
                    manifest[0]["RepoTags"] = [reference]
                    data = json.dumps(manifest).encode()
                    member.size = len(data)
                    content = io.BufferedReader(io.BytesIO(data))
                target.addfile(member, content)
    except (tarfile.TarError, ValueError, LookupError, TypeError) as error:
        raise ArchiveError(wording("builders.not_an_archive", archive=archive, problem=error)) from error


# Files on top of an archive that a builder wrote: one more layer, for builders that put nothing but a program into an image.
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
                        raise UsageError(wording("builders.leads_out", path=path, root=root))
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
        raise ArchiveError(wording("builders.not_an_archive", archive=archive, problem=error)) from error
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
