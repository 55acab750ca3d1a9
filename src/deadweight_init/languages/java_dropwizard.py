"""Dropwizard: its program wants a command, and the file with its settings (https://www.dropwizard.io, "Getting Started")."""

from __future__ import annotations

import posixpath
import re

from deadweight_init.records import Project
from deadweight_init.tree import Tree, joined

_TOLD = re.compile(r"\bserver[\s\",]+([\w./-]+\.ya?ml)")
_FOLDERS = (".", "config", "conf", "src/main/resources", "src/main/config")
_SECTIONS = re.compile(r"^(?:server|logging|database):", re.MULTILINE)


def settings(tree: Tree, folder: str, poms: str) -> str:
    """The file of settings, seen from the root: the one that the README or a Dockerfile starts it with, else the likeliest."""
    if "io.dropwizard" not in poms:
        return ""
    for path in (*tree.named(r"readme\.\w+"), *tree.named(r"(?:.*\.)?dockerfile(?:\..*)?|procfile|[\w-]+\.sh")):
        for found in _TOLD.finditer(tree.text(path)):
            for each in (joined(folder, found[1]), joined(folder, posixpath.basename(found[1]))):
                if tree.has(each):
                    return each
    files = (path for each in _FOLDERS for path in tree.below(joined(folder, each), ".yml", ".yaml"))
    direct = (
        path for path in files if posixpath.dirname(path) in {joined(folder, each).strip(".") for each in _FOLDERS}
    )
    return next((path for path in direct if _SECTIONS.search(tree.text(path))), "")


def placed(project: Project) -> str:
    """Where the file is in the image; empty without one."""
    said = project.details["settings"]
    return f"/app/{posixpath.basename(said)}" if said else ""


def words(project: Project) -> tuple[str, ...]:
    """What the program is given; nothing for one that is not Dropwizard's."""
    return ("server", placed(project)) if project.details["settings"] else ()
