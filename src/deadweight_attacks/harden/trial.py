"""Run a container once with given options; report if it starts in time, answers every request, stays up and stops cleanly."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from deadweight._errors import DeadweightError
from deadweight.checks.budget import check_limits
from deadweight.checks.protocol import Subject
from deadweight.checks.runs import WATCH_SECONDS
from deadweight.checks.service import with_last_lines
from deadweight.engine.faults import CannotStart, Ended, translated
from deadweight.engine.foreground import user_of
from deadweight.engine.options import RunOptions
from deadweight_attacks.walls import wording
from deadweight_workload.asking import CROWD, ask, ask_at_once

if TYPE_CHECKING:
    from deadweight.engine.container import Container, Stopped
    from deadweight.suite.model import Variant

# Which folders a service has to be able to write to, from what its container changed.
ADDED = 1
UNPROBED = ((), ("proc",), ("sys",), ("dev",))
"""The root folder itself, and what the engine mounts there."""


@dataclass(frozen=True)
class WrittenFolders:
    """``exact``: the folders in which files were made or changed. ``lasting``: of each, the one that is there before the service
    starts: a folder that it makes by itself may have another name the next time (``/tmp/tomcat.8080.6949…``). None of either lies
    below another.
    """

    exact: tuple[str, ...] = ()
    lasting: tuple[str, ...] = ()


NOTHING = WrittenFolders()


def written_paths(changes: Iterable[Mapping[str, Any]]) -> WrittenFolders:
    """From the engine's own comparison of a container with its image (``Path``, ``Kind``: 0 changed, 1 added, 2 removed)."""
    kinds = {str(change["Path"]): change.get("Kind") for change in changes if change.get("Kind") in (0, ADDED)}
    parents = {str(parent) for path in kinds for parent in PurePosixPath(path).parents}
    leaves = [PurePosixPath(path) for path in kinds if path not in parents]
    return WrittenFolders(
        outermost(str(path.parent) for path in leaves if _is_own(path.parent)),
        outermost(_lasting(path, kinds) for path in leaves if _is_own(path.parent)),
    )


def outermost(folders: Iterable[str]) -> tuple[str, ...]:
    """Without those below another one, in order."""
    return tuple(sorted(covering(set(folders), lambda folder: folder)))


_T = TypeVar("_T")


def covering(items: Collection[_T], place: Any) -> list[_T]:
    """The items whose folder (``place(item)``) lies below no other's."""
    folders = {str(place(item)) for item in items}
    return [item for item in items if not folders & {str(parent) for parent in PurePosixPath(place(item)).parents}]


def _is_own(folder: PurePosixPath) -> bool:
    return folder.parts[1:2] not in UNPROBED


def _lasting(path: PurePosixPath, kinds: Mapping[str, Any]) -> str:
    """The folder of the image in which everything new on the way to ``path`` was made; a new one in the root folder itself."""
    for place in reversed([path, *path.parents]):
        if kinds.get(str(place)) == ADDED:
            return str(place.parent if _is_own(place.parent) else place)
    return str(path.parent)


PURPOSE = "harden"
SHORT_SECONDS = 1.0
KILLED = "harden.killed"
ROOT = "0:0"
OUTGOING = "bridge"
"""The network of a plain container, which leads out."""


@dataclass(frozen=True)
class Trial:
    """``problem`` empty: everything passed; ``request`` names the one that failed, if one did. ``user`` is the uid:gid that it
    really ran as, ``written`` where it wrote to, ``seconds`` how long it took to come up."""

    problem: str
    user: str = ""
    written: WrittenFolders = NOTHING
    exit_code: int = 0
    seconds: float = 0.0
    request: str = ""

    @property
    def code(self) -> str:
        """That of the problem, where it is in the catalogue."""
        return getattr(self.problem, "code", "")


Mark = Callable[[str], None]
"""Told of the end of a phase."""
Begun = Callable[["Container"], None]
START, AT_ONCE, IDLE, END = "start", "asked at once", "idle", "end"


def attempt(
    subject: Subject,
    options: RunOptions,
    exits: Collection[int] | None = None,
    *,
    watch_seconds: float | None = None,
    mark: Mark = lambda _phase: None,
    begun: Begun = lambda _container: None,
    at_once: Collection[str] = (),
) -> Trial:
    """Start, ask everything that the suite asks, watch and stop as ``runs`` does; ``exits`` are the exit codes to take (None: any).
    Then the requests named ``at_once`` are sent eight at a time: memory and processes that do for one may not do for many.

    ``watch_seconds`` is how long it has to stay up (None: as long as ``runs`` asks). ``mark`` is told of the end of each phase: the
    start, each request by its name, the watch, the end; ``begun`` is told of the container once it runs. What goes wrong is the
    trial's problem; nothing is left behind. Raises MissingError where nothing leads to the service: not even through the engine
    (that takes Go).
    """
    variant = subject.variant
    try:
        container = subject.engine().start(subject.engine_image(), options, purpose=PURPOSE, variant=variant.name)
    except CannotStart as refusal:
        return Trial(refusal.message)
    with container:
        begun(container)
        if options.network != OUTGOING:
            _refuse_unreachable(container, variant.port)
        readiness = container.wait_healthy(variant.health, variant.port)
        if readiness.seconds is None:
            return Trial(with_last_lines(readiness.reason, container), written=written_folders(container))
        healthy_at, user = time.monotonic(), user_of(container)
        mark(START)
        problem, request = _slow(subject, readiness.seconds), ""
        if not problem:
            request, problem = ask(subject, container, mark)
        if at_once and not problem:
            failed = ask_at_once(subject, container, at_once)
            problem = next((f"asked {CROWD} at once: {name}: {why}" for name, why in failed.items()), "")
            mark(AT_ONCE)
        watched = WATCH_SECONDS if watch_seconds is None else watch_seconds
        problem = problem or _watched(container, watched - (time.monotonic() - healthy_at))
        mark(IDLE)
        if problem:
            return Trial(problem, user, written_folders(container), request=request)
        stopped = container.stop(_patience(variant))
        mark(END)
        problem = _unclean(variant, stopped, exits)
        return Trial(problem, user, written_folders(container), stopped.exit_code, readiness.seconds)


def _unclean(variant: Variant, stopped: Stopped, exits: Collection[int] | None) -> str:
    """What is wrong with how it ended; empty where nothing is."""
    if not stopped.in_time:
        return "" if variant.checks.runs.if_killed == "warn" else wording("harden.killed")
    if exits is not None and stopped.exit_code not in exits:
        return wording("harden.exit_code", exit_code=stopped.exit_code)
    return ""


def _patience(variant: Variant) -> float:
    """Seconds for it to end on SIGTERM: few for one that has to be killed anyway, as the suite says of it."""
    limit = variant.checks.runs.stops_within_seconds
    return min(limit, SHORT_SECONDS) if variant.checks.runs.if_killed == "warn" else limit


def _refuse_unreachable(container: Container, port: int | None) -> None:
    """Where nothing leads into its network, it would only be said that it does not get healthy."""
    with contextlib.suppress(Ended):
        container.http(port)


def _slow(subject: Subject, seconds: float) -> str:
    """Whether it came up too late for its budget. A soft limit only warns, here as in ``verify``."""
    budget = subject.variant.checks.budget
    if budget is None or budget.startup_seconds is None:
        return ""
    finding = check_limits("startup_seconds", seconds, (None, budget.startup_seconds.hard), "")
    return finding.text if finding.status == "fail" else ""


def _watched(container: Container, seconds: float) -> str:
    state = container.wait_ended(max(0.0, seconds))
    return "" if state.running else with_last_lines(wording("harden.ended_later", outcome=state.outcome()), container)


def written_folders(container: Container) -> WrittenFolders:
    """Where a service that runs has written to so far."""
    try:
        with translated(f"changes of container {container.name}"):
            changes: Sequence[Mapping[str, Any]] = container.api.diff(container.id) or []
    except DeadweightError:
        return NOTHING
    return written_paths(changes)
