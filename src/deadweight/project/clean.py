"""Remove what is not needed: what died left behind, what can be made again, or the whole state folder."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from deadweight._errors import MissingError
from deadweight.project.workspace import Workspace
from deadweight.records.built import ARCHIVE_FILE, kept_name

DAY = 86_400.0


@dataclass(frozen=True)
class Cleaned:
    """What was removed. ``size_bytes`` is disk space freed in the state folder; ``left`` says why the engine was left alone."""

    containers: int
    files: int
    size_bytes: int
    images: int = 0
    left: MissingError | None = None


def clean(workspace: Workspace, *, everything: bool = False, older_than_days: float | None = None) -> Cleaned:
    """Remove leftovers of dead processes, logs, and archive copies of images that the engine has.

    ``everything`` removes this project's images from the engine, its whole state folder, and ends what we started (an engine,
    a registry or a Maven of our own); the cache that projects share stays. ``older_than_days`` spares what is newer. Where the
    engine that was asked for does not answer, the rest is done.
    """
    from deadweight.checks.attacks.host import sweep_host_folders
    from deadweight.checks.attacks.network import unfence

    containers, images, left = _in_engine(workspace, with_images=everything and older_than_days is None)
    folders = sweep_host_folders()
    unfence()
    state = workspace.state
    before = None if older_than_days is None else time.time() - older_than_days * DAY
    if everything:
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
    if everything and older_than_days is None:
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
        return _containers(workspace), _images(workspace) if with_images else 0, None
    except MissingError as error:
        return 0, 0, error


def _containers(workspace: Workspace) -> int:
    from deadweight.engine.daemon import find_running

    if find_running() is None:
        return 0
    return len(workspace.engine().cleanup_stale())


def _images(workspace: Workspace) -> int:
    from deadweight.engine.daemon import find_running

    if find_running() is None:
        return 0
    removed = 0
    for name in workspace.suite.names():
        built = workspace.built(name)
        for reference in (
            {built.reference, kept_name(built.reference, built.config_digest)} if built is not None else ()
        ):
            removed += bool(workspace.engine().images.remove(reference, force=True))
    return removed


def _stop_ours(workspace: Workspace) -> None:
    from deadweight.builders.jib.resident import end_all
    from deadweight.engine.daemon import stop_own
    from deadweight.sources.choose import stop_local

    workspace.close()
    end_all()
    stop_local(workspace.say)
    stop_own(workspace.say)


def _remove_empty_folders(folder: Path) -> None:
    for path in sorted((path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink()), reverse=True):
        if not any(path.iterdir()):
            shutil.rmtree(path, ignore_errors=True)
