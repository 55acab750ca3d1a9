"""One build at a pool: on an endpoint, on another when that one is lost, and on two where one is slow."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from deadweight import _run
from deadweight._errors import CommandError, Interrupted, MissingError
from deadweight_pool.dispatch import TICK_SECONDS, Dispatcher, Member, NobodyLeft, Work
from deadweight_pool.endpoint import Endpoint
from deadweight_pool.faults import Fault, judged
from deadweight_pool.journal import Journal

T = TypeVar("T")

MOST_TRIES = 4
"""A build that so many endpoints were lost under is not begun once more: it may be what ends them."""

FULL = "its disk is full"


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


class Endpoints(Protocol):
    """What a build asks of the pool."""

    @property
    def journal(self) -> Journal: ...

    def lose(self, name: str, why: str) -> None:
        """Use an endpoint no more."""
        ...

    def look_again(self) -> None:
        """Use those lost endpoints again that answer."""
        ...

    def answers(self, endpoint: Endpoint) -> str | None:
        """None where an endpoint still answers, else why not."""
        ...


class Build(Generic[T]):
    """One build, from the first attempt to the one that counts."""

    def __init__(self, pool: Endpoints, dispatcher: Dispatcher, work: Work, run: Callable[[Attempt], T]) -> None:
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
        except NobodyLeft:
            raise self._nobody() from None

    def _why(self, member: Member) -> str:
        home = self.dispatcher.home(self.work)
        return "its home" if home == member.endpoint.name else f"its home {home} has more than its share"

    def _nobody(self) -> MissingError:
        lines = "\n".join(f"  {name}: {why}" for name, why in self.dispatcher.lost.items())
        return MissingError(
            f"{self.work.variant}: no endpoint of the pool is left that builds {self.work.platform}:\n{lines}",
            hint="see .deadweight/logs/pool.log; start them again and repeat the build: what is built stays",
        )

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
            self.pool.lose(full, FULL)
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
            raise error if isinstance(error, Interrupted) else Interrupted("interrupted")
        if not isinstance(error, CommandError):
            return None
        fault: Fault = "lost" if ended.lost else judged(error)
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
            self.pool.lose(endpoint.name, FULL)
        elif not ended.lost:
            why = self.pool.answers(endpoint)
            if why is not None:
                self.pool.lose(endpoint.name, why)
        why = self.dispatcher.lost.get(endpoint.name, "the connection broke")
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
