"""Which file lists a Python service's packages, and what that needs of the repository and of the OS."""

from __future__ import annotations

import posixpath
import re

from deadweight_init.records import ImageWords
from deadweight_init.tree import Tree, joined

_PSYCOPG = re.compile(r"^psycopg2(?=\s*(?:[=<>~!;#]|$))", re.MULTILINE)
_BEFORE_BINARY = re.compile(r"^psycopg2==2\.(?:[0-6](?:\.[0-9.]+)?|7(?:\.[0-3])?)\s*$", re.MULTILINE)
"""Versions of psycopg2 that have no binary form: its first is 2.7.4."""

_INCLUDED = re.compile(
    r"^\s*(?:-r|-c|--requirement|--constraint|-e|--editable)[\s=]*([\w./-]+)|^\s*(\.[\w./-]*)\s*$", re.MULTILINE
)
_FOR_DEVELOPERS = re.compile(
    r"(?:^|[/_.-])(?:dev|develop|development|test|tests|testing|lint|docs?|ci)\b", re.IGNORECASE
)
LISTS = (
    "requirements.txt",
    *(f"requirements/{name}.txt" for name in ("production", "prod", "requirements", "base", "main", "common")),
    *(f"requirements{sign}{name}.txt" for sign in ("-", "_", ".") for name in ("prod", "production", "base")),
    "requirements/local.txt",
)
"""Where lists of packages lie by custom, those of a running service first."""

LOCKS = ("uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock")

_COMPILED = re.compile(
    r"(?:^|[\"'\s])(mysqlclient|uwsgi|python-ldap|pyodbc|pycairo|python-snappy|pylibmc|mod_wsgi|psycopg2|psycopg\[c\])"
    r"(?=[\"'\s=<>~!;\[#]|$)",
    re.IGNORECASE | re.MULTILINE,
)
"""Packages that PyPI has as source alone: they are compiled against libraries of the OS."""


def told_list(tree: Tree, folder: str, words: ImageWords | None) -> str:
    """The one list that its own image installs, as a path in the folder; empty where that has none, or several."""
    prefix = "" if folder == "." else f"{folder}/"
    said = (path.removeprefix(prefix) for path in (words.lists if words else ()))
    there = {path for path in said if tree.has(joined(folder, path)) and not _FOR_DEVELOPERS.search(path)}
    return there.pop() if len(there) == 1 else ""


def kind_of(tree: Tree, folder: str, told: str = "") -> str | None:
    """What installs its packages: ``pip``, ``uv``, ``poetry``, ``pdm``, ``pipenv``, or ``project`` for the project itself.

    ``told`` is the list that its own image installs.
    """

    def has(name: str) -> bool:
        return tree.has(joined(folder, name))

    if told or has("requirements.txt"):
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


def includes(tree: Tree, folder: str, first: str | None) -> list[str]:
    """What a list of packages names of the repository: other lists, and packages. They are copied before it is read."""
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


def compiled_against_libpq(tree: Tree, folder: str, first: str | None) -> list[str]:
    """The lists of packages that ask for psycopg2 as source."""
    return [name for name in closure(tree, folder, first) if _PSYCOPG.search(tree.text(joined(folder, name)))]


def texts_of(tree: Tree, folder: str, first: str | None) -> list[str]:
    """What a list of packages and all that it includes say."""
    return [tree.text(joined(folder, name)) for name in closure(tree, folder, first)]


_PSYCOPG_3 = re.compile(
    r"^name = \"psycopg\"\nversion = \"(?P<locked>[\w.]+)\""
    r"|^[\s\"']*psycopg(?:\[pool\])?\s*(?:==\s*(?P<pinned>[\w.]+)|[<>~!;\"'#]|$)",
    re.MULTILINE,
)


def binary_of_psycopg(tree: Tree, folder: str, first: str | None) -> list[str]:
    """What psycopg 3 needs where libpq is not there: its binary form, of its version. Nothing where it is listed, or compiled."""
    files = ("uv.lock", "poetry.lock", "pdm.lock", "pyproject.toml", "Pipfile")
    texts = texts_of(tree, folder, first) if first else [tree.text(joined(folder, name)) for name in files]
    if any(re.search(r"\bpsycopg(?:-binary|-c\b|\[[\w,]*(?:binary|c)\b)", text) for text in texts):
        return []
    found = [each for text in texts for each in _PSYCOPG_3.finditer(text)]
    version = next((each["locked"] or each["pinned"] for each in found if each["locked"] or each["pinned"]), "")
    return [f"psycopg-binary=={version}" if version else "psycopg-binary"] if found else []


def before_binary(tree: Tree, folder: str, first: str | None) -> bool:
    """Whether a list wants a version of psycopg2 that was never had in binary form."""
    return any(_BEFORE_BINARY.search(text) for text in texts_of(tree, folder, first))


def names_psycopg2(tree: Tree, folder: str, first: str | None) -> bool:
    """Whether a list names psycopg2, in either form: where it has to be compiled, that is against libpq."""
    return any(re.search(r"(?m)^psycopg2", text) for text in texts_of(tree, folder, first))


def must_compile(tree: Tree, folder: str, first: str | None) -> bool:
    """Whether it has a package that is compiled against a library of the OS. psycopg2 in a list for pip is replaced by its binary
    form."""
    if first:
        texts = texts_of(tree, folder, first)
    else:
        texts = [tree.text(joined(folder, name)) for name in ("pyproject.toml", "Pipfile", "setup.py", "setup.cfg")]
    found = {each[1].lower() for text in texts for each in _COMPILED.finditer(text)}
    return bool(found - {"psycopg2"} if first else found)


_FROM_GIT = re.compile(r"\bgit\+(?:https?|ssh|git|file)://|\bgit\s*=\s*\"|^type = \"git\"|\"git\":", re.MULTILINE)


def from_git(tree: Tree, folder: str, first: str | None) -> bool:
    """Whether a package is cloned from a git host, and not fetched from an index."""
    others = ("pyproject.toml", "setup.py", "setup.cfg", *LOCKS)
    texts = texts_of(tree, folder, first) if first else [tree.text(joined(folder, name)) for name in others]
    return any(_FROM_GIT.search(text) for text in texts)


def closure(tree: Tree, folder: str, first: str | None) -> list[str]:
    """A list of packages and all that it includes of the folder; nothing where there is none."""
    included = [line.split()[1] for line in includes(tree, folder, first) if not line.startswith("COPY . ")]
    return [*([first] if first else []), *included]
