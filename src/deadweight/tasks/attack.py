"""``attack``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from invoke.context import Context

from deadweight.tasks import _choose
from deadweight.tasks._attacks import amiss, holes, print_attacks, total, unmeasured
from deadweight.tasks._heartbeat import pulse
from deadweight.tasks._options import names
from deadweight.tasks._progress import console, print_json, say, stand_in_note, stand_in_rows
from deadweight.tasks._task import task

if TYPE_CHECKING:
    from deadweight.project.workspace import Workspace
    from deadweight.records.evidence import Evidence


@task(
    help={
        "variant": "the variant; repeat it for more (default: all that are services)",
        "posture": "open, default, hardened, tight-seccomp, privileged, only-WALL, without-WALL or all; repeat it for more "
        "(default: the first three, and each wall alone)",
        **_choose.HELP,
        "json": "print one JSON document on stdout",
    },
    iterable=["variant", "posture"],
)
def attack(
    c: Context,
    variant: Sequence[str] | None = None,
    posture: Sequence[str] | None = None,
    shard: str | None = None,
    times: str | None = None,
    since: str | None = None,
    changed_from: str | None = None,
    json: bool = False,
) -> None:
    """Attack the running images for real, contained; show which wall stopped each; exit 1 if a gate is broken, 3 if not measured.

    Example: invoke attack --variant apko --posture hardened
    Example: invoke attack --since origin/main
    """
    from deadweight._errors import UsageError
    from deadweight._packages import attacks
    from deadweight.project.workspace import Workspace
    from deadweight.records.lock import locked
    from deadweight.tasks.verify import raise_if_bad

    postures = names(posture)
    attacks.plan_for(postures, ())
    with Workspace.open(say, since=since) as workspace:
        selection = _choose.chosen(workspace, variant, shard=shard, times=times, since=since, changed_from=changed_from)
        chosen = [each for each in selection.variants if each.runnable]
        if not chosen and selection.narrowed:
            if json:
                print_json({"suite": workspace.suite.name, "evidence": []})
            return
        if not chosen:
            raise UsageError("none of these variants is a service", hint="see invoke variants")
        built = [each for each in chosen if workspace.built(each.name) is not None]
        with locked(workspace.state, say), pulse("attack"):
            if workspace.spread is not None:
                found = workspace.spread.attack(built or chosen, postures, say)
            else:
                found = attacks.attack_all([workspace.subject(each) for each in built or chosen], postures, told=say)
    _show(workspace, found, as_json=json)
    left = ", ".join(each.name for each in chosen if each not in built)
    raise_if_bad(found, f"not attacked, since not built: {left}" if left else "")


def _show(workspace: Workspace, found: Sequence[Evidence], *, as_json: bool) -> None:
    from deadweight.report.collect import attack_notes
    from deadweight.report.view import shared_notes

    if as_json:
        print_json({"suite": workspace.suite.name, "evidence": stand_in_rows(workspace, found)})
    else:
        out = console()
        for line in amiss(found):
            out.print(line, style="bold", markup=False, soft_wrap=True)
        print_attacks(found, out)
    for line in () if as_json else shared_notes({each.variant: holes(each) for each in found}):
        say(f"hole: {line}")
    notes = {each.variant: attack_notes(each.data) for each in found}
    for told in shared_notes(notes):
        say(f"note: {told}")
    for line in () if as_json else shared_notes({each.variant: unmeasured(each) for each in found}):
        say(f"not measured: {line}")
    for each in found:
        reason = "; ".join(part for part in each.reason.split("; ") if part not in notes[each.variant])
        say(f"{each.variant}: {each.status.replace('_', ' ')}: {reason}")
    if as_json:
        return
    if (resting := stand_in_note(workspace, (each.variant for each in found))) is not None:
        say(resting)
    say(f"{total(found)}. Next: invoke report")
