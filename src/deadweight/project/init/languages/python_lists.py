"""Which file lists a Python service's packages, and what that needs of the repository and of the OS."""

from __future__ import annotations

import posixpath
import re

from deadweight.project.init.tree import Tree, joined

_PSYCOPG = re.compile(r"^psycopg2(?=\s*(?:[=<>~!;#]|$))", re.MULTILINE)
_INCLUDED = re.compile(
    r"^\s*(?:-r|-c|--requirement|--constraint|-e|--editable)[\s=]*([\w./-]+)|^\s*(\.[\w./-]*)\s*$", re.MULTILINE
)
LISTS = (
    "requirements.txt",
    *(f"requirements/{name}.txt" for name in ("production", "prod", "requirements", "base", "main", "common")),
    *(f"requirements{sign}{name}.txt" for sign in ("-", "_", ".") for name in ("prod", "production", "base")),
    "requirements/local.txt",
)
"""Where lists of packages lie by custom, those of a running service first."""

_COMPILED = re.compile(
    r"(?:^|[\"'\s])(mysqlclient|uwsgi|python-ldap|pyodbc|pycairo|python-snappy|pylibmc|mod_wsgi|psycopg2|psycopg\[c\])"
    r"(?=[\"'\s=<>~!;\[#]|$)",
    re.IGNORECASE | re.MULTILINE,
)
"""Packages that PyPI has as source alone: they are compiled against libraries of the OS."""


def kind_of(tree: Tree, folder: str) -> str | None:
    """What installs its packages: ``pip``, ``uv``, ``poetry``, ``pdm``, ``pipenv``, or ``project`` for the project itself."""

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
        if has("pdm.lock"):
            return "pdm"
        if re.search(r"^dependencies\s*=", text, re.MULTILINE) or list_of(tree, folder) is None:
            return "project" if "[project]" in text or "[build-system]" in text else None
    if has("Pipfile"):
        return "pipenv"
    if list_of(tree, folder):
        return "pip"
    return "project" if has("setup.py") or has("setup.cfg") else None


def list_of(tree: Tree, folder: str) -> str | None:
    """The list of packages for pip; None without one."""
    return next((name for name in LISTS if tree.has(joined(folder, name))), None)


def includes(tree: Tree, folder: str, kind: str) -> list[str]:
    """What a list of packages names of the repository: other lists, and packages. They are copied before it is read."""
    first = list_of(tree, folder) if kind == "pip" else None
    todo, copied = [first] if first else [], dict[str, None]()
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


def compiled_against_libpq(tree: Tree, folder: str, kind: str) -> list[str]:
    """The lists of packages that ask for psycopg2 as source."""
    return [name for name in _lists(tree, folder, kind) if _PSYCOPG.search(tree.text(joined(folder, name)))]


def must_compile(tree: Tree, folder: str, kind: str) -> bool:
    """Whether it has a package that is compiled against a library of the OS. psycopg2 in a list for pip is replaced by its binary
    form."""
    if kind == "pip":
        texts = [tree.text(joined(folder, name)) for name in _lists(tree, folder, kind)]
    else:
        texts = [tree.text(joined(folder, name)) for name in ("pyproject.toml", "Pipfile", "setup.py", "setup.cfg")]
    found = {each[1].lower() for text in texts for each in _COMPILED.finditer(text)}
    return bool(found - {"psycopg2"} if kind == "pip" else found)


def _lists(tree: Tree, folder: str, kind: str) -> list[str]:
    first = list_of(tree, folder) if kind == "pip" else None
    included = [line.split()[1] for line in includes(tree, folder, kind) if not line.startswith("COPY . ")]
    return [*([first] if first else []), *included]
