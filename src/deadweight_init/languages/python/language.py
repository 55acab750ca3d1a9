"""Detect a Python service with its server and package list (pip, Poetry, uv, PDM, Pipenv), and write its Dockerfile."""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from deadweight_init.languages import common
from deadweight_init.languages.common import EVERYWHERE
from deadweight_init.languages.protocol import Facts, Language
from deadweight_init.languages.sources import TESTS, by_depth, platform_command, scan
from deadweight_init.records import (
    UNLISTED,
    ImageWords,
    Known,
    Ladder,
    Project,
    Service,
    numbers,
    simple_command,
    wording,
)
from deadweight_init.tree import TABLES, Tree, aside, folder_of, joined

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
    if page := next((path for path in here if _STREAMLIT.search(tree.texts[path])), None):
        words = ("--server.port", "8501", "--server.address", EVERYWHERE)
        return ("-m", "streamlit", "run", posixpath.basename(page), *words), 8501
    scripts = [name for name in _SCRIPTS if joined(folder, name) in tree.files]
    packages = [folder_of(path) for path in tree.below(folder, "/__main__.py") if folder_of(folder_of(path)) == folder]
    serving = [posixpath.basename(path) for path in here if _SERVES.search(tree.texts[path])]
    if scripts:
        return (scripts[0],), None
    if len(packages) == 1:
        return ("-m", posixpath.basename(packages[0])), None
    return ((serving[0],) if len(serving) == 1 else ()), None


def _manage(tree: Tree, folder: str) -> str | None:
    """The manage.py of the folder, or the only one below it."""
    there = [path for path in tree.below(folder, "manage.py") if not aside(path) and _DJANGO.search(tree.texts[path])]
    own = joined(folder, "manage.py")
    return own if own in there else there[0] if len(there) == 1 else None


def _django(tree: Tree, home: str) -> Words:
    for kind, start in (
        ("wsgi", ("gunicorn", "--bind", f"{EVERYWHERE}:8000")),
        ("asgi", ("uvicorn", "--host", EVERYWHERE, "--port", "8000")),
    ):
        gates = [path for path in tree.below(home, f"/{kind}.py") if f"get_{kind}_application" in tree.texts[path]]
        if gates:
            gate = min(gates, key=lambda path: (aside(path), path.count("/"), path))
            return ("-m", *start, f"{_module(gate, home)}:application")
    return ("manage.py", "runserver", f"{EVERYWHERE}:8000")


def _applications(tree: Tree, folder: str, sources: Iterable[str]) -> Iterator[tuple[Words, int]]:
    """What starts the applications that modules have, or that functions make."""
    texts = [(path, tree.texts[path]) for path in sources]
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
    own, names, sources = folder_of(path), set(_IMPORTED.findall(tree.texts[path])), joined(folder, "src")
    for home in dict.fromkeys((folder, sources, own)):
        if f"{own}/".startswith("" if home == "." else f"{home}/") and any(_has(tree, home, name) for name in names):
            return home
    return sources if path.startswith(f"{sources}/") and joined(sources, "__init__.py") not in tree.files else folder


def _has(tree: Tree, home: str, module: str) -> bool:
    """Whether a module or package is found from a folder."""
    place = joined(home, module.replace(".", "/"))
    return f"{place}.py" in tree.files or any(tree.below(place, "/__init__.py", ".py"))


def inside(tree: Tree, folder: str, start: Words) -> str:
    """The folder below the project's in which it has to be started, so that its modules are found; empty for the project's own."""
    for word in start:
        named = _NAMED.fullmatch(word)
        if word.endswith(".py"):
            there, endings = (joined(folder, posixpath.normpath(word)) in tree.files, [f"/{posixpath.normpath(word)}"])
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


_INCLUDED = re.compile(
    r"^\s*(?:-r|-c|--requirement|--constraint|-e|--editable)[\s=]*([\w./-]+)|^\s*(\.[\w./-]*)\s*$", re.MULTILINE
)
LISTS = (
    "requirements.txt",
    *(f"requirements/{name}.txt" for name in ("production", "prod", "requirements", "base", "main", "common")),
    *(f"requirements{sign}{name}.txt" for sign in ("-", "_", ".") for name in ("prod", "production", "base")),
)
"""Where lists of packages lie by custom, those of a running service first."""
_LOCKS = {"uv.lock": "uv", "poetry.lock": "poetry", "pdm.lock": "pdm"}
_MANIFESTS = ("pyproject.toml", "Pipfile", "setup.py", "setup.cfg", *_LOCKS, "Pipfile.lock")
_NATIVE_PACKAGES = re.compile(
    r"(?:^|[\"'\s])(?:mysqlclient|uwsgi|python-ldap|pyodbc|pycairo|python-snappy|pylibmc|mod_wsgi|psycopg2|psycopg\[c\])"
    r"(?=[\"'\s=<>~!;\[#]|$)|\bgit\+(?:https?|ssh|git|file)://|\bgit\s*=\s*\"|^type = \"git\"|\"git\":",
    re.IGNORECASE | re.MULTILINE,
)
"""Packages that PyPI has as source alone, compiled against libraries of the OS, and those that are cloned."""


def installer_of(tree: Tree, folder: str) -> tuple[str, str]:
    """What installs its packages, and the list that pip reads: ``pip``, ``uv``, ``poetry``, ``pdm``, ``pipenv``, ``project`` for
    the project itself, ``none`` for code that has no list."""

    def has(name: str) -> bool:
        return joined(folder, name) in tree.files

    listed = next((name for name in LISTS if has(name)), "")
    project = tree.texts[joined(folder, "pyproject.toml")]
    lock = next((kind for name, kind in _LOCKS.items() if has(name)), "poetry" if "[tool.poetry" in project else "")
    if listed == LISTS[0] or not project:
        others = "pipenv" if has("Pipfile") else "project" if has("setup.py") or has("setup.cfg") else UNLISTED
        return ("pip", listed) if listed else (others, "")
    if lock:
        return lock, ""
    if listed and not re.search(r"^dependencies\s*=", project, re.MULTILINE):
        return "pip", listed
    return ("project" if re.search(r"^\[(?:project|build-system)\]", project, re.MULTILINE) else UNLISTED), ""


def included_requirements(tree: Tree, folder: str, first: str) -> list[str]:
    """What a list of packages names of the repository: other lists, and packages. ``.`` if that is all of it."""
    todo, paths = [first] if first else [], dict[str, None]()
    while todo:
        name = todo.pop()
        for match in _INCLUDED.finditer(tree.texts[joined(folder, name)]):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(name), match[1] or match[2]))
            if path == "." or path.startswith(".."):
                return ["."]
            if path not in paths and tree.has_folder(joined(folder, path)):
                paths[path] = None
                todo.append(path)
    return list(paths)


_DEFAULT, _OLDEST, _USUAL = "3.12", (3, 9), (3, 11)
"""One that is out of support is raised, and a range that begins earlier takes the usual one."""
_FILES = (
    (".python-version", re.compile(r"(3\.\d+)")),
    ("runtime.txt", re.compile(r"python-(3\.\d+)")),
    ("Pipfile", re.compile(r"^python_(?:full_)?version\s*=\s*[\"'](3\.\d+)", re.MULTILINE)),
)
_RANGE = re.compile(r"^(?:requires-python|python)\s*=\s*[\"']([^\"'\n]*3\.\d+[^\"'\n]*)[\"']", re.MULTILINE)


def version_of(tree: Tree, folder: str, words: ImageWords | None) -> Known[str]:
    """Of the own image's base, a file for tools that install Pythons, or the range that the project says."""
    base = common.of_base(words, r"(?:python:|uv:(?:[\d.]+-)?python)(\d+\.\d+)")
    named = (known for name, pattern in _FILES for known in tree.values(joined(folder, name), pattern))
    asked = tree.values(joined(folder, "pyproject.toml"), _RANGE)
    ranged = (Known(version, known.origin) for known in asked if (version := _within(known.value)))
    supported = (known for known in named if numbers(known.value) >= _OLDEST)
    return base or next(supported, None) or next(ranged, None) or Known(_DEFAULT)


def _within(asked: str) -> str:
    """The version to take of a range; empty if it ends before what is supported."""
    exact = re.fullmatch(r"\s*(?:==|~=(?=\s*3\.\d+\.)|~|=)?\s*(3\.\d+)(?:\.[\d*]+)?\s*", asked)
    if exact:  # ~=3.10 is every later one too
        return exact[1] if numbers(exact[1]) >= _OLDEST else ""
    lowest = [numbers(version) for version in re.findall(r"(?:>=|>|\^|~=)\s*(3\.\d+)", asked)]
    below = [numbers(version) for version in re.findall(r"<\s*(3\.\d+)", asked)]
    least = max([*lowest, _USUAL])
    if below and least >= min(below):
        least = (3, min(below)[1] - 1)
    return f"3.{least[1]}" if least >= _OLDEST else ""


@dataclass(frozen=True)
class PythonProject(Project):
    """``listed`` is the list that pip reads, ``included`` what that names of the repository. ``extra`` is a server that nothing
    lists. ``inside`` is the folder that it is started in. ``collects``: static files are gathered when it is built. ``before`` are
    steps that it takes before it serves.
    """

    listed: str = ""
    included: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    inside: str = ""
    collects: bool = False
    before: tuple[Words, ...] = ()


_INSTALL: Mapping[str, Mapping[str, str]] = tomllib.loads(
    resources.files(__package__).joinpath("install.toml").read_text(encoding="utf-8")
)
"""By what installs packages: ``files`` that it reads and ``install``; ``plain`` is for packages that are cloned."""
_TO_FOLDER = _INSTALL["own"]["install"]
_DROPPED = r"PYTHONPATH|PATH|PYTHONUNBUFFERED|PYTHONDONTWRITEBYTECODE|DEBIAN_FRONTEND|VIRTUAL_ENV|(?:PIP|POETRY|UV|PDM|PIPENV)_\w+"
"""Variables of a Dockerfile of its own that are set anew here, or mean only its build."""
_IN_TURN = (
    "import os, subprocess, sys; "
    "[subprocess.run([sys.executable, *step]) for step in {first}]; "
    "os.execv(sys.executable, [sys.executable, *{last}])"
)


def _build_stage(project: PythonProject) -> Iterator[str]:
    tool = _INSTALL[project.kind]
    yield "FROM ${BUILD} AS build"
    yield from common.AS_ROOT
    yield "WORKDIR /src"
    if project.compiles:
        yield _INSTALL["instructions"]["native"]
    yield "# Packages first: an edit of the code does not fetch them again. Into a folder, which is the same on every base."
    yield from (f"COPY {path} ./{path}" for path in (project.listed, *project.included) if path)
    if "files" in tool:
        yield f"COPY {tool['files']} ./"
    yield "RUN --mount=type=cache,target=/root/.cache/pip \\"
    plain = tool.get("plain", "") if project.compiles else ""
    yield "    " + tool["install"].replace("{list}", project.listed).replace("{plain}", plain)
    if project.extra:
        yield f"RUN {_TO_FOLDER} {' '.join(project.extra)}"
    if project.compiles:
        yield from common.libraries("/site-packages")
    yield _INSTALL["instructions"]["compiled"]
    if project.collects:
        within = f"cd {project.inside} && " if project.inside else ""
        yield "COPY . ."
        yield "# Some settings cannot be loaded without secrets: then the pages have no styles."
        yield f"RUN {within}PYTHONPATH=/site-packages SECRET_KEY=placeholder DJANGO_SECRET_KEY=placeholder \\"
        yield "    python3 manage.py collectstatic --noinput || echo 'no static files were collected'"


def _run_stage(service: Service, project: PythonProject, port: int) -> Iterator[str]:
    env = {"PYTHONPATH": "/site-packages", "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    if project.compiles:
        env["LD_LIBRARY_PATH"] = "/site-packages/lib"
    env |= common.plain_env(common.image_words(service), _DROPPED)
    code = f"{'--from=build /src' if project.collects else '.'} {common.HOME}"
    copies = ["--from=build /site-packages /site-packages", code]
    workdir = posixpath.join(common.HOME, project.inside) if project.inside else common.HOME
    return common.run_stage(
        project, port, ("python3", *_in_turn(project.before, project.start)), copies, env=env, workdir=workdir
    )


def _in_turn(before: tuple[Words, ...], last: Words) -> Words:
    """Arguments of the interpreter that take these steps in turn, as not every base has a shell; process 1 is the last one's in
    the end. It starts even if a step fails: the database may be another's."""
    return ("-c", _IN_TURN.format(first=[list(step) for step in before], last=list(last))) if before else last


MODULES: Sequence[str] = TABLES["python"]["modules"]
"""Programs of packages that can be started as ``python -m NAME``."""
_RUNNERS = tuple(tuple(words.split()) for words in TABLES["python"]["runners"])
"""Programs that start another one."""
_HOSTS: Mapping[str, str] = TABLES["python"]["host_options"]
"""Servers that listen on loopback alone unless this option says otherwise."""
_PORT = re.compile(r"\$(?:PORT\b|\{PORT(?::?-(\d+))?\})")


class Python:
    """The language Python."""

    facts = Facts(
        (r"pyproject\.toml", r"requirements\.txt", "Pipfile", r"setup\.(?:py|cfg)", r"manage\.py"), (".py",), "python"
    )

    def find(self, tree: Tree, folder: str, words: ImageWords | None, main: str | None) -> PythonProject | None:
        """The project of a folder; None without a list of packages, unless there is code that serves."""
        kind, listed = installer_of(tree, folder)
        if kind == UNLISTED and not any(tree.below(folder, ".py")):
            return None
        of_code, usual = start_of(tree, folder)
        if kind == UNLISTED and not of_code:
            return None
        own = _as_python(tree, folder, words.program) if words else ()
        before, served = _on_a_platform(tree, folder)
        start = _everywhere(own or served or of_code)
        more = included_requirements(tree, folder, listed)
        # the list of pip's and what it includes, else its manifests
        texts = [tree.texts[joined(folder, name)] for name in ((listed, *more) if listed else _MANIFESTS)]
        files = by_depth(tree.below(folder, ".py", ".toml", ".cfg", "Procfile"))
        ports, health = scan(tree, files)
        port = re.search(r"(?::|--port[ =]|-p )(\d{2,5})\b", " ".join(start))
        settings = [tree.texts[path] for path in files if "settings" in path and not aside(path)]
        django = _manage(tree, folder) is not None
        return PythonProject(
            language="python",
            kind=kind,
            folder=folder,
            name=posixpath.basename(folder) if folder != "." else tree.root.name,
            version=version_of(tree, folder, words),
            start=start,
            ports=(*((Known(int(port[1]), f"from {wording('origin.start_command')}"),) if port else ()), *ports)
            or ((Known(usual),) if usual else ()),
            health=health,
            owned=django and any("sqlite3" in text for text in settings),
            listed=listed,
            included=tuple(more),
            compiles=any(map(_NATIVE_PACKAGES.search, texts)),
            extra=tuple(_server(start, texts)),
            inside=inside(tree, folder, start),
            collects=django and any(re.search(r"^STATIC_ROOT\s*=", text, re.MULTILINE) for text in settings),
            before=before,
            problem="" if start else wording("problem.no_start", looked_for="CMD, Procfile, main.py, app"),
        )

    def ladder(self, service: Service, project: PythonProject, place: str, port: int) -> Ladder:
        """Debian, Alpine, Chainguard and distroless."""
        version = project.version.value
        whole = "" if project.compiles else "-slim"  # the whole image has compilers, headers and git
        # distroless brings Debian's own Python, so what is compiled for it is compiled with that one
        is_named = "pyproject.toml" in project.version.place
        later = numbers(version) >= (3, 13) or (numbers(version) == (3, 12) and is_named)
        release, own = ("13", "3.13") if later else ("12", "3.11")
        bases = common.bases_of("python", version=version, whole=whole, own=own, release=release)
        lines = [*common.arguments(bases), *_build_stage(project), "", *_run_stage(service, project, port)]
        ignored = (".pytest_cache", ".mypy_cache", ".tox", "**/*.pyc")
        return common.one_dockerfile(bases, wording("rung.packages"), place, project.folder, lines, ignored)


def _server(start: Words, texts: Sequence[str]) -> list[str]:
    """The server that the start command names, if what is installed does not ask for it."""
    is_listed = any(start[1] in text.lower() for text in texts) if start[:1] == ("-m",) else True
    return [start[1]] if not is_listed and start[1] in MODULES else []


def _on_a_platform(tree: Tree, folder: str) -> tuple[tuple[Words, ...], Words]:
    """The steps that a hosting platform takes before it serves, and what it serves with; what is no Python is left out."""
    before, web = (platform_command(tree, folder, kind) for kind in ("release", "web"))
    plain = (_PORT.sub(lambda match: match[1] or "8080", line.strip()) for line in f"{before}&&{web}".split("&&"))
    steps = [_as_python(tree, folder, simple_command(line)) for line in plain]
    served = steps.pop() if web else ()
    return tuple(step for step in steps if step), served


def _as_python(tree: Tree, folder: str, words: Words) -> Words:
    """A command as arguments of the interpreter: ``gunicorn …`` is ``python3 -m gunicorn …``; nothing for other programs."""
    while runner := next((prefix for prefix in _RUNNERS if words[: len(prefix)] == prefix), None):
        words = words[len(runner) :]
    program = posixpath.basename(words[0]) if words else ""
    if re.fullmatch(r"python[\d.]*", program):
        return tuple(word for word in words[1:] if word != "--reload")
    if program in MODULES:
        return ("-m", program, *(word for word in words[1:] if word != "--reload"))
    texts = (tree.texts[joined(folder, name)] for name in ("pyproject.toml", "setup.py", "setup.cfg"))
    script = re.compile(rf"(?<![\w.-])[\"']?{re.escape(program)}[\"']?\s*=\s*[\"']?([\w.]+):(\w+)")
    match = next(filter(None, (script.search(text) for text in texts if program)), None)
    if match is None:
        return ()
    call = f"import sys; from {match[1]} import {match[2]}; sys.argv[0] = '{program}'; sys.exit({match[2]}())"
    return ("-c", call, *words[1:])


def _everywhere(start: Words) -> Words:
    """A command that listens on all addresses, as what listens on loopback is reached by nobody outside its container."""
    words = tuple(re.sub(r"^(?:127\.0\.0\.1|localhost)(?=:\d+$|$)", EVERYWHERE, word) for word in start)
    option = _HOSTS.get(words[1], "") if words[:1] == ("-m",) else ""
    is_told = any(word.startswith((option, "-b", "-h")) or EVERYWHERE in word for word in words)
    return (*words, option, EVERYWHERE) if option and not is_told else words


LANGUAGE: Language[PythonProject] = Python()
