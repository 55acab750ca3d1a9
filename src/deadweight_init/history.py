"""What git's history tells of a repository's files."""

from __future__ import annotations

import re
from pathlib import Path

from deadweight import _run
from deadweight._errors import DeadweightError
from deadweight_init.tree import Tree


def last_change(tree: Tree, path: str) -> str | None:
    """The day on which a file was last changed, as git tells it."""
    words: list[str | Path] = ["git", "-C", tree.root, "log", "-1", "--format=%cs", "--", path]
    try:
        found = _run.run(words, check=False, timeout=10)
    except DeadweightError:
        return None
    date = found.output.strip()
    return date if found.exit_code == 0 and re.fullmatch(r"\d{4}-\d\d-\d\d", date) else None
