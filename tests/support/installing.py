"""Get what a survey found missing, and nothing else, as set-up does beside a build."""

from collections.abc import Iterable
from pathlib import Path

from deadweight.plan.graph import prepare_plan
from deadweight.plan.scheduler import run_plan
from deadweight.project.install import Finding, install_tasks, raise_if_missing
from deadweight.records.paths import State, user_cache
from deadweight.sources.protocol import Say
from tests.support.builder_site import Silent


def install(findings: Iterable[Finding], say: Say, *, log_folder: Path | None = None) -> dict[str, Path]:
    """Gives the logs by name. Raises as ``raise_if_missing`` does."""
    folder, findings = log_folder or user_cache() / "logs", tuple(findings)
    outcomes = run_plan(prepare_plan(install_tasks(findings, say, folder)), State(folder), Silent(), jobs=2)
    raise_if_missing(outcomes)
    asked = {finding.name for finding in findings}
    return {key: outcome.log for outcome in outcomes if (key := outcome.task.step.key) in asked}
