"""Python: requirements, Poetry, uv, Pipenv or a plain project; FastAPI, Flask, Django or a script."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Mapping

from deadweight.project.init.languages import python_bare, python_lists, python_scripts
from deadweight.project.init.languages.common import dockerignore, rungs_on
from deadweight.project.init.languages.platforms import release_command, web_command
from deadweight.project.init.languages.python_code import framework, inside
from deadweight.project.init.languages.python_dockerfile import dockerfile
from deadweight.project.init.languages.python_steps import Words, steps, understood
from deadweight.project.init.languages.python_versions import pair, version_of
from deadweight.project.init.languages.sources import scan
from deadweight.project.init.records import ImageWords, Known, Ladder, Project, Service
from deadweight.project.init.stages import filled
from deadweight.project.init.tree import Tree, aside, joined

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
    "sanic",
    "granian",
    "litestar",
    "quart",
    "chainlit",
    "mlflow",
    "panel",
    "bokeh",
)
"""Programs of packages that can be started as ``python -m NAME``."""


def find(tree: Tree, folder: str, words: ImageWords | None) -> Project | None:
    """The Python project of a folder."""
    told = python_lists.told_list(tree, folder, words)
    kind = python_lists.kind_of(tree, folder, told)
    bare = python_bare.packages(tree, folder) if kind is None and framework(tree, folder)[0] else []
    if kind is None and not bare:
        return None
    kind = kind or "bare"
    first = (told or python_lists.list_of(tree, folder)) if kind == "pip" else None
    before, start, code, may_fail = _start(tree, folder, words)
    start = _as_its_version_starts(start, python_lists.texts_of(tree, folder, first))
    start = tuple(word for word in start if word != "--reload")  # for developers: it watches the files
    where = inside(tree, folder, python_scripts.named(start, kind))
    lists = python_lists.closure(tree, folder, first) if first else python_lists.LOCKS
    ports, health = scan(tree, _sources(tree, folder))
    default = {"asgi": 8000, "flask": 5000, "django": 8000, "dash": 8050, "streamlit": 8501}.get(code)
    given = _port_in(start)
    ports = (*([Known(given, "from its start command")] if given else []), *ports)
    ports = (*ports, *([Known(default)] if default and not ports else []))
    return Project(
        language="python",
        kind=kind,
        folder=folder,
        name=posixpath.basename(folder) if folder != "." else tree.root.name,
        version=version_of(tree, folder, words, lists),
        start=start,
        ports=ports,
        health=health,
        details={
            "extra": " ".join(
                [*_extra(tree, folder, start, first, bare), *python_lists.binary_of_psycopg(tree, folder, first)]
            ),
            "list": first or "",
            "made": " ".join(bare),
            "includes": "\n".join(python_lists.includes(tree, folder, first)),
            "psycopg2": " ".join(python_lists.compiled_against_libpq(tree, folder, first)),
            "libpq": "1" if python_lists.names_psycopg2(tree, folder, first) else "",
            "older_psycopg2": "1" if python_lists.before_binary(tree, folder, first) else "",
            **({"compiler": "1"} if python_lists.must_compile(tree, folder, first) else {}),
            **({"git": "1"} if python_lists.from_git(tree, folder, first) else {}),
            **({"says_version": "1"} if _reads_version(tree, folder) else {}),
            "inside": where,
            "collects": "1" if _collects(tree, joined(folder, where)) else "",
            "before": json.dumps(before) if before else "",
            "may_fail": "1" if may_fail else "",
            "by_code": "1" if start and start == framework(tree, folder)[0] else "",
            "paths": (words.env.get("PYTHONPATH", "") if words else ""),
        },
        problem="" if start else "cannot determine how it is started: no CMD, Procfile, main.py or app",
    )


_OLD_GUNICORN = re.compile(r"^gunicorn==1?\d\.", re.MULTILINE | re.IGNORECASE)


def _as_its_version_starts(start: Words, texts: list[str]) -> Words:
    """gunicorn is a module that can be started from version 20 on; before, one of its modules is."""
    old = start[:2] == ("-m", "gunicorn") and any(_OLD_GUNICORN.search(text) for text in texts)
    return ("-m", "gunicorn.app.wsgiapp", *start[2:]) if old else start


def _sources(tree: Tree, folder: str) -> list[str]:
    return sorted(tree.below(folder, ".py", ".toml", ".cfg", "Procfile"), key=lambda path: (path.count("/"), path))


def _start(tree: Tree, folder: str, words: ImageWords | None) -> tuple[tuple[Words, ...], Words, str, bool]:
    """What is done before, what is started, both as arguments of ``python3``, the kind of framework, and whether what is done
    before may fail.

    The own image's command goes first.
    """
    found, code = framework(tree, folder)
    before: tuple[Words, ...] = ()
    may_fail = False
    if words is not None:
        port = _port_of(words)
        env = {**words.env, **({"PORT": port} if port else {})}
        if said := _as_python(_plain(words.words, env), tree, folder):
            return (), tuple(_in_repository(word, tree, folder, words) for word in said), code, False
        if told := steps(words.words, tree, folder, env, lambda line: _as_python(line, tree, folder)):
            return told[:-1], told[-1], code, False
        before, last, may_fail = understood(words.words, tree, folder, env, lambda line: _as_python(line, tree, folder))
        # a script that only a shell can run, and the program that it is given
        given = _as_python(_plain(words.command, env), tree, folder) if words.entrypoint else ()
        if given or last:
            return before, given or last, code, may_fail
    served, released = _on_a_platform(tree, folder)
    if released and not before:
        before, may_fail = released, True
    return (*before, *served[:-1]), served[-1] if served else found, code, may_fail


def _on_a_platform(tree: Tree, folder: str) -> tuple[tuple[Words, ...], tuple[Words, ...]]:
    """The steps of what a hosting platform is told to serve, the server last, and those that are taken before a release."""

    def taken(command: str) -> tuple[Words, ...]:
        text = _PORT_VARIABLE.sub(lambda found: found[1] or "8080", command)
        return steps(("sh", "-c", text), tree, folder, {}, lambda line: _as_python(line, tree, folder)) if text else ()

    return taken(web_command(tree, folder)), taken(release_command(tree, folder))


_FILE = re.compile(r"[\w./-]+\.(?:py|ini|toml|cfg|conf|json|ya?ml)")


def _in_repository(word: str, tree: Tree, folder: str, words: ImageWords) -> str:
    """A file of the image as it is called in the repository: ``COPY app.py /app.py`` and ``COPY . /code`` moved it. One beside
    others in the folder that it is started in is called as it is."""
    if not word.startswith("/") and ("/" not in word or words.workdir != "/"):
        return word
    if not _FILE.fullmatch(word) or tree.has(joined(folder, posixpath.normpath(word).lstrip("/"))):
        return word.lstrip("/") if word.startswith("/") and _FILE.fullmatch(word) else word
    place = posixpath.normpath(posixpath.join(words.workdir, word))
    for source, target in words.copied:
        if place == target or place.startswith(f"{target.rstrip('/')}/"):
            for each in (source, posixpath.join(source, posixpath.relpath(place, target))):
                file = posixpath.normpath(each)
                if posixpath.basename(file) == posixpath.basename(place) and tree.has(joined(folder, file)):
                    return file
    return word


def _port_of(words: ImageWords) -> str:
    """The port that the own image says."""
    return words.env.get("PORT") or next((str(each.value) for each in words.ports), "")


_PORT_VARIABLE = re.compile(r"\$(?:PORT\b|\{PORT(?::?-(\d+))?\})")
_NO_VARIABLES: Mapping[str, str] = {}


def _plain(words: tuple[str, ...], env: Mapping[str, str] = _NO_VARIABLES) -> tuple[str, ...]:
    """A shell form of one simple command as its words; nothing for what needs the shell. Init programs are taken off.

    Variables of the image are put in. PORT is the port that is told, the command's own default, or 8080.
    """
    if words[:2] in (("/bin/sh", "-c"), ("sh", "-c"), ("/bin/bash", "-c"), ("bash", "-c")) and len(words) == 3:
        text = filled(words[2].strip().removeprefix("exec "), env)
        text = _PORT_VARIABLE.sub(lambda found: found[1] or "8080", text)
        return () if re.search(r"[;&|<>$`()]", text) else tuple(text.split())
    while words[:1] and posixpath.basename(words[0]) in ("tini", "dumb-init", "--"):
        words = words[1:]
    return tuple(word for number, word in enumerate(words) if number or word != "--")


_WRAPPERS = (
    *((each, 2) for each in (("poetry", "run"), ("uv", "run"), ("pipenv", "run"), ("newrelic-admin", "run-program"))),
    *((each, 1) for each in (("ddtrace-run",), ("opentelemetry-instrument",))),
    *((each, 2) for each in (("gosu",), ("su-exec",))),
)
"""Programs that start another one, and how many words are theirs."""

_WAITS = re.compile(r"(?:^|/)(?:wait[-_]for[\w.-]*|dockerize)$")


def _as_python(words: tuple[str, ...], tree: Tree, folder: str) -> tuple[str, ...]:
    """A command as arguments of the interpreter: ``gunicorn …`` is ``python3 -m gunicorn …``; nothing for other programs."""
    if words and _WAITS.search(words[0]) and "--" in words:
        words = words[words.index("--") + 1 :]
    while taken := next((many for first, many in _WRAPPERS if words[: len(first)] == first), 0):
        words = words[taken:]
    if not words:
        return ()
    program = posixpath.basename(words[0])
    if re.fullmatch(r"python[\d.]*", program):
        # a program of a virtual environment, which the interpreter is given as a file
        installed = re.fullmatch(r"(?:/[\w.-]+)+/bin/([\w-]+)", words[1]) if len(words) > 1 else None
        return (_as_python((installed[1], *words[2:]), tree, folder) if installed else ()) or words[1:]
    if program in _MODULES:
        return ("-m", program, *words[1:])
    started = python_scripts.started(tree, folder, program)
    return (*started, *words[1:]) if started else ()


def _collects(tree: Tree, folder: str) -> bool:
    """Whether it is a Django project that gathers its static files in a folder (STATIC_ROOT) before it serves them."""
    settings = (path for path in tree.below(folder, ".py") if "settings" in path and not aside(path))
    told = (re.search(r"^STATIC_ROOT\s*=", tree.text(path), re.MULTILINE) for path in settings)
    return "django" in tree.text(joined(folder, "manage.py")).lower() and any(told)


def _reads_version(tree: Tree, folder: str) -> bool:
    """Whether the code reads the variable that the official images of Python set, and others do not."""
    return any("PYTHON_VERSION" in tree.text(path) for path in tree.below(folder, ".py") if not aside(path))


def _port_in(start: tuple[str, ...]) -> int | None:
    found = re.search(r"(?::|--port[ =]|-p )(\d{2,5})\b", " ".join(start))
    return int(found[1]) if found else None


def _extra(tree: Tree, folder: str, start: tuple[str, ...], first: str | None, bare: list[str]) -> list[str]:
    """The server that the start command names, where what is installed does not ask for it. ``first`` is the list of pip's."""
    if start[:1] != ("-m",) or start[1] not in _MODULES:  # an older server's module is listed with its version
        return []
    others = ["pyproject.toml", "Pipfile", "setup.py", "setup.cfg", "uv.lock", "poetry.lock", "pdm.lock"]
    names = python_lists.closure(tree, folder, first) if first else others
    said = "\n".join(tree.text(joined(folder, name)).lower() for name in names)
    return [] if start[1] in said or start[1] in bare else [start[1]]


def _distroless(version: Known[str], whole: str) -> tuple[str, str]:
    """Distroless brings Debian's own Python, 3.11 or 3.13, so what is compiled for it is compiled with that one. 3.13 is for what
    an earlier one is ruled out for: 3.12 as the project's lower bound, or later ones."""
    later = pair(version.value) >= (3, 13) or (pair(version.value) == (3, 12) and "pyproject.toml" in version.origin)
    release, own = ("13", "3.13") if later else ("12", "3.11")
    return f"python:{own}{whole}", f"gcr.io/distroless/python3-debian{release}:nonroot"


def ladder(service: Service, project: Project, place: str, port: int, health: str | None) -> Ladder:
    """Multi-stage on Debian, Alpine, Chainguard and distroless."""
    version = project.version.value
    slim, alpine = f"python:{version}-slim", f"python:{version}-alpine"
    whole = "" if "compiler" in project.details else "-slim"  # the whole image has compilers, and headers of databases
    bases = {
        "debian": (f"python:{version}{whole}", slim),
        "alpine": (alpine, alpine),
        "chainguard": ("cgr.dev/chainguard/python:latest-dev", "cgr.dev/chainguard/python:latest"),
        "distroless": _distroless(project.version, whole),
    }
    files = {
        f"{place}/Dockerfile": dockerfile(service, project, port, health),
        f"{place}/Dockerfile.dockerignore": dockerignore("python", place),
    }
    return Ladder(tuple(rungs_on(bases, "the service and its packages", f"{place}/Dockerfile", project.folder)), files)
