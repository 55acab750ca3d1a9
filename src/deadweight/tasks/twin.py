"""Define ``twin``: compare how two images behave."""

from __future__ import annotations

from typing import Any

from invoke.context import Context
from invoke.exceptions import Exit

from deadweight.tasks import lazy
from deadweight.tasks._progress import build_variants, print_json, report_progress, say
from deadweight.tasks._task import task
from deadweight.tasks._words import Names, Value, names


@task()
def twin(c: Context, variant: Names = None, since: Value = None, json: bool = False) -> None:
    """Send the same requests to two images and show what differs, and probably why; exit 1 if anything does, 3 if not measured.

    Example: invoke twin multi-stage-ubuntu apko
    Example: invoke twin --since origin/main apko
    """
    with lazy.Workspace.open(say) as workspace, report_progress("twin"):
        result = lazy.workload.compared(workspace, names(variant), since=since, build=_built)
    if json:
        print_json(result.document())
    else:
        print(*map(lazy.plain, lazy.workload.lines(result)), sep="\n")
    if not result.alike:
        raise Exit(code=1)


def _built(workspace: lazy.Workspace, variants: Any) -> None:
    lazy.build.raise_if_failed(build_variants(workspace, variants, jobs=len(variants)))
