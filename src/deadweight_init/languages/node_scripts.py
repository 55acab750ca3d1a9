"""What the scripts of a package.json start in the end: arguments of ``node``."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from deadweight_init.records import ImageWords
from deadweight_init.tree import Tree, joined

PROGRAMS = {
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

INTERPRETERS = ("ts-node", "ts-node-dev", "tsx", "@babel/node", "babel-cli", "@swc-node/register", "esno")
"""Packages that run what is not JavaScript yet, mostly listed for developers: where the start script calls one, it serves."""

_SETTING = re.compile(r"([A-Z_][A-Z0-9_]*)=(.*)")
_SCRIPT = re.compile(r"[\"']?script[\"']?\s*:\s*[\"']([^\"']+)[\"']")
_FILE = re.compile(r"[\w./-]+\.[cm]?js")
_SOURCE = re.compile(r"[\w./-]+\.[cm]?[jt]s")


def started(
    tree: Tree,
    folder: str,
    words: tuple[str, ...],
    scripts: Mapping[str, Any],
    needs: Mapping[str, Any],
    depth: int = 3,
) -> tuple[str, ...]:
    """What a command starts in the end: ``npm start`` is its script, ``next start`` a program of a package."""
    direct = of_node(words)
    if direct or not words or not depth:
        return direct
    runs = (words[1:2] == ("run",) and words[2:3]) or words[1:2]
    if words[0] in ("npm", "yarn", "pnpm") and runs and runs[0] in scripts:
        last = str(scripts[runs[0]]).rpartition("&&")[2]  # what goes before is to be done once, when it is built
        inner = () if re.search(r"[;|<>$`()&]", last) else tuple(last.split())
        return started(tree, folder, bare(inner), scripts, needs, depth - 1)
    if words[0] in _KEEPERS:
        direct = _kept(tree, folder, words)
        by = _interpreter(words, direct)
        return started(tree, folder, (*by, *direct), scripts, needs, depth - 1) if by else direct
    if words[0] in ("npm-run-all", "run-s") and words[-1] in scripts:
        return started(tree, folder, ("npm", "run", words[-1]), scripts, needs, depth - 1)
    if words[0] in needs or PROGRAMS.get(words[0]) in needs:
        return (f"node_modules/.bin/{words[0]}", *words[1:])
    return ()


def _kept(tree: Tree, folder: str, words: tuple[str, ...]) -> tuple[str, ...]:
    """The script that a keeper is given: by its name, or in a file of pm2's."""
    for word in words[1:]:
        settings = joined(folder, word)
        named = _SCRIPT.search(tree.text(settings)) if word.startswith("ecosystem") and tree.has(settings) else None
        if named:
            return (posixpath.normpath(named[1]),)
    words = tuple(word.strip("\"'") for word in words)
    files = (
        word for word in words[1:] if _SOURCE.fullmatch(word) and tree.has(joined(folder, posixpath.normpath(word)))
    )
    return next(((posixpath.normpath(word),) for word in files), ())


def _interpreter(words: tuple[str, ...], file: tuple[str, ...]) -> tuple[str, ...]:
    """What a keeper starts a file with (``--exec babel-node``, and nodemon TypeScript by itself); nothing for node."""
    if not file:
        return ()
    after = next((words[at + 1 :] for at, word in enumerate(words) if word in ("--exec", "-x")), ())
    said = [each.strip("\"'") for each in after]
    by = tuple(said[: next((at for at, each in enumerate(said) if _SOURCE.fullmatch(each)), 1)])
    if by and by[0] not in ("node", "npm", "npx"):
        return by
    return ("ts-node",) if file[0].endswith("ts") else ()


def in_repository(tree: Tree, folder: str, words: ImageWords) -> tuple[str, ...]:
    """The own image's command with files as they are called in the repository: ``COPY --from=build /src/dist ./`` moved them, and
    ``COPY dist/api api`` what a build before had made."""
    copied = [(source, target) for source, target in words.copied if "*" not in source and not tree.has(source)]
    said: list[str] = []
    for word in words.words:
        place, there = posixpath.normpath(posixpath.join(words.workdir, word)), joined(folder, posixpath.normpath(word))
        moved = (
            source if posixpath.basename(source) == posixpath.basename(place) else _below(source, place, target)
            for source, target in (*words.brought, *copied)
            if place == target or place.startswith(f"{target.rstrip('/')}/")
        )
        is_file = _FILE.fullmatch(word) and not tree.has(joined(folder, posixpath.normpath(word).lstrip("/")))
        is_made = said[-1:] == ["node"] and place in {target for _, target in copied} - {words.workdir}
        there_already = any(tree.has(f"{there}{ending}") for ending in ("", ".js", "/index.js", "/package.json"))
        said.append(next(moved, word) if is_file or (is_made and not there_already) else word)
    return tuple(said)


def _below(source: str, place: str, target: str) -> str:
    """The file of a folder that was copied to ``target``."""
    return posixpath.normpath(posixpath.join(source, posixpath.relpath(place, target)))


def compiled(tree: Tree, folder: str, entry: str, scripts: Mapping[str, Any]) -> str:
    """What TypeScript's compiler makes of an entry point, where the build script calls it."""
    settings = tree.text(joined(folder, "tsconfig.json"))
    output = re.search(r"^\s*[\"']outDir[\"']\s*:\s*[\"'](?:\./)?([\w./-]+?)/?[\"']", settings, re.MULTILINE)
    if not entry.endswith(".ts") or "tsc" not in str(scripts.get("build", "")) or output is None:
        return entry
    root = re.search(r"^\s*[\"']rootDir[\"']\s*:\s*[\"'](?:\./)?([\w./-]*?)/?[\"']", settings, re.MULTILINE)
    inside = entry.removeprefix(f"{root[1] if root else entry.partition('/')[0]}/")
    return f"{output[1]}/{inside.removesuffix('.ts')}.js"


def of_bin(package: Mapping[str, Any], scripts: Mapping[str, Any]) -> tuple[str, ...]:
    """The program that a package installs, with the arguments that the script for its developers gives it; nothing where it has
    several and none of the package's name."""
    said = package.get("bin")
    name = str(package.get("name") or "").rpartition("/")[2]
    files = {name: said} if isinstance(said, str) else said if isinstance(said, dict) else {}
    file = files.get(name) or (next(iter(files.values())) if len(files) == 1 else None)
    if not isinstance(file, str):
        return ()
    program = posixpath.splitext(posixpath.basename(file))[0]
    for words in (str(scripts.get(each, "")).split() for each in ("start", "dev", "start:dev", "serve")):
        for at, word in enumerate(words):
            if posixpath.splitext(posixpath.basename(word))[0] == program and not re.search(
                r"[;&|<>$`]", " ".join(words)
            ):
                return (posixpath.normpath(file), *words[at + 1 :])
    return (posixpath.normpath(file),)


_WRAPPERS = ("cross-env", "exec", "npx", "bunx", "dotenv", "dotenvx", "env-cmd", "dotenv-cli")


def bare(words: tuple[str, ...]) -> tuple[str, ...]:
    """A command without settings before the program, and without what reads these from a file."""
    while words and ("=" in words[0] or words[0] in _WRAPPERS):
        reads_file, words = words[0] in ("dotenv", "dotenvx", "env-cmd", "dotenv-cli"), words[1:]
        while reads_file and words and (words[0] in ("run", "--") or words[0].startswith("-")):
            words = words[2:] if words[0] in ("-e", "-f", "--file") else words[1:]
    return words


def settings_of(words: tuple[str, ...], scripts: Mapping[str, Any], depth: int = 4) -> dict[str, str]:
    """The variables that a command sets for what it starts: ``NODE_PATH=src node app.js``, also by way of npm's scripts."""
    found: dict[str, str] = {}
    while words and ("=" in words[0] or words[0] in ("cross-env", "env", "exec", "npx")):
        if said := _SETTING.fullmatch(words[0]):
            found[said[1]] = said[2]
        words = words[1:]
    runs = (words[1:2] == ("run",) and words[2:3]) or words[1:2]
    if not depth or words[:1] not in (("npm",), ("yarn",), ("pnpm",)) or not runs or runs[0] not in scripts:
        return found
    last = str(scripts[runs[0]]).rpartition("&&")[2]
    try:
        inner = () if re.search(r"[;|<>$`()&]", last) else tuple(shlex.split(last))
    except ValueError:
        inner = ()
    return {**found, **settings_of(inner, scripts, depth - 1)}


def of_node(words: tuple[str, ...]) -> tuple[str, ...]:
    """``node x``, with settings before it and an init program around it; nothing for another command."""
    if words[:2] == ("/bin/sh", "-c") and len(words) == 3 and not re.search(r"[;&|<>$`]", words[2]):
        words = tuple(words[2].split())
    while words and (
        posixpath.basename(words[0]) in ("tini", "dumb-init", "cross-env", "exec", "--") or "=" in words[0]
    ):
        words = words[1:]
    simple = not any(word in ("&&", "||", "|") or word.endswith(";") for word in words)
    is_node = simple and words[:1] and posixpath.basename(words[0]) in ("node", "nodejs")
    return tuple(_without_developers_files(words[1:])) if is_node else ()


def _without_developers_files(words: tuple[str, ...]) -> Iterator[str]:
    """Arguments of ``node`` without files of variables, which are no part of an image, and without watching for edits."""
    options = iter(words)
    for word in options:
        if word == "--env-file":
            next(options, None)
        elif not word.startswith("--env-file=") and word != "--watch":
            yield word
