"""Define ``twin``: compare how two images behave."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.parser.argument import Argument

from deadweight.tasks import lazy
from deadweight.tasks._progress import print_json, report_progress, say
from deadweight.tasks._task import Value, task
from deadweight.tasks.build import build_variants


@task(
    help={
        "a": "the variant that is known to be right, or image:REF",
        "b": "the variant to compare with it, or image:REF",
        "since": "instead of A and B: compare --variant with what it was when HEAD branched off from this git revision",
        "help": "show this",
        "variant": "the variant for --since (required if the suite has several)",
    }
)
def twin(
    c: Context, a: str, b: str, since: Value = None, variant: Value = None, json: bool = False, help: bool = False
) -> None:
    """Send the same requests to two images and show what differs, and probably why; exit 1 if anything does, 3 if not measured.

    Example: invoke twin multi-stage-ubuntu apko
    Example: invoke twin --since origin/main --variant apko
    """
    if help:
        raise Exit(code=subprocess.run([sys.executable, sys.argv[0], "--help", "twin"], check=False).returncode)
    with lazy.Workspace.open(say) as workspace, report_progress("twin"):
        result = lazy.workload.compared(workspace, (a, b), since=since, variant=variant, build=_built)
    if json:
        print_json(result.document())
    else:
        print(*map(lazy.plain, lazy.workload.lines(result)), sep="\n")
    if result.differences:
        raise Exit(code=1)


def _built(workspace: lazy.Workspace, variants: Any) -> None:
    lazy.build.raise_if_failed(build_variants(workspace, variants, jobs=len(variants)))


class _InsteadOfSides(Argument):
    """A flag that stands for A and B, which invoke would require, and would take ``--help`` for."""

    sides: tuple[Any, ...]

    def set_value(self, value: Any, cast: bool = True) -> None:
        super().set_value(value, cast)
        for side in self.sides:
            side._value = side._value or ""


def _arguments(ignore_unknown_help: bool | None = None, made: Any = twin.get_arguments) -> list[Argument]:
    by_name: dict[str, Any] = {argument.name: argument for argument in made(ignore_unknown_help)}
    for name in ("since", "help"):
        by_name[name].__class__, by_name[name].sides = _InsteadOfSides, (by_name["a"], by_name["b"])
    return list(by_name.values())


vars(twin)["get_arguments"] = _arguments
