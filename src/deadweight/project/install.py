"""Survey what this machine lacks, and get it: programs, the engine, bases and packages, as tasks of a plan with one log each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from deadweight import _sudo as sudo
from deadweight._errors import DeadweightError, Interrupted, MissingError, wording
from deadweight.builders.protocol import Needs
from deadweight.engine import daemon
from deadweight.plan.graph import Lane, Plan, Preparation, Task, preparation, prepare_plan, with_all_before
from deadweight.plan.scheduler import Outcome
from deadweight.project.needs import ENGINE, ENGINE_TOOLS, bases_to_have
from deadweight.project.workspace import Workspace
from deadweight.sources.protocol import ToMake
from deadweight.suite.model import Variant
from deadweight.toolchain import catalogue, golang, system, tool_cache
from deadweight.toolchain.catalogue import Program
from deadweight.toolchain.find import Look, Status, inspect_tool

if TYPE_CHECKING:
    from deadweight.engine.api import Endpoint

Origin = Literal["path", "ours", "system"]


@dataclass(frozen=True)
class Finding:
    """One need. ``how`` says in words how it would be got, with roughly ``seconds`` and ``size_bytes`` on disk for it.

    ``origin`` is where a present one stands: on the user's PATH, among our copies, or in the system's packages.
    ``reason`` says what was passed over and why, also where the need is met. ``gettable`` is False where setup can only tell
    what to do.
    """

    name: str
    status: Status
    version: str | None
    path: str | None
    origin: Origin | None
    how: str
    seconds: int
    size_bytes: int
    reason: str = ""
    gettable: bool = True

    @property
    def present(self) -> bool:
        return self.status == "present"


def survey(needs: Iterable[str]) -> tuple[Finding, ...]:
    """One finding per need, in the order asked; Go is added where a tool has to be built. Our copies are read and verified.

    Raises UsageError for a name that the catalogue lacks.
    """
    wanted = list(dict.fromkeys(needs))
    findings = [_engine() if name == ENGINE else _examine(catalogue.program(name)) for name in wanted]
    missing = [finding.name for finding in findings if not finding.present and finding.name != ENGINE]
    if any(catalogue.program(name).kind == "go" for name in missing) and "go" not in wanted:
        findings.insert(0, _examine(catalogue.program("go")))
    return tuple(findings)


def _examine(entry: Program) -> Finding:
    seen = inspect_tool(entry.name)
    if seen.tool is not None and seen.tool.ours and not tool_cache.sound(entry):
        seen = Look(entry, "unusable", None, seen.path, seen.version, wording("project.damaged", path=seen.path))
    return Finding(
        name=entry.name,
        status=seen.status,
        version=seen.version,
        path=str(seen.path) if seen.path else None,
        origin=_origin(seen),
        how=_how(entry),
        seconds=entry.seconds,
        size_bytes=entry.size_bytes,
        reason=seen.reason,
        gettable=_can_get(entry),
    )


def _origin(seen: Look) -> Origin | None:
    if seen.tool is None:
        return None
    if seen.tool.ours:
        return "ours"
    return "system" if str(seen.tool.path).startswith(("/usr/bin/", "/usr/sbin/", "/sbin/", "/bin/")) else "path"


def _can_get(entry: Program) -> bool:
    if entry.kind == "system":
        return not system.can_install()
    return system.manager() == "apt" if entry.kind == "deb" else entry.gettable


def _how(entry: Program) -> str:
    """In words, for the list that setup shows before it asks."""
    if entry.kind == "go":
        return f"go build {entry.source} v{entry.pinned}"
    if entry.kind == "wheel" and entry.gettable:
        return f"wheel {entry.source} {catalogue.wheel_pin(entry.source).version}"
    if entry.kind == "deb" and system.manager() == "apt":
        return f"Debian package {entry.source}, unpacked, not installed"
    return system.command_for([entry]) or f"install {entry.name} {entry.least or ''} by hand".replace("  ", " ")


def _engine() -> Finding:
    """A container engine that answers, or that we can start: with ``dockerd``, which has to be got for it."""
    program = _examine(catalogue.program("dockerd"))
    engine = replace(program, name=ENGINE, status="unusable", version=None, path=None, origin=None)
    try:
        running, passed_over = daemon.search()
    except DeadweightError as error:
        return replace(engine, how=error.hint or program.how, reason=error.message, gettable=False)
    if running is not None:
        return _running(running, engine)
    seen, problem = "; ".join(passed_over), daemon.cannot_start()
    if program.present and problem:
        return replace(engine, how="start Docker or Podman, or use root or sudo", reason=problem, gettable=False)
    if program.present and not sudo.is_root():
        reason = seen or "none answers"
        return Finding(ENGINE, "missing", None, None, None, wording("project.with_sudo"), 5, 0, reason)
    if program.present:
        return replace(program, name=ENGINE, origin="ours", reason="started when needed")
    how = program.how if sudo.is_root() else f"{program.how}, then {wording('project.with_sudo')}"
    return replace(
        engine, status="missing", how=how, reason=f"{seen or 'no engine answers'} and dockerd is not installed"
    )


def _running(endpoint: Endpoint, engine: Finding) -> Finding:
    """An engine that answers is there only if it can run a container. Ours is started anew by setup; any other is its owner's."""
    from deadweight.engine.broken_engine import broken_engine_at
    from deadweight.engine.own.engine import layout

    ours = endpoint.host == layout().host  # DOCKER_HOST may name it too
    engine = replace(engine, version=daemon.server_version(endpoint), path=endpoint.host)
    lost = broken_engine_at(endpoint)
    if lost is None:
        return replace(engine, status="present", origin="ours" if ours else "system", reason="")
    how = daemon.START_ANEW if ours else lost.hint or "restart it"
    return replace(engine, how=how, seconds=10, size_bytes=0, reason=lost.message, gettable=ours)


def no_engine(findings: Iterable[Finding]) -> str:
    """Why nothing is built with an engine here whatever setup does, or run in one; empty where it can be."""
    engine = (finding for finding in findings if finding.name in ENGINE_TOOLS)
    return "; ".join(f"{finding.name}: {finding.reason or finding.status}" for finding in hopeless(engine))


def hopeless(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """What setup cannot get: each says in ``how`` what you can do."""
    return tuple(finding for finding in findings if not finding.present and not finding.gettable)


# Missing programs, as tasks.
Say = Callable[[str], None]
PACKAGES = "system packages"
_BUILD_ORDER = ("melange", "ko", "crane", "apko", "buildx", "buildctl", "buildkitd")
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
    if lost := hopeless(wanted):  # told before any work is begun
        lines = (wording("project.lacks", name=it.name, why=it.reason or it.status, how=it.how) for it in lost)
        why = system.can_install()
        raise MissingError(wording("project.by_hand", why=f" ({why})" if why else "", programs="\n  ".join(lines)))
    programs = {name.name: name for name in wanted if name.name != ENGINE}
    engine = next((name for name in wanted if name.name == ENGINE), None)
    if engine is not None and inspect_tool("dockerd").tool is None:
        programs.setdefault("dockerd", engine)
    get = _Getting(say, logs)
    entries = [(catalogue.program(name), finding.status == "unusable") for name, finding in programs.items()]
    tasks = _system_tasks([entry for entry, _ in entries if entry.kind == "system"], get)
    for entry, anew in entries:
        if entry.kind == "deb":  # both ask apt-get for its lists
            tasks.append(get.task(entry, partial(system.unpack, entry, anew=anew), behind=(PACKAGES,), lane="fetch"))
        elif entry.kind == "wheel":
            tasks.append(get.task(entry, partial(tool_cache.get_wheel, entry, anew=anew), lane="fetch"))
    tasks += _go_tasks([pair for pair in entries if pair[0].kind == "go"], get)
    anew = engine is not None and engine.how == daemon.START_ANEW  # one of ours that answers and runs nothing
    if anew or (engine is not None and not sudo.is_root()):  # root's is started when it is first needed
        start = daemon.start_anew if anew else daemon.find_or_start
        tasks.append(_engine_task(logs, partial(get, ENGINE, lambda _log: start(say))))
    return tuple(tasks)


def _engine_task(logs: Path, work: Callable[[Path], object]) -> Task:
    log, after = logs / f"setup-{ENGINE}.log", ("dockerd", "docker-cli")
    return preparation(ENGINE, ENGINE, work, log, ENGINE_SECONDS, after=after, lane="fetch")


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


def turn(name: str) -> int:
    """When a Go program is built: tools that share packages one after another, all others (a plug-in's, say) after them."""
    return _BUILD_ORDER.index(name) if name in _BUILD_ORDER else len(_BUILD_ORDER)


@dataclass(frozen=True)
class _Getting:
    """Says what could not be had, as it happens; a log file each."""

    say: Say
    logs: Path

    def __call__(self, name: str, action: Callable[[Path], object], log: Path) -> None:
        log.unlink(missing_ok=True)
        try:
            action(log)
        except Interrupted:
            raise
        except DeadweightError as error:
            self.say(f"could not get {name}: {error.message.splitlines()[0]}")
            raise

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


# What variants wait for before they can be planned: tools, the engine, bases and packages. Each is a task of the plan that builds
# them, so a variant is built when its own are there, while those of others are still being got.
ENGINE_SECONDS = 5
DATABASE_SECONDS = 30


@dataclass(frozen=True)
class Preparations:
    """The tasks, and for each variant the keys of those that it waits for."""

    plan: Plan
    needs: Mapping[str, frozenset[str]]


def preparations(
    workspace: Workspace,
    variants: Sequence[Variant],
    missing: Iterable[Finding],
    *,
    start_engine: bool = False,
    database: Callable[[], object] | None = None,
) -> Preparations:
    """What has to be got and made for these variants. With ``start_engine`` the engine is started too, where they need one;
    ``database`` is called once the OS packages are there whose advisories it collects.
    """
    logs = workspace.state.folder / "logs" / "setup"
    tasks = list(install_tasks(missing, workspace.say, logs))
    needs = workspace.needs(variants)
    if start_engine and any(need.engine for need in needs) and all(task.step.key != ENGINE for task in tasks):
        tasks.append(_engine_task(logs, lambda _: workspace.endpoint))
    made = _base_tasks(workspace, needs)
    tasks += made.values()
    if database is not None:
        log = workspace.state.log("vulnerability-database")
        behind = ("go", "trivy", *(task.step.key for task in made.values()))
        work = partial(_call, database)
        tasks.append(preparation("database", "vulnerability database", work, log, DATABASE_SECONDS, behind=behind))
    there = {task.step.key for task in tasks}
    plan = prepare_plan(tasks)
    waits = {
        variant.name: frozenset(_keys(workspace, need, made) & there)
        for variant, need in zip(variants, needs, strict=True)
    }
    seconds = {task.step.key: task.seconds for task in tasks}
    ways = [with_all_before(keys, plan.waits.get) for keys in waits.values()]
    soonest = min(ways, key=lambda way: sum(seconds[key] for key in way), default=frozenset[str]())
    return Preparations(replace(plan, first=soonest), waits)


def _call(work: Callable[[], object], _log: Path) -> None:
    work()


def _keys(workspace: Workspace, need: Needs, made: Mapping[str, Task]) -> set[str]:
    bases = bases_to_have(workspace, (need,))
    keys = {*need.tools, *workspace.source.tools(bases, apk=need.apk), *([ENGINE] if need.engine else [])}
    return keys | {made[base].step.key for base in (*bases, *([_APK] if need.apk else [])) if base in made}


_APK = "APK packages"


def _base_tasks(workspace: Workspace, needs: Sequence[Needs]) -> dict[str, Task]:
    """The task that makes what stands for each reference (and the packages); references that share a stand-in share the task."""
    source = workspace.source
    wanted: dict[ToMake, list[str]] = {}
    for base in bases_to_have(workspace, needs):
        for item in source.to_make((base,), apk=False):
            wanted.setdefault(item, []).append(base)
    wanted |= {item: [_APK] for item in source.to_make((), apk=any(need.apk for need in needs))}
    tasks: dict[str, Task] = {}
    for item, names in wanted.items():
        bases, apk = tuple(name for name in names if name != _APK), _APK in names
        work = partial(_call, partial(source.prepare, bases, apk=apk, say=workspace.say))
        log, after = workspace.state.log("local-source"), source.tools(bases, apk=apk)
        # the machine's package lists may be renewed while its packages are being installed
        task = preparation(item.name, item.name, work, log, item.seconds + item.then, after=after, behind=(PACKAGES,))
        tasks |= dict.fromkeys(names, task)
    return tasks
