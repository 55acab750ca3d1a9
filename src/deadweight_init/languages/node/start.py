"""Find the command that starts a Node package: a script, a Procfile, its own image, or the file that listens."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from deadweight_init.languages.platforms import web_command
from deadweight_init.languages.sources import part
from deadweight_init.records import ImageWords
from deadweight_init.tree import Tree, joined

Words = tuple[str, ...]

_PROGRAMS = {
    "fastify": "fastify-cli",
    "nest": "@nestjs/cli",
    "remix-serve": "@remix-run/serve",
    "strapi": "@strapi/strapi",
    "sequelize": "sequelize-cli",
    "babel-node": "@babel/node",
    "tsnd": "ts-node-dev",
}
"""Programs that are not named as their package is."""
_KEEPERS = ("nodemon", "pm2", "pm2-runtime", "forever", "supervisor")
"""Programs that start another one again when it ends: a container's engine does that."""
_WRAPPERS = ("cross-env", "exec", "npx", "env", "dotenv", "dotenvx", "--", "tini", "dumb-init", "run")
ENTRIES = (
    *("server.js", "index.js", "app.js", "main.js"),
    *("src/server.js", "src/index.js", "src/app.js", "src/main.js", "bin/www"),
)
"""Where a server usually begins."""
MADE = re.compile(r"(?:dist|build|lib|out|output|\.output)/")
"""Folders that a build makes: what ``main`` names there is not in the repository."""
_LISTENS = re.compile(r"\.listen\(")
_MAKES_A_SERVER = re.compile(r"\bcreate\w*Server\(|\bBun\.serve\(")
_PORT = re.compile(r"\$\{?PORT(?::-(\d+))?\}?")
_NEEDS_A_SHELL = re.compile(r"[;|<>`()$]|(?<!&)&(?!&)")
_DATABASE = re.compile(r"migrat|seed|\bdb\b|schema|prisma|sequelize|knex|typeorm|drizzle", re.IGNORECASE)
"""What is done each time it starts: it changes a database, which is not there when the image is built."""
_DEPTH = 4


@dataclass(frozen=True)
class Start:
    """Arguments of ``node``; ``before`` are the steps that change a database first, ``env`` the variables that the command sets."""

    words: Words = ()
    before: tuple[Words, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


def serves(tree: Tree, folder: str, package: Mapping[str, Any]) -> bool:
    """Whether a package without a start script or a known framework is a server all the same."""
    if on_a_platform(tree, folder)[:1] in (("node",), ("npm",), ("yarn",), ("pnpm",)):
        return True
    texts = (tree.text(joined(folder, name)) for name in _entries(tree, folder, package))
    return any(_LISTENS.search(each) and _MAKES_A_SERVER.search(each) for each in texts)


def start_of(tree: Tree, folder: str, package: Mapping[str, Any], words: ImageWords | None) -> Start:
    """What starts a package."""
    scripts = part(package, "scripts")
    programs = {*part(package, "dependencies"), *part(package, "devDependencies")}
    own = words.program if words else ()
    for command in (own, ("npm", "run", "start:prod"), on_a_platform(tree, folder), ("npm", "run", "start")):
        *first, last = _steps(command, scripts, _DEPTH) or [()]
        started = _as_node(last, tree, folder, programs)
        if started and _can_be(tree, folder, started):
            steps = (_as_node(step, tree, folder, programs) for step in first if _DATABASE.search(" ".join(step)))
            return Start(started, tuple(each for each in steps if each), _settings(last))
    there, main = list(_entries(tree, folder, package)), package.get("main")
    if there:
        listens = (name for name in there if _LISTENS.search(tree.text(joined(folder, name))))
        return Start((next(listens, there[0]),))
    made = posixpath.normpath(main) if isinstance(main, str) else ""
    return Start((made,)) if MADE.match(made) else Start()


def on_a_platform(tree: Tree, folder: str) -> Words:
    """The command that a hosting platform is told (a Procfile and the like)."""
    command = _PORT.sub(lambda each: each[1] or "8080", web_command(tree, folder))
    return _words(command)


def is_developers(start: Start, package: Mapping[str, Any]) -> bool:
    """Whether what is started is a program, or is read by one, that the package lists for development alone."""
    needs = part(package, "dependencies")
    programs = [step[0] for step in (*start.before, start.words) if step and step[0].startswith("node_modules/")]
    names = [posixpath.basename(each) for each in programs]
    names += re.findall(r"(?:^|\s)(?:-r|--require|--import|--loader)[ =](@?[^\s/]+)", " ".join(start.words))
    return any(name not in needs and _PROGRAMS.get(name) not in needs for name in names)


def _can_be(tree: Tree, folder: str, started: Words) -> bool:
    """Whether what is started is there, or is made by a build: files of platforms are forgotten when code moves."""
    entry = next((posixpath.normpath(word) for word in started if not word.startswith("-")), "")
    here = any(tree.has(joined(folder, f"{entry}{end}")) for end in ("", ".js", "/index.js"))
    return here or entry.startswith("node_modules/") or MADE.match(entry) is not None


def _entries(tree: Tree, folder: str, package: Mapping[str, Any]) -> Iterator[str]:
    """The files of the repository that may be its beginning, the likeliest first."""
    main = package.get("main")
    named = [posixpath.normpath(main), f"{posixpath.normpath(main)}.js"] if isinstance(main, str) else []
    return (name for name in dict.fromkeys((*named, *ENTRIES)) if tree.has(joined(folder, name)))


def _words(text: str) -> Words:
    """A simple command; nothing for one that only a shell can run."""
    try:
        return () if _NEEDS_A_SHELL.search(text) else tuple(shlex.split(text))
    except ValueError:
        return ()


def _steps(words: Words, scripts: Mapping[str, Any], depth: int) -> list[Words]:
    """The simple commands of a command in turn: scripts of npm's are taken apart. What only a shell can do is empty."""
    plain = _bare(words)
    if not plain or not depth:
        return [()]
    name = next((word for word in plain[1:] if word != "run"), "")
    if plain[0] in ("npm-run-all", "run-s"):
        return [
            step for name in plain[1:] if name in scripts for step in _steps(("npm", "run", name), scripts, depth - 1)
        ]
    if plain[0] not in ("npm", "yarn", "pnpm") or name not in scripts:
        return [words]
    texts = [str(scripts[each]) for each in (f"pre{name}", name) if each in scripts]
    lines = [line for text in texts for line in text.split("&&")]
    return [each for line in lines for each in _steps(_words(line), scripts, depth - 1)]


def _bare(words: Words) -> Words:
    """A command without settings before the program, and without what only starts it."""
    while words and (re.match(r"\w+=", words[0]) or posixpath.basename(words[0]) in _WRAPPERS):
        of_file = words[0] in ("dotenv", "dotenvx") and words[1:2] in (("-e",), ("-f",))
        words = words[3:] if of_file else words[1:]
    return words


def _settings(words: Words) -> dict[str, str]:
    """The variables that a command sets for what it starts; those that are found otherwise are left out."""
    before = words[: len(words) - len(_bare(words))]
    pairs = (word.partition("=") for word in before if re.match(r"[A-Z_][A-Z0-9_]*=", word))
    return {name: value for name, _, value in pairs if name not in ("NODE_ENV", "PORT", "PATH")}


def _as_node(words: Words, tree: Tree, folder: str, programs: Collection[str]) -> Words:
    """A simple command as arguments of node; nothing for a program that is not known."""
    words = _bare(words)
    name = posixpath.basename(words[0]) if words else ""
    if name in ("node", "nodejs"):
        return tuple(_without_developers_options(words[1:]))
    if name in _KEEPERS:
        files = [
            word for word in words[1:] if re.fullmatch(r"[\w./-]+\.[cm]?[jt]s", word) and tree.has(joined(folder, word))
        ]
        by = ("node_modules/.bin/ts-node",) if files and files[0].endswith("ts") else ()
        return (*by, posixpath.normpath(files[0])) if files else ()
    if name in programs or _PROGRAMS.get(name) in programs:
        return (f"node_modules/.bin/{name}", *words[1:])
    return ()


def _without_developers_options(words: Words) -> Iterator[str]:
    """Arguments of ``node`` without files of variables, which are no part of an image, and without watching for edits."""
    options = iter(words)
    for word in options:
        if word == "--env-file":
            next(options, None)
        elif not word.startswith("--env-file=") and word != "--watch":
            yield word
