"""``verify``: run the suite's checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from invoke.context import Context

from deadweight.tasks._options import names
from deadweight.tasks._show import print_json, say
from deadweight.tasks._stand_ins import note, rows
from deadweight.tasks._task import colour, task

if TYPE_CHECKING:
    from deadweight.project.workspace import Workspace
    from deadweight.records.evidence import Evidence
    from deadweight.suite.model import Variant


@task(
    help={
        "variant": "the variant; repeat it for more (default: all)",
        "check": "the check; repeat it for more (default: all that the suite asks for)",
        "json": "print one JSON document on stdout",
    },
    iterable=["variant", "check"],
)
def verify(
    c: Context, variant: Sequence[str] | None = None, check: Sequence[str] | None = None, json: bool = False
) -> None:
    """Run the checks on what is built, each in a hardened container; exit 1 if one is not as expected.

    Example: invoke verify --variant apko --check api
    """
    from deadweight._errors import MissingError
    from deadweight.checks.table import refuse_unasked
    from deadweight.project.workspace import Workspace
    from deadweight.suite.load import select

    with Workspace.open(say) as workspace:
        chosen = select(workspace.suite, names(variant))
        refuse_unasked(names(check), chosen)
        built = [each for each in chosen if workspace.built(each.name) is not None]
        found = verify_variants(workspace, built or chosen, names(check))
    if json:
        print_json({"suite": workspace.suite.name, "evidence": rows(workspace, found)})
    elif (resting := note(workspace, (each.variant for each in found))) is not None:
        say(resting)
    raise_if_bad(found)
    if len(built) < len(chosen):
        left = ", ".join(each.name for each in chosen if each not in built)
        raise MissingError(f"not checked, since not built: {left}", hint="invoke build")


def verify_variants(
    workspace: Workspace, chosen: Sequence[Variant], checks: Sequence[str] = (), jobs: int | None = None
) -> tuple[Evidence, ...]:
    """Check these variants, several side by side, telling each outcome on stderr."""
    from deadweight.checks.runner import verify as verify_stage
    from deadweight.records.lock import locked

    with locked(workspace.state, say):
        subjects = [workspace.subject(each) for each in chosen]
        return tuple(verify_stage(subjects, checks, jobs=jobs, on_evidence=lambda found: say(_line(found))))


def raise_if_bad(found: Sequence[Evidence]) -> None:
    """Raises CheckFailed naming each check that did not end as the suite expects; MissingError where one could not be run."""
    from deadweight._errors import CheckFailed, MissingError

    bad = [each for each in found if not each.ok]
    if bad:
        lines = [f"{len(bad)} of {len(found)} checks did not end as expected"]
        lines += [f"{each.variant}: {each.check}: {each.status}: {each.reason}" for each in bad]
        raise CheckFailed("\n".join(lines))
    unmeasured = [each for each in found if each.data.get("missing")]
    if unmeasured:
        names = ", ".join(dict.fromkeys(f"{each.variant}: {each.check}" for each in unmeasured))
        hint = next((str(each.data["hint"]) for each in unmeasured if each.data.get("hint")), "invoke doctor")
        raise MissingError(f"not measured: {names}: {unmeasured[0].reason}", hint=hint)


def _line(evidence: Evidence) -> str:
    mark = {"pass": "pass", "warn": "warn", "fail": "FAIL", "not_measured": "not measured"}[evidence.status]
    if evidence.status == "fail" and evidence.ok:
        mark = "fail, as expected"
    colours = {"pass": "32", "warn": "33", "FAIL": "1;31", "not measured": "2", "fail, as expected": "32"}
    shown = f"\x1b[{colours[mark]}m{mark}\x1b[0m" if colour() else mark
    return f"{evidence.variant}: {evidence.check}: {shown}: {evidence.reason}"
