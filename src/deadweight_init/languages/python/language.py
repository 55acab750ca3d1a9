"""Detect a Python service and its server: pip, Poetry, uv, PDM, Pipenv; FastAPI, Flask, Django, Streamlit, script."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Sequence

from deadweight_init.languages.common import EVERYWHERE
from deadweight_init.languages.platforms import release_command, web_command
from deadweight_init.languages.protocol import Facts, Language
from deadweight_init.languages.python import code, packages, recipe
from deadweight_init.languages.python.recipe import PythonProject, Words
from deadweight_init.languages.sources import by_depth, scan
from deadweight_init.records import UNLISTED, ImageWords, Known, Ladder, Service
from deadweight_init.tree import Tree, aside, joined

MODULES = (
    *("gunicorn", "uvicorn", "flask", "fastapi", "hypercorn", "daphne", "waitress", "streamlit", "aiohttp", "alembic"),
    *("sanic", "granian", "litestar", "quart"),
)
"""Programs of packages that can be started as ``python -m NAME``."""
_RUNNERS = (
    ("poetry", "run"),
    ("uv", "run"),
    ("pipenv", "run"),
    ("newrelic-admin", "run-program"),
    ("ddtrace-run",),
    ("exec",),
)
"""Programs that start another one."""
_HOSTS = {
    "uvicorn": "--host",
    "flask": "--host",
    "streamlit": "--server.address",
    "hypercorn": "--bind",
    "sanic": "--host",
}
"""Servers that listen on loopback alone unless this option says otherwise."""
_PORT = re.compile(r"\$(?:PORT\b|\{PORT(?::?-(\d+))?\})")


class Python:
    """The language Python."""

    facts = Facts(
        (r"pyproject\.toml", r"requirements\.txt", "Pipfile", r"setup\.(?:py|cfg)", r"manage\.py"),
        (".py",),
        "python",
        older=("3.12", "3.10", "3.9"),
    )

    def find(self, tree: Tree, folder: str, words: ImageWords | None, main: str | None) -> PythonProject | None:
        """The project of a folder; None without a list of packages, unless there is code that serves."""
        kind, listed = packages.kind_of(tree, folder)
        if kind == UNLISTED and not any(tree.below(folder, ".py")):
            return None
        of_code, usual = code.start_of(tree, folder)
        if kind == UNLISTED and not of_code:
            return None
        own = _as_python(tree, folder, words.program) if words else ()
        before, served = _on_a_platform(tree, folder)
        start = _everywhere(own or served or of_code)
        more = packages.included(tree, folder, listed)
        texts = packages.texts_of(tree, folder, listed, more)
        files = by_depth(tree.below(folder, ".py", ".toml", ".cfg", "Procfile"))
        ports, health = scan(tree, files)
        port = re.search(r"(?::|--port[ =]|-p )(\d{2,5})\b", " ".join(start))
        where, by_code = code.inside(tree, folder, start), not (own or served)
        django, settings = (
            code.is_django(tree, folder),
            [tree.text(path) for path in files if "settings" in path and not aside(path)],
        )
        if django and by_code and not before:
            before = (("manage.py", "migrate", "--noinput"),)
        return PythonProject(
            language="python",
            kind=kind,
            folder=folder,
            name=posixpath.basename(folder) if folder != "." else tree.root.name,
            version=packages.version_of(tree, folder, words),
            start=start,
            ports=(*((Known(int(port[1]), "from its start command"),) if port else ()), *ports)
            or ((Known(usual),) if usual else ()),
            health=health,
            owned=django and any("sqlite3" in each for each in settings),
            listed=listed,
            included=tuple(more),
            compiles=packages.is_native(texts),
            extra=tuple(_server(start, texts)),
            inside=where,
            collects=django and any(re.search(r"^STATIC_ROOT\s*=", each, re.MULTILINE) for each in settings),
            before=before,
            by_code=by_code,
            problem="" if start else "cannot determine how it is started: no CMD, Procfile, main.py or app",
        )

    def ladder(self, service: Service, project: PythonProject, place: str, port: int, health: str | None) -> Ladder:
        """Debian, Alpine, Chainguard and distroless."""
        return recipe.ladder(service, project, place, port, health)


def _server(start: Words, texts: Sequence[str]) -> list[str]:
    """The server that the start command names, if what is installed does not ask for it."""
    is_listed = any(start[1] in text.lower() for text in texts) if start[:1] == ("-m",) else True
    return [start[1]] if not is_listed and start[1] in MODULES else []


def _on_a_platform(tree: Tree, folder: str) -> tuple[tuple[Words, ...], Words]:
    """The steps that a hosting platform takes before it serves, and what it serves with; what is no Python is left out."""
    lines = [each for text in (release_command(tree, folder), web_command(tree, folder)) for each in text.split("&&")]
    steps = []
    for line in lines:
        plain = _PORT.sub(lambda match: match[1] or "8080", line.strip())
        try:
            words = () if re.search(r"[;|<>$`()&]", plain) else tuple(shlex.split(plain))
        except ValueError:
            words = ()
        steps.append(_as_python(tree, folder, words))
    served = steps.pop() if web_command(tree, folder) else ()
    return tuple(step for step in steps if step), served


def _as_python(tree: Tree, folder: str, words: Words) -> Words:
    """A command as arguments of the interpreter: ``gunicorn …`` is ``python3 -m gunicorn …``; nothing for other programs."""
    while runner := next((each for each in _RUNNERS if words[: len(each)] == each), None):
        words = words[len(runner) :]
    program = posixpath.basename(words[0]) if words else ""
    if re.fullmatch(r"python[\d.]*", program):
        return tuple(word for word in words[1:] if word != "--reload")
    if program in MODULES:
        return ("-m", program, *(word for word in words[1:] if word != "--reload"))
    texts = (tree.text(joined(folder, name)) for name in ("pyproject.toml", "setup.py", "setup.cfg"))
    script = re.compile(rf"(?<![\w.-])[\"']?{re.escape(program)}[\"']?\s*=\s*[\"']?([\w.]+):(\w+)")
    match = next((each for text in texts if program and (each := script.search(text))), None)
    if match is None:
        return ()
    return (
        "-c",
        f"import sys; from {match[1]} import {match[2]}; sys.argv[0] = '{program}'; sys.exit({match[2]}())",
        *words[1:],
    )


def _everywhere(start: Words) -> Words:
    """A command that listens on all addresses, as what listens on loopback is reached by nobody outside its container."""
    words = tuple(re.sub(r"^(?:127\.0\.0\.1|localhost)(?=:\d+$|$)", EVERYWHERE, word) for word in start)
    option = _HOSTS.get(words[1], "") if words[:1] == ("-m",) else ""
    is_told = any(word.startswith((option, "-b", "-h")) or EVERYWHERE in word for word in words)
    return (*words, option, EVERYWHERE) if option and not is_told else words


LANGUAGE: Language[PythonProject] = Python()
