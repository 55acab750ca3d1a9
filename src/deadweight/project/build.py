"""The build stage as one call: plan, prepare, run, and one outcome per variant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from deadweight._errors import BuildFailed, CommandError, DeadweightError, Interrupted, MissingError
from deadweight.plan.graph import Plan, make_plan
from deadweight.plan.scheduler import Outcome, Result, Watcher, run_plan
from deadweight.project.needs import preflight
from deadweight.project.preparations import Arriving, Preparations
from deadweight.project.workspace import ENGINE_MAY_BE_WHY, Workspace
from deadweight.records.built import BuiltImage
from deadweight.sources.no_base import NoBase
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
            return "not tried, because another step failed"
        if isinstance(self.error, NoBase):
            return self.error.message  # what can be done is the same for all: it is told once
        text = str(self.error)
        if isinstance(self.error, CommandError):
            text = text.removeprefix(f"{Path(self.error.argv[0]).name} {self.owner}: ")
        return text.removeprefix(f"{self.owner}: ")


def plan(workspace: Workspace, variants: Sequence[Variant], *, force: bool = False) -> Plan:
    """What would be done for variants whose bases can be had (``bases.known``); changes nothing on disk."""
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
        lack = "a base image is not available" if isinstance(why, NoBase) else "it needs an engine"
        workspace.say(f"{name}: not built: {lack}")


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
        each.variant
        for each in made
        if each.result == "failed" and each.variant in in_engine and type(each.error) in ENGINE_MAY_BE_WHY
    }
    lost = workspace.lost_engine() if blamed else None
    if lost is None:
        return made
    return tuple(replace(each, error=lost) if each.variant in blamed else each for each in made)


def raise_if_failed(outcomes: Sequence[VariantOutcome]) -> None:
    """Raises BuildFailed naming each failed variant, its step, the command's own words and the log; exit 1.
    MissingError (exit 3) where something missing is all that was in the way.
    """
    failed = [outcome for outcome in outcomes if outcome.result in ("failed", "skipped")]
    if not failed:
        return
    if any(isinstance(outcome.error, Interrupted) for outcome in failed):
        raise Interrupted("interrupted")
    errors = [outcome.error for outcome in failed if outcome.error is not None]
    missing = [error for error in errors if isinstance(error, MissingError)]
    if missing and len(outcomes) == 1:
        raise missing[0]
    told: dict[str, list[str]] = {}
    for outcome in failed:
        told.setdefault(f"{outcome.step or 'build'}: {outcome.why}", []).append(outcome.variant)
    each, were = ("variant", "was") if len(outcomes) == 1 else ("variants", "were")
    lines = [f"{len(failed)} of {len(outcomes)} {each} {were} not built"]
    lines += [f"{', '.join(names)}: {what}" for what, names in told.items()]
    kind = MissingError if missing and missing == errors else BuildFailed
    hints = dict.fromkeys(error.hint for error in errors if isinstance(error, NoBase) and error.hint)
    raise kind("\n".join(lines), hint="; ".join(hints) or None)


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
