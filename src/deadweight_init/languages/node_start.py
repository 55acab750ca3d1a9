"""How a Node package is started: by its own image, a script, a hosting platform, or the file that listens."""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from deadweight_init.languages import node_builds, node_scripts, node_steps
from deadweight_init.languages.platforms import web_command
from deadweight_init.records import ImageWords
from deadweight_init.tree import Tree, joined

Words = tuple[str, ...]

SETTINGS = "settings"
"""Of a project's details: the variables that its start script sets."""

OWN_ENVIRONMENT, ENVIRONMENT = "own environment", "environment"
"""Of a project's details: the ``NODE_ENV`` that its start script sets, and the one of generated images (else ``production``)."""

ENTRIES = (
    *("server.js", "index.js", "app.js", "main.js"),
    *("src/server.js", "src/index.js", "src/app.js", "src/main.js", "bin/www"),
)
"""Where a server usually begins."""

_LISTENS = re.compile(r"\.listen\(")
_MAKES_A_SERVER = re.compile(r"\bcreate\w*Server\(|\bBun\.serve\(")
_NEEDS_A_SHELL = re.compile(r"[;&|<>`()]")
_OF_NODE = (("node",), ("npm",), ("yarn",), ("pnpm",))
_PORT = re.compile(r"\$\{?PORT(?::-(\d+))?\}?")


def read_package(tree: Tree, folder: str) -> dict[str, Any]:
    """The package.json of a folder; empty without one that can be read."""
    try:
        found = json.loads(tree.text(joined(folder, "package.json")) or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def part(package: dict[str, Any], key: str) -> dict[str, Any]:
    """A section of a package.json; empty without it."""
    found = package.get(key)
    return found if isinstance(found, dict) else {}


def serves(tree: Tree, folder: str, package: dict[str, Any]) -> bool:
    """Whether a package without a start script or a known framework is a server all the same: a platform is told to start it,
    or its first file makes a server of Node's own and listens."""
    if on_a_platform(tree, folder)[:1] in _OF_NODE:  # beside a package.json for a front end it may start Python or Ruby
        return True
    texts = (tree.text(joined(folder, name)) for name in _there(tree, folder, package))
    return any(_LISTENS.search(each) and _MAKES_A_SERVER.search(each) for each in texts)


@dataclass(frozen=True)
class Start:
    """Arguments of ``node``; ``before`` are the steps that go first, ``settings`` the variables that the command sets."""

    words: Words
    before: tuple[Words, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)


def found(tree: Tree, folder: str, package: dict[str, Any], words: ImageWords | None) -> Start:
    """What starts a package: the own image's command, a script, what a platform is told, ``main``, or the usual names."""
    scripts, needs = part(package, "scripts"), part(package, "dependencies")
    runs = {**{each: "*" for each in part(package, "devDependencies") if each in node_scripts.INTERPRETERS}, **needs}
    own = node_scripts.in_repository(tree, folder, words) if words else ()
    platform = on_a_platform(tree, folder)
    for said in (own, ("npm", "run", "start:prod"), platform, ("npm", "run", "start")):
        started = node_scripts.started(tree, folder, said, scripts, runs)
        if started and "next" in needs and started == ("server.js",) and not tree.has(joined(folder, "server.js")):
            started = ("node_modules/.bin/next", "start")  # what its own image takes out of .next/standalone
        if started and (said != platform or _is_or_is_made(tree, folder, started)):
            programs = {*needs, *part(package, "devDependencies")}
            before = node_steps.before_serving(said, scripts, programs)
            return Start(started, before, node_scripts.settings_of(said, scripts))
    there, names = list(_there(tree, folder, package)), _named(package)
    listens = next((name for name in there if _LISTENS.search(tree.text(joined(folder, name)))), "")
    entry = listens or next(iter(there), "")
    made = next((name for name in names if node_builds.MADE.match(name)), "")
    if not entry and made and any(name in scripts for name in ("build", *node_builds.OTHERS)):
        return Start((made,))
    if not entry:
        return Start(node_scripts.of_bin(package, scripts))
    return Start((node_scripts.compiled(tree, folder, entry, scripts),))


def on_a_platform(tree: Tree, folder: str) -> Words:
    """The command that a hosting platform is told (a Procfile and the like); nothing for one that only a shell can run."""
    said = _PORT.sub(lambda each: each[1] or "8080", web_command(tree, folder))
    try:
        return () if _NEEDS_A_SHELL.search(said) else node_scripts.bare(tuple(shlex.split(said)))
    except ValueError:
        return ()


def _is_or_is_made(tree: Tree, folder: str, started: Words) -> bool:
    """Whether what is started is there, or is made by a build: files of platforms are forgotten when code moves."""
    entry = next((posixpath.normpath(word) for word in started if not word.startswith("-")), "")
    here = any(tree.has(joined(folder, f"{entry}{end}")) for end in ("", ".js", "/index.js"))
    return here or entry.startswith("node_modules/") or node_builds.MADE.match(entry) is not None


def _named(package: dict[str, Any]) -> list[str]:
    main = package.get("main")
    names = [posixpath.normpath(main)] if isinstance(main, str) else []
    return [*names, *(f"{name}.js" for name in names if not name.endswith(".js"))]


def _there(tree: Tree, folder: str, package: dict[str, Any]) -> Iterator[str]:
    """The files of the repository that may be its beginning, the likeliest first."""
    return (name for name in dict.fromkeys((*_named(package), *ENTRIES)) if tree.has(joined(folder, name)))
