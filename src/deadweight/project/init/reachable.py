"""A generated image whose service listens on loopback alone, where nothing outside its container reaches it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import replace

from deadweight.project.init.draft import Draft
from deadweight.project.init.languages.python_code import EVERYWHERE, framework
from deadweight.project.init.records import Project
from deadweight.project.init.tree import Tree, aside

Words = tuple[str, ...]

ONLY_LOOPBACK = "which cannot be reached from outside the container"
_OPTIONS: Mapping[str, Words] = {
    **dict.fromkeys(("uvicorn", "flask", "sanic", "granian", "litestar", "quart", "mlflow"), ("--host", EVERYWHERE)),
    **dict.fromkeys(("chainlit", "json-server", "nuxt", "webpack-dev-server"), ("--host", EVERYWHERE)),
    **dict.fromkeys(("panel", "bokeh", "fastify"), ("--address", EVERYWHERE)),
    **dict.fromkeys(("vite", "astro"), ("--host",)),
    "daphne": ("-b", EVERYWHERE),
    "streamlit": ("--server.address", EVERYWHERE),
    "aiohttp.web": ("--hostname", EVERYWHERE),
    "http.server": ("--bind", EVERYWHERE),
}
"""How programs are told to listen everywhere."""

_HOST_OPTION = re.compile(r"[\"']--host[\"']")


def with_open_address(draft: Draft, died: str, tree: Tree) -> Draft | None:
    """The draft of a Python or Node service that is started so that it listens everywhere: by another address among its words, by
    an option of its server, or by the server for its framework. None for another reason, where nothing is known, or the same
    again."""
    project = draft.service.project
    if project is None or project.language not in ("python", "node") or ONLY_LOOPBACK not in died:
        return None
    start = _opened(project, tree)
    if start == project.start or not start:
        return None
    return replace(draft, service=replace(draft.service, project=replace(project, start=start)))


def _opened(project: Project, tree: Tree) -> Words:
    plain = tuple(re.sub(r"(?:127\.0\.0\.1|localhost)(?=:\d+$|$)", EVERYWHERE, word) for word in project.start)
    if plain != project.start or EVERYWHERE in " ".join(plain):
        return plain
    program = plain[1] if plain[:1] == ("-m",) and len(plain) > 1 else posixpath.basename(plain[0])
    if option := _OPTIONS.get(program):
        return (*plain, *option)
    if project.language == "node":
        return ()
    if program == "manage.py" and plain[1:] == ("runserver",):
        return (*plain, f"{EVERYWHERE}:8000")
    served, kind = framework(tree, project.folder)
    if kind and served[:1] == ("-m",):
        return served
    code = (path for path in tree.below(project.folder, ".py") if not aside(path))
    return (*plain, "--host", EVERYWHERE) if any(_HOST_OPTION.search(tree.text(path)) for path in code) else ()
