"""The pool: its endpoints as they answered, watched while they build."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from deadweight import _run
from deadweight._errors import DeadweightError, MissingError
from deadweight.suite.pool import PoolCache
from deadweight_pool import settings
from deadweight_pool.ask import NOT_ACCEPTED, SILENT, Unreachable, ask
from deadweight_pool.build import FULL, Attempt, Build, Made
from deadweight_pool.dispatch import Dispatcher, Work
from deadweight_pool.endpoint import Endpoint, Seen
from deadweight_pool.journal import Journal

T = TypeVar("T")
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
        return sum(each.places for each in self.endpoints)

    def ready(self, platform: str) -> None:
        """Look at all endpoints. Raises MissingError where none that answers builds for this platform, with what each says."""
        seen = self._dispatcher
        if any(seen_of.fits(endpoint, platform) for endpoint, seen_of in self._seen.values()):
            return
        lines = [f"  {name}: {why}" for name, why in seen.lost.items()]
        lines += [f"  {name}: builds {_builds(*pair)}" for name, pair in self._seen.items()]
        raise MissingError(
            f"no endpoint of the pool in {self._chosen.file} builds {platform}:\n" + "\n".join(lines),
            hint=f"start or add one that does; or build with the engine here: {settings.VARIABLE}={settings.NONE}",
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
        return next(each.address for each in self.endpoints if each.name == name)

    def _look(self, endpoint: Endpoint) -> tuple[Endpoint, Seen | str]:
        try:
            return endpoint, ask(endpoint, self._lost_after)
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
        lost = self._dispatcher.lost
        for endpoint in self.endpoints:
            if lost.get(endpoint.name, FULL) == FULL:
                continue
            seen = self._look(endpoint)[1]
            if isinstance(seen, Seen):
                self._dispatcher.regain(endpoint, seen)
                self.journal.note(f"{endpoint.name} answers again", loud=True)

    def answers(self, endpoint: Endpoint) -> str | None:
        """None where an endpoint still answers, else why not."""
        why = self._problem(endpoint)
        if why is not None and why != SILENT:  # what broke off in the middle says little: the next try tells why
            time.sleep(AGAIN_SECONDS)
            why = self._problem(endpoint)
        return "it breaks off every connection" if why == NOT_ACCEPTED else why  # it took our certificate before

    def _problem(self, endpoint: Endpoint) -> str | None:
        try:
            ask(endpoint, self._lost_after)
        except Unreachable as error:
            return error.why
        return None


def _builds(endpoint: Endpoint, seen: Seen) -> str:
    told = ", ".join(seen.platforms)
    if not endpoint.wanted:
        return told
    asked = ", ".join(endpoint.wanted)
    return f"{told}, and may be given {asked} alone"
