"""What the scripts of a package.json start in the end: arguments of ``node``."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Any

from deadweight.project.init.tree import Tree, joined

PROGRAMS = {
    "fastify": "fastify-cli",
    "nest": "@nestjs/cli",
    "remix-serve": "@remix-run/serve",
    "strapi": "@strapi/strapi",
    "sequelize": "sequelize-cli",
}
"""Programs that are not named as their package is."""

_KEEPERS = ("nodemon", "pm2", "pm2-runtime", "forever", "supervisor")
"""Programs that start another one again when it ends: a container's engine does that."""

_SCRIPT = re.compile(r"[\"']?script[\"']?\s*:\s*[\"']([^\"']+)[\"']")
_FILE = re.compile(r"[\w./-]+\.[cm]?js")


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
        return _kept(tree, folder, words)
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
    files = (word for word in words[1:] if _FILE.fullmatch(word) and tree.has(joined(folder, posixpath.normpath(word))))
    return next(((posixpath.normpath(word),) for word in files), ())


def bare(words: tuple[str, ...]) -> tuple[str, ...]:
    """A command without settings before the program."""
    while words and ("=" in words[0] or words[0] in ("cross-env", "exec", "npx")):
        words = words[1:]
    return words


def of_node(words: tuple[str, ...]) -> tuple[str, ...]:
    """``node x``, with settings before it and an init program around it; nothing for another command."""
    if words[:2] == ("/bin/sh", "-c") and len(words) == 3 and not re.search(r"[;&|<>$`]", words[2]):
        words = tuple(words[2].split())
    while words and (
        posixpath.basename(words[0]) in ("tini", "dumb-init", "cross-env", "exec", "--") or "=" in words[0]
    ):
        words = words[1:]
    simple = not any(word in ("&&", "||", "|") or word.endswith(";") for word in words)
    return words[1:] if simple and words[:1] and posixpath.basename(words[0]) in ("node", "nodejs") else ()
