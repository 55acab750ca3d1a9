"""How a Python project is started: by its own image, a hosting platform, or what its code is."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deadweight_init.languages import python_scripts
from deadweight_init.languages.platforms import release_command, web_command
from deadweight_init.languages.python_code import framework
from deadweight_init.languages.python_steps import Words, steps, understood
from deadweight_init.records import ImageWords
from deadweight_init.stages import filled
from deadweight_init.tree import Tree, joined

MODULES = (
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


@dataclass(frozen=True)
class Start:
    """What is started, and what is done ``before``, as arguments of ``python3``. ``code`` is the kind of framework, ``may_fail``
    says that it is started all the same where what is done before fails, ``by_code`` that nothing but the code tells it."""

    words: Words
    before: tuple[Words, ...]
    code: str
    may_fail: bool
    by_code: bool

    @property
    def port(self) -> int | None:
        """The port in its words; None without one."""
        found = re.search(r"(?::|--port[ =]|-p )(\d{2,5})\b", " ".join(self.words))
        return int(found[1]) if found else None


def start(tree: Tree, folder: str, words: ImageWords | None, lists: Sequence[str]) -> Start:
    """What starts a project; ``words`` is what its own image starts, ``lists`` are the texts of its lists of packages."""
    of_code, code = framework(tree, folder)
    before, said, may_fail = _said(tree, folder, words)
    last = tuple(word for word in said or of_code if word != "--reload")  # for developers: it watches the files
    last = _as_its_version_starts(last, lists)
    return Start(last, before, code, may_fail, bool(last) and last == of_code)


def _said(tree: Tree, folder: str, words: ImageWords | None) -> tuple[tuple[Words, ...], Words, bool]:
    """What is done before, what is started, and whether what is done before may fail: as its own image says, or else a platform
    is told. Nothing for what neither says."""
    before: tuple[Words, ...] = ()
    may_fail = False
    if words is not None:
        before, last, may_fail = _of_image(tree, folder, words)
        if last:
            return before, last, may_fail
    served, released = _on_a_platform(tree, folder)
    if released and not before:
        before, may_fail = released, True
    return (*before, *served[:-1]), served[-1] if served else (), may_fail


def _of_image(tree: Tree, folder: str, words: ImageWords) -> tuple[tuple[Words, ...], Words, bool]:
    """The same as the own image's command says it."""

    def as_python(line: Words) -> Words:
        return _as_python(line, tree, folder)

    port = _port_of(words)
    env = {**words.env, **({"PORT": port} if port else {})}
    if said := as_python(_plain(words.words, env)):
        return (), tuple(_in_repository(word, tree, folder, words) for word in said), False
    if told := steps(words.words, tree, folder, env, as_python):
        return told[:-1], told[-1], False
    before, last, may_fail = understood(words.words, tree, folder, env, as_python)
    # a script that only a shell can run, and the program that it is given
    given = as_python(_plain(words.command, env)) if words.entrypoint else ()
    return before, given or last, may_fail


def _on_a_platform(tree: Tree, folder: str) -> tuple[tuple[Words, ...], tuple[Words, ...]]:
    """The steps of what a hosting platform is told to serve, the server last, and those that are taken before a release."""

    def taken(command: str) -> tuple[Words, ...]:
        text = _PORT_VARIABLE.sub(lambda found: found[1] or "8080", command)
        return steps(("sh", "-c", text), tree, folder, {}, lambda line: _as_python(line, tree, folder)) if text else ()

    return taken(web_command(tree, folder)), taken(release_command(tree, folder))


_OLD_GUNICORN = re.compile(r"^gunicorn==1?\d\.", re.MULTILINE | re.IGNORECASE)


def _as_its_version_starts(start: Words, texts: Sequence[str]) -> Words:
    """gunicorn is a module that can be started from version 20 on; before, one of its modules is."""
    old = start[:2] == ("-m", "gunicorn") and any(_OLD_GUNICORN.search(text) for text in texts)
    return ("-m", "gunicorn.app.wsgiapp", *start[2:]) if old else start


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
    if program in MODULES:
        return ("-m", program, *words[1:])
    started = python_scripts.started(tree, folder, program)
    return (*started, *words[1:]) if started else ()
