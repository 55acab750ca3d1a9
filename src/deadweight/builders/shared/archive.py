"""Read, rename and extend the image archives that build tools write, and move them into place whole."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from deadweight._errors import ArchiveError, DeadweightError, MissingError, UsageError, wording
from deadweight._packages import images
from deadweight.builders.protocol import BuiltImage, Inputs, Job, Site, Step
from deadweight.builders.shared import common
from deadweight.records.built_image import ARCHIVE_FILE, BUILT_FILE, Base
from deadweight.records.ignore import Ignore, walk
from deadweight.records.paths import State
from deadweight.records.store import load
from deadweight.suite.model import Variant
from deadweight.toolchain.tool_cache import remove_tree

if TYPE_CHECKING:
    import tarfile

    from deadweight_images.archive.model import Image


SBOM_DIR = "sbom"


def archive_path(variant: Variant, site: Site) -> Path:
    return site.state.image(variant.name) / ARCHIVE_FILE


def image_in(archive: Path) -> Image:
    """The image in an archive, as its manifest and config describe it. Raises ArchiveError for a damaged archive."""
    with images.open_archive(archive) as opened:
        return opened.image


def holds(archive: Path, digest: str) -> bool:
    """Whether an archive is there and holds this very image (by its config's digest)."""
    try:
        return archive.is_file() and image_in(archive).config_digest == digest
    except DeadweightError:
        return False


def last_built(variant: Variant, state: State) -> BuiltImage | None:
    """The record of the variant's last build."""
    return load(BuiltImage, state.image(variant.name) / BUILT_FILE)


def there(variant: Variant, site: Site) -> bool:
    """Whether the last build's archive still exists and is complete: the file is unchanged, or its metadata and size are right."""
    built, path = last_built(variant, site.state), archive_path(variant, site)
    return built is not None and (
        built.archive_stamp == _stamp(path, built.config_digest) != "" or holds(path, built.config_digest)
    )


def _stamp(path: Path, config_digest: str) -> str:
    """A digest of the image's digest and the file's inode, size and modification time; empty if there is no such file."""
    try:
        stat = path.stat()
    except OSError:
        return ""
    text = f"{config_digest} {stat.st_ino} {stat.st_size} {stat.st_mtime_ns}"
    return hashlib.sha256(text.encode()).hexdigest()


def image_step(variant: Variant, site: Site, inputs: Inputs, work: Callable[[Job], BuiltImage], **order: Any) -> Step:
    """The last step of a builder that writes the archive itself (ko, apko, jib)."""
    name, title = variant.name, f"{variant.builder} build {variant.name}"
    return Step(f"image:{name}", name, title, inputs, lambda: there(variant, site), work, **order)


def made_by_the_build(variant: Variant, built: BuiltImage, site: Site) -> Path:
    """The archive, for builders that write their own (ko, apko, jib). Raises MissingError if missing or replaced."""
    path = archive_path(variant, site)
    if not holds(path, built.config_digest):
        words = {"archive": path, "variant": variant.name}
        raise MissingError(wording("builders.archive_changed" if path.exists() else "builders.archive_gone", **words))
    return path


def new_folder(place: Path, prefix: str) -> Path:
    """A temporary folder of this process. What killed ones left there goes: the state folder's lock keeps other living ones out."""
    own = f"{prefix}{os.getpid()}-"
    for old in place.glob(f"{prefix}*"):
        if not old.name.startswith(own):
            remove_tree(old)
    return Path(tempfile.mkdtemp(dir=place, prefix=own))


@contextmanager
def work_folder(place: Path) -> Iterator[Path]:
    """A temporary folder in ``place``, so that moving a result there is a rename. Removed at the end."""
    place.mkdir(parents=True, exist_ok=True)
    folder = new_folder(place, ".work-")
    try:
        yield folder
    finally:
        remove_tree(folder)


def scratch(variant: Variant, site: Site) -> AbstractContextManager[Path]:
    """A temporary folder for one build, next to its output. Removed at the end."""
    place = site.state.image(variant.name)
    for old in place.glob(".work-*"):  # of a killed build, maybe under our process id; nobody else builds this one
        remove_tree(old)
    return work_folder(place)


def keep(variant: Variant, site: Site, archive: Path, sboms: Path | None) -> tuple[str, ...]:
    """Move a finished archive and its SBOMs to their final paths; return the SBOM files, relative to the image's folder."""
    place = site.state.image(variant.name)
    target = place / SBOM_DIR
    if sboms is not None:
        shutil.rmtree(target, ignore_errors=True)
        sboms.replace(target)
    archive.replace(place / ARCHIVE_FILE)
    files = target.rglob("*") if sboms is not None else ()
    return tuple(sorted(f"{SBOM_DIR}/{file.relative_to(target)}" for file in files if file.is_file()))


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
    """The record of an image that is stored as an archive. The scheduler fills in time and fingerprint."""
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
        archive_stamp=_stamp(archive_path(variant, site), digest),
    )


Members = Mapping[str, IO[bytes] | None]


def _rewrite(archive: Path, out: Path, change: Callable[[tarfile.TarFile], Members]) -> None:
    """Copy a docker-save archive; ``change`` gives the members that are replaced or added, and None for those that are left out.

    Raises ArchiveError where that is not a docker-save archive of one image.
    """
    import tarfile

    try:
        with tarfile.open(archive, "r:") as source, tarfile.open(out, "w:", format=tarfile.USTAR_FORMAT) as target:
            changed = change(source)
            for member in source:
                if member.name not in changed:
                    target.addfile(member, source.extractfile(member))
            for name, content in changed.items():
                if content is not None:
                    member = tarfile.TarInfo(name)
                    member.size = content.seek(0, io.SEEK_END)
                    content.seek(0)
                    target.addfile(member, content)
    except (tarfile.TarError, ValueError, LookupError, TypeError) as error:
        raise ArchiveError(wording("builders.not_an_archive", archive=archive, problem=error)) from error


def _document(source: tarfile.TarFile, name: str) -> Any:
    content = source.extractfile(name)
    if content is None:
        raise LookupError(name)
    return json.load(content)


def renamed(archive: Path, out: Path, reference: str) -> None:
    """Copy a docker-save archive with another name for its image; every other byte of content stays.

    apko names its image ``NAME-amd64`` whatever it is told. Raises ArchiveError where that is not a docker-save archive.
    """

    def change(source: tarfile.TarFile) -> Members:
        manifest = _document(source, "manifest.json")
        manifest[0]["RepoTags"] = [reference]
        return {"manifest.json": io.BytesIO(json.dumps(manifest).encode())}

    _rewrite(archive, out, change)


# Files on top of an archive that a builder wrote: one more layer, for builders that put nothing but a program into an image.
def staged(files: Mapping[str, Path], left_out: Callable[[Path], bool], tree: Path, root: Path) -> Path:
    """Lay files and folders out as they are to be in the image. ``files``: absolute path there → file or folder here.

    ``left_out`` says of a file in a folder whether it is no input. Links are followed: what they lead to may not be there.
    Raises UsageError for one that leads out of ``root``, the project's folder.
    """
    for target, source in files.items():
        place, folder = tree / target.lstrip("/"), source.is_dir()
        (place if folder else place.parent).mkdir(parents=True, exist_ok=True)
        for path in walk(source, Ignore(())) if folder else (source,):
            if folder and (left_out(path) or not path.is_file()):
                continue
            if folder and not path.resolve().is_relative_to(root.resolve()):
                raise UsageError(wording("builders.leads_out", path=path, root=root))
            copy = place / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            copy.chmod(path.stat().st_mode & 0o777)
    return tree


def with_layer(archive: Path, out: Path, tree: Path, *, workdir: str | None = None) -> None:
    """Copy a docker-save archive with a folder as its last layer, and with another working folder where one is given.

    Raises ArchiveError where that is not a docker-save archive of one image.
    """
    layer = images.pack_tree(tree, out.with_suffix(".layer"))
    layer_name = f"{layer.digest.removeprefix('sha256:')}.tar.gz"

    def change(source: tarfile.TarFile) -> Members:
        (image,) = manifest = _document(source, "manifest.json")
        old, document = image["Config"], _document(source, image["Config"])
        # one more layer (OCI image config: ``rootfs.diff_ids``, ``history``)
        document["rootfs"]["diff_ids"].append(layer.diff_id)
        entry = {
            "created": document.get("created"),
            "created_by": "deadweight: files",
            "comment": "files beside the program",
        }
        given = {key: value for key, value in entry.items() if value}
        document["history"] = [*(document.get("history") or ()), given]
        if workdir is not None:
            document["config"]["WorkingDir"] = workdir
        config = json.dumps(document, separators=(",", ":")).encode()
        image.update(Config=f"sha256:{hashlib.sha256(config).hexdigest()}", Layers=[*image["Layers"], layer_name])
        documents = {image["Config"]: io.BytesIO(config), "manifest.json": io.BytesIO(json.dumps(manifest).encode())}
        return {old: None, layer_name: content, **documents}

    with layer.path.open("rb") as content:
        try:
            _rewrite(archive, out, change)
        finally:
            layer.path.unlink()
