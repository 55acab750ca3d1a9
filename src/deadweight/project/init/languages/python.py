"""Python: requirements, Poetry, uv, Pipenv or a plain project; FastAPI, Flask, Django or a script."""

from __future__ import annotations

import json
import posixpath
import re

from deadweight.project.init.languages.common import dockerignore, rungs_on
from deadweight.project.init.languages.python_dockerfile import dockerfile
from deadweight.project.init.languages.python_steps import Words, steps
from deadweight.project.init.languages.sources import scan
from deadweight.project.init.records import ImageWords, Known, Ladder, Project, Service
from deadweight.project.init.tree import Tree, aside, folder_of, joined, line_of

_APP = re.compile(
    r"^(\w+)\s*(?::[^=\n]+)?=\s*(?:[\w.]+\.)?"
    r"(FastAPI|Flask|Starlette|Quart|Sanic|Litestar|APIFlask|Dash|create_app\w*|make_app|build_app|get_application)\(",
    re.MULTILINE,
)
_FACTORY = re.compile(r"^def (create_app|make_app|build_app|get_app|app_factory)\(", re.MULTILINE)
_ASGI = ("FastAPI", "Starlette", "Quart", "Litestar", "get_application")
_DEFAULT_VERSION = "3.12"
_OLDEST = (3, 9)
_PSYCOPG = re.compile(r"^psycopg2(?=\s*(?:[=<>~!;#]|$))", re.MULTILINE)
EVERYWHERE = "0.0.0.0"  # noqa: S104 - in a container
_MODULES = (
    "gunicorn",
    "uvicorn",
    "flask",
    "fastapi",
    "hypercorn",
    "daphne",
    "waitress",
    "streamlit",
    "celery",
    "aiohttp",
    "alembic",
)
"""Programs of packages that can be started as ``python -m NAME``."""


def find(tree: Tree, folder: str, words: ImageWords | None) -> Project | None:
    """The Python project of a folder."""
    kind = _kind(tree, folder)
    if kind is None:
        return None
    before, start, framework = _start(tree, folder, words)
    start = tuple(word for word in start if word != "--reload")  # for developers: it watches the files
    ports, health = scan(tree, _sources(tree, folder))
    default = {"asgi": 8000, "flask": 5000, "django": 8000}.get(framework)
    given = _port_in(start)
    ports = (*([Known(given, "from its start command")] if given else []), *ports)
    ports = (*ports, *([Known(default)] if default and not ports else []))
    return Project(
        language="python",
        kind=kind,
        folder=folder,
        name=posixpath.basename(folder) if folder != "." else tree.root.name,
        version=_version(tree, folder, words),
        start=start,
        ports=ports,
        health=health,
        details={
            "extra": " ".join(_extra(tree, folder, start)),
            "includes": "\n".join(_includes(tree, folder, kind)),
            "psycopg2": " ".join(_compiled_against_libpq(tree, folder, kind)),
            "collects": "1" if _collects(tree, folder) else "",
            "before": json.dumps(before) if before else "",
            "paths": (words.env.get("PYTHONPATH", "") if words else ""),
        },
        problem="" if start else "cannot determine how it is started: no CMD, Procfile, main.py or app",
    )


def _kind(tree: Tree, folder: str) -> str | None:
    def has(name: str) -> bool:
        return tree.has(joined(folder, name))

    if has("requirements.txt"):
        return "pip"
    if has("pyproject.toml"):
        text = tree.text(joined(folder, "pyproject.toml"))
        if has("uv.lock"):
            return "uv"
        if has("poetry.lock") or "[tool.poetry" in text:
            return "poetry"
        return "project" if "[project]" in text or "[build-system]" in text else None
    if has("Pipfile"):
        return "pipenv"
    return "project" if has("setup.py") else None


def _version(tree: Tree, folder: str, words: ImageWords | None) -> Known[str]:
    """Of the own image's base, .python-version, requires-python; one that is out of support is raised."""
    if base := words.on(r"python:(\d+\.\d+)") if words else "":
        return Known(base, "from your Dockerfile's base")
    for name, pattern in (
        (".python-version", r"(3\.\d+)"),
        ("runtime.txt", r"python-(3\.\d+)"),
        ("pyproject.toml", r"^(?:requires-python|python)\s*=\s*[\"'][^\"'\d]*(3\.\d+)"),
    ):
        text = tree.text(joined(folder, name))
        found = re.search(pattern, text, re.MULTILINE)
        if found and tuple(map(int, found[1].split("."))) >= _OLDEST:
            least = max(found[1], "3.11", key=lambda each: tuple(map(int, each.split("."))))
            version = least if name == "pyproject.toml" else found[1]
            return Known(version, f"from {joined(folder, name)}:{line_of(text, found.start(1))}")
    return Known(_DEFAULT_VERSION)


def _sources(tree: Tree, folder: str) -> list[str]:
    return sorted(tree.below(folder, ".py", ".toml", ".cfg", "Procfile"), key=lambda path: (path.count("/"), path))


def _start(tree: Tree, folder: str, words: ImageWords | None) -> tuple[tuple[Words, ...], Words, str]:
    """What is done before, what is started, both as arguments of ``python3``, and the kind of framework.

    The own image's command goes first.
    """
    found, framework = _framework(tree, folder)
    if words is not None:
        port = _port_of(words)
        if said := _as_python(_plain(words.words, port), tree, folder):
            return (), said, framework
        if told := steps(words.words, tree, folder, port, lambda line: _as_python(line, tree, folder)):
            return told[:-1], told[-1], framework
        # a script that only a shell can run, and the program that it is given
        if words.entrypoint and (said := _as_python(_plain(words.command, port), tree, folder)):
            return (), said, framework
    procfile = re.search(r"^web:\s*(.+)$", tree.text(joined(folder, "Procfile")), re.MULTILINE)
    started = _as_python(_plain(("sh", "-c", procfile[1])), tree, folder) if procfile else ()
    return (), started or found, framework


def _port_of(words: ImageWords) -> str:
    """The port that the own image says."""
    return words.env.get("PORT") or next((str(each.value) for each in words.ports), "")


_PORT_VARIABLE = re.compile(r"\$(?:PORT\b|\{PORT(?::?-(\d+))?\})")


def _plain(words: tuple[str, ...], port: str = "") -> tuple[str, ...]:
    """A shell form of one simple command as its words; nothing for what needs the shell. Init programs are taken off.

    The variable PORT is the port that is told, the command's own default, or 8080.
    """
    if words[:2] in (("/bin/sh", "-c"), ("sh", "-c"), ("/bin/bash", "-c"), ("bash", "-c")) and len(words) == 3:
        text = _PORT_VARIABLE.sub(lambda found: port or found[1] or "8080", words[2].strip().removeprefix("exec "))
        return () if re.search(r"[;&|<>$`()]", text) else tuple(text.split())
    while words[:1] and posixpath.basename(words[0]) in ("tini", "dumb-init", "--"):
        words = words[1:]
    return tuple(word for number, word in enumerate(words) if number or word != "--")


def _as_python(words: tuple[str, ...], tree: Tree, folder: str) -> tuple[str, ...]:
    """A command as arguments of the interpreter: ``gunicorn …`` is ``python3 -m gunicorn …``; nothing for other programs."""
    for wrapper in (("poetry", "run"), ("uv", "run"), ("pipenv", "run")):
        if words[:2] == wrapper:
            words = words[2:]
    if not words:
        return ()
    program = posixpath.basename(words[0])
    if re.fullmatch(r"python[\d.]*", program):
        return words[1:]
    if program in _MODULES:
        return ("-m", program, *words[1:])
    packages = {program, _script(tree, folder, program).partition(":")[0].partition(".")[0]}
    own = (each for each in sorted(packages) if each and tree.has(joined(folder, f"{each}/__main__.py")))
    return next((("-m", each, *words[1:]) for each in own), ())


def _script(tree: Tree, folder: str, program: str) -> str:
    """What a program that the project itself installs is made of: ``package.module:function``."""
    for name in ("pyproject.toml", "setup.py", "setup.cfg"):
        found = re.search(
            rf"[\"']?{re.escape(program)}[\"']?\s*=\s*[\"']?([\w.]+:\w+)", tree.text(joined(folder, name))
        )
        if found:
            return found[1]
    return ""


def _framework(tree: Tree, folder: str) -> tuple[tuple[str, ...], str]:
    """What starts it by what its code is, and the kind: ``asgi``, ``flask``, ``django`` or nothing."""
    if re.search("django", tree.text(joined(folder, "manage.py")), re.IGNORECASE):
        wsgi = next((path for path in tree.below(folder, "wsgi.py")), None)
        module = posixpath.relpath(folder_of(wsgi), folder).replace("/", ".") if wsgi else ""
        if module:
            return ("-m", "gunicorn", "--bind", "0.0.0.0:8000", f"{module}.wsgi:application"), "django"
        return ("manage.py", "runserver", "0.0.0.0:8000"), "django"
    sources = [path for path in _sources(tree, folder) if path.endswith(".py") and not aside(path)]
    for path in sources:
        found = _APP.search(tree.text(path))
        if found is None or re.search(r"^from alembic import", tree.text(path), re.MULTILINE):
            continue
        module = _module(path, folder)
        if found[2] in _ASGI or re.search(r"^(?:from|import) fastapi\b", tree.text(path), re.MULTILINE):
            return ("-m", "uvicorn", f"{module}:{found[1]}", "--host", EVERYWHERE, "--port", "8000"), "asgi"
        return ("-m", "gunicorn", "--bind", "0.0.0.0:5000", f"{module}:{found[1]}"), "flask"
    if made := _made_by_a_function(tree, folder, sources):
        return made
    for name in ("main.py", "app.py", "server.py", "run.py", "__main__.py", "src/main.py"):
        if tree.has(joined(folder, name)):
            return (name,), ""
    if tree.has(joined(folder, "manage.py")):
        return ("manage.py", "runserver", "0.0.0.0:8000"), "django"
    return (), ""


def _made_by_a_function(tree: Tree, folder: str, sources: list[str]) -> tuple[tuple[str, ...], str] | None:
    """What starts an application that a function makes; None without one."""
    for path in sources:
        text = tree.text(path)
        found = _FACTORY.search(text)
        if found is None:
            continue
        name = _module(path, folder)
        if re.search(r"\bFastAPI\(", text):
            factory = ("-m", "uvicorn", "--factory", f"{name}:{found[1]}", "--host", EVERYWHERE, "--port", "8000")
            return factory, "asgi"
        if re.search(r"\bFlask\(", text):
            return ("-m", "gunicorn", "--bind", "0.0.0.0:5000", f"{name}:{found[1]}()"), "flask"
    return None


def _module(path: str, folder: str) -> str:
    return posixpath.relpath(path, folder).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _collects(tree: Tree, folder: str) -> bool:
    """Whether it is a Django project that gathers its static files in a folder (STATIC_ROOT) before it serves them."""
    settings = (path for path in tree.below(folder, ".py") if "settings" in path and not aside(path))
    told = (re.search(r"^STATIC_ROOT\s*=", tree.text(path), re.MULTILINE) for path in settings)
    return "django" in tree.text(joined(folder, "manage.py")).lower() and any(told)


def _port_in(start: tuple[str, ...]) -> int | None:
    found = re.search(r"(?::|--port[ =]|-p )(\d{2,5})\b", " ".join(start))
    return int(found[1]) if found else None


def _extra(tree: Tree, folder: str, start: tuple[str, ...]) -> list[str]:
    """The server that the start command names, where no manifest asks for it."""
    if start[:1] != ("-m",) or start[1] not in _MODULES:
        return []
    names = ("requirements.txt", "pyproject.toml", "Pipfile", "setup.py", "setup.cfg", "uv.lock", "poetry.lock")
    said = "\n".join(tree.text(joined(folder, name)).lower() for name in names)
    return [] if start[1] in said else [start[1]]


_INCLUDED = re.compile(
    r"^\s*(?:-r|-c|--requirement|--constraint|-e|--editable)[\s=]*([\w./-]+)|^\s*(\.[\w./-]*)\s*$", re.MULTILINE
)


def _includes(tree: Tree, folder: str, kind: str) -> list[str]:
    """What a requirements.txt names of the repository: other lists of packages, and packages. They are copied before it is read."""
    todo, copied = ["requirements.txt"] if kind == "pip" else [], dict[str, None]()
    while todo:
        name = todo.pop()
        for found in _INCLUDED.finditer(tree.text(joined(folder, name))):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(name), found[1] or found[2]))
            if path == "." or path.startswith(".."):
                return ["COPY . ."]
            if path not in copied and (tree.has(joined(folder, path)) or any(tree.below(joined(folder, path), ""))):
                copied[path] = None
                todo.append(path)
    return [f"COPY {path} ./{path}" for path in copied]


def _compiled_against_libpq(tree: Tree, folder: str, kind: str) -> list[str]:
    """The lists of packages that ask for psycopg2 as source."""
    included = [line.split()[1] for line in _includes(tree, folder, kind) if not line.startswith("COPY . ")]
    lists = ["requirements.txt", *included] if kind == "pip" else []
    return [name for name in lists if _PSYCOPG.search(tree.text(joined(folder, name)))]


def ladder(service: Service, project: Project, place: str, port: int, health: str | None) -> Ladder:
    """Multi-stage on Debian, Alpine, Chainguard and distroless."""
    version = project.version.value
    slim, alpine = f"python:{version}-slim", f"python:{version}-alpine"
    whole = "" if "compiler" in project.details else "-slim"  # the whole image has compilers, and headers of databases
    bases = {
        "debian": (f"python:{version}{whole}", slim),
        "alpine": (alpine, alpine),
        "chainguard": ("cgr.dev/chainguard/python:latest-dev", "cgr.dev/chainguard/python:latest"),
        # distroless brings Debian 12's Python, so what is compiled for it is compiled with that one
        "distroless": (f"python:3.11{whole}", "gcr.io/distroless/python3-debian12:nonroot"),
    }
    files = {
        f"{place}/Dockerfile": dockerfile(service, project, port, health),
        f"{place}/Dockerfile.dockerignore": dockerignore("python", place),
    }
    return Ladder(tuple(rungs_on(bases, "the service and its packages", f"{place}/Dockerfile", project.folder)), files)
