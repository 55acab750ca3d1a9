"""Archives that tools wrote: what image is in one, putting it in its place whole, and its name in an engine."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight._errors import ArchiveError, DeadweightError, MissingError
from deadweight.builders.protocol import BuiltImage, Site
from deadweight.builders.shared import common
from deadweight.records.built import ARCHIVE_FILE, BUILT_FILE, Base
from deadweight.suite.model import Variant

if TYPE_CHECKING:
    from deadweight_images.archive.model import Image

SBOM_DIR = "sbom"


def archive_path(variant: Variant, site: Site) -> Path:
    return site.state.image(variant.name) / ARCHIVE_FILE


def image_in(archive: Path) -> Image:
    """The image that an archive holds, by its documents. Raises ArchiveError for a damaged archive."""
    from deadweight._packages import images

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


def there(variant: Variant, site: Site) -> bool:
    """Whether the archive of the last build is still there and whole, as far as its documents and its length tell."""
    from deadweight.records.store import load

    built = load(BuiltImage, site.state.image(variant.name) / BUILT_FILE)
    return built is not None and holds(archive_path(variant, site), built.config_digest)


def made_by_the_build(variant: Variant, built: BuiltImage, site: Site) -> Path:
    """The archive of a builder that writes it itself (ko, apko, jib). Raises MissingError where it is gone or another."""
    path = archive_path(variant, site)
    if not holds(path, built.config_digest):
        what = "was changed since it was built" if path.exists() else "is gone"
        raise MissingError(f"{path}: the archive {what}", hint=f"invoke build --variant {variant.name}")
    return path


@contextmanager
def scratch(variant: Variant, site: Site) -> Iterator[Path]:
    """A folder for one build, beside where its output goes (so that moving it there is a rename), removed at the end."""
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
        built_at=common.now(),
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
        raise ArchiveError(f"{archive}: is not a docker-save archive: {error}") from error
