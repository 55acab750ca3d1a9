"""A generated image whose service listens on loopback alone, where nothing outside its container reaches it."""

from __future__ import annotations

import itertools
import posixpath
import re
from collections.abc import Mapping
from dataclasses import replace

from deadweight_init.draft import Draft
from deadweight_init.languages.python_code import EVERYWHERE, framework
from deadweight_init.records import SEEN, Project
from deadweight_init.tree import Tree, aside

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


def with_open_command(draft: Draft, died: str, tree: Tree) -> Draft | None:
    """The same for the repository's own images that name their program in CMD: it gets other arguments, the image stays."""
    project = draft.service.project
    if project is None or project.language not in ("python", "node") or ONLY_LOOPBACK not in died:
        return None
    images = []
    for each in draft.service.dockerfiles:
        said = each.args or each.words.program
        args = () if each.words.entrypoint or not said else _by_its_words(said, project, tree)
        changed = args and args != said
        images.append(
            replace(each, args=args, args_origin=f"{SEEN}: else it listens on loopback alone") if changed else each
        )
    if tuple(images) == draft.service.dockerfiles:
        return None
    return replace(draft, service=replace(draft.service, dockerfiles=tuple(images)))


def _opened(project: Project, tree: Tree) -> Words:
    served, kind = framework(tree, project.folder) if project.language == "python" else ((), "")
    found = _by_its_words(project.start, project, tree, is_served=bool(kind))
    return found or (served if kind and served[:1] == ("-m",) else ())


def _by_its_words(start: Words, project: Project, tree: Tree, is_served: bool = False) -> Words:
    """A command that listens everywhere; empty where nothing is known of its program. ``is_served``: a server that is known can
    start it, so an option that its code seems to have is not tried."""
    plain = tuple(re.sub(r"(?:127\.0\.0\.1|localhost)(?=:\d+$|$)", EVERYWHERE, word) for word in start)
    if plain != start or EVERYWHERE in " ".join(plain):
        return plain
    module = next((word for before, word in itertools.pairwise(plain) if before == "-m"), "")
    names = [module, *(posixpath.basename(word) for word in plain[:2])]
    if option := next((_OPTIONS[name] for name in names if name in _OPTIONS), ()):
        return (*plain, *option)
    if project.language == "node" or is_served:
        return ()
    if "manage.py" in names and plain[-1] == "runserver":
        return (*plain, f"{EVERYWHERE}:8000")
    code = (path for path in tree.below(project.folder, ".py") if not aside(path))
    is_script = any(word.endswith(".py") for word in plain[:2])
    takes = not is_script and any(_HOST_OPTION.search(tree.text(path)) for path in code)
    return (*plain, "--host", EVERYWHERE) if takes else ()
