"""Run builds on a pool's endpoints; retry elsewhere if one fails."""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Generic, Literal, TypeVar

from deadweight import _run
from deadweight._errors import CommandError, DeadweightError, Interrupted, MissingError
from deadweight.suite.model import PoolCache
from deadweight_pool import settings
from deadweight_pool.dispatch import TICK_SECONDS, Dispatcher, Journal, Member, NobodyLeft, Work
from deadweight_pool.endpoint import Endpoint, Seen, Unreachable, probe, wording

T = TypeVar("T")

# One build at a pool: on an endpoint, on another when that one is lost, and on two where one is slow.
MOST_TRIES = 4
"""A build that so many endpoints were lost under is not begun once more: it may be what ends them."""


@dataclass(frozen=True)
class Attempt:
    """One run of a build on one endpoint. ``number`` counts from 1; ``stop`` ends its programs from another thread."""

    endpoint: Endpoint
    version: str
    number: int
    stop: _run.Stop


@dataclass(frozen=True)
class Made(Generic[T]):
    """What an attempt gave, where, and how that was decided."""

    result: T
    endpoint: Endpoint
    version: str
    decisions: tuple[str, ...]


@dataclass
class _Running(Generic[T]):
    attempt: Attempt
    since: float
    result: T | None = None
    error: BaseException | None = None
    lost: bool = False


class Build(Generic[T]):
    """One build, from the first attempt to the one that counts."""

    def __init__(self, pool: Pool, dispatcher: Dispatcher, work: Work, run: Callable[[Attempt], T]) -> None:
        self.pool, self.dispatcher, self.work, self.run = pool, dispatcher, work, run
        self.ended: queue.SimpleQueue[_Running[T]] = queue.SimpleQueue()
        self.running: dict[str, _Running[T]] = {}
        self.failed: set[str] = set()
        self.full: list[str] = []
        self.begun = 0

    def through(self) -> Made[T]:
        try:
            first = self._take()
            self._begin(first, self._why(first))
            while True:
                ended = self._next_end()
                if ended.error is None:
                    return self._made(ended)
                self._after(ended)
        finally:
            self._stop_all()

    def _take(self) -> Member:
        """A place, of all that did not fail it; else of any that answers: a daemon may have been started again."""
        try:
            return self.dispatcher.take(self.work, self.failed)
        except NobodyLeft:
            self.pool.look_again()
        try:
            return self.dispatcher.take(self.work, ())
        except NobodyLeft as error:
            raise MissingError(error.message, hint=wording("hint.start_endpoints")) from None

    def _why(self, member: Member) -> str:
        home = self.dispatcher.home(self.work)
        return "its home" if home == member.endpoint.name else f"its home {home} has more than its share"

    def _begin(self, member: Member, why: str) -> None:
        self.begun += 1
        attempt = Attempt(member.endpoint, member.seen.version, self.begun, _run.Stop())
        running: _Running[T] = _Running(attempt, time.monotonic())
        self.running[member.endpoint.name] = running
        self._note(f"goes to {member.endpoint.name}{f' ({why})' if why else ''}")
        threading.Thread(target=self._work, args=(running,), daemon=True, name=f"pool-{self.work.variant}").start()

    def _work(self, running: _Running[T]) -> None:
        try:
            running.result = self.run(running.attempt)
        except BaseException as error:  # it is raised again where the build is waited for
            running.error = error
        self.ended.put(running)

    def _next_end(self) -> _Running[T]:
        while True:
            try:
                return self.ended.get(timeout=TICK_SECONDS * 5)
            except queue.Empty:
                self._look_around()

    def _look_around(self) -> None:
        for name, running in self.running.items():
            if self.dispatcher.member(name) is None and not running.lost:
                running.lost = True
                running.attempt.stop.now(grace=False)
        if len(self.running) == 1:
            ((name, first),) = self.running.items()
            elapsed = time.monotonic() - first.since
            member = None if first.lost else self.dispatcher.second(self.work, name, elapsed)
            if member is not None:
                self._begin(member, f"too: {name} has been at it for {elapsed:.0f} s")

    def _made(self, ended: _Running[T]) -> Made[T]:
        name, seconds = ended.attempt.endpoint.name, time.monotonic() - ended.since
        self._note(f"was built on {name} in {seconds:.1f} s")
        self._forget(ended, seconds)
        for full in self.full:
            self.pool.lose(full, wording("endpoint.full"))
        for other in self.running:
            self._note(f"is stopped on {other}: {name} was quicker")
        assert ended.error is None
        decisions = self.pool.journal.of(self.work.variant)
        return Made(ended.result, ended.attempt.endpoint, ended.attempt.version, decisions)  # type: ignore[arg-type]

    def _after(self, ended: _Running[T]) -> None:
        """Go on elsewhere where the endpoint is at fault. Raises the build's own error."""
        error = ended.error
        assert error is not None
        name = ended.attempt.endpoint.name
        self.running.pop(name)
        try:
            fault = self._judged(ended, error)
        finally:
            self.dispatcher.free(name, self.work)  # only now: nobody is to be sent to what may be lost
        if fault is None:
            raise error
        if self.running:
            return
        if self.begun >= MOST_TRIES:
            self._note(f"was begun {self.begun} times: not tried again")
            raise error
        self._begin(self._take(), "again")

    def _judged(self, ended: _Running[T], error: BaseException) -> Fault | None:
        """What an endpoint is at fault for; None where the build is to fail."""
        name = ended.attempt.endpoint.name
        if isinstance(error, Interrupted) or _run.cancelled():
            raise error if isinstance(error, Interrupted) else Interrupted(wording("build.interrupted"))
        if not isinstance(error, CommandError):
            return None
        fault: Fault = "lost" if ended.lost else judge_fault(error)
        if fault == "build" or (fault == "perhaps disk" and self.full):
            self._note(f"failed on {name}: not tried again, the fault is the build's own")
            return None
        self.failed.add(name)
        self._blame(ended, fault)
        return fault

    def _blame(self, ended: _Running[T], fault: str) -> None:
        endpoint = ended.attempt.endpoint
        if fault == "perhaps disk":
            self.full.append(endpoint.name)
            self._note(f"found a full disk on {endpoint.name}")
            return
        if fault == "disk":
            self.pool.lose(endpoint.name, wording("endpoint.full"))
        elif not ended.lost:
            why = self.pool.answers(endpoint)
            if why is not None:
                self.pool.lose(endpoint.name, why)
        why = self.dispatcher.lost.get(endpoint.name, wording("endpoint.connection_lost"))
        self._note(f"is lost on {endpoint.name}: {why}")

    def _forget(self, ended: _Running[T], seconds: float | None = None) -> None:
        name = ended.attempt.endpoint.name
        self.running.pop(name, None)
        self.dispatcher.free(name, self.work, seconds)

    def _stop_all(self) -> None:
        """End what still runs, and wait for it: its files go away with the build."""
        for running in self.running.values():
            running.attempt.stop.now()
        while self.running:
            self._forget(self.ended.get())

    def _note(self, line: str) -> None:
        self.pool.journal.note(line, variant=self.work.variant)


# Whose fault it is that a build failed: the Dockerfile's, or that of the endpoint it ran on.
#
# A build error is never tried again. What BuildKit says last decides, never what a program in the build said:
# ``connection refused`` in the words of ``go mod download`` is the build's own.
Fault = Literal["build", "lost", "disk", "perhaps disk"]

_OWN = re.compile(
    r"did not complete successfully: exit code: \d+|dockerfile parse error|failed to parse|not found$", re.MULTILINE
)
_LOST = re.compile(
    r"Unavailable: |code = Unavailable|error reading from server|error reading server preface|connection error: desc"
    r"|transport is closing|transport: |connection reset by peer|broken pipe|use of closed network connection"
    r"|no active session|session \S+ (?:was )?closed|failed to list workers|failed to dial|failed to get status|unexpected EOF"
    r"|Canceled: |context canceled|DeadlineExceeded|context deadline exceeded|failed to receive status|graceful_stop"
)
_DISK = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)


def judge_fault(error: CommandError) -> Fault:
    """``lost``: the connection, or the daemon, is gone. ``disk``: its disk is full. ``build``: all the rest.

    ``perhaps disk``: a program in the build found a disk full, which may be the daemon's, or a tmpfs of its own.
    """
    last = last_words(error)
    if _OWN.search(last):
        return "perhaps disk" if _DISK.search("\n".join(error.tail)) else "build"
    if _DISK.search(last):
        return "disk"
    return "lost" if error.exit_code_of_command is None or _LOST.search(last) else "build"


def last_words(error: CommandError) -> str:
    """What buildctl itself says in the end, without the words of programs that ran in the build."""
    lines = [line for line in error.tail if line.startswith(("error: ", "ERROR: "))]
    return lines[-1] if lines else ""


AGAIN_SECONDS = 1.0
"""After which a daemon that was just killed, or its machine, no longer takes connections that it then breaks off."""


class Pool:
    """Looks at no endpoint before it is asked for something. ``log`` is where decisions go, ``say`` takes what went wrong."""

    def __init__(self, chosen: settings.Chosen, log: Path, say: Callable[[str], None]) -> None:
        self.cache: PoolCache = chosen.pool.cache
        self.root = chosen.root
        self._lost_after = chosen.pool.lost_after_seconds
        self._chosen = chosen
        self.journal = Journal(log, say)
        self._guard = threading.Lock()
        self._watch: threading.Thread | None = None

    @cached_property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Raises ConfigError for a certificate, or a builder, that is not there."""
        return settings.endpoints(self._chosen)

    @property
    def places(self) -> int:
        """How many builds run at once."""
        return sum(endpoint.places for endpoint in self.endpoints)

    def ready(self, platform: str) -> None:
        """Look at all endpoints. Raises MissingError where none that answers builds for this platform, with what each says."""
        seen = self._dispatcher
        if any(seen_of.fits(endpoint, platform) for endpoint, seen_of in self._seen.values()):
            return
        lines = [f"  {name}: {why}" for name, why in seen.lost.items()]
        lines += [f"  {name}: {_builds(*pair)}" for name, pair in self._seen.items()]
        raise MissingError(
            wording("pool.no_endpoint", file=self._chosen.file, platform=platform, endpoints="\n".join(lines))
        )

    def build(self, work: Work, run: Callable[[Attempt], T]) -> Made[T]:
        """Have ``run`` done on an endpoint. Raises what it raises where that is the build's own fault; MissingError where no
        endpoint is left; Interrupted."""
        with self._guard:
            if self._watch is None:
                self._watch = threading.Thread(target=self._keep_watch, daemon=True, name="pool-watch")
                self._watch.start()
        return Build(self, self._dispatcher, work, run).through()

    @cached_property
    def _seen(self) -> dict[str, tuple[Endpoint, Seen]]:
        self._why: dict[str, str] = {}
        with ThreadPoolExecutor(max_workers=max(1, len(self.endpoints))) as threads:
            found = list(threads.map(self._look, self.endpoints))
        up = {endpoint.name: (endpoint, seen) for endpoint, seen in found if isinstance(seen, Seen)}
        self._why = {endpoint.name: seen for endpoint, seen in found if isinstance(seen, str)}
        for name, why in self._why.items():
            self.journal.note(f"{name} ({self._address(name)}) is not used: {why}", loud=True)
        for name, (endpoint, seen) in up.items():
            self.journal.note(
                f"{name} ({endpoint.address}) is BuildKit {seen.version}, builds {', '.join(seen.platforms)}"
            )
        versions = sorted({seen.version for _, seen in up.values()})
        if len(versions) > 1:
            what = f"endpoints are of different versions ({', '.join(versions)}): the same build may give other bytes"
            self.journal.note(what, loud=True)
        return up

    @cached_property
    def _dispatcher(self) -> Dispatcher:
        found = Dispatcher(self._seen)
        found.lost |= self._why
        return found

    def _address(self, name: str) -> str:
        return next(endpoint.address for endpoint in self.endpoints if endpoint.name == name)

    def _look(self, endpoint: Endpoint) -> tuple[Endpoint, Seen | str]:
        try:
            return endpoint, probe(endpoint, self._lost_after)
        except Unreachable as error:
            return endpoint, error.why

    def _keep_watch(self) -> None:
        """Ask every endpoint that builds, again and again: a machine that froze breaks no connection."""
        while not _run.cancelled():
            time.sleep(max(1.0, self._lost_after / 4))
            asked = [
                threading.Thread(target=self._check, args=(each,), daemon=True) for each in self._dispatcher.busy()
            ]
            for thread in asked:
                thread.start()
            for thread in asked:
                thread.join()

    def _check(self, endpoint: Endpoint) -> None:
        try:
            why = self.answers(endpoint)
            if why is not None:
                self.lose(endpoint.name, why)
        except DeadweightError:
            return  # interrupted

    def lose(self, name: str, why: str) -> None:
        """Use an endpoint no more, and say so once."""
        if self._dispatcher.lose(name, why):
            self.journal.note(f"{name} is lost: {why}", loud=True)

    def look_again(self) -> None:
        """Use those lost endpoints again that answer. Those whose disk was full are left alone."""
        lost, full = self._dispatcher.lost, wording("endpoint.full")
        for endpoint in self.endpoints:
            if lost.get(endpoint.name, full) == full:
                continue
            seen = self._look(endpoint)[1]
            if isinstance(seen, Seen):
                self._dispatcher.regain(endpoint, seen)
                self.journal.note(f"{endpoint.name} answers again", loud=True)

    def answers(self, endpoint: Endpoint) -> str | None:
        """None where an endpoint still answers, else why not."""
        why = self._problem(endpoint)
        if why not in (None, wording("endpoint.silent")):  # after a broken connection, the next try says why
            time.sleep(AGAIN_SECONDS)
            why = self._problem(endpoint)
        broken = why == wording("endpoint.not_accepted")  # it took our certificate before
        return wording("endpoint.connections_broken") if broken else why

    def _problem(self, endpoint: Endpoint) -> str | None:
        try:
            probe(endpoint, self._lost_after)
        except Unreachable as error:
            return error.why
        return None


def _builds(endpoint: Endpoint, seen: Seen) -> str:
    told = ", ".join(seen.platforms)
    if not endpoint.wanted:
        return wording("endpoint.builds", platforms=told)
    return wording("endpoint.builds_some", platforms=told, wanted=", ".join(endpoint.wanted))
