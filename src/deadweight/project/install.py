"""Install missing tools: system packages, wheels and Go builds, as tasks of a plan with one log each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from deadweight import _sudo as sudo
from deadweight._errors import DeadweightError, Interrupted, MissingError, wording
from deadweight.engine import daemon
from deadweight.plan.graph import Lane, Preparation, Task, preparation
from deadweight.plan.scheduler import Outcome
from deadweight.project.survey import ENGINE, Finding
from deadweight.toolchain import catalogue, golang, system, tool_cache
from deadweight.toolchain.catalogue import Program
from deadweight.toolchain.find import look

Say = Callable[[str], None]
PACKAGES = "system packages"
_BUILD_ORDER = (
    "melange", "ko", "crane", "apko", "buildx", "buildctl", "buildkitd"
)  # fmt: skip
"""First what other set-up waits for (melange makes the APK packages). Each leaves compiled packages that the next ones share."""


def raise_if_missing(outcomes: Iterable[Outcome]) -> None:
    """Raises MissingError that lists what could not be got; what stood on it is not named again. Interrupted on Ctrl-C."""
    failed = [
        outcome for outcome in outcomes if isinstance(outcome.task.step, Preparation) and outcome.error is not None
    ]
    if any(isinstance(outcome.error, Interrupted) for outcome in failed):
        raise Interrupted(wording("run.interrupted"))
    if failed:
        lines = dict.fromkeys(f"{outcome.task.step.title}: {outcome.error}" for outcome in failed)
        raise MissingError(wording("project.not_installed", failures="\n".join(lines)))


def install_tasks(findings: Iterable[Finding], say: Say, logs: Path) -> tuple[Task, ...]:
    """A task for each thing that is not present, whose key is its name. Raises MissingError for what only the user can get."""
    wanted = [finding for finding in findings if not finding.present]
    _refuse_hopeless(wanted)
    programs = {name.name: name for name in wanted if name.name != ENGINE}
    engine = next((name for name in wanted if name.name == ENGINE), None)
    if engine is not None and look("dockerd").tool is None:
        programs.setdefault("dockerd", engine)
    get = _Getting(say, logs)
    entries = [(catalogue.program(name), each.status == "unusable") for name, each in programs.items()]
    tasks = _system_tasks([entry for entry, _ in entries if entry.kind == "system"], get)
    for entry, anew in entries:
        if entry.kind == "deb":  # both ask apt-get for its lists
            tasks.append(get.task(entry, partial(system.unpack, entry, anew=anew), behind=(PACKAGES,), lane="fetch"))
        elif entry.kind == "wheel":
            tasks.append(get.task(entry, partial(tool_cache.get_wheel, entry, anew=anew), lane="fetch"))
    tasks += _go_tasks([pair for pair in entries if pair[0].kind == "go"], get)
    if (starts := _engine_work(engine)) is not None:
        log = logs / f"setup-{ENGINE}.log"
        work = partial(get, ENGINE, lambda _log: starts(say))
        tasks.append(preparation(ENGINE, ENGINE, work, log, 5, after=("dockerd", "docker-cli"), lane="fetch"))
    return tuple(tasks)


def _system_tasks(entries: Sequence[Program], get: _Getting) -> list[Task]:
    """One for the call of apt-get, and one for each program, which tells whether that was among what could be had."""
    if not entries:
        return []
    why: dict[str, DeadweightError] = {}
    names, log = ", ".join(entry.name for entry in entries), get.logs / "setup-apt.log"
    work, seconds = partial(_install_packages, entries, why, get), sum(entry.seconds for entry in entries)
    tasks = [preparation(PACKAGES, names, work, log, seconds, lane="fetch")]
    for entry in entries:
        there = partial(_raise_why, entry.name, why)
        tasks.append(preparation(entry.name, entry.name, there, log, 0, after=(PACKAGES,), lane="fetch"))
    return tasks


def _install_packages(entries: Sequence[Program], why: dict[str, DeadweightError], get: _Getting, log: Path) -> None:
    """All by one call of apt-get, which is how it is fast; if that fails, each by its own, so that each has its own reason."""
    for group in (entries, *([entry] for entry in entries)):
        try:
            get(", ".join(entry.name for entry in group), partial(system.install, group), log)
        except Interrupted:
            raise
        except DeadweightError as error:
            why.update({entry.name: error for entry in group})
            continue
        for entry in group:
            why.pop(entry.name, None)
        if group is entries:
            return


def _raise_why(name: str, why: Mapping[str, DeadweightError], _log: Path) -> None:
    if name in why:
        raise why[name]


def _go_tasks(built: Sequence[tuple[Program, bool]], get: _Getting) -> list[Task]:
    """One is compiled after another, since they share packages; the modules of all are downloaded at once."""
    tasks: list[Task] = []
    before: tuple[str, ...] = ()
    for entry, anew in sorted(built, key=lambda pair: turn(pair[0].name)):
        modules = f"modules of {entry.name}"
        log = get.logs / f"setup-{entry.name}-modules.log"
        tasks.append(preparation(modules, modules, partial(_fetch, entry), log, 5, after=("go",), lane="fetch"))
        work = partial(golang.build, entry, anew=anew)
        tasks.append(get.task(entry, work, after=("go",), behind=(modules, *before), lane="compile"))
        before = (entry.name,)
    return tasks


def _fetch(entry: Program, log: Path) -> None:
    """A failed download is told by the build that needs it."""
    try:
        golang.fetch(entry, log)
    except Interrupted:
        raise
    except DeadweightError:
        return


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
        lines = (f"{found.name}: {found.reason or found.status} (get it with: {found.how})" for found in hopeless)
        why = system.can_install()
        raise MissingError(wording("project.by_hand", why=f" ({why})" if why else "", programs="\n  ".join(lines)))


def turn(name: str) -> int:
    """When a Go program is built: tools that share packages one after another, all others (a plug-in's, say) after them."""
    return _BUILD_ORDER.index(name) if name in _BUILD_ORDER else len(_BUILD_ORDER)


@dataclass(frozen=True)
class _Getting:
    """Says what is begun and how it ended; a log file each."""

    say: Say
    logs: Path

    def __call__(self, name: str, action: Callable[[Path], object], log: Path) -> None:
        log.unlink(missing_ok=True)
        self.say(f"getting {name}")
        started = time.monotonic()
        try:
            action(log)
        except Interrupted:
            raise
        except DeadweightError as error:
            self.say(f"could not get {name}: {error.message.splitlines()[0]}")
            raise
        self.say(f"got {name} in {time.monotonic() - started:.1f} s")

    def task(
        self,
        entry: Program,
        action: Callable[[Path], object],
        *,
        after: Sequence[str] = (),
        behind: Sequence[str] = (),
        lane: Lane = "make",
    ) -> Task:
        log, work = self.logs / f"setup-{entry.name}.log", partial(self, entry.name, action)
        return preparation(entry.name, entry.name, work, log, entry.seconds, after=after, behind=behind, lane=lane)
