"""Packages as they were when a list of them was last changed: what the list leaves open has moved on since."""

from __future__ import annotations

import re
from dataclasses import replace

from deadweight_init.draft import Draft
from deadweight_init.history import last_change
from deadweight_init.languages.python_dockerfile import UNTIL
from deadweight_init.languages.python_versions import of_date, ready_by
from deadweight_init.records import GUESSED
from deadweight_init.tree import Tree, joined

_MOVED_ON = re.compile(
    r"ImportError: cannot import name|AttributeError: (?:module|type object) '"
    r"|TypeError: [^|]*(?:unexpected keyword|positional arg)|No module named '(?:\w+\.\w+|psycopg')"
)
"""The last: SQLAlchemy 2.1 takes psycopg where 2.0 took psycopg2."""

_OF_PACKAGES = re.compile(
    r"cannot import name '\w+' from '(?!(?:collections|inspect|typing|asyncio|fractions|importlib)\b)"
)
"""What is no matter of the language: these are its own modules that have lost names."""


def with_packages_first(draft: Draft, died: str, tree: Tree) -> Draft | None:
    """The same, where that alone can help: it is tried before older languages are."""
    return with_packages_of_their_time(draft, died, tree) if _OF_PACKAGES.search(died) else None


def with_packages_of_their_time(draft: Draft, died: str, tree: Tree) -> Draft | None:
    """The draft of a Python service with packages none of which is newer than its ``requirements.txt``, where one of them lacks
    what another one takes from it. None for another reason, without a date in git's history, or the same again."""
    project = draft.service.project
    if project is None or project.kind != "pip" or UNTIL in project.details or not _MOVED_ON.search(died):
        return None
    file = joined(project.folder, project.details["list"])
    date = last_change(tree, file)
    if date is None:
        return None
    version = project.version
    if version.origin.startswith(GUESSED):
        version = of_date(date, file) or version
    details = {**project.details, UNTIL: max(date, ready_by(version.value))}
    return replace(draft, service=replace(draft.service, project=replace(project, version=version, details=details)))
