"""Define ``variants`` (list them), ``build`` (build images) and ``demo`` (set up, build, verify, report)."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from invoke.context import Context

from deadweight._errors import UsageError, wording
from deadweight.tasks import lazy
from deadweight.tasks._progress import build_variants, console, print_json, say, tell_stand_ins
from deadweight.tasks._task import Part, choose, dry, parse_jobs, task
from deadweight.tasks._words import Names, Value
from deadweight.tasks.report import write
from deadweight.tasks.setup import to_prepare
from deadweight.tasks.verify import raise_if_bad, tally, verify_variants


@task(reads_only=True)
def variants(c: Context, json: bool = False) -> None:
    """Show the suite's variants, how each is built, and whether it has been built.

    Example: invoke variants --json
    """
    workspace = lazy.Workspace.open(say)
    rows = [_variant_row(workspace, variant) for variant in workspace.suite.variants]
    if json:
        print_json({"suite": workspace.suite.name, "variants": rows})
        return
    width, wide = (max(len(row[key]) for row in rows) for key in ("name", "builder"))
    for row in rows:
        print(f"{row['name']:<{width}}  {row['builder']:<{wide}}  {row['state']:<9}  {row['description']}".rstrip())
    for row in rows:
        if row["state"] == "building":
            say(f"{row['name']}: {lazy.holder(workspace.state.lock)} builds it (log {row['log']})")
        elif row["state"] == "failed" and (failed := workspace.failed(row["name"])) is not None:
            say(f"{row['name']}: {failed}")


@task()
def build(
    c: Context,
    part: Part,
    variant: Names = None,
    jobs: Value = None,
    fail_fast: bool = False,
    force: bool = False,
    plan: bool = False,
    rebase: bool = False,
    json: bool = False,
    watch: bool = False,
) -> None:
    """Build the images that are not up to date, in parallel, doing shared work once.

    Example: invoke build apko ko --jobs 2
    Example: invoke build --since origin/main --shard 2/5
    """
    count = parse_jobs(jobs)
    with contextlib.closing(lazy.Workspace.open(say, since=part.since)) as workspace:
        only_plan = plan or dry(c)
        if rebase:
            _rebase(workspace, keep=not only_plan)
        selection = choose(workspace, variant, part, note=not only_plan)
        chosen = selection.to_build
        if only_plan:
            _show_plan(workspace, chosen, force=force, as_json=json)
            return
        due = chosen or not selection.narrowed
        outcomes = build_variants(workspace, chosen, jobs=count, fail_fast=fail_fast, force=force) if due else ()
        if json:
            rows = {outcome.variant: _outcome_row(outcome) for outcome in outcomes}
            print_json({"suite": workspace.suite.name, "variants": rows})
        else:
            tell_stand_ins(workspace, (outcome.variant for outcome in outcomes if outcome.result == "built"))
        lazy.build.raise_if_failed(outcomes)


def _rebase(workspace: lazy.Workspace, *, keep: bool) -> None:
    """Take the nearest base where one cannot be had, from now on or (``keep`` is False) for this look only."""
    if workspace.source.name != "local":
        raise UsageError(wording("tasks.rebase_of_local", source=workspace.source.name))
    if keep:
        lazy.settings.record(workspace.state, rebase=True)
    workspace.source = lazy.remote.choose(workspace.suite, workspace.state, say, {"rebase": True})


def _show_plan(workspace: lazy.Workspace, chosen: Sequence[lazy.Variant], *, force: bool, as_json: bool) -> None:
    split = lazy.needs.known_bases(workspace, chosen)
    work = lazy.build.plan(workspace, split.able, force=force)
    rows = [
        {
            "key": task.step.key,
            "title": task.step.title,
            "run": task.reason is not None,
            "reason": task.reason,
            "variants": task.variants,
            "after": sorted(work.waits[task.step.key]),
        }
        for task in work.tasks
    ]
    if as_json:
        lacking = {name: error.message for name, error in split.lacking.items()}
        print_json({"suite": workspace.suite.name, "steps": rows, "lacking": lacking})
    else:
        for row in rows:
            print(f"{'run ' if row['run'] else 'keep'}  {row['title']}  ({row['reason'] or 'up to date'})")
        for name in split.lacking:
            print(f"skip  {name}  ({wording('plan.no_base')})")
    if split.error is not None:
        raise split.error


def _variant_row(workspace: lazy.Workspace, variant: lazy.Variant) -> dict[str, Any]:
    built, failed = workspace.built(variant.name), workspace.failed(variant.name)
    building = failed is not None and workspace.building(failed)
    return {
        "name": variant.name,
        "builder": variant.builder,
        "ladder": variant.ladder,
        "description": variant.description,
        "state": "building" if building else "failed" if failed else "built" if built else "not built",
        **_of(built, "built_at"),
        "failed_at": failed.at if failed and not building else None,
        "log": failed.log if failed else None,
    }


def _of(image: lazy.built_image.BuiltImage | None, *names: str) -> dict[str, Any]:
    """What the image goes by (the digests of config, manifest and index, and the id in the engine that built it), and more."""
    names = ("config_digest", "manifest_digest", "index_digest", "engine_id", *names)
    return {name: getattr(image, name, None) for name in names}


def _outcome_row(outcome: lazy.build.VariantOutcome) -> dict[str, Any]:
    return {
        "result": outcome.result,
        "seconds": outcome.seconds,
        "log": str(outcome.log),
        "step": outcome.step if outcome.error else None,
        "error": str(outcome.error) if outcome.error else None,
        **_of(outcome.image, "built_on", "reference", "stand_in"),
    }


# ``demo``.
@task()
def demo(c: Context, jobs: Value = None, yes: bool = False) -> None:
    """Set up, build every variant, verify them, write the report, and say what to ship: all in one command.

    Example: invoke demo
    """
    count = parse_jobs(jobs)
    began = time.monotonic()
    with lazy.Workspace.open(say) as workspace, lazy.locked(workspace.state, say, workspace.suite.names()):
        variants = workspace.suite.variants
        scanned = any(variant.checks.vulnerabilities for variant in variants)
        provide = partial(lazy.scan.provide_database, workspace) if scanned else None
        work = to_prepare(workspace, variants, yes=yes, database=provide)
        outcomes = build_variants(workspace, variants, jobs=count, preparations=work)
        built = {outcome.variant for outcome in outcomes if outcome.result in ("built", "cached")}
        results = verify_variants(workspace, [variant for variant in variants if variant.name in built])
        made, written, _ = write(workspace)
    took, view = time.monotonic() - began, lazy.View(made)
    say(f"{lazy.figures.plural(len(built), 'variant')} of {len(variants)} built; {tally(results)}; {took:.0f} s")
    lazy.print_verdict(view.verdict, console())
    say(f"Report  {os.path.relpath(written.html)}  (invoke report --open)")
    lazy.build.raise_if_failed(outcomes)
    raise_if_bad(results)
