"""Find the system call whose refusal by a seccomp profile keeps a container from starting.

It starts containers to find out: it tests the runtime's own calls with the runtime itself, because an engine may hang forever if
its runtime is refused a call, and the program's calls with the engine. So no kernel log of refused calls is needed.
"""

from __future__ import annotations

import contextlib
import functools
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deadweight._errors import DeadweightError, Interrupted, wording
from deadweight.engine.faults import CannotStart, stop_if_cancelled
from deadweight.engine.options import RunOptions
from deadweight.engine.seccomp import profile as custom_profile
from deadweight.engine.seccomp import runtime as runtime_calls
from deadweight.engine.seccomp.profile import BY_TIMING
from deadweight.engine.seccomp.runtime import Runtime, runtime_of

if TYPE_CHECKING:
    from deadweight.engine.client import Engine
    from deadweight.suite.model import Health

MOST_CALLS = 4
CHANCES = 3
BUDGET_SECONDS = 120.0
LEAST_SECONDS, FACTOR = 4.0, 4
PURPOSE = "seccomp"
LOADER = (
    "error while loading shared libraries",
    "Error loading shared library",
    "Error relocating",
    "cannot apply additional memory",
)
"""What the loaders of glibc and musl say."""


class StoppedByProfile(CannotStart):
    """A seccomp profile lets no container start."""


@dataclass(frozen=True)
class Refused:
    """``calls`` are needed by ``whom``; ``problem`` is what else is to be said. ``all_told``: with them it starts."""

    calls: tuple[str, ...]
    whom: str
    problem: str = ""
    all_told: bool = True


def is_file(seccomp: str) -> bool:
    """Whether options name a profile of somebody's own."""
    return seccomp not in custom_profile.ENGINES


def check(engine: Engine, options: RunOptions, name: str = "") -> None:
    """See that the engine's runtime starts a container at all under a profile of somebody's own; once for each profile. ``name`` is
    what the profile is called, where the file is one of ours.

    Raises StoppedByProfile with the call, UsageError for a file that is no profile. Says nothing where the runtime cannot be tried
    from here (an engine elsewhere).
    """
    if not is_file(options.seccomp):
        return
    document, where = _profile(engine, options)
    try:
        runtime = runtime_of(engine)
    except DeadweightError:
        return
    found = _of_runtime(runtime, json.dumps(document, sort_keys=True), where)
    if found is not None:
        raise StoppedByProfile(told(name or options.seccomp, found, advise=not name))


def _profile(engine: Engine, options: RunOptions) -> tuple[dict[str, Any], custom_profile.Where]:
    file = engine.profile(options.seccomp)
    return custom_profile.read_profile(file), custom_profile.where(engine.info, options)


def explained(engine: Engine, image: str, options: RunOptions, health: Health, port: int | None, name: str = "") -> str:
    """Why a service does not come up under a profile of somebody's own; empty where it would not under the engine's either. Takes
    up to two minutes. Raises Interrupted."""
    if not is_file(options.seccomp):
        return ""
    try:
        check(engine, options, name)
        found = _OfProgram(engine, image, options.but(host_port=None), health, port).found()
        found = found or _at_times(engine, options)
    except Interrupted:
        raise
    except StoppedByProfile as stopped:
        return stopped.message
    except DeadweightError:
        return ""
    return told(name or options.seccomp, found, advise=not name) if found is not None else ""


def told(file: str, found: Refused, *, advise: bool = False) -> str:
    """One sentence."""
    advice = wording("seccomp.advice") if advise else ""
    if not found.calls:
        return wording("seccomp.stops_always", file=file, problem=found.problem, advice=advice)
    problem = f" ({found.problem})" if found.problem else ""
    calls = ", ".join((*found.calls, *(() if found.all_told else ("…",))))
    return wording("seccomp.stops", file=file, calls=calls, user=found.whom, problem=problem, advice=advice)


@functools.cache
def _of_runtime(runtime: Runtime, profile: str, where: custom_profile.Where) -> Refused | None:
    """What it refuses the runtime itself; None where a container starts."""
    document: Mapping[str, Any] = json.loads(profile)
    problem = ""
    with tempfile.TemporaryDirectory(prefix="deadweight-profile-") as name:

        def starts(more: tuple[str, ...]) -> bool:
            nonlocal problem
            stop_if_cancelled()
            allowed = custom_profile.for_runtime(custom_profile.allowing(document, more), where)
            said = runtime_calls.starting_under(runtime, Path(name), allowed)
            problem = said or problem
            return not said

        refused = custom_profile.refused(document, where)
        held = _held(runtime, document, where)
        if all(starts(()) or starts(()) for _ in range(CHANCES if held else 1)):  # a busy machine may take its time
            return None
        first = problem
        if held and starts(held):
            return Refused(held, wording("seccomp.runtime_at_times", runtime=runtime.told), first)
        if not starts(refused):
            return None  # whatever it is, no call is at fault
        calls, whole = find_missing(refused, starts, MOST_CALLS)
    return Refused(calls, wording("seccomp.runtime_always", runtime=runtime.told), first, whole)


def _held(runtime: Runtime, document: Mapping[str, Any], where: custom_profile.Where) -> tuple[str, ...]:
    """Of what a profile refuses, what a runtime written in Go makes or not, as its scheduler wants it: one start passes, the next
    one hangs."""
    refused = custom_profile.refused(document, where, wholly=True)
    return tuple(each for each in refused if each in BY_TIMING) if runtime.name == "runc" else ()


def _at_times(engine: Engine, options: RunOptions) -> Refused | None:
    """Where a container did not start, and the next one does."""
    runtime = runtime_of(engine)
    held = _held(runtime, *_profile(engine, options))
    return Refused(held, wording("seccomp.runtime_at_times", runtime=runtime.told)) if held else None


@dataclass
class _OfProgram:
    """What it refuses the image's own program, or who loads it. ``before``: the last start failed in the engine."""

    engine: Engine
    image: str
    options: RunOptions
    health: Health
    port: int | None
    problem: str = ""
    before: bool = False
    ended: float = 0.0

    def found(self) -> Refused | None:
        started = time.monotonic()
        if not self._comes_up(self.options.but(seccomp="default")):
            return None
        took = time.monotonic() - started
        within = min(self.health.within_seconds, max(LEAST_SECONDS, took * FACTOR))
        self.health = self.health.model_copy(update={"within_seconds": within})
        self.ended = time.monotonic() + BUDGET_SECONDS
        document, where = _profile(self.engine, self.options)
        refused = custom_profile.refused(document, where)
        with tempfile.TemporaryDirectory(prefix="deadweight-profile-") as folder:
            file = Path(folder) / "profile.json"

            def works(more: tuple[str, ...]) -> bool:
                if time.monotonic() > self.ended:
                    raise DeadweightError(wording("seccomp.search_too_long"))
                file.write_text(json.dumps(custom_profile.allowing(document, more)), encoding="utf-8")
                return self._comes_up(self.options.but(seccomp=str(file)))

            if works(()):
                return None  # it comes up after all
            if not works(refused):
                return Refused((), "", self.problem)
            calls, whole = find_missing(refused, works, MOST_CALLS)
            self.ended = float("inf")
            by_whom = list(dict.fromkeys(self._needed_by(works, calls, call) for call in calls))
        whom = by_whom[0] if len(by_whom) == 1 else " and ".join(by_whom)
        return Refused(calls, whom, all_told=whole) if calls else None

    def _needed_by(self, works: Callable[[tuple[str, ...]], bool], calls: tuple[str, ...], call: str) -> str:
        works(tuple(each for each in calls if each != call))
        if self.before:
            runtime = "the runtime"
            with contextlib.suppress(DeadweightError):
                runtime = runtime_of(self.engine).told
            return wording("seccomp.runtime_for_program", runtime=runtime)
        loader = any(words in self.problem for words in LOADER)
        return wording("seccomp.loader" if loader else "seccomp.program")

    def _comes_up(self, options: RunOptions) -> bool:
        """Whether it gets healthy; else why not is in ``problem``."""
        stop_if_cancelled()
        self.before = False
        try:
            with self.engine.start(self.image, options, purpose=PURPOSE) as container:
                ready = container.wait_healthy(self.health, self.port)
                if not ready.healthy:
                    said = [line.strip() for line in container.last_output(5) if line.strip()]
                    self.problem = ": ".join([ready.reason, *said[-1:]])
                return ready.healthy
        except CannotStart as refusal:
            self.problem = str(refusal.fields.get("problem", refusal.message))
            self.before = True
            return False


# Which of many things have to be added for something to work: by halving, for nearly all of them do not matter.
def find_missing(
    candidates: Sequence[str], works: Callable[[tuple[str, ...]], bool], most: int
) -> tuple[tuple[str, ...], bool]:
    """Those without which it does not work, all others given, and whether it works with them alone. With all candidates it does.

    Of the candidates in order, the fewest first ones that do end with one that is needed; so do those before it, with that one; and
    so on, until ``most`` are found.
    """
    needed: tuple[str, ...] = ()
    pool = tuple(candidates)
    while not (done := works(needed)) and len(needed) < most and pool:
        fewest, enough = 0, len(pool)  # with ``fewest`` of them it does not work, with ``enough`` it does
        while enough - fewest > 1:
            middle = (fewest + enough) // 2
            if works((*pool[:middle], *needed)):
                enough = middle
            else:
                fewest = middle
        needed, pool = (pool[enough - 1], *needed), pool[: enough - 1]
    return needed, done
