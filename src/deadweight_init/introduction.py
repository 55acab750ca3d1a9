"""Say what ``deadweight`` sees in a folder that has no suite, and what it would do."""

from __future__ import annotations

from pathlib import Path

from deadweight.suite.load import SUITE_FILE
from deadweight_init.command import PLACE
from deadweight_init.draft import Draft, first_draft
from deadweight_init.records import wording
from deadweight_init.services import find_services
from deadweight_init.tree import read_tree

MOST_SERVICES = 3


def look(root: Path) -> tuple[list[str], bool]:
    """At most five lines about the folder, and whether there is a service to bring in. Nothing is run or written."""
    drafts = [first_draft(service, PLACE) for service in find_services(read_tree(root))]
    if not (able := [draft for draft in drafts if draft.rungs]):
        return [wording("look.nothing", folder=root)], False
    more = [wording("look.more", count=len(able) - MOST_SERVICES)] if len(able) > MOST_SERVICES else []
    lines = [wording("look.folder", file=SUITE_FILE), *map(_line, able[:MOST_SERVICES]), *more]
    return [*lines, wording("look.would", file=SUITE_FILE)], True


def _line(draft: Draft) -> str:
    project, own = draft.service.project, draft.service.own
    what = ", ".join(str(part) for part in (project and project.language, own and own.path) if part)
    rungs = ", ".join(rung.name for rung in draft.rungs)
    return wording("look.service", name=draft.service.name, what=what, port=draft.port.value, rungs=rungs)
