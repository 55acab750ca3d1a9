"""Run builds on a pool's endpoints; retry elsewhere if one fails."""

from __future__ import annotations

import contextlib
import queue
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from deadweight import _run
from deadweight._errors import CommandError, DeadweightError, Interrupted, MissingError
from deadweight.suite.model import PoolCache
from deadweight_images.errors import Message
from deadweight_pool import settings
from deadweight_pool.dispatch import TICK_SECONDS, Dispatcher, Journal, Member, NobodyLeft, Work
from deadweight_pool.endpoint import Endpoint, Seen, Unreachable, probe, wording

# One build at a pool: on an endpoint, on another when that one is lost, and on two where one is slow.
MOST_TRIES = 4
"""A build that so many endpoints were lost under is not begun once more: it may be what ends them."""


@dataclass
class Attempt:
    """One run of a build on one endpoint. ``number`` counts from 1; ``stop`` ends its programs from another thread.

    It ends with the image's ``archive`` or an ``error``. ``lost``: the endpoint was lost under it.
    """

    endpoint: Endpoint
    version: str
    number: int
    stop: _run.Stop = field(default_factory=_run.Stop)
    since: float = field(default_factory=time.monotonic)
    archive: Path | None = None
    error: BaseException | None = None
    lost: bool = False


@dataclass(frozen=True)
class Made:
    """What an attempt gave, where, and how that was decided."""

    archive: Path
    endpoint: Endpoint
    version: str
    decisions: tuple[str, ...]


class Build:
    """One build, from the first attempt to the one that counts."""

    def __init__(self, pool: Pool, dispatcher: Dispatcher, work: Work, run: Callable[[Attempt], Path]) -> None:
        self.pool, self.dispatcher, self.work, self.run = pool, dispatcher, work, run
        self.ended: queue.SimpleQueue[Attempt] = queue.SimpleQueue()
        self.running: dict[str, Attempt] = {}
        self.failed: set[str] = set()
        self.full: list[str] = []
        self.begun = 0

    def run_to_end(self) -> Made:
        try:
            first, home = self._take(), self.dispatcher.home(self.work)
            at_home = home == first.endpoint.name
            self._begin(first, wording("journal.home") if at_home else wording("journal.home_full", endpoint=home))
            while True:
                ended = self._next_end()
                if ended.archive is not None:
                    return self._made(ended, ended.archive)
                self._after(ended)
        finally:
            self._stop_all()

    def _take(self) -> Member:
        """A place, of all that did not fail it; else of any that answers: a daemon may have been started again."""
        try:
            return self.dispatcher.take(self.work, self.failed)
        except NobodyLeft:
            self.pool.retry_lost()
        try:
            return self.dispatcher.take(self.work, ())
        except NobodyLeft as error:
            raise MissingError(error.message, hint=wording("hint.start_endpoints")) from None

    def _begin(self, member: Member, why: str) -> None:
        self.begun += 1
        attempt = self.running[member.endpoint.name] = Attempt(member.endpoint, member.seen.version, self.begun)
        self._note(wording("journal.goes", endpoint=member.endpoint.name, why=why))
        threading.Thread(target=self._work, args=(attempt,), daemon=True, name=f"pool-{self.work.variant}").start()

    def _work(self, attempt: Attempt) -> None:
        try:
            attempt.archive = self.run(attempt)
        except BaseException as error:  # it is raised again where the build is waited for
            attempt.error = error
        self.ended.put(attempt)

    def _next_end(self) -> Attempt:
        while True:
            try:
                return self.ended.get(timeout=TICK_SECONDS * 5)
            except queue.Empty:
                self._supervise()

    def _supervise(self) -> None:
        for name, attempt in self.running.items():
            if name in self.dispatcher.lost and not attempt.lost:
                attempt.lost = True
                attempt.stop.now(grace=False)
        if len(self.running) == 1:
            ((name, first),) = self.running.items()
            elapsed = time.monotonic() - first.since
            member = None if first.lost else self.dispatcher.second(self.work, name, elapsed)
            if member is not None:
                self._begin(member, wording("journal.slow", endpoint=name, seconds=round(elapsed)))

    def _made(self, ended: Attempt, archive: Path) -> Made:
        name, seconds = ended.endpoint.name, time.monotonic() - ended.since
        self._note(wording("journal.built", endpoint=name, seconds=seconds))
        self._forget(ended, seconds)
        for full in self.full:
            self.pool.lose(full, wording("endpoint.full"))
        for other in self.running:
            self._note(wording("journal.stopped", other=other, endpoint=name))
        return Made(archive, ended.endpoint, ended.version, self.pool.journal.of(self.work.variant))

    def _after(self, ended: Attempt) -> None:
        """Go on elsewhere where the endpoint is at fault. Raises the build's own error."""
        error, name = ended.error, ended.endpoint.name
        assert error is not None
        self.running.pop(name)
        try:
            self._blame_or_raise(ended, error)
        finally:
            self.dispatcher.free(name, self.work)  # only now: nobody is to be sent to what may be lost
        if self.running:
            return
        if self.begun >= MOST_TRIES:
            self._note(wording("journal.given_up", times=self.begun))
            raise error
        self._begin(self._take(), wording("journal.again"))

    def _blame_or_raise(self, ended: Attempt, error: BaseException) -> None:
        """Blame the endpoint. Raises the error where the build is to fail."""
        name = ended.endpoint.name
        if isinstance(error, Interrupted) or _run.cancelled():
            raise error if isinstance(error, Interrupted) else Interrupted(wording("build.interrupted"))
        if not isinstance(error, CommandError):
            raise error
        fault: Fault = "lost" if ended.lost else judge_fault(error)
        if fault == "build" or (fault == "perhaps disk" and self.full):
            self._note(wording("journal.failed", endpoint=name))
            raise error
        self.failed.add(name)
        self._blame(ended, fault)

    def _blame(self, ended: Attempt, fault: str) -> None:
        endpoint = ended.endpoint
        if fault == "perhaps disk":
            self.full.append(endpoint.name)
            self._note(wording("journal.disk", endpoint=endpoint.name))
            return
        if fault == "disk":
            self.pool.lose(endpoint.name, wording("endpoint.full"))
        elif not ended.lost:
            self.pool.check(endpoint)
        why = self.dispatcher.lost.get(endpoint.name, wording("endpoint.connection_lost"))
        self._note(wording("journal.lost", endpoint=endpoint.name, reason=why))

    def _forget(self, ended: Attempt, seconds: float | None = None) -> None:
        self.running.pop(ended.endpoint.name, None)
        self.dispatcher.free(ended.endpoint.name, self.work, seconds)

    def _stop_all(self) -> None:
        """End what still runs, and wait for it: its files go away with the build."""
        for attempt in self.running.values():
            attempt.stop.now()
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
    # What buildctl itself says in the end, without the words of programs that ran in the build.
    last = next((line for line in reversed(error.tail) if line.startswith(("error: ", "ERROR: "))), "")
    if _OWN.search(last):
        return "perhaps disk" if _DISK.search("\n".join(error.tail)) else "build"
    if _DISK.search(last):
        return "disk"
    return "lost" if error.exit_code_of_command is None or _LOST.search(last) else "build"


AGAIN_SECONDS = 1.0
"""After which a daemon that was just killed, or its machine, no longer takes connections that it then breaks off."""


class Pool:
    """Looks at no endpoint before it is asked for something. ``log`` is where decisions go, ``say`` takes what went wrong."""

    def __init__(self, chosen: settings.Chosen, log: Path, say: Callable[[str], None]) -> None:
        self.cache: PoolCache = chosen.pool.cache
        self._lost_after = chosen.pool.lost_after_seconds
        self._chosen = chosen
        self.journal = Journal(log, say)
        self._guard = threading.Lock()
        self._watch: threading.Thread | None = None

    @cached_property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Raises ConfigError for a certificate, or a builder, that is not there."""
        return settings.endpoints(self._chosen)

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

    def build(self, work: Work, run: Callable[[Attempt], Path]) -> Made:
        """Have ``run`` done on an endpoint. Raises what it raises where that is the build's own fault; MissingError where no
        endpoint is left; Interrupted."""
        with self._guard:
            if self._watch is None:
                self._watch = threading.Thread(target=self._keep_watch, daemon=True, name="pool-watch")
                self._watch.start()
        return Build(self, self._dispatcher, work, run).run_to_end()

    @cached_property
    def _seen(self) -> dict[str, tuple[Endpoint, Seen]]:
        up: dict[str, tuple[Endpoint, Seen]] = {}
        self._why: dict[str, Message] = {}
        with ThreadPoolExecutor(max_workers=max(1, len(self.endpoints))) as threads:
            looks = list(threads.map(self._probe, self.endpoints))
        for endpoint, seen in zip(self.endpoints, looks, strict=True):
            name = endpoint.name
            if isinstance(seen, Seen):
                up[name], platforms = (endpoint, seen), ", ".join(seen.platforms)
                what = wording("journal.up", version=seen.version, platforms=platforms)
            else:
                self._why[name], what = seen, wording("journal.unused", reason=seen)
            self.journal.note(f"{name} ({endpoint.address}) {what}", loud=name in self._why)
        versions = sorted({seen.version for _, seen in up.values()})
        if len(versions) > 1:
            self.journal.note(wording("journal.versions", versions=", ".join(versions)), loud=True)
        return up

    @cached_property
    def _dispatcher(self) -> Dispatcher:
        dispatcher = Dispatcher(self._seen)
        dispatcher.lost |= self._why
        return dispatcher

    def _probe(self, endpoint: Endpoint) -> Seen | Message:
        """What an endpoint says of itself, or why it cannot be used."""
        try:
            return probe(endpoint, self._lost_after)
        except Unreachable as error:
            return error.why

    def _keep_watch(self) -> None:
        """Ask every endpoint that builds, again and again: a machine that froze breaks no connection."""
        while not _run.cancelled():
            time.sleep(max(1.0, self._lost_after / 4))
            busy = self._dispatcher.busy()
            asked = [threading.Thread(target=self.check, args=(endpoint,), daemon=True) for endpoint in busy]
            for thread in asked:
                thread.start()
            for thread in asked:
                thread.join()

    def check(self, endpoint: Endpoint) -> None:
        """Use an endpoint no more that does not answer."""
        with contextlib.suppress(DeadweightError):  # interrupted
            if (why := self._silence(endpoint)) is not None:
                self.lose(endpoint.name, why)

    def lose(self, name: str, why: Message) -> None:
        """Use an endpoint no more, and say so once."""
        if self._dispatcher.lose(name, why):
            self.journal.note(wording("journal.is_lost", endpoint=name, reason=why), loud=True)

    def retry_lost(self) -> None:
        """Use those lost endpoints again that answer. Those whose disk was full are left alone."""
        lost = self._dispatcher.lost
        for endpoint in self.endpoints:
            if (why := lost.get(endpoint.name)) is None or why.code == "endpoint.full":
                continue
            seen = self._probe(endpoint)
            if isinstance(seen, Seen):
                self._dispatcher.regain(endpoint, seen)
                self.journal.note(wording("journal.answers_again", endpoint=endpoint.name), loud=True)

    def _silence(self, endpoint: Endpoint) -> Message | None:
        """None where an endpoint still answers, else why not."""
        seen = self._probe(endpoint)
        if isinstance(seen, Message) and seen.code != "endpoint.silent":  # a broken connection: the next try says why
            time.sleep(AGAIN_SECONDS)
            seen = self._probe(endpoint)
        if isinstance(seen, Message) and seen.code == "endpoint.not_accepted":  # it took our certificate before
            return wording("endpoint.connections_broken")
        return seen if isinstance(seen, Message) else None


def _builds(endpoint: Endpoint, seen: Seen) -> str:
    platforms = ", ".join(seen.platforms)
    if not endpoint.wanted:
        return wording("endpoint.builds", platforms=platforms)
    return wording("endpoint.builds_some", platforms=platforms, wanted=", ".join(endpoint.wanted))
