"""Find the two sides by their names: variants, images, or a variant as another revision has it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight._errors import UsageError
from deadweight.project.git import git, parted
from deadweight.project.workspace import Workspace
from deadweight.suite.load import select_one
from deadweight_workload.model import wording
from deadweight_workload.twin.check import IMAGE, compare, other_side
from deadweight_workload.twin.compare import Comparison

if TYPE_CHECKING:
    from deadweight.suite.model import Variant

GENERATED = "deadweight-build"
"""The folder of the files that ``init`` writes beside a suite."""
Build = Callable[[Workspace, Sequence["Variant"]], None]
"""Builds these variants, or raises."""


def compared(workspace: Workspace, sides: Sequence[str], *, since: str | None, build: Build) -> Comparison:
    """Compare two sides (``apko``, ``image:REF``), or with ``since`` a variant with itself where HEAD and that revision parted.

    Raises UsageError for names that do not fit together, MissingError for what is not built, and what a build raises.
    """
    if since is not None:
        if len(sides) > 1:
            raise UsageError(wording("twin.no_sides"))
        chosen = select_one(workspace.suite, sides[0] if sides else None)
        with at_revision(workspace, since) as then:
            before = select_one(then.suite, chosen.name)
            needed = {need.variant for need in before.run.needs.values()}
            build(then, [one for one in then.suite.variants if one.name in {before.name, *needed}])
            names = (f"{chosen.name} at {since}", chosen.name)
            return compare(then.subject(before), workspace.subject(chosen), names)
    if len(sides) != 2 or (all(side.startswith(IMAGE) for side in sides) and len(workspace.suite.variants) > 1):
        raise UsageError(wording("twin.no_sides"))
    one, two = (side if side.startswith(IMAGE) else select_one(workspace.suite, side).name for side in sides)
    known = next((side for side in (one, two) if not side.startswith(IMAGE)), None)
    subject = workspace.subject(select_one(workspace.suite, known))
    first, second = (subject if side == known else other_side(subject, side) for side in (one, two))
    return compare(first, second, (one, two))


@contextlib.contextmanager
def at_revision(workspace: Workspace, revision: str) -> Iterator[Workspace]:
    """The project where HEAD and a revision parted, in a work tree of its own in the state folder, which stays: what was built
    there is up to date next time. Older ones are removed. Where there was no suite, it gets this one."""
    root = workspace.suite.file.parent
    commit = parted(root, revision)
    place = git(root, "rev-parse", "--show-prefix").strip("\n")
    folder = workspace.state.folder / "twin"
    tree = folder / commit[:12]
    for old in folder.iterdir() if folder.is_dir() else ():
        if old != tree:
            git(root, "worktree", "remove", "--force", str(old))
    if not tree.is_dir():
        git(root, "worktree", "prune")
        git(root, "worktree", "add", "--detach", str(tree), commit)
    if not (tree / place / workspace.suite.file.name).exists():
        for name in filter(Path.exists, (workspace.suite.file, root / GENERATED)):
            copy = shutil.copytree if name.is_dir() else shutil.copy
            copy(name, tree / place / name.name)
    with Workspace.open(workspace.say, tree / place / workspace.suite.file.name) as then:
        then.source = workspace.source.at(then.state)
        yield then
