"""Inspect a Python service's code for its framework, start command, and the folder its imports resolve from."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator

from deadweight_init.languages.common import EVERYWHERE
from deadweight_init.languages.sources import TESTS
from deadweight_init.tree import Tree, aside, folder_of, joined

Words = tuple[str, ...]

_APP = re.compile(
    r"^(\w+)\s*(?::[^=\n]+)?=\s*(?:[\w.]+\.)?"
    r"(FastAPI|Flask|Starlette|Quart|Litestar|APIFlask|create_app\w*|make_app|build_app|get_application)\(",
    re.MULTILINE,
)
_FACTORY = re.compile(r"^(?:async )?def (create_app|make_app|build_app|get_app|app_factory)\(", re.MULTILINE)
_ASGI = ("FastAPI", "Starlette", "Quart", "Litestar", "get_application")
_FASTAPI = re.compile(r"^(?:from|import) fastapi\b|\bFastAPI\(", re.MULTILINE)
_IMPORTED = re.compile(r"^(?:from|import)\s+(\w+)", re.MULTILINE)
_DJANGO = re.compile(r"DJANGO_SETTINGS_MODULE|\bdjango\.core\b")
_NAMED = re.compile(r"([A-Za-z_][\w.]*):[A-Za-z_][\w.]*(?:\(.*\))?|([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)")
_SCRIPTS = ("main.py", "app.py", "server.py", "run.py", "__main__.py", "src/main.py")
_STREAMLIT = re.compile(r"^(?:import|from) streamlit\b", re.MULTILINE)
_WORKERS = re.compile(r"celery|worker|tasks|huey|scheduler")
_SERVES = re.compile(
    r"^[ \t]*(?:[\w.]+\.)?(?:run_app|run_simple|uvicorn\.run|bottle\.run|hypercorn\.run)\(|\.(?:listen|serve_forever)\("
    r"|^[ \t]*(?:app|application|bottle)\.run\(|^[ \t]*run\([^)\n]*\b(?:host|port)=",
    re.MULTILINE,
)
"""How a script starts its server: aiohttp, Werkzeug, the standard library, ASGI servers, Tornado, Flask and the like, Bottle."""


def start_of(tree: Tree, folder: str) -> tuple[Words, int | None]:
    """What starts a service by what its code is, as arguments of the interpreter, and the port of its framework."""
    manage = _manage(tree, folder)
    if manage is not None:
        return _django(tree, folder_of(manage)), 8000
    code = (path for path in tree.below(folder, ".py") if not aside(path) and not TESTS.search(path))
    sources = sorted(code, key=lambda path: (path.count("/"), bool(_WORKERS.search(posixpath.basename(path))), path))
    if made := next(_applications(tree, folder, sources), None):
        return made
    here = [path for path in sources if folder_of(path) == folder]
    if page := next((path for path in here if _STREAMLIT.search(tree.text(path))), None):
        words = ("--server.port", "8501", "--server.address", EVERYWHERE)
        return ("-m", "streamlit", "run", posixpath.basename(page), *words), 8501
    scripts = [name for name in _SCRIPTS if tree.has(joined(folder, name))]
    packages = [folder_of(path) for path in tree.below(folder, "/__main__.py") if folder_of(folder_of(path)) == folder]
    serving = [posixpath.basename(path) for path in here if _SERVES.search(tree.text(path))]
    if scripts:
        return (scripts[0],), None
    if len(packages) == 1:
        return ("-m", posixpath.basename(packages[0])), None
    return ((serving[0],) if len(serving) == 1 else ()), None


def is_django(tree: Tree, folder: str) -> bool:
    """Whether it is a project of Django's."""
    return _manage(tree, folder) is not None


def _manage(tree: Tree, folder: str) -> str | None:
    """The manage.py of the folder, or the only one below it."""
    there = [path for path in tree.below(folder, "manage.py") if not aside(path) and _DJANGO.search(tree.text(path))]
    own = joined(folder, "manage.py")
    return own if own in there else there[0] if len(there) == 1 else None


def _django(tree: Tree, home: str) -> Words:
    for kind, start in (
        ("wsgi", ("gunicorn", "--bind", f"{EVERYWHERE}:8000")),
        ("asgi", ("uvicorn", "--host", EVERYWHERE, "--port", "8000")),
    ):
        gates = [path for path in tree.below(home, f"/{kind}.py") if f"get_{kind}_application" in tree.text(path)]
        if gates:
            gate = min(gates, key=lambda path: (aside(path), path.count("/"), path))
            return ("-m", *start, f"{_module(gate, home)}:application")
    return ("manage.py", "runserver", f"{EVERYWHERE}:8000")


def _applications(tree: Tree, folder: str, sources: Iterable[str]) -> Iterator[tuple[Words, int]]:
    """What starts the applications that modules have, or that functions make."""
    texts = [(path, tree.text(path)) for path in sources]
    for path, text in texts:
        match = _APP.search(text)
        if match is not None and not re.search(r"^from alembic import", text, re.MULTILINE):
            module = _module(path, _home(tree, folder, path))
            yield _served(f"{module}:{match[1]}", is_asgi=match[2] in _ASGI or bool(_FASTAPI.search(text)))
    for path, text in texts:
        match = _FACTORY.search(text)
        if match is not None and re.search(r"\b(?:FastAPI|Flask)\(", text):
            words, port = _served(
                f"{_module(path, _home(tree, folder, path))}:{match[1]}", is_asgi=bool(_FASTAPI.search(text))
            )
            yield ((*words, "--factory") if "uvicorn" in words else (*words[:-1], f"{words[-1]}()")), port


def _served(name: str, *, is_asgi: bool) -> tuple[Words, int]:
    if is_asgi:
        return ("-m", "uvicorn", name, "--host", EVERYWHERE, "--port", "8000"), 8000
    return ("-m", "gunicorn", "--bind", f"{EVERYWHERE}:5000", name), 5000


def _home(tree: Tree, folder: str, path: str) -> str:
    """The folder from which a module's imports are found: the project's, if one of them is there, else its own, else ``src``."""
    own, names, sources = folder_of(path), set(_IMPORTED.findall(tree.text(path))), joined(folder, "src")
    for home in dict.fromkeys((folder, sources, own)):
        if f"{own}/".startswith("" if home == "." else f"{home}/") and any(_has(tree, home, name) for name in names):
            return home
    return sources if path.startswith(f"{sources}/") and not tree.has(joined(sources, "__init__.py")) else folder


def _has(tree: Tree, home: str, module: str) -> bool:
    """Whether a module or package is found from a folder."""
    place = joined(home, module.replace(".", "/"))
    return tree.has(f"{place}.py") or any(tree.below(place, "/__init__.py", ".py"))


def inside(tree: Tree, folder: str, start: Words) -> str:
    """The folder below the project's in which it has to be started, so that its modules are found; empty for the project's own."""
    for word in start:
        named = _NAMED.fullmatch(word)
        if word.endswith(".py"):
            there, endings = tree.has(joined(folder, posixpath.normpath(word))), [f"/{posixpath.normpath(word)}"]
        elif named:
            place = (named[1] or named[2]).replace(".", "/")
            there, endings = _has(tree, folder, named[1] or named[2]), [f"/{place}.py", f"/{place}/__init__.py"]
        else:
            continue
        if there:
            return ""
        homes = sorted(
            (path.removesuffix(end) for end in endings for path in tree.below(folder, end) if not aside(path)), key=len
        )
        if homes:
            return posixpath.relpath(homes[0], folder)
    return ""


def _module(path: str, folder: str) -> str:
    return posixpath.relpath(path, folder).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
