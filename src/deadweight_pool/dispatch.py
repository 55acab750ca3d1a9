"""Assign each variant to a build endpoint: its home, where shared layers are, or a free one.

A key's home is the endpoint that rendezvous hashing prefers. Work waits for a place there. If the home has more than its share of
all work (``BOUND``), a free endpoint takes it, whole keys first: variants with one key share layers, which are then made once.
If nobody had begun a key, the endpoint that takes it becomes its home.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from deadweight import _run
from deadweight._errors import DeadweightError, Interrupted
from deadweight_pool import wording
from deadweight_pool.endpoint import Endpoint, Seen, ranked


# Every decision of a pool, with its time and reason: a line in ``logs/pool.log``, and kept with what is built.
class Journal:
    """Thread-safe. ``say`` takes what the user should see at once: what was lost, and what that means."""

    def __init__(self, file: Path, say: Callable[[str], None]) -> None:
        self._file, self._say, self._guard = file, say, threading.Lock()
        self._of: dict[str, list[str]] = defaultdict(list)

    def note(self, line: str, *, variant: str = "", loud: bool = False) -> None:
        """Write a decision down; ``variant`` is the one that it is about."""
        whole = f"{variant}: {line}" if variant else line
        with self._guard:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a", encoding="utf-8") as file:
                file.write(f"{datetime.now(UTC).isoformat(timespec='milliseconds')} {whole}\n")
            if variant:
                self._of[variant].append(line)
        if loud:
            self._say(f"pool: {whole}")

    def of(self, variant: str) -> tuple[str, ...]:
        """What was decided of one variant in this run, oldest first."""
        with self._guard:
            return tuple(self._of[variant])


BOUND = 1.25
"""How much more than its share of the work an endpoint keeps while another is free."""

SETTLE_SECONDS = 0.3
"""Work comes in a burst; nobody takes another's before it has all come."""

SLOW = 2.0
"""A build that takes so many times as long as others did elsewhere is begun on a free endpoint too."""

SLOW_SECONDS = 5.0
STRANGE_SECONDS = 30.0
"""The same of a build that nobody has seen end: how long others took says little of it."""

TICK_SECONDS = 0.1


@dataclass(frozen=True)
class Work:
    """One variant to build. ``key`` stands for what it shares with others; ``seconds`` is what it took last time, 0 if unknown."""

    variant: str
    key: str
    platform: str
    seconds: float = 0.0


class NobodyLeft(DeadweightError):
    """No endpoint is left that builds for the platform."""

    exit_code = 3


@dataclass
class _Waiting:
    work: Work
    without: frozenset[str]
    since: float
    given: str | None = None


@dataclass
class Member:
    """An endpoint that is up, and what it does."""

    endpoint: Endpoint
    seen: Seen
    running: list[Work] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    took: list[float] = field(default_factory=list)

    @property
    def free(self) -> int:
        return self.endpoint.places - len(self.running)

    def fits(self, work: Work) -> bool:
        return self.seen.fits(self.endpoint, work.platform)


class Dispatcher:
    """Thread-safe. ``lost`` maps an endpoint's name to why it is no longer used."""

    def __init__(
        self, members: Mapping[str, tuple[Endpoint, Seen]], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._up = {name: Member(*pair) for name, pair in members.items()}
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: list[_Waiting] = []
        self._moved: dict[str, str] = {}
        self.lost: dict[str, str] = {}

    @property
    def places(self) -> int:
        return sum(member.endpoint.places for member in self._up.values())

    def member(self, name: str) -> Member | None:
        """The endpoint of that name, while it is up."""
        return self._up.get(name)

    def busy(self) -> list[Endpoint]:
        """The endpoints that are building."""
        with self._changed:
            return [member.endpoint for member in self._up.values() if member.running]

    def take(self, work: Work, without: Collection[str] = ()) -> Member:
        """Wait for a place. ``without`` are endpoints that it must not go to. Raises NobodyLeft, and Interrupted after Ctrl-C."""
        mine = _Waiting(work, frozenset(without), self._clock())
        with self._changed:
            self._waiting.append(mine)
            try:
                while mine.given is None:
                    if _run.cancelled():
                        raise Interrupted(wording("build.interrupted"))
                    if not self._fitting(mine):
                        lost = "\n".join(f"  {name}: {why}" for name, why in self.lost.items())
                        raise NobodyLeft(
                            wording("build.no_endpoint", variant=work.variant, platform=work.platform, lost=lost)
                        )
                    self._assign()
                    if mine.given is None:
                        self._changed.wait(TICK_SECONDS)
                return self._up[mine.given]
            finally:
                self._waiting.remove(mine)
                self._changed.notify_all()

    def second(self, work: Work, first: str, elapsed: float) -> Member | None:
        """A free endpoint for work that another is slow with, where nothing else waits; the place is taken then."""
        with self._changed:
            there = self._up.get(first)
            if self._waiting or there is None:
                return None
            usual = [seconds for name, each in self._up.items() if name != first for seconds in each.took]
            typical = work.seconds or max(usual, default=0.0)
            least = SLOW_SECONDS if work.seconds else STRANGE_SECONDS
            if not typical or elapsed < max(least, SLOW * typical):
                return None
            free = [each for name, each in self._up.items() if name != first and each.free > 0 and each.fits(work)]
            if not free:
                return None
            best = min(free, key=lambda each: (statistics.mean(each.took) if each.took else typical, len(each.running)))
            self._give(best, work)
            return best

    def free(self, name: str, work: Work, seconds: float | None = None) -> None:
        """Give a place back; ``seconds`` is what the work took where it was done."""
        with self._changed:
            there = self._up.get(name)
            if there is not None and work in there.running:
                there.running.remove(work)
                if seconds is not None:
                    there.took.append(seconds)
            self._changed.notify_all()

    def lose(self, name: str, why: str) -> bool:
        """Use an endpoint no more. False where that is known already."""
        with self._changed:
            known = self._up.pop(name, None) is None
            if not known:
                self.lost[name] = why
            self._changed.notify_all()
            return not known

    def regain(self, endpoint: Endpoint, seen: Seen) -> None:
        """Use a lost endpoint again."""
        with self._changed:
            self.lost.pop(endpoint.name, None)
            self._up.setdefault(endpoint.name, Member(endpoint, seen))
            self._changed.notify_all()

    def _fitting(self, waiting: _Waiting) -> list[str]:
        return [name for name, each in self._up.items() if each.fits(waiting.work) and name not in waiting.without]

    def home(self, work: Work) -> str | None:
        """The endpoint that its key prefers, of those that are up; or that took it before."""
        with self._changed:
            fitting = [name for name, each in self._up.items() if each.fits(work)]
            moved = self._moved.get(work.key)
            return moved if moved in fitting else next(iter(ranked(work.key, fitting)), None)

    def _home(self, waiting: _Waiting) -> str:
        fitting, moved = self._fitting(waiting), self._moved.get(waiting.work.key)
        return moved if moved in fitting else ranked(waiting.work.key, fitting)[0]

    def _give(self, member: Member, work: Work) -> None:
        member.running.append(work)
        member.keys.add(work.key)

    def _assign(self) -> None:
        """Hand out free places, the idlest endpoint's first."""
        while True:
            waiting = [candidate for candidate in self._waiting if candidate.given is None and self._fitting(candidate)]
            for member in sorted(self._up.values(), key=lambda each: len(each.running) / each.endpoint.places):
                found = self._next(member, waiting) if member.free > 0 else None
                if found is not None:
                    self._give(member, found.work)
                    found.given = member.endpoint.name
                    break
            else:
                return
            self._changed.notify_all()

    def _next(self, member: Member, waiting: Sequence[_Waiting]) -> _Waiting | None:
        name, homes = member.endpoint.name, {id(candidate): self._home(candidate) for candidate in waiting}
        own = next((candidate for candidate in waiting if homes[id(candidate)] == name), None)
        if own is not None:
            return own
        queued: dict[str, int] = defaultdict(int)
        for candidate in waiting:
            queued[homes[id(candidate)]] += 1
        share = (len(waiting) + sum(len(each.running) for each in self._up.values())) / max(1, self.places)
        over = [
            candidate
            for candidate in waiting
            if name in self._fitting(candidate)
            and self._clock() - candidate.since >= SETTLE_SECONDS
            and self._load(homes[id(candidate)], queued) > BOUND * share
        ]
        if not over:
            return None
        begun = {key for each in self._up.values() for key in each.keys}
        taken = min(over, key=lambda each: self._cost(each, member, begun, queued[homes[id(each)]]))
        if taken.work.key not in begun:
            self._moved[taken.work.key] = name
        return taken

    def _load(self, name: str, queued: Mapping[str, int]) -> float:
        member = self._up[name]
        return (len(member.running) + queued[name]) / member.endpoint.places

    @staticmethod
    def _cost(waiting: _Waiting, member: Member, begun: Collection[str], queue: int) -> tuple[int, int]:
        """What is warm here goes first, then what is warm nowhere, then the longest queue's."""
        key = waiting.work.key
        return (0 if key in member.keys else 1 if key not in begun else 2), -queue
