"""Build variants in one call: plan, prepare, run; return one outcome for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight._errors import BuildFailed, CommandError, DeadweightError, Interrupted, MissingError, wording
from deadweight.plan.graph import Digests, Plan, make_plan
from deadweight.plan.scheduler import Outcome, Result, Watcher, run_plan
from deadweight.project.needs import preflight, split_by_base
from deadweight.project.workspace import ENGINE_MAY_BE_WHY, Workspace
from deadweight.records.built_image import BuiltImage
from deadweight.sources.protocol import NoBase
from deadweight.suite.model import Variant
from deadweight.toolchain.find import cached_lookups

if TYPE_CHECKING:
    from deadweight.project.install import Preparations


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
    needs = preparations.needs if preparations else {}
    arriving = _Arriving(workspace, variants, needs, fail_fast=fail_fast, force=force)
    first = preparations.plan if preparations else Plan(())
    outcomes = run_plan(first, workspace.state, watcher, jobs=jobs, fail_fast=fail_fast, grow=arriving)
    ended = {outcome.task.step.key: outcome for outcome in outcomes}
    made = []
    for variant in variants:
        if variant.name in arriving.left:
            error, step = arriving.left[variant.name]
            log = workspace.state.log(variant.name)
            made.append(VariantOutcome(variant.name, "failed", 0.0, log, step=step, error=error))
        else:
            mine = [ended[task.step.key] for task in arriving.plan.of(variant.name) if task.step.key in ended]
            made.append(_of_variant(variant.name, mine))
    return _blame_engine(workspace, variants, made)


def _blame_engine(
    workspace: Workspace, variants: Sequence[Variant], made: Sequence[VariantOutcome]
) -> tuple[VariantOutcome, ...]:
    """What failed in an engine that cannot run a container says nothing of its Dockerfile: the engine is missing."""
    suspects = {build.variant for build in made if build.result == "failed" and type(build.error) in ENGINE_MAY_BE_WHY}
    blamed = [variant for variant in variants if variant.name in suspects]
    needs = zip(blamed, workspace.needs(blamed), strict=True)
    names = {variant.name for variant, need in needs if need.engine}
    lost = workspace.lost_engine() if names else None
    if lost is None:
        return tuple(made)
    return tuple(replace(outcome, error=lost) if outcome.variant in names else outcome for outcome in made)


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
    reasons: dict[str, list[str]] = {}
    for outcome in failed:
        reasons.setdefault(f"{outcome.step or 'build'}: {outcome.why}", []).append(outcome.variant)
    failures = "\n".join(f"{', '.join(names)}: {what}" for what, names in reasons.items())
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


class _Arriving:
    """Plans each variant when all that it waits for (``needs``) has ended. ``left`` tells why some cannot be built, ``plan`` is of
    the rest.
    """

    def __init__(
        self,
        workspace: Workspace,
        variants: Sequence[Variant],
        needs: Mapping[str, frozenset[str]],
        *,
        fail_fast: bool,
        force: bool,
    ) -> None:
        self._workspace, self._needs, self._fail_fast, self._force = workspace, needs, fail_fast, force
        self._waiting, self._come = list(variants), list[Variant]()
        self._digests = Digests()
        self.left: dict[str, tuple[DeadweightError, str | None]] = {}
        """The error, and the title of the task that failed where it was one of set-up."""
        self.plan = Plan(())

    @cached_lookups()
    def __call__(self, outcomes: Mapping[str, Outcome]) -> Plan:
        come = [variant for variant in self._waiting if self._needs.get(variant.name, frozenset()) <= outcomes.keys()]
        if not come:
            return Plan(())
        self._waiting = [variant for variant in self._waiting if variant not in come]
        able = [variant for variant in come if not self._failed(variant, outcomes)]
        try:
            left = preflight(self._workspace, able) if able else {}
        except MissingError as error:
            if not self._needs:
                raise
            left = {variant.name: error for variant in able}
        if left and self._fail_fast:
            raise next(iter(left.values()))
        for name, why in left.items():
            self._leave(name, why)
        self._come += [variant for variant in able if variant.name not in left]
        site, builder = self._workspace.site, self._workspace.builder
        say = self._workspace.say
        self.plan = make_plan(self._come, site, builder, force=self._force, digests=self._digests, say=say)
        return self.plan

    def _leave(self, name: str, error: DeadweightError) -> None:
        self.left[name] = error, None
        no_base = isinstance(error, NoBase)
        self._workspace.say(wording("project.left_for_base" if no_base else "project.left_for_engine", variant=name))

    def _failed(self, variant: Variant, outcomes: Mapping[str, Outcome]) -> bool:
        keys = sorted(self._needs.get(variant.name, ()))
        cause = next(filter(None, (_cause(outcomes[key], outcomes) for key in keys)), None)
        if cause is None or cause.error is None:
            return False
        if isinstance(cause.error, NoBase):
            parted = split_by_base((variant,), self._workspace.needs((variant,)), cause.error)
            self._leave(variant.name, parted.lacking.get(variant.name, cause.error))
        else:
            self.left[variant.name] = cause.error, cause.task.step.title
        return True


def _cause(outcome: Outcome, outcomes: Mapping[str, Outcome]) -> Outcome | None:
    """The task whose failure kept this one from success, if it had none."""
    if outcome.result != "skipped":
        return outcome if outcome.result == "failed" else None
    before = (_cause(outcomes[key], outcomes) for key in outcome.task.step.after if key in outcomes)
    return next(filter(None, before), None)
