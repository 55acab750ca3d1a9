"""Define ``demo``: set up, build, verify, report."""

from __future__ import annotations

import time
from functools import partial
from itertools import pairwise

from invoke.context import Context

from deadweight.tasks import lazy
from deadweight.tasks._options import parse_jobs
from deadweight.tasks._progress import console, say
from deadweight.tasks._task import task
from deadweight.tasks.build import build_variants
from deadweight.tasks.report import write
from deadweight.tasks.setup import to_prepare
from deadweight.tasks.verify import conclude, verify_variants


@task(
    help={
        "yes": "install what is missing without asking",
    }
)
def demo(c: Context, jobs: str | None = None, yes: bool = False) -> None:
    """Set up, build every variant, verify them, and print the comparison: all in one command.

    Example: invoke demo
    """
    count = parse_jobs(jobs)
    laps = [("", time.monotonic())]
    with lazy.Workspace.open(say) as workspace, lazy.locked(workspace.state, say):
        variants = workspace.suite.variants
        provide = partial(lazy.scan.provide_database, workspace) if lazy.scan.wants_database(workspace) else None
        work = to_prepare(workspace, variants, yes=yes, database=provide)
        outcomes = build_variants(workspace, variants, jobs=count, preparations=work)
        laps.append(("set-up and build", time.monotonic()))
        built = {outcome.variant for outcome in outcomes if outcome.result in ("built", "cached")}
        results = verify_variants(workspace, [variant for variant in variants if variant.name in built])
        laps.append(("verify", time.monotonic()))
        made, written, _ = write(workspace)
        laps.append(("report", time.monotonic()))
        lazy.print_comparison(made, console())
        took = (f"{name} {end - began:.0f} s" for (_, began), (name, end) in pairwise(laps))
        say(f"time: {', '.join(took)}")
        say(f"report: {written.html}")
    lazy.build.raise_if_failed(outcomes)
    conclude(results, then="")
