"""What variants wait for before they can be planned: tools, the engine, bases and packages. Each is a task of the plan that builds
them, so a variant is built when its own are there, while those of others are still being got.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from deadweight._errors import DeadweightError, MissingError
from deadweight.builders.protocol import Needs
from deadweight.plan.fingerprint import Digests
from deadweight.plan.graph import Plan, Task, make_plan, preparation, prepare_plan
from deadweight.plan.scheduler import Outcome
from deadweight.project.bases import split
from deadweight.project.install import PACKAGES, install_tasks
from deadweight.project.needs import bases_to_have, preflight
from deadweight.project.survey import ENGINE, Finding
from deadweight.project.workspace import Workspace
from deadweight.sources.no_base import NoBase
from deadweight.sources.protocol import ToMake
from deadweight.suite.model import Variant

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
        tasks.append(preparation(ENGINE, ENGINE, lambda _: workspace.endpoint, log, ENGINE_SECONDS, after=after))
    made = _made(workspace, needs)
    tasks += made.values()
    if database is not None:
        log = workspace.state.log("vulnerability-database")
        behind = ("go", "trivy", *(task.step.key for task in made.values()))
        work = partial(_call, database)
        tasks.append(preparation("database", "vulnerability database", work, log, DATABASE_SECONDS, behind=behind))
    there = {task.step.key for task in tasks}
    return Preparations(
        prepare_plan(tasks),
        {
            variant.name: frozenset(_keys(workspace, need, made) & there)
            for variant, need in zip(variants, needs, strict=True)
        },
    )


def _call(work: Callable[[], object], _log: Path) -> None:
    work()


def _keys(workspace: Workspace, need: Needs, made: Mapping[str, Task]) -> set[str]:
    bases = bases_to_have(workspace, (need,))
    found = {*need.tools, *workspace.source.tools(bases, apk=need.apk), *([ENGINE] if need.engine else [])}
    return found | {made[base].step.key for base in (*bases, *([_APK] if need.apk else [])) if base in made}


_APK = "APK packages"


def _made(workspace: Workspace, needs: Sequence[Needs]) -> dict[str, Task]:
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
        self._digests = Digests(workspace.say)
        self.left: dict[str, tuple[DeadweightError, str | None]] = {}
        """The error, and the title of the task that failed where it was one of set-up."""
        self.plan = Plan(())

    def __call__(self, outcomes: Mapping[str, Outcome]) -> Plan:
        come = [each for each in self._waiting if self._needs[each.name] <= outcomes.keys()]
        if not come:
            return Plan(())
        self._waiting = [each for each in self._waiting if each not in come]
        able = [each for each in come if not self._failed(each, outcomes)]
        try:
            left = preflight(self._workspace, able) if able else {}
        except MissingError as error:
            left = {each.name: error for each in able}
        self.left |= {name: (error, None) for name, error in left.items()}
        self._come += [each for each in able if each.name not in left]
        self.plan = make_plan(self._come, self._workspace.site, self._workspace.builder, digests=self._digests)
        return self.plan

    def _failed(self, variant: Variant, outcomes: Mapping[str, Outcome]) -> bool:
        for key in sorted(self._needs[variant.name]):
            cause = _cause(outcomes[key], outcomes)
            if cause is not None and cause.error is not None:
                error = cause.error
                if isinstance(error, NoBase):
                    parted = split((variant,), self._workspace.needs((variant,)), error)
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
    return next((each for each in before if each is not None), None)
