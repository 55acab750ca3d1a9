"""What rests on local stand-ins of public bases: said wherever figures of such images are shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deadweight.project.workspace import Workspace
    from deadweight.records.evidence import Evidence


def rows(workspace: Workspace, found: Sequence[Evidence]) -> list[dict[str, Any]]:
    """Evidence for ``--json``, each piece with ``stand_in``: null where the variant is not built."""
    from dataclasses import asdict

    return [{**asdict(each), "stand_in": workspace.stand_in(each.variant)} for each in found]


def note(workspace: Workspace, variants: Iterable[str]) -> str | None:
    """The line for the end of a text output, None where nothing of these variants rests on a stand-in."""
    names = tuple(dict.fromkeys(variants))
    resting = tuple(name for name in names if workspace.stand_in(name))
    if not resting:
        return None
    from deadweight.report.view import stand_in_note

    return f"Stand-ins: {stand_in_note(resting, len(names))}"
