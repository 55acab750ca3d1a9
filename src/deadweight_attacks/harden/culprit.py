"""Name the wall that a failed request fails at: send it again to fresh containers, each with one wall less."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from deadweight.engine.options import Tmpfs
from deadweight.engine.seccomp import profile, refused_calls
from deadweight.suite.values import format_bytes
from deadweight_attacks.harden.trial import NOTHING, PURPOSE, ROOT, WrittenFolders, written_folders
from deadweight_attacks.seccomp.floor import find_fewest
from deadweight_attacks.walls import wording
from deadweight_workload.asking import passing

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject
    from deadweight.engine.options import RunOptions

BUDGET_SECONDS = 120.0
MOST_CALLS = 6


def culprits(subject: Subject, failed: Sequence[str]) -> dict[str, dict[str, str]]:
    """Of each request by its name that works without one wall: that wall's key under ``run:``, and what is to be said of it.
    Nothing of what fails without any wall, passes when it is sent again, or is not found within two minutes."""
    options = subject.service.options().but(host_port=None)
    return _Told(Replays(subject, options, frozenset(failed), opened(options)), options).by_name()


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


@dataclass(frozen=True)
class Blame:
    """Of requests that work without walls: which of them do without one alone (and where the service then wrote), and the fewest
    walls without which all others (``rest``) do."""

    alone: Mapping[str, tuple[frozenset[str], WrittenFolders]] = field(default_factory=dict)
    rest: frozenset[str] = frozenset()
    several: tuple[str, ...] = ()

    def walls(self, name: str) -> tuple[str, ...]:
        """Each of these alone, where it is one."""
        return tuple(wall for wall, (names, _) in self.alone.items() if name in names)


@dataclass
class Replays:
    """``options`` are those under which requests ``failed``, ``walls`` what each wall is without it. ``hosts`` is where what the
    service needs is, by network. ``ends`` is when the time for it is over."""

    subject: Subject
    options: RunOptions
    failed: frozenset[str]
    walls: Mapping[str, Mapping[str, Any]]
    hosts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    at_once: Collection[str] = ()
    ends: float = field(default_factory=lambda: time.monotonic() + BUDGET_SECONDS)

    @property
    def without_any(self) -> dict[str, Any]:
        """What changes all walls at once."""
        return {key: value for change in self.walls.values() for key, value in change.items()}

    def blame(self) -> Blame:
        """What keeps them from working; nothing of what fails without any wall, or passes when it is sent again."""
        open_to = self.passing(self.without_any)[0]
        left = open_to and open_to - self.passing({})[0]
        if not left:
            return Blame()
        requests = ", ".join(sorted(left))
        self.subject.say(wording("harden.looking_for_wall", variant=self.subject.variant.name, requests=requests))
        alone: dict[str, tuple[frozenset[str], WrittenFolders]] = {}
        for wall, change in self.walls.items():
            names, wrote = self.passing(change)
            if names & left:  # at the edge of a limit one may pass by chance
                names &= self.passing(change)[0]
            alone[wall] = names & left, wrote
        rest = left.difference(*(names for names, _ in alone.values()))
        return Blame(alone, rest, self._fewest_walls(rest) if rest else ())

    def _fewest_walls(self, names: frozenset[str]) -> tuple[str, ...]:
        """The fewest walls without which all these requests pass; none where that is not found in time."""

        def works(some: tuple[str, ...]) -> bool:
            return names <= self.passing({key: value for wall in some for key, value in self.walls[wall].items()})[0]

        needed = find_fewest(tuple(self.walls), works, group=1)
        return needed if time.monotonic() < self.ends else ()

    def passing(self, change: Mapping[str, Any]) -> tuple[frozenset[str], WrittenFolders]:
        """Which of the requests that failed do not with these options changed, and where the service then wrote."""
        if time.monotonic() > self.ends:
            return frozenset(), NOTHING
        options, wrote = self.options.but(**change), list[WrittenFolders]()
        options = options.but(hosts=self.hosts.get(options.network, options.hosts))
        answers = passing(self.subject, options, self.at_once, seen=lambda one: wrote.append(written_folders(one)))
        return answers.good & self.failed, wrote[0] if wrote else NOTHING


def setting(options: RunOptions, wall: str) -> str:
    """What a wall is set to, as the suite would say it."""
    folders = ", ".join(folder.path for folder in options.tmpfs) or "without /tmp"
    settings = {"memory": format_bytes(options.memory_bytes or 0), "read_only": str(options.read_only).lower()}
    return {**settings, "tmpfs": folders}.get(wall) or str(getattr(options, wall))


@dataclass
class _Told:
    """What is to be said of replays."""

    replays: Replays
    options: RunOptions

    def by_name(self) -> dict[str, dict[str, str]]:
        blame = self.replays.blame()
        several = " and ".join(f"run.{wall}: {setting(self.options, wall)}" for wall in blame.several)
        culprits = {name: {"several": several} for name in blame.rest if several}
        for name in self.replays.failed:  # the calls last: they take longest
            if walls := blame.walls(name):
                culprits[name] = {wall: self._describe(wall, name, blame.alone[wall][1]) for wall in walls}
        return culprits

    def _describe(self, wall: str, name: str, wrote: WrittenFolders) -> str:
        more = ""
        if wall == "seccomp" and refused_calls.is_file(self.options.seccomp) and (calls := self._refused(name)):
            more = f" (it refuses {', '.join(calls)})"
        elif wall == "read_only" and wrote.lasting:
            more = f" (it writes to {', '.join(wrote.lasting)})"
        return f"run.{wall}: {setting(self.options, wall)}{more}"

    def _refused(self, name: str) -> tuple[str, ...]:
        """The calls without which this request fails; none where they are not found in time."""
        engine = self.replays.subject.engine()
        document = profile.read_profile(engine.profile(self.options.seccomp))
        refused = profile.refused(document, profile.where(engine.info, self.options))
        with TemporaryDirectory(prefix=f"deadweight-{PURPOSE}-") as folder:

            def works(more: tuple[str, ...]) -> bool:
                file = profile.write(Path(folder) / "profile.json", profile.allowing(document, more))
                return name in self.replays.passing({"seccomp": str(file)})[0]

            calls, whole = refused_calls.find_missing(refused, works, MOST_CALLS)
        return calls if whole else ()
