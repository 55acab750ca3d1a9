"""Remove what is not needed: what died left behind, what can be made again, or the whole state folder."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight._errors import MissingError
from deadweight.project.workspace import Workspace
from deadweight.records.built import ARCHIVE_FILE, BUILT_FILE, BuiltImage, kept_name
from deadweight.records.reference import split
from deadweight.records.store import load
from deadweight.records.superseded import retire, superseded

if TYPE_CHECKING:
    from deadweight.engine.images import Images

DAY = 86_400.0


@dataclass(frozen=True)
class Cleaned:
    """What was removed. ``size_bytes`` is disk space freed in the state folder; ``left`` says why the engine was left alone."""

    containers: int
    files: int
    size_bytes: int
    images: int = 0
    left: MissingError | None = None


def clean(
    workspace: Workspace, *, project: bool = False, end_shared: bool = False, older_than_days: float | None = None
) -> Cleaned:
    """Remove leftovers of dead processes, logs, old images that nothing runs from any more, and archive copies of images that
    the engine has.

    ``project`` removes this project's images from the engine and its whole state folder; ``end_shared`` also ends what we started
    and all projects share (an engine, a registry, a Maven). The cache that they share stays. ``older_than_days`` spares what is
    newer, and ends nothing. Where the engine that was asked for does not answer, the rest is done.
    """
    from deadweight._packages import attacks

    containers, images, left = _in_engine(workspace, with_images=project and older_than_days is None)
    folders = attacks.sweep_host_folders()
    attacks.unfence()
    state = workspace.state
    before = None if older_than_days is None else time.time() - older_than_days * DAY
    if project:
        kept = {
            state.lock,
            state.lock.with_suffix(".holder"),
            *_below(state.runs),
        }  # notes that are left are of the living
        chosen = [path for path in _below(state.folder) if path not in kept]
    else:
        chosen = [*_below(state.folder / "logs"), *_spare_archives(workspace), *_below(state.folder / "tmp")]
    files, size = folders, 0
    for path in chosen:
        facts = path.lstat()
        if before is None or facts.st_mtime < before:
            size += facts.st_size
            files += 1
            path.unlink()
    _remove_empty_folders(state.folder)
    if end_shared and older_than_days is None:
        _stop_ours(workspace)
    return Cleaned(containers, files, size, images, left)


def _below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()] if folder.is_dir() else []


def _spare_archives(workspace: Workspace) -> list[Path]:
    """Archives of variants that were built in the engine: the engine can write them again."""
    found = []
    for variant in workspace.suite.variants:
        built = workspace.built(variant.name)
        archive = workspace.state.image(variant.name) / ARCHIVE_FILE
        if built is not None and built.in_engine and archive.exists():
            found.append(archive)
    return found


def _in_engine(workspace: Workspace, *, with_images: bool) -> tuple[int, int, MissingError | None]:
    try:
        stale = _stale(workspace)  # they may run from the images
        images = _images(workspace) if with_images else _superseded(workspace)
        return len(stale) - stale.count("image"), images + stale.count("image"), None
    except MissingError as error:
        return 0, 0, error


def _stale(workspace: Workspace) -> list[str]:
    """Of what kind each thing was that a dead process had left."""
    from deadweight.engine.daemon import find_running

    if find_running() is None:
        return []
    return [each.kind for each in workspace.engine().cleanup_stale()]


def _superseded(workspace: Workspace) -> int:
    from deadweight.engine.daemon import find_running

    if find_running() is None or not superseded(workspace.state):
        return 0
    return retire(workspace.state, workspace.engine().images.let_go)


def _images(workspace: Workspace) -> int:
    from deadweight.engine.daemon import find_running

    if find_running() is None:
        return 0
    removed = sum(workspace.engine().images.remove(name, force=True) for name in superseded(workspace.state))
    images = workspace.engine().images
    for file in sorted((workspace.state.folder / "images").glob(f"**/{BUILT_FILE}")):  # also of variants that are gone
        built = load(BuiltImage, file)
        if built is not None:
            removed += sum(images.remove(reference, force=True) for reference in _names(built, images))
    return removed


def _names(built: BuiltImage, images: Images) -> list[str]:
    """What a variant's image is called in the engine; ``…:latest`` only where it is no other checkout's of the same suite."""
    found = {built.reference}
    repository, tag, _ = split(built.reference)
    if tag:  # a plug-in may call its image as it likes
        found.add(kept_name(built.reference, built.config_digest))
        there = images.get(f"{repository}:latest")
        if there is not None and there.id in (built.config_digest, built.engine_id):
            found.add(f"{repository}:latest")
    return sorted(found)


def _stop_ours(workspace: Workspace) -> None:
    from deadweight.builders.jib.resident import end_all
    from deadweight.engine.daemon import stop_own
    from deadweight.sources.choose import stop_local

    workspace.close()
    end_all()
    stop_local(workspace.say)
    if stop_own(workspace.say):
        workspace.say("your other projects used the same engine; it starts again when one of them needs it")


def _remove_empty_folders(folder: Path) -> None:
    for path in sorted((path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink()), reverse=True):
        if not any(path.iterdir()):
            shutil.rmtree(path, ignore_errors=True)
