"""Which commit a project's folder is at, for the history. Git is asked; without it, or outside a repository, there is none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deadweight._errors import CommandError, MissingError
from deadweight._run import run


@dataclass(frozen=True)
class Commit:
    """``name`` is the whole hash. ``dirty``: files that git knows differ from it."""

    name: str | None = None
    dirty: bool = False


def commit_of(root: Path) -> Commit:
    """The commit that is checked out."""
    try:
        name = run(["git", "rev-parse", "--verify", "HEAD"], cwd=root, timeout=20).output.strip()
        changed = run(["git", "status", "--porcelain", "--untracked-files=no", "--", "."], cwd=root, timeout=60).output
    except (CommandError, MissingError):
        return Commit()
    return Commit(name, bool(changed.strip()))
