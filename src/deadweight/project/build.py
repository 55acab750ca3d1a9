"""Build variants in one call: plan, prepare, run; return one outcome for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from deadweight._errors import BuildFailed, CommandError, DeadweightError, Interrupted, MissingError, wording
from deadweight.builders.protocol import Needs
from deadweight.plan.fingerprint import Digests
from deadweight.plan.graph import Plan, Task, make_plan, preparation, prepare_plan
from deadweight.plan.scheduler import Outcome, Result, Watcher, run_plan
from deadweight.project.install import PACKAGES, install_tasks
from deadweight.project.needs import bases_to_have, preflight, split_by_base
from deadweight.project.survey import ENGINE, Finding
from deadweight.project.workspace import ENGINE_MAY_BE_WHY, Workspace
from deadweight.records.built_image import BuiltImage
from deadweight.sources.protocol import NoBase, ToMake
from deadweight.suite.model import Variant


@dataclass(frozen=True)
class VariantOutcome:
    """How one variant's build ended. ``seconds`` is the wall time of its steps in this run (0 where nothing was made)."""

    variant: str
    result: Result
    seconds: float
    log: Path
    image: BuiltImage | None = None
    step: str | None = None
    error: DeadweightError | None = None
    owner: str = ""
    """The variant whose step failed; steps are shared."""

    @property
    def why(self) -> str:
        """What went wrong, without the program and the variant that builders put first: the step's title names them."""
        if self.error is None:
            return wording("project.not_tried")
        if isinstance(self.error, NoBase):
            return self.error.message  # what can be done is the same for all: it is told once
        text = str(self.error)
        if isinstance(self.error, CommandError):
            text = text.removeprefix(f"{Path(self.error.argv[0]).name} {self.owner}: ")
        return text.removeprefix(f"{self.owner}: ")


def plan(workspace: Workspace, variants: Sequence[Variant], *, force: bool = False) -> Plan:
    """What would be done for variants whose bases can be had (``known_bases``); changes nothing on disk."""
    return make_plan(variants, workspace.site, workspace.builder, force=force, say=workspace.say)


def build(
    workspace: Workspace,
    variants: Sequence[Variant],
    watcher: Watcher,
    *,
    jobs: int,
    fail_fast: bool = False,
    force: bool = False,
    preparations: Preparations | None = None,
) -> tuple[VariantOutcome, ...]:
    """Build what is not up to date; with ``preparations``, each variant when its own are done, which this does too.

    A failed variant is an outcome, not an exception (``raise_if_failed`` makes it one).
    So is one that needs an engine, or a base, where none can be had: the others are built.

    Raises what ``preflight`` and ``plan`` raise, and Interrupted. The caller holds the state folder's lock.
    """
    if preparations is None:
        left = preflight(workspace, variants)
        if left and fail_fast:
            raise next(iter(left.values()))
        chosen = [variant for variant in variants if variant.name not in left]
        _tell_left(workspace, left)
        work = plan(workspace, chosen, force=force)
        outcomes = run_plan(work, workspace.state, watcher, jobs=jobs, fail_fast=fail_fast)
        return _made(workspace, variants, work, outcomes, {name: (error, None) for name, error in left.items()})
    arriving = Arriving(workspace, variants, preparations.needs)
    outcomes = run_plan(preparations.plan, workspace.state, watcher, jobs=jobs, fail_fast=fail_fast, grow=arriving)
    _tell_left(workspace, {name: error for name, (error, title) in arriving.left.items() if title is None})
    return _made(workspace, variants, arriving.plan, outcomes, arriving.left)


def _tell_left(workspace: Workspace, left: Mapping[str, DeadweightError]) -> None:
    for name, why in left.items():
        no_base = isinstance(why, NoBase)
        workspace.say(wording("project.left_for_base" if no_base else "project.left_for_engine", variant=name))


def _made(
    workspace: Workspace,
    variants: Sequence[Variant],
    work: Plan,
    outcomes: Sequence[Outcome],
    left: Mapping[str, tuple[DeadweightError, str | None]],
) -> tuple[VariantOutcome, ...]:
    ended = {outcome.task.step.key: outcome for outcome in outcomes}
    made: list[VariantOutcome] = []
    for variant in variants:
        if variant.name in left:
            error, step = left[variant.name]
            log = workspace.state.log(variant.name)
            made.append(VariantOutcome(variant.name, "failed", 0.0, log, step=step, error=error))
        else:
            mine = [ended[task.step.key] for task in work.of(variant.name) if task.step.key in ended]
            made.append(_of_variant(variant.name, mine))
    return _without_blame(workspace, variants, tuple(made))


def _without_blame(
    workspace: Workspace, variants: Sequence[Variant], made: tuple[VariantOutcome, ...]
) -> tuple[VariantOutcome, ...]:
    """What failed in an engine that cannot run a container says nothing of its Dockerfile: the engine is missing."""
    needs = zip(variants, workspace.needs(variants), strict=True)
    in_engine = {variant.name for variant, need in needs if need.engine}
    blamed = {
        outcome.variant
        for outcome in made
        if outcome.result == "failed" and outcome.variant in in_engine and type(outcome.error) in ENGINE_MAY_BE_WHY
    }
    from deadweight.engine.broken_engine import lost_engine

    lost = lost_engine(workspace.engine) if blamed else None
    if lost is None:
        return made
    return tuple(replace(outcome, error=lost) if outcome.variant in blamed else outcome for outcome in made)


def raise_if_failed(outcomes: Sequence[VariantOutcome]) -> None:
    """Raises BuildFailed naming each failed variant, its step, the command's own words and the log; exit 1.
    MissingError (exit 3) where something missing is all that was in the way.
    """
    failed = [outcome for outcome in outcomes if outcome.result in ("failed", "skipped")]
    if not failed:
        return
    if any(isinstance(outcome.error, Interrupted) for outcome in failed):
        raise Interrupted(wording("run.interrupted"))
    errors = [outcome.error for outcome in failed if outcome.error is not None]
    missing = [error for error in errors if isinstance(error, MissingError)]
    if missing and len(outcomes) == 1:
        raise missing[0]
    told: dict[str, list[str]] = {}
    for outcome in failed:
        told.setdefault(f"{outcome.step or 'build'}: {outcome.why}", []).append(outcome.variant)
    failures = "\n".join(f"{', '.join(names)}: {what}" for what, names in told.items())
    kind = MissingError if missing and missing == errors else BuildFailed
    hints = dict.fromkeys(error.hint for error in errors if isinstance(error, NoBase) and error.hint)
    message = wording("project.not_built", failed=len(failed), total=len(outcomes), failures=failures)
    raise kind(message, hint="; ".join(hints) or None)


def _of_variant(name: str, mine: Sequence[Outcome]) -> VariantOutcome:
    """From the outcomes of the steps that it needs."""
    last = next(outcome for outcome in mine if outcome.task.step.key == f"image:{name}")
    bad = next((outcome for outcome in mine if outcome.result == "failed"), None) or last
    built = [outcome for outcome in mine if outcome.result == "built"]
    return VariantOutcome(
        variant=name,
        result=last.result if last.result in ("failed", "skipped") else "built" if built else "cached",
        seconds=round(sum(outcome.seconds for outcome in built), 3),
        log=bad.log,
        image=last.image,
        step=bad.task.step.title,
        error=bad.error,
        owner=bad.task.step.variant,
    )


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
        log, after = logs / "setup-engine.log", ("dockerd", "docker-cli")
        start = preparation(
            ENGINE, ENGINE, lambda _: workspace.endpoint, log, ENGINE_SECONDS, after=after, lane="fetch"
        )
        tasks.append(start)
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
    ways = [plan.before(keys) for keys in waits.values()]
    soonest = min(ways, key=lambda way: sum(seconds[key] for key in way), default=frozenset[str]())
    return Preparations(replace(plan, first=soonest), waits)


def _call(work: Callable[[], object], _log: Path) -> None:
    work()


def _keys(workspace: Workspace, need: Needs, made: Mapping[str, Task]) -> set[str]:
    bases = bases_to_have(workspace, (need,))
    found = {*need.tools, *workspace.source.tools(bases, apk=need.apk), *([ENGINE] if need.engine else [])}
    return found | {made[base].step.key for base in (*bases, *([_APK] if need.apk else [])) if base in made}


_APK = "APK packages"


def _base_tasks(workspace: Workspace, needs: Sequence[Needs]) -> dict[str, Task]:
    """The task that makes what stands for each reference (and the packages); references that share a stand-in share the task."""
    source = workspace.source
    wanted: dict[ToMake, list[str]] = {}
    for base in bases_to_have(workspace, needs):
        for item in source.to_make((base,), apk=False):
            wanted.setdefault(item, []).append(base)
    if any(need.apk for need in needs):
        for item in source.to_make((), apk=True):
            wanted[item] = [_APK]
    found: dict[str, Task] = {}
    for item, names in wanted.items():
        bases, apk = tuple(name for name in names if name != _APK), _APK in names
        work = partial(_call, partial(source.prepare, bases, apk=apk, say=workspace.say))
        log, after = workspace.state.log("local-source"), source.tools(bases, apk=apk)
        # the machine's package lists may be renewed while its packages are being installed
        task = preparation(item.name, item.name, work, log, item.seconds, after=after, behind=(PACKAGES,))
        found |= dict.fromkeys(names, task)
    return found


class Arriving:
    """Plans each variant when all that it waits for has ended. ``left`` tells why some cannot be built, ``plan`` is of the rest."""

    def __init__(self, workspace: Workspace, variants: Sequence[Variant], needs: Mapping[str, frozenset[str]]) -> None:
        self._workspace, self._needs = workspace, needs
        self._waiting, self._come = list(variants), list[Variant]()
        self._digests = Digests()
        self.left: dict[str, tuple[DeadweightError, str | None]] = {}
        """The error, and the title of the task that failed where it was one of set-up."""
        self.plan = Plan(())

    def __call__(self, outcomes: Mapping[str, Outcome]) -> Plan:
        come = [variant for variant in self._waiting if self._needs[variant.name] <= outcomes.keys()]
        if not come:
            return Plan(())
        self._waiting = [variant for variant in self._waiting if variant not in come]
        able = [variant for variant in come if not self._failed(variant, outcomes)]
        try:
            left = preflight(self._workspace, able) if able else {}
        except MissingError as error:
            left = {variant.name: error for variant in able}
        self.left |= {name: (error, None) for name, error in left.items()}
        self._come += [variant for variant in able if variant.name not in left]
        self.plan = make_plan(self._come, self._workspace.site, self._workspace.builder, digests=self._digests)
        return self.plan

    def _failed(self, variant: Variant, outcomes: Mapping[str, Outcome]) -> bool:
        for key in sorted(self._needs[variant.name]):
            cause = _cause(outcomes[key], outcomes)
            if cause is not None and cause.error is not None:
                error = cause.error
                if isinstance(error, NoBase):
                    parted = split_by_base((variant,), self._workspace.needs((variant,)), error)
                    self.left[variant.name] = parted.lacking.get(variant.name, error), None
                else:
                    self.left[variant.name] = error, cause.task.step.title
                return True
        return False


def _cause(outcome: Outcome, outcomes: Mapping[str, Outcome]) -> Outcome | None:
    """The task whose failure kept this one from success, if it had none."""
    if outcome.result != "skipped":
        return outcome if outcome.result == "failed" else None
    before = (_cause(outcomes[key], outcomes) for key in outcome.task.step.after if key in outcomes)
    return next((variant for variant in before if variant is not None), None)
