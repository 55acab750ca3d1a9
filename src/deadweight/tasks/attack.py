"""``attack`` and ``harden``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from invoke.context import Context

from deadweight.tasks import _choose
from deadweight.tasks._options import names, one
from deadweight.tasks._show import console, print_json, say
from deadweight.tasks._stand_ins import note, rows
from deadweight.tasks._task import task

if TYPE_CHECKING:
    from deadweight.records.evidence import Evidence

FORMATS = ("run", "compose", "kubernetes")


@task(
    help={
        "variant": "the variant; repeat it for more (default: all that are services)",
        "posture": "open, default, hardened, privileged, only-WALL, without-WALL or all; repeat it for more "
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
    from deadweight.checks.attacks.many import attack_all
    from deadweight.checks.attacks.run import plan_for
    from deadweight.project.workspace import Workspace
    from deadweight.records.lock import locked
    from deadweight.report.sections import attack_notes
    from deadweight.report.view import shared_notes
    from deadweight.tasks.verify import raise_if_bad

    postures = names(posture)
    plan_for(postures, ())
    with Workspace.open(say) as workspace:
        selection = _choose.chosen(workspace, variant, shard=shard, times=times, since=since, changed_from=changed_from)
        chosen = [each for each in selection.variants if each.runnable]
        if not chosen and selection.narrowed:
            if json:
                print_json({"suite": workspace.suite.name, "evidence": []})
            return
        if not chosen:
            raise UsageError("none of these variants is a service", hint="invoke variants shows them")
        built = [each for each in chosen if workspace.built(each.name) is not None]
        with locked(workspace.state, say):
            found = attack_all([workspace.subject(each) for each in built or chosen], postures, told=say)
    if json:
        print_json({"suite": workspace.suite.name, "evidence": rows(workspace, found)})
    else:
        for name in _postures(found):
            _table(found, name)
    for told in shared_notes({each.variant: attack_notes(each.data) for each in found}):
        say(f"note: {told}")
    for each in found:
        say(f"{each.variant}: {each.status.replace('_', ' ')}: {each.reason}")
    if not json and (resting := note(workspace, (each.variant for each in found))) is not None:
        say(resting)
    left = ", ".join(each.name for each in chosen if each not in built)
    raise_if_bad(found, f"not attacked, since not built: {left}" if left else "")


@task(
    help={
        "variant": "the variant",
        "format": "run (docker flags, the default), compose or kubernetes",
        "force": "search again, though this image was searched with these settings in this engine before",
        "json": "print one JSON document on stdout: the posture that was found, and what was tried",
    }
)
def harden(
    c: Context, variant: str | None = None, format: str = "run", force: bool = False, json: bool = False
) -> None:
    """Find, by trying, the tightest way to run a variant under which its checks still pass, and print it.

    What was found is kept: another format needs no new search.

    Example: invoke harden --variant apko --format kubernetes
    """
    from deadweight._errors import UsageError
    from deadweight.project.workspace import Workspace
    from deadweight.records.lock import locked
    from deadweight.suite.load import select
    from deadweight.trials.harden.kept import kept_or_found
    from deadweight.trials.harden.write import written

    if format not in FORMATS:
        raise UsageError(f"--format: expected one of {', '.join(FORMATS)}, found {format!r}")
    with Workspace.open(say) as workspace:
        (chosen,) = select(workspace.suite, (one(variant, "--variant"),))
        with locked(workspace.state, say):
            found = kept_or_found(workspace.subject(chosen), say, again=force)
    if json:
        print_json(found.document())
    else:
        print(written(found, format), end="")


def _postures(found: Sequence[Evidence]) -> list[str]:
    """Those in which something was measured now; what an earlier run found of others is for the report."""
    return list(
        dict.fromkeys(
            name
            for each in found
            for name, cells in each.data.get("postures", {}).items()
            if any(
                cell["outcome"] != "not_measured" and "measured_at" not in (cell["evidence"] or {})
                for cell in cells.values()
            )
        )
    )


def _table(found: Sequence[Evidence], posture: str) -> None:
    """Attacks by variants: how many walls stop it, or what else came of it. In as many parts as names need to be readable."""
    from rich.table import Table

    shown = [each for each in found if posture in each.data.get("postures", {})]
    payloads = list(dict.fromkeys(name for each in shown for name in each.data["postures"][posture]))
    out, frame = console(), 3  # a border and two blanks
    widths = [max(len(each.variant), len("blocked")) + frame for each in shown]
    room = out.width - max(map(len, payloads), default=0) - frame - 1
    while shown:
        count = max(1, sum(width <= room for width in accumulate(widths)))
        part, shown, widths = shown[:count], shown[count:], widths[count:]
        table = Table(title=f"{posture}: how many walls stop each attack", title_justify="left", header_style="bold")
        table.add_column("attack", no_wrap=True)
        for each in part:
            table.add_column(each.variant, justify="center", overflow="fold")
        for payload in payloads:
            table.add_row(payload, *(_cell(each.data["postures"][posture].get(payload)) for each in part))
        out.print(table)


def _cell(cell: dict[str, Any] | None) -> str:
    if cell is None:
        return ""
    words = {
        "succeeded": "[bold red]open[/]",
        "crashed": "[magenta]crashed[/]",
        "not_applicable": "[dim]n/a[/]",
        "not_measured": "[dim]-[/]",
    }
    if cell["outcome"] != "blocked":
        return words[cell["outcome"]]
    return f"[green]{cell['depth'] if cell['depth'] is not None else 'blocked'}[/]"
