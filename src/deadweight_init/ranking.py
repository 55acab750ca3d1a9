"""Which of several services a repository is about."""

from __future__ import annotations

import posixpath

from deadweight.records.reference import split
from deadweight_init.languages.table import is_pages
from deadweight_init.records import Service
from deadweight_init.repository.compose import PORTS
from deadweight_init.tree import aside

_IN_FRONT = frozenset(("frontend", "front-end", "client", "ui", "proxy", "nginx", "gateway", "ingress"))
"""Folders of what shows or passes on what another service answers."""


def rank(service: Service, is_quiet: bool) -> tuple[bool | int | str, ...]:
    """To sort by, the likeliest first. ``is_quiet``: it names no port, and another service of the same folder does: it is a worker
    of that. A database with settings of the repository's is what its services need."""
    usable = any(not each.refused for each in service.dockerfiles)
    ladder = service.project is not None and not service.project.problem
    database = any(posixpath.basename(split(each.words.base)[0]) in PORTS for each in service.dockerfiles)
    depth = 0 if service.folder == "." else service.folder.count("/") + 1
    pages = is_pages(service.project)
    in_front = pages or posixpath.basename(service.folder).lower() in _IN_FRONT
    is_aside, needs = aside(f"{service.folder}/x"), bool(service.around.needs)
    last = (in_front, is_quiet, depth, needs, service.folder)
    return (is_aside, database and not ladder, not ladder, not usable, *last)


def listens(service: Service) -> bool:
    """Whether its Dockerfile or a Compose file names a port of it."""
    return bool(service.around.ports) or any(each.words.ports for each in service.dockerfiles)
