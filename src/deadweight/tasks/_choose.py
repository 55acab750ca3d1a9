"""Flags that narrow a task to a part of the suite; ``build``, ``verify``, ``attack`` and ``scan`` have them all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from deadweight.tasks._options import names
from deadweight.tasks._progress import say

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from deadweight.project.selection import Selection
    from deadweight.project.workspace import Workspace
    from deadweight.report.model import Report

HELP = {
    "shard": "only this part of the variants, I/N such as 2/5 (default: taken from the CI system if it runs several; 1/1 is all)",
    "times": "an earlier report (as for report --against) whose times balance the shards; use the same for all shards",
    "since": "only variants whose inputs changed since HEAD branched off from this git revision",
    "changed-from": "only variants whose inputs differ from this earlier report",
}


def chosen(
    workspace: Workspace,
    variant: Sequence[str] | None,
    *,
    shard: str | None,
    times: str | None,
    since: str | None,
    changed_from: str | None,
    note: bool = True,
) -> Selection:
    """What these flags choose, told on stderr; with ``note`` kept for the report."""
    from deadweight.project.selection import choose

    root = workspace.suite.root
    named = times if times is not None else os.environ.get("DEADWEIGHT_TIMES") or None
    found = choose(
        workspace,
        names(variant),
        os.environ,
        shard=shard,
        since=since,
        before=None if changed_from is None else _earlier(changed_from, root, "--changed-from"),
        times=None if named is None else _earlier(named, root, "--times"),
        note=note,
    )
    for line in found.told:
        say(line)
    if found.narrowed and found.beside:
        say(f"also built, because a budget compares with it: {', '.join(each.name for each in found.beside)}")
    return found


def _earlier(named: str, root: Path, flag: str) -> Report:
    from deadweight.publish.earlier import earlier

    return earlier(named, root, flag=flag)
