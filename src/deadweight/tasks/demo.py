"""``demo``: the main job in one word."""

from __future__ import annotations

import time

from invoke.context import Context

from deadweight.tasks._options import parse_jobs
from deadweight.tasks._pulse import pulse
from deadweight.tasks._show import console, say
from deadweight.tasks._task import task


@task(
    help={
        "jobs": "how many steps at once (default: the number of cores)",
        "yes": "install what is missing without asking",
    }
)
def demo(c: Context, jobs: str | None = None, yes: bool = False) -> None:
    """Set up, build every variant, verify them, and print the comparison: the main job in one word.

    Example: invoke demo
    """
    from deadweight.project import database
    from deadweight.project.build import raise_if_failed
    from deadweight.project.workspace import Workspace
    from deadweight.records.lock import locked
    from deadweight.report.console import print_comparison
    from deadweight.tasks.build import build_variants
    from deadweight.tasks.report import write
    from deadweight.tasks.setup import prepare
    from deadweight.tasks.verify import conclude, verify_variants

    count = parse_jobs(jobs)
    times: list[tuple[str, float]] = []

    def lap(name: str, started: float) -> float:
        now = time.monotonic()
        times.append((name, now - started))
        return now

    with Workspace.open(say) as workspace, locked(workspace.state, say):
        variants = workspace.suite.variants
        at = time.monotonic()
        prepare(workspace, variants, yes=yes)
        at = lap("set-up", at)
        providing = database.begin(workspace) if database.wanted(workspace) else None
        outcomes = build_variants(workspace, variants, jobs=count)
        at = lap("build", at)
        if providing is not None:
            with pulse("vulnerability database"):
                providing.result()
            at = lap("vulnerability database, beyond the build", at)
        built = {each.variant for each in outcomes if each.result in ("built", "cached")}
        found = verify_variants(workspace, [each for each in variants if each.name in built])
        at = lap("verify", at)
        made, written, _ = write(workspace)
        lap("report", at)
        print_comparison(made, console())
        say("time: " + ", ".join(f"{name} {seconds:.0f} s" for name, seconds in times))
        say(f"report: {written.html}")
    raise_if_failed(outcomes)
    conclude(found, then="")
