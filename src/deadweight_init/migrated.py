"""Tables of a Python service's database, which nobody makes in a fresh one: its own migrations do, before it serves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

from deadweight_init.draft import Draft
from deadweight_init.languages.common import OWNED
from deadweight_init.tree import Tree, joined

_MIGRATE = ("migrate", "upgrade", "syncdb")


def with_migrations(draft: Draft, tree: Tree) -> Draft | None:
    """The draft whose generated images bring the database up to date first, as Django and Alembic do it. None where there is no
    such thing, or where its own command does that already. A step that fails stops nothing: the database may be another's."""
    project = draft.service.project
    if project is None or project.language != "python" or "before" not in project.details:
        return None
    before = json.loads(project.details["before"] or "[]")
    step = next(_steps(tree, joined(project.folder, project.details["inside"])), None)
    if step is None or any(word in _MIGRATE for each in (*before, project.start) for word in each):
        return None
    details = {**project.details, "before": json.dumps([*before, step]), "may_fail": "1", OWNED: "1"}
    return replace(draft, service=replace(draft.service, project=replace(project, details=details)))


def _steps(tree: Tree, folder: str) -> Iterator[list[str]]:
    if "django" in tree.text(joined(folder, "manage.py")).lower():
        yield ["manage.py", "migrate", "--noinput"]
    if tree.has(joined(folder, "alembic.ini")):
        yield ["-m", "alembic", "upgrade", "head"]
