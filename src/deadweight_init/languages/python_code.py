"""What a Python service's code is: the framework, what starts it, and the folder from which its modules are found."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable

from deadweight_init.languages.sources import TESTS
from deadweight_init.tree import Tree, aside, folder_of, joined

_APP = re.compile(
    r"^(\w+)\s*(?::[^=\n]+)?=\s*(?:[\w.]+\.)?"
    r"(FastAPI|Flask|Starlette|Quart|Sanic|Litestar|APIFlask|Dash|FlaskApp|AsyncApp|create_app\w*|make_app|build_app|get_application)\(",
    re.MULTILINE,
)
_FACTORY = re.compile(r"^(?:async )?def (create_app|make_app|build_app|get_app|app_factory)\(", re.MULTILINE)
_ASGI = ("FastAPI", "Starlette", "Quart", "Litestar", "AsyncApp", "get_application")
_IMPORTED = re.compile(r"^(?:from|import)\s+(\w+)", re.MULTILINE)
_DJANGO = re.compile(r"DJANGO_SETTINGS_MODULE|\bdjango\.core\b")
_NAMED = re.compile(r"([A-Za-z_][\w.]*):[A-Za-z_][\w.]*(?:\(.*\))?|([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)")
_SCRIPTS = ("main.py", "app.py", "server.py", "run.py", "__main__.py", "src/main.py")
_GATES = ("wsgi.py", "asgi.py")
_STREAMLIT = re.compile(r"^(?:import|from) streamlit\b", re.MULTILINE)
_PAGES = ("streamlit_app.py", "app.py", "main.py", "home.py", "hello.py")
_WORKERS = re.compile(r"celery|worker|tasks|huey|scheduler")
_SERVES = re.compile(
    r"^[ \t]*(?:[\w.]+\.)?(?:run_app|run_simple|serve_forever|uvicorn\.run|bottle\.run|hypercorn\.run)\(|\.listen\("
    r"|^[ \t]*(?:app|application|bottle)\.run\(|^[ \t]*run\([^)\n]*\b(?:host|port)=",
    re.MULTILINE,
)
"""How a script starts its server: aiohttp, Werkzeug, the standard library, ASGI servers, Tornado, Flask and the like, Bottle."""

EVERYWHERE = "0.0.0.0"  # noqa: S104 - in a container

Started = tuple[tuple[str, ...], str]


def framework(tree: Tree, folder: str) -> Started:
    """What starts it by what its code is, and the kind: ``asgi``, ``flask``, ``django`` or nothing."""
    manage = _manage(tree, folder)
    if manage is not None and re.search("django", tree.text(manage), re.IGNORECASE):
        home = folder_of(manage)
        if wsgi := _gate(tree, home, "wsgi"):
            return ("-m", "gunicorn", "--bind", f"{EVERYWHERE}:8000", f"{wsgi}:application"), "django"
        if asgi := _gate(tree, home, "asgi"):
            return ("-m", "uvicorn", "--host", EVERYWHERE, "--port", "8000", f"{asgi}:application"), "django"
        return ("manage.py", "runserver", f"{EVERYWHERE}:8000"), "django"
    sources = sorted(tree.below(folder, ".py"), key=_credible)
    sources = [path for path in sources if not aside(path) and not TESTS.search(path)]
    if made := _made(tree, folder, sources) or _made_by_a_function(tree, folder, sources):
        return made
    if page := _page(tree, folder, sources):
        return page
    for name in _SCRIPTS:
        if tree.has(joined(folder, name)):
            return (name,), ""
    packages = [folder_of(path) for path in tree.below(folder, "/__main__.py") if not aside(path)]
    own = [each for each in packages if folder_of(each) == folder]
    if len(own) == 1:
        return ("-m", posixpath.basename(own[0])), ""
    scripts = [path for path in sources if folder_of(path) == folder and _SERVES.search(tree.text(path))]
    return ((posixpath.basename(scripts[0]),), "") if len(scripts) == 1 else ((), "")


def _credible(path: str) -> tuple[int, bool, bool, str]:
    """The upper files first; of one folder those made for servers, and what is a worker's last."""
    name = posixpath.basename(path)
    return path.count("/"), bool(_WORKERS.search(name)), name not in _GATES, path


def _gate(tree: Tree, home: str, kind: str) -> str:
    """The module by which a Django project is served, ``wsgi`` or ``asgi``; empty without one."""
    made = f"get_{kind}_application"
    paths = (path for path in tree.below(home, f"{kind}.py") if posixpath.basename(path) == f"{kind}.py")
    found = sorted(paths, key=lambda path: (made not in tree.text(path), aside(path), path.count("/"), path))
    return _module(found[0], home) if found and (kind == "wsgi" or made in tree.text(found[0])) else ""


def _manage(tree: Tree, folder: str) -> str | None:
    """The manage.py of the folder, or the only one below it."""
    own = joined(folder, "manage.py")
    below = [path for path in tree.below(folder, "/manage.py") if not aside(path) and _DJANGO.search(tree.text(path))]
    return own if tree.has(own) else below[0] if len(below) == 1 else None


def _made(tree: Tree, folder: str, sources: Iterable[str]) -> Started | None:
    """What starts an application that a module has; None without one."""
    for path in sources:
        text = tree.text(path)
        found = _APP.search(text)
        if found is None or re.search(r"^from alembic import", text, re.MULTILINE):
            continue
        module = _module(path, _home(tree, folder, path))
        if found[2] in _ASGI or re.search(r"^(?:from|import) fastapi\b", text, re.MULTILINE):
            return ("-m", "uvicorn", f"{module}:{found[1]}", "--host", EVERYWHERE, "--port", "8000"), "asgi"
        name = found[1]
        if found[2] == "Dash":  # what is served is the Flask application in it
            served = re.search(rf"^(\w+)\s*=\s*{name}\.server\b", text, re.MULTILINE)
            if served is None:
                return ("-c", f"import {module} as made; made.{name}.run(host='{EVERYWHERE}', port=8050)"), "dash"
            name = served[1]
        return ("-m", "gunicorn", "--bind", f"{EVERYWHERE}:5000", f"{module}:{name}"), "flask"
    return None


def _page(tree: Tree, folder: str, sources: Iterable[str]) -> Started | None:
    """What starts Streamlit's page; None without one, or with several of which none has a usual name."""
    named = [path for path in sources if folder_of(path) == folder and _STREAMLIT.search(tree.text(path))]
    usual = [path for path in named if posixpath.basename(path).lower() in _PAGES]
    page = usual[0] if usual else named[0] if len(named) == 1 else None
    words = ("--server.port", "8501", "--server.address", EVERYWHERE)
    return (("-m", "streamlit", "run", posixpath.basename(page), *words), "streamlit") if page else None


def _made_by_a_function(tree: Tree, folder: str, sources: Iterable[str]) -> Started | None:
    """What starts an application that a function makes; None without one."""
    for path in sources:
        text = tree.text(path)
        found = _FACTORY.search(text)
        if found is None:
            continue
        name = _module(path, _home(tree, folder, path))
        if re.search(r"\bFastAPI\(", text):
            factory = ("-m", "uvicorn", "--factory", f"{name}:{found[1]}", "--host", EVERYWHERE, "--port", "8000")
            return factory, "asgi"
        if re.search(r"\bweb\.Application\(", text):
            code = f"from aiohttp import web; import {name} as made; web.run_app(made.{found[1]}(), port=8000)"
            return ("-c", code), "asgi"
        if re.search(r"\bFlask\(", text):
            return ("-m", "gunicorn", "--bind", f"{EVERYWHERE}:5000", f"{name}:{found[1]}()"), "flask"
    return None


def _home(tree: Tree, folder: str, path: str) -> str:
    """The folder from which a module's imports are found: the project's, where one of them is there, else its own, else ``src``."""
    own, names = folder_of(path), set(_IMPORTED.findall(tree.text(path)))
    for home in dict.fromkeys((folder, joined(folder, "src"), own)):
        if f"{own}/".startswith("" if home == "." else f"{home}/") and any(_has(tree, home, name) for name in names):
            return home
    sources = joined(folder, "src")
    is_plain = not tree.has(joined(sources, "__init__.py"))
    return sources if is_plain and path.startswith(f"{sources}/") else folder


def _has(tree: Tree, home: str, module: str) -> bool:
    """Whether a module or package is found from a folder."""
    place = joined(home, module.replace(".", "/"))
    return tree.has(f"{place}.py") or tree.has(f"{place}/__init__.py") or any(tree.below(place, ".py"))


def inside(tree: Tree, folder: str, start: tuple[str, ...]) -> str:
    """The folder below the project's in which it has to be started, so that its modules are found; empty for the project's own."""
    for word in start:
        named = _NAMED.fullmatch(word)
        if word.endswith(".py"):
            plain = posixpath.normpath(word).lstrip("/")
            there, endings = tree.has(joined(folder, plain)), [f"/{plain}"]
        elif named and not word.startswith("python:"):
            module = named[1] or named[2]
            there = _has(tree, folder, module)
            endings = [f"/{module.replace('.', '/')}{ending}" for ending in (".py", "/__init__.py")]
        else:
            continue
        if there:
            return ""
        found = [path.removesuffix(end) for end in endings for path in tree.below(folder, end) if not aside(path)]
        least = min((each.count("/") for each in found), default=0)
        nearest = [each for each in found if each.count("/") == least]
        if len(nearest) == 1:
            return posixpath.relpath(nearest[0], folder)
    return ""


def _module(path: str, folder: str) -> str:
    return posixpath.relpath(path, folder).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
