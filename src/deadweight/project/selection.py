"""Choose a task's variants: by name, then by what changed, then by this machine's shard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deadweight._errors import wording
from deadweight.plan.shards import INDEX_VARIABLE, TOTAL_VARIABLE, Shard, divide, shard_of
from deadweight.project import changed
from deadweight.project.git import head
from deadweight.project.workspace import Workspace
from deadweight.records.scope import Scope, keep_scope
from deadweight.suite.load import select
from deadweight.suite.model import Variant

if TYPE_CHECKING:
    from deadweight.report.model import Report


@dataclass(frozen=True)
class Selection:
    """``variants`` are this run's. ``beside`` must be built too, since a budget compares one of them with it (``smaller_than``).

    ``told`` are lines that say how it came about; none where the whole suite, or what was named, is meant.
    """

    variants: tuple[Variant, ...]
    beside: tuple[Variant, ...] = ()
    told: tuple[str, ...] = ()
    narrowed: bool = False

    @property
    def to_build(self) -> tuple[Variant, ...]:
        return (*self.variants, *self.beside)


def choose(
    workspace: Workspace,
    named: tuple[str, ...],
    environment: Mapping[str, str],
    *,
    shard: str | None = None,
    since: str | None = None,
    before: Report | None = None,
    times: Report | None = None,
    note: bool = True,
) -> Selection:
    """Choose, and with ``note`` keep for the report what the run is for. ``before`` is what ``--changed-from`` names, ``times``
    the report whose seconds balance the shards.

    Raises UsageError for unknown names, a wrong shard or revision.
    """
    variants = select(workspace.suite, named)
    told: list[str] = []
    part = shard_of(shard, environment)
    if part is not None and named and shard is None:
        told.append(wording("project.shard_ignored", origin=part.origin, shard=part))
        part = None
    if part is None and not named and environment.get(INDEX_VARIABLE) and not environment.get(TOTAL_VARIABLE):
        told.append(wording("project.how_many_pods", index=INDEX_VARIABLE, total=TOTAL_VARIABLE))
    whys: list[str] = []
    if since is not None:
        variants = _narrowed(variants, changed.since(workspace, since, variants), f"since {since}", whys, told)
    if before is not None:
        found = changed.changed_from(workspace, before, variants)
        variants = _narrowed(variants, found, f"since the report of {before.generated_at}", whys, told)
    mine = variants if part is None else _share(variants, part, times, told)
    narrowed = part is not None or bool(whys)
    if note:
        keep_scope(workspace.state, _scope(workspace, mine, variants, part, whys) if narrowed else None)
    beside = _compared(workspace, mine) if narrowed else ()
    return Selection(mine, beside, tuple(told), narrowed)


def _narrowed(
    variants: tuple[Variant, ...], found: Mapping[str, str], what: str, whys: list[str], told: list[str]
) -> tuple[Variant, ...]:
    whys.append(f"changed {what}")
    told.append(wording("project.changed", count=len(found), total=len(variants), since=what))
    told += [f"  {name}: {why}" for name, why in found.items()]
    return tuple(variant for variant in variants if variant.name in found)


def _share(variants: tuple[Variant, ...], part: Shard, times: Report | None, told: list[str]) -> tuple[Variant, ...]:
    names = divide([variant.name for variant in variants], part.total, seconds_of(times))[part.index - 1]
    shown = ", ".join(names) or "none, so there is nothing to do here"
    told.append(
        wording("project.share", shard=part, origin=part.origin, count=len(names), total=len(variants), names=shown)
    )
    return tuple(variant for variant in variants if variant.name in names)


def seconds_of(times: Report | None) -> dict[str, float]:
    """What each variant took to build and check, by an earlier report; a variant that it does not know is left out."""
    if times is None:
        return {}
    return {
        name: record.build.seconds + sum(check.seconds or 0.0 for check in record.checks.values())
        for name, record in times.variants.items()
        if record.build is not None
    }


def _scope(
    workspace: Workspace,
    mine: Sequence[Variant],
    chosen: Sequence[Variant],
    part: Shard | None,
    whys: Sequence[str],
) -> Scope:
    return Scope(
        index=part.index if part else 1,
        total=part.total if part else 1,
        mine=tuple(variant.name for variant in mine),
        chosen=tuple(variant.name for variant in chosen),
        commit=workspace.asked.head() if workspace.asked else head(workspace.suite.root),
        why=" and ".join(whys) or "all",
    )


def _compared(workspace: Workspace, mine: Sequence[Variant]) -> tuple[Variant, ...]:
    """What the budgets of these are compared with, where it is not among them."""
    names = {variant.name for variant in mine}
    budgets = (variant.checks.budget for variant in mine)
    wanted = {budget.smaller_than for budget in budgets if budget is not None and budget.smaller_than} - names
    return tuple(variant for variant in workspace.suite.variants if variant.name in wanted)
