"""Define ``review``: what a change does to the images and to how they behave, in one comment."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace

from invoke.context import Context

from deadweight._errors import DeadweightError, Interrupted, UsageError, wording
from deadweight.tasks import lazy
from deadweight.tasks._progress import build_variants, say
from deadweight.tasks._task import task
from deadweight.tasks._words import Value
from deadweight.tasks.report import judged, tell, write
from deadweight.tasks.verify import verify_variants

ROUNDS = 2
"""A check that fails only here is run again so often, before and here."""


@task()
def review(c: Context, since: str = "origin/main", post: Value = None, json: bool = False) -> None:
    """Compare this branch with its base: build, verify, repeat what fails only here; exit codes as verdict's.

    Example: invoke review --since origin/main
    Example: deadweight review --since "origin/$GITHUB_BASE_REF" --post github
    """
    where = None if post is None else lazy.comment.place(post, os.environ)
    with lazy.Workspace.open(say) as now, lazy.workload.at_revision(now, since) as then:
        say(f"{since}:")
        before = _examined(then, is_base=True)
        say("this branch:")
        _examined(now)
        verdict = _steady(then, now, judged(now, before, None, since, since))
        verdict = replace(verdict, again=(f"invoke review --since {since}",))
        behaviour = tuple(_behaviour(then, now, since))
    text = lazy.pull_request.markdown(verdict, where.run if where else 0)
    tell(verdict, "\n".join([text, *behaviour, ""]), where, as_json=json, silent=not behaviour)


def _examined(workspace: lazy.Workspace, *, is_base: bool = False) -> lazy.Report:
    """The report after all variants were built and verified, as far as they can be. The suite may name files that the base does not
    have yet: its checks are then not measured."""
    variants = workspace.suite.variants
    outcomes = build_variants(workspace, variants)
    built = {outcome.variant for outcome in outcomes if outcome.result in ("built", "cached")}
    try:
        verify_variants(workspace, [variant for variant in variants if variant.name in built])
    except UsageError as error:
        if not is_base:
            raise
        say(wording("tasks.not_verified_before", problem=error.message))
    return write(workspace)[0]


def _steady(then: lazy.Workspace, now: lazy.Workspace, verdict: lazy.pull_request.Verdict) -> lazy.pull_request.Verdict:
    """Run again, on the same images, each check of a container that passed before and fails now. One that now fails before or
    passes here is not measured: the service answers differently by itself."""
    failed = [item.change for item in verdict.items if item.change.kind == "checks" and item.change.regression]
    doubted = {(change.variant, change.about) for change in failed if lazy.table.check(change.about).needs_engine}
    varying: set[tuple[str, str]] = set()
    for workspace, passes in ((then, True), (now, False)) * ROUNDS:
        for name in sorted({check for _, check in doubted - varying}):
            say("once more, before this change:" if passes else "once more, with it:")
            variants = [one for one in workspace.suite.variants if (one.name, name) in doubted - varying]
            results = verify_variants(workspace, variants, (name,))
            varying |= {(result.variant, name) for result in results if result.ok != passes}
    told = (wording("tasks.varies", variant=variant, check=check) for variant, check in sorted(varying))
    items = tuple(item for item in verdict.items if (item.change.variant, item.change.about) not in varying)
    return replace(verdict, items=items, unmeasured=(*verdict.unmeasured, *told))


def _behaviour(then: lazy.Workspace, now: lazy.Workspace, since: str) -> Iterator[str]:
    """A folded part of the comment for each service whose image is another one, and behaves otherwise or was not compared."""
    for variant in now.suite.variants:
        before, built = then.built(variant.name), now.built(variant.name)
        if not (variant.runnable and before and built) or before.config_digest == built.config_digest:
            continue
        try:
            sides = then.subject(lazy.select_one(then.suite, variant.name)), now.subject(variant)
            seen = lazy.workload.compare(*sides, (f"{variant.name} at {since}", variant.name))
        except Interrupted:
            raise
        except DeadweightError as error:  # one of the two does not come up, or there is nothing to ask
            yield _folded(f"{variant.name}: not compared: {error.message}", ())
            continue
        head, *lines = lazy.workload.lines(seen)
        say(head)
        if not seen.alike:
            yield _folded(head, lines)


def _folded(head: str, lines: Iterable[str]) -> str:
    body = "\n".join(map(lazy.plain, lines)).replace("```", "'''")
    return f"<details><summary>{lazy.markdown.escape(lazy.plain(head))}</summary>\n\n```\n{body}\n```\n\n</details>"
