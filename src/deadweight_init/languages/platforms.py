"""Read the start and release commands in hosting files: Procfile, Render, Railway, DigitalOcean, Fly, Nixpacks."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from deadweight_init.tree import Tree, joined


def web_command(tree: Tree, folder: str) -> str:
    """The command that serves, as a line for a shell; empty where no file says one."""
    return next(_commands(tree, folder, _WEB), "")


def release_command(tree: Tree, folder: str) -> str:
    """What is done once before a release is served, such as changes of the database; empty where no file says it."""
    return next(_commands(tree, folder, _RELEASE), "")


def _commands(tree: Tree, folder: str, keys: dict[str, tuple[str, ...]]) -> Iterator[str]:
    for name, path in keys.items():
        text = tree.text(joined(folder, name))
        if not text:
            continue
        if name == "Procfile":
            command: Any = re.search(rf"^{path[0]}:\s*(.+)$", text, re.MULTILINE)
            command = command and command[1]
        else:
            command = _at(_loaded(name, text), path)
        if isinstance(command, str) and command.strip():
            yield command.strip()


_WEB = {
    "Procfile": ("web",),
    "render.yaml": ("services", "startCommand"),
    "railway.json": ("deploy", "startCommand"),
    "railway.toml": ("deploy", "startCommand"),
    ".do/app.yaml": ("services", "run_command"),
    "fly.toml": ("processes", "app"),
    "nixpacks.toml": ("start", "cmd"),
}
_RELEASE = {
    "Procfile": ("release",),
    "render.yaml": ("services", "preDeployCommand"),
    "railway.json": ("deploy", "preDeployCommand"),
    "fly.toml": ("deploy", "release_command"),
}


def _loaded(name: str, text: str) -> Any:
    kinds: dict[str, Callable[[str], Any]] = {"json": json.loads, "toml": tomllib.loads, "yaml": _yaml}
    try:
        return kinds[name.rpartition(".")[2]](text)
    except (ValueError, yaml.YAMLError, RecursionError):
        return None


def _yaml(text: str) -> Any:
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - the safe one


def _at(document: Any, path: tuple[str, ...]) -> Any:
    """What stands at a path; of a list the first service of the web that has it."""
    for key in path:
        if isinstance(document, list):
            web = [each for each in document if isinstance(each, dict) and each.get("type", "web") == "web"]
            document = next((each for each in web if each.get(key)), None)
        document = document.get(key) if isinstance(document, dict) else None
    return document
