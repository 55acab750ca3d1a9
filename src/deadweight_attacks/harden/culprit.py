"""Name the wall that a failed request fails at: send it again to fresh containers, each with one wall less."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from deadweight._errors import DeadweightError, Interrupted
from deadweight.engine.options import Tmpfs
from deadweight.engine.seccomp import profile, refused_calls
from deadweight.suite.values import format_bytes
from deadweight_attacks.harden.search import ROOT
from deadweight_attacks.harden.trial import NOTHING, PURPOSE, WrittenFolders, passing
from deadweight_attacks.seccomp.floor import find_fewest
from deadweight_attacks.walls import wording

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject
    from deadweight.engine.options import RunOptions

BUDGET_SECONDS = 120.0
MOST_CALLS = 6


def culprits(subject: Subject, failed: Sequence[str]) -> dict[str, dict[str, str]]:
    """Of each request by its name that works without one wall: that wall's key under ``run:``, and what is to be said of it.
    Nothing of what fails without any wall, passes when it is sent again, or is not found within two minutes."""
    return _Replays(subject, subject.service.options().but(host_port=None), failed).find_culprits()


def opened(options: RunOptions) -> dict[str, dict[str, Any]]:
    """What each wall of a posture is without it, by its key under ``run:``."""
    roomy = tuple(replace(folder, noexec=False, size_bytes=folder.size_bytes * 8) for folder in options.tmpfs)
    own = "default" if refused_calls.is_file(options.seccomp) else "unconfined"
    walls: dict[str, dict[str, Any]] = {
        "seccomp": {"seccomp": own},
        "pids": {"pids": None},
        "memory": {"memory_bytes": None, "swap_bytes": None},
        "read_only": {"read_only": False},
        "tmpfs": {"tmpfs": roomy or (Tmpfs("/tmp", noexec=False),)},  # noqa: S108 - a path in the container
        "user": {"user": ROOT, "cap_drop": (), "cap_add": (), "no_new_privileges": False},
        "cpus": {"cpus": None},
    }
    return {wall: change for wall, change in walls.items() if options.but(**change) != options}


class _Replays:
    """``options`` are those under which requests ``failed``."""

    def __init__(self, subject: Subject, options: RunOptions, failed: Sequence[str]) -> None:
        self.subject, self.options, self.failed = subject, options, failed
        self.ends = time.monotonic() + BUDGET_SECONDS

    def find_culprits(self) -> dict[str, dict[str, str]]:
        walls = opened(self.options)
        without_any = {key: value for change in walls.values() for key, value in change.items()}
        open_to, _ = self._passing(without_any)
        left = open_to and open_to - self._passing({})[0]
        if not left:
            return {}
        requests = ", ".join(sorted(left))
        self.subject.say(wording("harden.looking_for_wall", variant=self.subject.variant.name, requests=requests))
        alone: dict[str, tuple[set[str], WrittenFolders]] = {}
        for wall, change in walls.items():
            names, wrote = self._passing(change)
            if names & left:  # at the edge of a limit one may pass by chance
                names &= self._passing(change)[0]
            alone[wall] = names & left, wrote
        rest = left.difference(*(names for names, _ in alone.values()))
        several = self._fewest_walls(walls, rest) if rest else ""
        culprits: dict[str, dict[str, str]] = {name: {"several": several} for name in rest if several}
        for name in (name for name in self.failed if name in left - rest):  # the calls last: they take longest
            passes = [(wall, wrote) for wall, (names, wrote) in alone.items() if name in names]
            culprits[name] = {wall: self._describe(wall, name, wrote) for wall, wrote in passes}
        return culprits

    def _fewest_walls(self, walls: Mapping[str, Mapping[str, Any]], names: Collection[str]) -> str:
        """The fewest walls without which all these requests pass; empty where that is not found in time."""

        def works(some: tuple[str, ...]) -> bool:
            return set(names) <= self._passing({key: value for wall in some for key, value in walls[wall].items()})[0]

        needed = find_fewest(tuple(walls), works, group=1)
        return " and ".join(self._setting(wall) for wall in needed) if time.monotonic() < self.ends else ""

    def _passing(self, change: Mapping[str, Any]) -> tuple[set[str], WrittenFolders]:
        """Which of the requests that failed do not with these options changed, and where the service then wrote."""
        if time.monotonic() > self.ends:
            return set(), NOTHING
        try:
            names, wrote = passing(self.subject, self.options.but(**change))
        except Interrupted:
            raise
        except DeadweightError:  # a profile may allow no start as root
            return set(), NOTHING
        return names & set(self.failed), wrote

    def _setting(self, wall: str) -> str:
        options = self.options
        settings = {
            "seccomp": options.seccomp,
            "pids": options.pids,
            "memory": format_bytes(options.memory_bytes or 0),
            "read_only": "true",
            "tmpfs": ", ".join(folder.path for folder in options.tmpfs) or "without /tmp",
            "user": options.user,
            "cpus": options.cpus,
        }
        return f"run.{wall}: {settings[wall]}"

    def _describe(self, wall: str, name: str, wrote: WrittenFolders) -> str:
        more = ""
        if wall == "seccomp" and refused_calls.is_file(self.options.seccomp) and (calls := self._refused(name)):
            more = f" (it refuses {', '.join(calls)})"
        elif wall == "read_only" and wrote.lasting:
            more = f" (it writes to {', '.join(wrote.lasting)})"
        return f"{self._setting(wall)}{more}"

    def _refused(self, name: str) -> tuple[str, ...]:
        """The calls without which this request fails; none where they are not found in time."""
        engine = self.subject.engine()
        document = profile.read_profile(engine.profile(self.options.seccomp))
        refused = profile.refused(document, profile.where(engine.info, self.options))
        with TemporaryDirectory(prefix=f"deadweight-{PURPOSE}-") as folder:

            def works(more: tuple[str, ...]) -> bool:
                file = profile.write(Path(folder) / "profile.json", profile.allowing(document, more))
                return name in self._passing({"seccomp": str(file)})[0]

            calls, whole = refused_calls.find_missing(refused, works, MOST_CALLS)
        return calls if whole else ()
