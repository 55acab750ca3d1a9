"""Judge settings by requests that they were not learned from: what breaks is told with its wall, and that wall is loosened."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deadweight.engine.options import TMPFS_BYTES, RunOptions, Tmpfs, is_root
from deadweight_attacks.harden.culprit import Replays, setting
from deadweight_attacks.harden.trial import covering

if TYPE_CHECKING:
    from deadweight_workload.judge import Judge

ROUNDS = 4


@dataclass(frozen=True)
class Broken:
    """A held-out operation that did not work under what was learned. ``wall`` is its key under ``run:``, ``added`` what was given
    back for it: a system call, a folder, a limit."""

    operation: str
    wall: str
    added: str

    def __str__(self) -> str:
        return f"{'' if self.wall == 'seccomp' else f'run.{self.wall}: '}{self.added} ({self.operation})"


def loosened(judge: Judge, options: RunOptions, usual: RunOptions) -> tuple[RunOptions, tuple[Broken, ...]]:
    """The options under which every held-out request works, between these and the suite's own (``usual``); and what broke."""
    usual = usual.but(user=usual.user if is_root(usual.user or "") else options.user)
    broken: list[Broken] = []
    for _ in range(ROUNDS):
        failed = judge.failing(options)
        if not failed:
            break
        walls = between(options, usual)
        replays = Replays(judge.everything, options, failed, walls, judge.hosts, judge.at_once)
        if "read_only" in walls and (wrote := replays.passing(replays.without_any)[1].lasting):
            replays.walls = walls = {"tmpfs": {"tmpfs": with_folders(options, wrote)}, **walls}
        blame = replays.blame()
        if not blame.alone:  # no wall is at fault
            break
        for name in (step.name for step in judge.workload.judge if step.name in failed):
            for wall in blame.walls(name)[:1] or (blame.several if name in blame.rest else ()):
                options = _without(judge, options, wall, walls[wall], name)
                broken += [Broken(operation, wall, setting(options, wall)) for operation in judge.operations({name})]
    else:
        own = Broken(", ".join(judge.operations(failed)), "several", "the suite's own settings")
        return usual.but(tmpfs=options.tmpfs), (*broken, own)
    return options, tuple(broken)


def _without(judge: Judge, options: RunOptions, wall: str, change: Mapping[str, Any], name: str) -> RunOptions:
    """Options with a wall loosened as far as a request needs: of a limit twice as much, and so on, up to the suite's own."""
    key = {"memory": "memory_bytes", "pids": "pids"}.get(wall)
    amounts = [getattr(options, key) * factor for factor in (2, 4, 8)] if key else []
    ways = [options.but(**{key: amount}) for amount in amounts if key and amount < change[key]]
    return next((way for way in ways if name in judge.passing(way)), options.but(**change))


def between(options: RunOptions, usual: RunOptions) -> dict[str, dict[str, Any]]:
    """What the suite's own posture has instead of each wall that these options have beyond it, by its key under ``run:``."""
    keys = {
        "network": ("network",), "memory": ("memory_bytes",), "pids": ("pids",), "read_only": ("read_only",),
        "user": ("user", "cap_drop", "cap_add", "no_new_privileges"), "seccomp": ("seccomp",),
    }  # fmt: skip
    walls = {wall: {key: getattr(usual, key) for key in names} for wall, names in keys.items()}
    return {wall: change for wall, change in walls.items() if options.but(**change) != options}


def with_folders(options: RunOptions, folders: Collection[str]) -> tuple[Tmpfs, ...]:
    """The folders in memory that the options have, and these beside them; none below another."""
    size = min(TMPFS_BYTES, (options.memory_bytes or TMPFS_BYTES * 4) // 4)
    own = {folder.path for folder in options.tmpfs}
    more = (Tmpfs(path, size) for path in folders if path not in own)
    return tuple(covering((*options.tmpfs, *more), lambda folder: folder.path))
