"""Find a Python service's package list, its package manager, and the Python version."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence

from deadweight_init.records import UNLISTED, ImageWords, Known
from deadweight_init.tree import Tree, joined, line_of

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
_NATIVE = re.compile(
    r"(?:^|[\"'\s])(?:mysqlclient|uwsgi|python-ldap|pyodbc|pycairo|python-snappy|pylibmc|mod_wsgi|psycopg2|psycopg\[c\])"
    r"(?=[\"'\s=<>~!;\[#]|$)|\bgit\+(?:https?|ssh|git|file)://|\bgit\s*=\s*\"|^type = \"git\"|\"git\":",
    re.IGNORECASE | re.MULTILINE,
)
"""Packages that PyPI has as source alone, compiled against libraries of the OS, and those that are cloned."""


def kind_of(tree: Tree, folder: str) -> tuple[str, str]:
    """What installs its packages, and the list that pip reads: ``pip``, ``uv``, ``poetry``, ``pdm``, ``pipenv``, ``project`` for
    the project itself, ``none`` for code that has no list."""

    def has(name: str) -> bool:
        return tree.has(joined(folder, name))

    listed = next((name for name in LISTS if has(name)), "")
    project = tree.text(joined(folder, "pyproject.toml"))
    lock = next((kind for name, kind in _LOCKS.items() if has(name)), "poetry" if "[tool.poetry" in project else "")
    if listed == LISTS[0] or not project:
        others = "pipenv" if has("Pipfile") else "project" if has("setup.py") or has("setup.cfg") else UNLISTED
        return ("pip", listed) if listed else (others, "")
    if lock:
        return lock, ""
    is_own = re.search(r"^dependencies\s*=", project, re.MULTILINE) or not listed
    return (
        ("project" if re.search(r"^\[(?:project|build-system)\]", project, re.MULTILINE) else UNLISTED, "")
        if is_own
        else ("pip", listed)
    )


def included(tree: Tree, folder: str, first: str) -> list[str]:
    """What a list of packages names of the repository: other lists, and packages. ``.`` if that is all of it."""
    todo, paths = [first] if first else [], dict[str, None]()
    while todo:
        name = todo.pop()
        for each in _INCLUDED.finditer(tree.text(joined(folder, name))):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(name), each[1] or each[2]))
            if path == "." or path.startswith(".."):
                return ["."]
            if path not in paths and tree.has_folder(joined(folder, path)):
                paths[path] = None
                todo.append(path)
    return list(paths)


def texts_of(tree: Tree, folder: str, first: str, more: Sequence[str]) -> list[str]:
    """What names its packages: the list of pip's and what it includes, else its manifests."""
    return [tree.text(joined(folder, name)) for name in ((first, *more) if first else _MANIFESTS)]


def is_native(texts: Sequence[str]) -> bool:
    """Whether packages are compiled, or cloned."""
    return any(_NATIVE.search(text) for text in texts)


_DEFAULT, _OLDEST, _USUAL = "3.12", (3, 9), (3, 11)
"""One that is out of support is raised, and a range that begins earlier takes the usual one."""
_FILES = (
    (".python-version", r"(3\.\d+)"),
    ("runtime.txt", r"python-(3\.\d+)"),
    ("Pipfile", r"^python_(?:full_)?version\s*=\s*[\"'](3\.\d+)"),
)
_RANGE = re.compile(r"^(?:requires-python|python)\s*=\s*[\"']([^\"'\n]*3\.\d+[^\"'\n]*)[\"']", re.MULTILINE)


def version_of(tree: Tree, folder: str, words: ImageWords | None) -> Known[str]:
    """Of the own image's base, a file for tools that install Pythons, or the range that the project says."""
    if base := (words.on(r"python:(\d+\.\d+)") or words.on(r"uv:(?:[\d.]+-)?python(3\.\d+)")) if words else "":
        return Known(base, "from your Dockerfile's base")
    for name, pattern in _FILES:
        text = tree.text(joined(folder, name))
        match = re.search(pattern, text, re.MULTILINE)
        if match and pair(match[1]) >= _OLDEST:
            return Known(match[1], f"from {joined(folder, name)}:{line_of(text, match.start(1))}")
    text = tree.text(joined(folder, "pyproject.toml"))
    asked = _RANGE.search(text)
    version = _within(asked[1]) if asked else ""
    if asked is None or not version:
        return Known(_DEFAULT)
    return Known(version, f"from {joined(folder, 'pyproject.toml')}:{line_of(text, asked.start(1))}")


def _within(asked: str) -> str:
    """The version to take of a range; empty if it ends before what is supported."""
    exact = re.fullmatch(r"\s*(?:==|~=(?=\s*3\.\d+\.)|~|=)?\s*(3\.\d+)(?:\.[\d*]+)?\s*", asked)
    if exact:  # ~=3.10 is every later one too
        return exact[1] if pair(exact[1]) >= _OLDEST else ""
    lowest = [pair(version) for version in re.findall(r"(?:>=|>|\^|~=)\s*(3\.\d+)", asked)]
    below = [pair(version) for version in re.findall(r"<\s*(3\.\d+)", asked)]
    least = max([*lowest, _USUAL])
    if below and least >= min(below):
        least = (3, min(below)[1] - 1)
    return f"3.{least[1]}" if least >= _OLDEST else ""


def pair(version: str) -> tuple[int, int]:
    """``3.12`` to compare by."""
    major, minor = version.split(".")[:2]
    return int(major), int(minor)
