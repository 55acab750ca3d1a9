"""Find the targets of a Makefile, Taskfile or justfile that build, run, push or scan images, and the task that replaces each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from deadweight_init.tree import TABLES, Tree, line_of

FILES = {r"(?:GNU)?makefile": "make", r"\.?justfile": "just", r"taskfile(?:\.dist)?\.ya?ml": "task"}
"""Names of files, and the program that reads them."""
COMMANDS = {task: re.compile(pattern) for task, pattern in TABLES["targets"].items()}
"""By task what a command line that does the same looks like; the first that fits counts."""
_HEAD = re.compile(r"^@?([A-Za-z0-9_][\w./-]*)(?:[^\n:=#]|=[\"'])*:(?![:=])[^\n]*", re.MULTILINE)
_VALUE = re.compile(r"^(?:export +)?(\w+) *[:?]?= *(.+)$", re.MULTILINE)
_USE = re.compile(r"\$\((\w+)\)|\$\{(\w+)\}|\{\{ *\.?(\w+) *\}\}")
_DOCKERFILE = re.compile(r"(?:^|\s)(?:-f|--file)[ =](\S+)")


@dataclass(frozen=True)
class Target:
    """``place`` is FILE:LINE, ``typed`` what is typed today, ``task`` ours; ``dockerfile`` the file that its command names."""

    place: str
    typed: str
    task: str
    dockerfile: str = ""


def image_targets(tree: Tree) -> tuple[Target, ...]:
    """Those of the repository's root folder, in the order of their files."""
    named = ((path, program) for pattern, program in FILES.items() for path in tree.named[pattern] if "/" not in path)
    return tuple(target for path, program in named for target in _targets(tree, path, program))


def _targets(tree: Tree, path: str, program: str) -> Iterator[Target]:
    text = tree.texts[path].replace("\\\n", "  ")
    recipes = _tasks(tree.data[path]) if program == "task" else _recipes(text)
    values = dict(_VALUE.findall(text)) | {
        str(name): str(value) for name, value in _dict(tree.data[path], "vars").items()
    }
    for name, lines in recipes:
        for line in lines:
            command = _USE.sub(lambda use: values.get(use[1] or use[2] or use[3], use[0]), line)
            if task := next((task for task, pattern in COMMANDS.items() if pattern.search(command)), None):
                start = re.search(rf"^[ \t@]*{re.escape(name)}\b", tree.texts[path], re.MULTILINE)
                place = f"{path}:{line_of(tree.texts[path], start.start() if start else 0)}"
                file = _DOCKERFILE.search(command)
                yield Target(place, f"{program} {name}", task, file[1].removeprefix("./") if file else "")
                break


def _recipes(text: str) -> Iterator[tuple[str, list[str]]]:
    """Of a Makefile or justfile: each target with the indented lines below it."""
    for head in _HEAD.finditer(text):
        lines = text[head.end() :].split("\n")[1:]
        end = next((number for number, line in enumerate(lines) if line.strip() and not line[0].isspace()), len(lines))
        yield head[1], lines[:end]


def _tasks(document: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    for name, task in _dict(document, "tasks").items():
        given = task if not isinstance(task, dict) else task.get("cmds", task.get("cmd", ()))
        yield str(name), list(_lines(given if isinstance(given, list) else [given]))


def _lines(commands: Iterable[Any]) -> Iterator[str]:
    for command in commands:
        yield str(command.get("cmd", "") if isinstance(command, dict) else command)


def _dict(value: Any, key: str) -> dict[Any, Any]:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}
