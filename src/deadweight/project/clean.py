"""Remove leftovers of dead processes, files that can be made again, or the whole state folder."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError, MissingError, wording
from deadweight.engine import labels
from deadweight.project.workspace import Workspace
from deadweight.records import runs
from deadweight.records.built_image import ARCHIVE_FILE, BUILT_FILE, BuiltImage, kept_name, retire, superseded
from deadweight.records.paths import State
from deadweight.records.reference import split
from deadweight.records.runs import Run
from deadweight.records.store import load

if TYPE_CHECKING:
    from deadweight.engine.client import Engine
    from deadweight.engine.images import Images
    from deadweight.engine.labels import Leftover


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
    """Remove this project's leftovers of dead processes, logs, old images that nothing runs from any more, and archive copies of
    images that the engine has.

    ``project`` removes this project's images from the engine and its whole state folder; ``end_shared`` also removes every
    project's leftovers, and ends what we started and all projects share (an engine, a registry, a Maven). The cache that they
    share stays. ``older_than_days`` spares what is newer, and ends nothing. Where the engine that was asked for does not answer,
    the rest is done.
    """
    from deadweight._packages import attacks

    containers, images, left = _in_engine(workspace, every=end_shared, with_images=project and older_than_days is None)
    folders = attacks.sweep_host_folders()
    attacks.unfence()
    state = workspace.state
    before = None if older_than_days is None else time.time() - older_than_days * DAY
    if project:
        # notes that are left are of the living
        kept = {state.lock, state.lock.with_suffix(".holder"), *_below(state.runs), *_below(state.folder / "locks")}
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
    for path in sorted(state.folder.rglob("*"), reverse=True):
        with contextlib.suppress(OSError):  # it is no folder, or not empty
            path.rmdir()
    if end_shared and older_than_days is None:
        _stop_ours(workspace)
    return Cleaned(containers, files, size, images, left)


def _below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()] if folder.is_dir() else []


def _spare_archives(workspace: Workspace) -> list[Path]:
    """Archives of variants that were built in the engine: the engine can write them again."""
    built = (workspace.built(variant.name) for variant in workspace.suite.variants)
    archives = [workspace.state.image(image.variant) / ARCHIVE_FILE for image in built if image and image.in_engine]
    return [archive for archive in archives if archive.exists()]


def _in_engine(workspace: Workspace, *, every: bool, with_images: bool) -> tuple[int, int, MissingError | None]:
    """How many containers and networks, and how many images, were removed from the engine, if one runs."""
    from deadweight.engine.daemon import find_running

    try:
        if find_running() is None:
            return 0, 0, None
        engine = workspace.engine()
        # before the images: containers may run from them
        stale = [leftover.kind for leftover in engine.cleanup_stale(None if every else str(workspace.suite.root))]
        waiting = retire(workspace.state, engine.images.let_go) if superseded(workspace.state) else 0
        images = stale.count("image") + waiting + (_images(workspace) if with_images else 0)
        return len(stale) - stale.count("image"), images, None
    except MissingError as error:
        return 0, 0, error


def _images(workspace: Workspace) -> int:
    images = workspace.engine().images
    removed = sum(images.remove(name, force=True) for name in superseded(workspace.state))
    for file in sorted((workspace.state.folder / "images").glob(f"**/{BUILT_FILE}")):  # also of variants that are gone
        built = load(BuiltImage, file)
        if built is not None:
            removed += sum(images.remove(reference, force=True) for reference in _names(built, images))
    return removed


def _names(built: BuiltImage, images: Images) -> list[str]:
    """What a variant's image is called in the engine; ``…:latest`` only where it is no other checkout's of the same suite."""
    names = {built.reference}
    repository, tag, _ = split(built.reference)
    if tag:  # a plug-in may call its image as it likes
        names.add(kept_name(built.reference, built.config_digest))
        there = images.get(f"{repository}:latest")
        if there is not None and there.id in (built.config_digest, built.engine_id):
            names.add(f"{repository}:latest")
    return sorted(names)


def _stop_ours(workspace: Workspace) -> None:
    from deadweight.builders.jib.resident_maven import end_all
    from deadweight.engine.daemon import stop_own
    from deadweight.sources.remote import stop_local

    workspace.close()
    end_all()
    stop_local(workspace.say)
    if stop_own(workspace.say):
        workspace.say("your other projects used the same engine; it starts again when one of them needs it")


# What a killed run left in the engine, on disk and in the firewall: told and removed before anything else is done.
# Only what this project started counts, and only where the process that started it is dead.
Say = Callable[[str], None]
_REMOVE = {"container": "rm --force", "network": "network rm", "image": "image rm --force"}


def remove_what_was_left(state: State, say: Say) -> None:
    """Look at the notes of this project's runs. Never fails: what cannot be removed is told, and looked for again next time."""
    for note, run in runs.noted(state):
        if run is not None and not labels.is_stale(run.labels):
            continue
        if run is None or _removed(state, run, say):
            runs.end(note)


def _removed(state: State, run: Run, say: Say) -> bool:
    """Whether all is gone that a killed run left."""
    from deadweight.engine.api import Endpoint
    from deadweight.engine.client import Engine

    _outside_the_engine(state, run, say)
    if run.host is None:
        return True
    try:
        place = Endpoint(run.host, certificates=run.certificates)
        engine = Engine.connect(place, project=run.labels.get(labels.PROJECT, "-"), root=str(state.root))
    except DeadweightError as error:
        say(wording("project.leftovers_not_searched", run=run.describe(), problem=error.message))
        return False
    with engine:
        try:
            left = [old for old in engine.leftovers() if old.stale and old.labels.get(labels.ROOT) == str(state.root)]
            gone = [_one_removed(engine, leftover, run, say) for leftover in left]
            return all(gone)
        except DeadweightError as error:
            say(wording("project.leftovers_not_removed", run=run.describe(), problem=error.message))
            return False


def _one_removed(engine: Engine, left: Leftover, run: Run, say: Say) -> bool:
    variant = left.labels.get(labels.VARIANT) or left.name
    doing = "was still running" if left.running else "was left"
    whose = f" ({run.describe()})" if run.labels.get(labels.OWNER) == left.labels.get(labels.OWNER) else ""
    gone = labels.remove_leftover(engine.api, left)
    end = "removed it" if gone else f"it could not be removed: docker {_REMOVE[left.kind]} {left.name}"
    say(f"{variant}: {'an' if left.kind == 'image' else 'a'} {left.kind} of a killed run {doing}{whose}: {end}")
    return gone


def _outside_the_engine(state: State, run: Run, say: Say) -> None:
    from deadweight._packages import attacks
    from deadweight.builders.apko import remove_left_by

    # what builds unpack, often in memory: its name holds the process's number, which somebody else may have by now
    if not Path("/proc", str(run.pid)).exists() and (folders := remove_left_by(state, run.pid)):
        say(f"removed {folders} folder{'s' * (folders > 1)} that a killed build left ({run.describe()})")
    if folders := attacks.sweep_host_folders():
        say(f"removed {folders} host folder{'s' * (folders > 1)} in memory that a killed attack run left")
    if rules := attacks.unfence():
        say(f"removed {rules} firewall rule{'s' * (rules > 1)} that a killed attack run left")
