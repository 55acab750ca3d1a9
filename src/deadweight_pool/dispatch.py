"""Assign each variant to a build endpoint: the home of the layers that it shares with others, or a free one if that is overloaded.

A key's home is the endpoint that rendezvous hashing prefers. Work waits for a place there. If the home has more than its share of
all work (``BOUND``), a free endpoint takes it, whole keys first: variants with one key share layers, which are then made once.
If nobody had begun a key, the endpoint that takes it becomes its home.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from deadweight import _run
from deadweight._errors import DeadweightError, Interrupted
from deadweight_images.errors import Message
from deadweight_pool.endpoint import Endpoint, Seen, ranked, wording


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


@dataclass(eq=False)
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
        self.lost: dict[str, Message] = {}

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
                    if not self._fitting(work, without):
                        lost = "\n".join(f"  {name}: {why}" for name, why in self.lost.items())
                        fields = {"variant": work.variant, "platform": work.platform, "lost": lost}
                        raise NobodyLeft(wording("build.no_endpoint", **fields))
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
            usual = [seconds for name, peer in self._up.items() if name != first for seconds in peer.took]
            typical = work.seconds or max(usual, default=0.0)
            least = SLOW_SECONDS if work.seconds else STRANGE_SECONDS
            if not typical or elapsed < max(least, SLOW * typical):
                return None
            free = [peer for name, peer in self._up.items() if name != first and peer.free > 0 and peer.fits(work)]
            if not free:
                return None
            best = min(free, key=lambda peer: (statistics.mean(peer.took) if peer.took else typical, len(peer.running)))
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

    def lose(self, name: str, why: Message) -> bool:
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

    def _fitting(self, work: Work, without: Collection[str] = ()) -> list[str]:
        return [name for name, member in self._up.items() if member.fits(work) and name not in without]

    def home(self, work: Work, without: Collection[str] = ()) -> str:
        """The endpoint that its key prefers, of those that are up, or that took it before; empty where none is left."""
        with self._changed:
            fitting, moved = self._fitting(work, without), self._moved.get(work.key, "")
            return moved if moved in fitting else next(iter(ranked(work.key, fitting)), "")

    def _give(self, member: Member, work: Work) -> None:
        member.running.append(work)
        member.keys.add(work.key)

    def _assign(self) -> None:
        """Hand out free places, the idlest endpoint's first."""
        while True:
            pending = [task for task in self._waiting if task.given is None and self._fitting(task.work, task.without)]
            for member in sorted(self._up.values(), key=lambda peer: len(peer.running) / peer.endpoint.places):
                chosen = self._next(member, pending) if member.free > 0 else None
                if chosen is not None:
                    self._give(member, chosen.work)
                    chosen.given = member.endpoint.name
                    break
            else:
                return
            self._changed.notify_all()

    def _next(self, member: Member, waiting: Sequence[_Waiting]) -> _Waiting | None:
        """What a free endpoint takes: what is at home there, else work of an endpoint that has more than its share."""
        name, homes = member.endpoint.name, {task: self.home(task.work, task.without) for task in waiting}
        own = next((task for task in waiting if homes[task] == name), None)
        if own is not None:
            return own
        up, queued = self._up.values(), Counter(homes.values())
        places = sum(peer.endpoint.places for peer in up)
        share = (len(waiting) + sum(len(peer.running) for peer in up)) / max(1, places)
        crowded = {
            home
            for home, queue in queued.items()
            if (len(self._up[home].running) + queue) / self._up[home].endpoint.places > BOUND * share
        }
        before = self._clock() - SETTLE_SECONDS
        over = [task for task in waiting if homes[task] in crowded and task.since <= before]
        over = [task for task in over if name in self._fitting(task.work, task.without)]
        if not over:
            return None
        begun = {key for peer in up for key in peer.keys}

        def cost(task: _Waiting) -> tuple[bool, bool, int]:
            """What is warm here goes first, then what is warm nowhere, then the longest queue's."""
            return task.work.key not in member.keys, task.work.key in begun, -queued[homes[task]]

        taken = min(over, key=cost)
        if taken.work.key not in begun:
            self._moved[taken.work.key] = name
        return taken
