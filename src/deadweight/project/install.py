"""Get what a survey found missing: system packages, wheels and Go builds side by side, each with a log of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from deadweight import _sudo as sudo
from deadweight._errors import DeadweightError, Interrupted, MissingError
from deadweight._run import cancel_all
from deadweight.engine import daemon
from deadweight.project.survey import ENGINE, Finding
from deadweight.records.paths import user_cache
from deadweight.toolchain import catalogue, golang, system, wheels
from deadweight.toolchain.find import look
from deadweight.toolchain.pins import Program

Say = Callable[[str], None]
_BUILD_ORDER = ("crane", "apko", "melange", "ko", "buildx", "buildctl", "buildkitd")
"""Each leaves compiled packages that the next one shares."""


@dataclass(frozen=True)
class Installed:
    """One thing that was got, and how long that took (seconds)."""

    name: str
    seconds: float
    log: Path


def install(
    findings: Iterable[Finding], say: Say, *, jobs: int = 4, log_folder: Path | None = None
) -> tuple[Installed, ...]:
    """Get everything in ``findings`` that is not present. One line per start and end goes to ``say``.

    Independent things go on when one fails. Raises MissingError listing all that could not be got, with each reason and log;
    Interrupted on Ctrl-C, after every child has ended.
    """
    wanted = [finding for finding in findings if not finding.present]
    _refuse_hopeless(wanted)
    programs = [(catalogue.program(each.name), each) for each in wanted if each.name != ENGINE]
    engine = next((each for each in wanted if each.name == ENGINE), None)
    if engine is not None and look("dockerd").tool is None:
        programs.append((catalogue.program("dockerd"), engine))
    work = _Work(say, log_folder or user_cache() / "logs")
    lanes = _lanes(work, programs, _engine_work(engine))
    with ThreadPoolExecutor(max_workers=max(1, jobs), thread_name_prefix="setup") as pool:
        running: list[Future[None]] = [pool.submit(lane) for lane in lanes]
        try:
            wait(running)
        except KeyboardInterrupt:
            cancel_all()
            wait(running)
            raise Interrupted("interrupted: unfinished files were removed") from None
    for future in running:
        future.result()
    if work.failures:
        raise MissingError("could not get: " + "\n".join(work.failures), hint="fix this and try again")
    return tuple(work.done)


def _engine_work(engine: Finding | None) -> Callable[[Say], object] | None:
    """What is done for the engine: one of ours that answers and runs nothing is started anew.

    Root's is started when it is first needed; through sudo it is asked for here, with the rest.
    """
    if engine is not None and engine.how == daemon.START_ANEW:
        return daemon.start_anew
    return daemon.find_or_start if engine is not None and not sudo.is_root() else None


def _refuse_hopeless(wanted: Sequence[Finding]) -> None:
    """Say what only the user can install before any work is begun."""
    hopeless = [finding for finding in wanted if not finding.gettable]
    if hopeless:
        lines = [f"{each.name}: {each.reason or each.status} (get it with: {each.how})" for each in hopeless]
        why = system.can_install()
        head = "install these by hand" + (f" ({why})" if why else "")
        raise MissingError(f"{head}:\n  " + "\n  ".join(lines), hint="then run invoke setup")


def _lanes(
    work: _Work, programs: Sequence[tuple[Program, Finding]], starts: Callable[[Say], object] | None
) -> list[Callable[[], None]]:
    """What may run side by side. Within a lane: one after another. ``starts`` gets the engine to run."""
    packages = [entry for entry, _ in programs if entry.kind == "system"]
    debs = [pair for pair in programs if pair[0].kind == "deb"]
    sdk = [pair for pair in programs if pair[0].name == "go"]
    carried = [pair for pair in programs if pair[0].kind == "wheel" and pair not in sdk]
    built = sorted((pair for pair in programs if pair[0].kind == "go"), key=lambda pair: turn(pair[0].name))

    def apt() -> None:
        names = ", ".join(dict.fromkeys(entry.name for entry in packages))
        there = not packages or work.get(names, "apt", partial(system.install, packages))
        if starts and there:
            work.get(ENGINE, ENGINE, lambda _log: starts(work.say))
        for entry, each in debs:
            work.get(entry.name, entry.name, partial(system.unpack, entry, anew=_anew(each)))

    def go() -> None:
        for entry, each in sdk:
            if not work.get(entry.name, entry.name, partial(wheels.get, entry, anew=_anew(each))):
                work.failures.extend(f"{tool.name}: needs Go" for tool, _ in built)
                return
        _build_all(work, built)

    def pip() -> None:
        for entry, each in carried:
            work.get(entry.name, entry.name, partial(wheels.get, entry, anew=_anew(each)))

    lanes = ((go, sdk or built), (apt, packages or debs or starts is not None), (pip, carried))
    return [lane for lane, needed in lanes if needed]


def turn(name: str) -> int:
    """When a Go program is built: tools that share packages one after another, all others (a plug-in's, say) after them."""
    return _BUILD_ORDER.index(name) if name in _BUILD_ORDER else len(_BUILD_ORDER)


def _build_all(work: _Work, built: Sequence[tuple[Program, Finding]]) -> None:
    """Compile one tool while the next ones' modules are being downloaded."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="fetch") as fetcher:
        for entry, _ in built[1:]:
            fetcher.submit(work.prefetch, entry)
        for entry, each in built:
            work.get(entry.name, entry.name, partial(golang.build, entry, anew=_anew(each)))


def _anew(finding: Finding) -> bool:
    return finding.status == "unusable"


class _Work:
    """Keeps the score of an installation: what was got, what failed, and a log file each."""

    def __init__(self, say: Say, logs: Path) -> None:
        self.say, self._logs = say, logs
        self.done: list[Installed] = []
        self.failures: list[str] = []

    def get(self, name: str, log_name: str, action: Callable[[Path], object]) -> bool:
        log = self._logs / f"setup-{log_name}.log"
        log.unlink(missing_ok=True)
        self.say(f"getting {name}")
        started = time.monotonic()
        try:
            action(log)
        except Interrupted:
            raise
        except DeadweightError as error:
            self.failures.append(f"{name}: {error}")
            self.say(f"could not get {name}: {error.message.splitlines()[0]}")
            return False
        took = time.monotonic() - started
        self.done.append(Installed(name, took, log))
        self.say(f"got {name} in {took:.1f} s")
        return True

    def prefetch(self, entry: Program) -> None:
        """A failed download is told by the build that needs it."""
        try:
            golang.fetch(entry, self._logs / f"setup-{entry.name}-modules.log")
        except DeadweightError:
            return
