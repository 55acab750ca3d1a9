"""What is known of a Python service."""

from __future__ import annotations

from dataclasses import dataclass

from deadweight_init.records import Project

Words = tuple[str, ...]


@dataclass(frozen=True)
class PythonProject(Project):
    """``listed`` is the list that pip reads, ``included`` what that names of the repository. ``extra`` is a server that nothing
    lists. ``inside`` is the folder that it is started in. ``collects``: static files are gathered when it is built. ``before`` are
    steps that it takes before it serves; ``by_code``: nothing but its code tells how it is started.
    """

    listed: str = ""
    included: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    inside: str = ""
    collects: bool = False
    before: tuple[Words, ...] = ()
    by_code: bool = False
