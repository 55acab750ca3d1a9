"""With which contexts a repository builds its Dockerfiles: what Makefiles, scripts, workflows, bake and Compose files tell."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from deadweight_init.repository.compose import ComposeService
from deadweight_init.tree import Tree, folder_of, joined

_BUILD_FILES = r"Makefile|makefile|GNUmakefile|.*\.mk|justfile|Taskfile\.ya?ml|.*\.sh|.*\.ya?ml|package\.json"
_BUILD = re.compile(r"\b(?:docker|podman|buildah|nerdctl)(?:\s+buildx)?\s+(?:build|bud)\b([^\n;&|]*)")
_ACTION = re.compile(r"uses:\s*docker/build-push-action[^\n]*\n(?:[^\n]*\n){0,40}?(?=\s*-\s|\Z)")
_BAKE = re.compile(r'target\s+"[^"]+"\s*\{(.*?)\n\}', re.DOTALL)


def contexts(tree: Tree, composed: Sequence[ComposeService]) -> dict[str, tuple[str, ...]]:
    """For each Dockerfile (a path) the contexts that files of the repository build it with."""
    found: dict[str, list[str]] = {}
    for path in tree.named(_BUILD_FILES):
        text = tree.text(path).replace("\\\n", " ")
        if "docker" in text or "podman" in text or "buildah" in text:
            for context, dockerfile in (*_commands(text, folder_of(path)), *_actions(text)):
                found.setdefault(dockerfile, []).append(context)
    for path in tree.named(r"docker-bake\.hcl"):
        for body in _BAKE.findall(tree.text(path)):
            context = (re.search(r'context\s*=\s*"([^"$]+)"', body) or ["", "."])[1]
            dockerfile = (re.search(r'dockerfile\s*=\s*"([^"$]+)"', body) or ["", "Dockerfile"])[1]
            context = joined(folder_of(path), context)
            found.setdefault(joined(context, dockerfile), []).append(context)
    for service in composed:
        found.setdefault(service.path, []).append(service.context)
    return {name: tuple(dict.fromkeys(each)) for name, each in found.items()}


_HOLDERS = (
    "docker",
    ".docker",
    "dockerfiles",
    "container",
    "containers",
    "build",
    "deploy",
    "deployment",
    "deployments",
)
"""Folders of Dockerfiles for what lies above them."""


def likely(told: Mapping[str, Sequence[str]], path: str) -> tuple[str, ...]:
    """The contexts of a Dockerfile: those that are told, else those of another one beside it, else the folder above one that holds
    Dockerfiles alone by its name."""
    folder = folder_of(path)
    beside = (each for name, each in told.items() if folder_of(name) == folder != ".")
    above = (folder_of(folder),) if folder.rpartition("/")[2] in _HOLDERS else ()
    return tuple(told.get(path) or next(beside, above))


def _commands(text: str, folder: str) -> Iterator[tuple[str, str]]:
    for words in (found.split() for found in _BUILD.findall(text)):
        plain = [word.strip("\"'") for word in words]
        context = plain[-1] if plain and not plain[-1].startswith("-") and "$" not in plain[-1] else "."
        named = [plain[at + 1] for at, word in enumerate(plain[:-1]) if word in ("-f", "--file")]
        named += [word.partition("=")[2] for word in plain if word.startswith("--file=")]
        if "/" not in context and context != "." and len(plain) > 1 and plain[-2].startswith("-"):
            context = "."
        context = joined(folder, context)
        dockerfile = joined(folder, named[0]) if named and "$" not in named[0] else joined(context, "Dockerfile")
        yield context, dockerfile


def _actions(text: str) -> Iterator[tuple[str, str]]:
    """docker/build-push-action in a workflow."""
    for step in _ACTION.findall(text):
        context = (re.search(r"^\s+context:\s*[\"']?([^\s\"'$]+)", step, re.MULTILINE) or ["", "."])[1]
        file = re.search(r"^\s+file:\s*[\"']?([^\s\"'$]+)", step, re.MULTILINE)
        context = joined(".", context)
        yield context, joined(".", file[1]) if file else joined(context, "Dockerfile")
