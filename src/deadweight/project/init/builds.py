"""With which stage and arguments a repository builds its Dockerfiles: what Compose files and build commands tell."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from deadweight.project.init.around import FOR_DEVELOPERS, compose
from deadweight.project.init.tree import Tree, folder_of, joined

_COMMAND_FILES = r"Makefile|makefile|GNUmakefile|.*\.mk|justfile|Taskfile\.ya?ml|.*\.sh"
_BUILD = re.compile(r"\b(?:docker|podman|buildah|nerdctl)(?:\s+buildx)?\s+(?:build|bud)\b([^\n;&|]*)")
_ARGUMENT = re.compile(r"--build-arg[= ]+[\"']?(\w+)=([^\s\"'$]+)(?=[\s\"']|$)")
_NOT_FOR_USERS = re.compile(
    r"(?:^|[-_.])(?:dev|develop\w*|tests?|testing|debug\w*|lint\w*|local|ci)(?:$|[-_.])", re.IGNORECASE
)
_FOR_USERS = re.compile(r"prod|production|release|runtime|runner|final|deploy|serve|server|app", re.IGNORECASE)


@dataclass(frozen=True)
class Build:
    """``target`` is a stage; ``args`` are build arguments."""

    target: str | None = None
    args: Mapping[str, str] = field(default_factory=dict)


def builds(tree: Tree) -> dict[str, Build]:
    """For each Dockerfile (a path) how it is built for those who use the service; what is for developers comes last."""
    found: dict[str, Build] = {}
    said = [each for each in compose(tree) if not each.published]
    for service in sorted(said, key=lambda each: bool(FOR_DEVELOPERS.search(each.file))):
        before = found.get(service.path, Build())
        target = None if service.target and _NOT_FOR_USERS.search(service.target) else service.target
        found[service.path] = Build(before.target or target, {**service.args, **before.args})
    for path, args in _commands(tree):
        before = found.get(path, Build())
        found[path] = Build(before.target, {**args, **before.args})
    return found


def stage_for_users(names: list[str]) -> str | None:
    """The stage to build where the last one is for developers or tests; None where the last one will do."""
    if not names or not _NOT_FOR_USERS.search(names[-1]):
        return None
    return next((name for name in reversed(names) if _FOR_USERS.fullmatch(name)), None)


def _commands(tree: Tree) -> Iterator[tuple[str, dict[str, str]]]:
    for file in tree.named(_COMMAND_FILES):
        for words in _BUILD.findall(tree.text(file).replace("\\\n", " ")):
            args = dict(_ARGUMENT.findall(words))
            named = re.search(r"(?:-f|--file)[= ]+[\"']?([^\s\"'$]+)", words)
            if args:
                yield joined(folder_of(file), named[1] if named else "Dockerfile"), args
