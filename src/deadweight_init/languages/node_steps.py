"""A command that prepares before it serves: ``knex migrate:latest && node server.js``, or a script of npm's that says so.

Not every base has a shell, so node itself does one step after the other, and passes signals on to the last one.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Collection, Mapping
from typing import Any

from deadweight_init.languages.node_scripts import PROGRAMS, bare, of_node
from deadweight_init.tree import Tree, joined

_WHEN_IT_STARTS = re.compile(r"migrat|seed|\bdb\b|schema|prisma|sequelize|knex|typeorm|drizzle", re.IGNORECASE)
"""What is done each time: it changes a database, which is not there when the image is built."""

_NEEDS_A_SHELL = re.compile(r"[;|<>`()$]|(?<!&)&(?!&)")
_SHELLS = ("sh", "bash", "ash", "dash")
_DEPTH = 4
_CODE = (
    "const {{spawn, spawnSync}} = require('child_process'); const say = {{stdio: 'inherit'}}; "
    "for (const step of {first}) {{ const {{status}} = spawnSync(process.execPath, step, say); "
    "if (status !== 0) process.exit(status ?? 1); }} "
    "const last = spawn(process.execPath, {last}, say); "
    "for (const each of ['SIGTERM', 'SIGINT']) process.on(each, () => last.kill(each)); "
    "last.on('exit', code => process.exit(code ?? 143));"
)

Words = tuple[str, ...]


def before_serving(words: Words, scripts: Mapping[str, Any], programs: Collection[str]) -> tuple[Words, ...]:
    """What a command does to a database before it serves, each step as arguments of node. ``programs`` are packages that may
    have one. What only a shell can do is left out."""
    steps = _simple(words, scripts, _DEPTH)[:-1]
    said = [_as_node(bare(each), programs) for each in steps if _WHEN_IT_STARTS.search(" ".join(each))]
    return tuple(each for each in said if each)


_BEFORE = ("preinstall", "install", "postinstall", "prebuild", "build")


def must_generate(tree: Tree, folder: str, package: Mapping[str, Any], scripts: Mapping[str, Any]) -> bool:
    """Whether Prisma's client has to be made of its schema, and no script that a build runs does so.

    The client's own installation makes it only where the schema is there already.
    """
    said = package.get("prisma")
    named = str(said.get("schema") or "") if isinstance(said, dict) else ""
    places = (named, "prisma/schema.prisma", "schema.prisma") if named else ("prisma/schema.prisma", "schema.prisma")
    needs = [each for key in ("dependencies", "devDependencies") for each in package.get(key) or ()]
    if "prisma" not in needs or not any(tree.has(joined(folder, each)) for each in places):
        return False
    text = " && ".join(str(scripts[name]) for name in _BEFORE if name in scripts)
    called = re.findall(r"\b(?:npm run|yarn(?: run)?|pnpm(?: run)?|run-s) ([\w:.-]+)", text)
    return "prisma generate" not in " ".join((text, *(str(scripts.get(name, "")) for name in called)))


def when_it_starts(name: str, scripts: Mapping[str, Any]) -> bool:
    """Whether a script of npm's is for a database, which a build does not have."""
    return _WHEN_IT_STARTS.search(f"{name} {scripts.get(name, '')}") is not None


def in_turn(before: tuple[Words, ...], last: Words) -> Words:
    """Arguments of node that take these steps in turn."""
    if not before:
        return last
    return ("-e", _CODE.format(first=_listed(before), last=f"[{', '.join(map(_quoted, last))}]"))


def _listed(steps: tuple[Words, ...]) -> str:
    return "[" + ", ".join(f"[{', '.join(map(_quoted, each))}]" for each in steps) + "]"


def _quoted(word: str) -> str:
    return "'" + word.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _simple(words: Words, scripts: Mapping[str, Any], depth: int) -> list[Words]:
    """The simple commands of a shell's argument or of a script of npm's, in turn; the command itself for any other."""
    while words[:1] and posixpath.basename(words[0]) in ("tini", "dumb-init", "--", "exec"):
        words = words[1:]
    if not words or not depth:
        return []
    if posixpath.basename(words[0]) in _SHELLS and len(words) == 3 and words[1] == "-c":
        return _of_text(words[2], scripts, depth)
    runs = (words[1:2] == ("run",) and words[2:3]) or words[1:2]
    if words[0] in ("npm", "yarn", "pnpm") and runs and runs[0] in scripts:
        names = [name for name in (f"pre{runs[0]}", runs[0]) if name in scripts]
        return [each for name in names for each in _of_text(str(scripts[name]), scripts, depth)]
    return [words]


def _of_text(text: str, scripts: Mapping[str, Any], depth: int) -> list[Words]:
    found: list[Words] = []
    for line in text.split("&&"):
        try:
            words = () if _NEEDS_A_SHELL.search(line) else tuple(shlex.split(line))
        except ValueError:
            words = ()
        found += _simple(words, scripts, depth - 1) or [("",)]  # a place is kept: the last one is what serves
    return found


def _as_node(words: Words, programs: Collection[str]) -> Words:
    if direct := of_node(words):
        return direct
    if words[:1] and (words[0] in programs or PROGRAMS.get(words[0]) in programs):
        return (f"node_modules/.bin/{words[0]}", *words[1:])
    return ()
