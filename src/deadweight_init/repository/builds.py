"""Find the context, target stage and arguments to build a Dockerfile with, from Compose files, scripts, workflows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from deadweight_init.tree import TREES, Tree, folder_of, joined

_BUILD_FILES = (
    r"Makefile|makefile|GNUmakefile|.*\.mk|justfile|Taskfile\.ya?ml|.*\.sh|.*\.ya?ml|package\.json|docker-bake\.hcl"
)
_BUILD = re.compile(r"\b(?:docker|podman|buildah|nerdctl)(?:\s+buildx)?\s+(?:build|bud)\b([^\n;&|]*)")
_ARGUMENT = re.compile(r"--build-arg[= ]+[\"']?(\w+)=([^\s\"'$]+)(?=[\s\"']|$)")
_STEP = re.compile(
    r"uses:\s*docker/build-push-action[^\n]*\n((?:[^\n]*\n){0,40}?)(?=\s*-\s|\Z)|^target\s+\"[^\"]+\"\s*\{(.*?)^\}",
    re.DOTALL | re.MULTILINE,
)
"""A step of a workflow, from the root, or a target of a bake file, from its folder."""
_KEY = re.compile(r"^\s*(context|file|dockerfile)\s*[:=]\s*[\"']?([^\s\"'$]+)", re.MULTILINE)


@dataclass(frozen=True)
class Command:
    """A command that builds a Dockerfile, with its context, as paths from the root."""

    context: str
    dockerfile: str
    args: Mapping[str, str] = field(default_factory=dict)


@lru_cache(TREES)
def build_commands(tree: Tree) -> tuple[Command, ...]:
    """What scripts, Makefiles, workflows and bake files build."""
    found = list[Command]()
    for path in tree.named(_BUILD_FILES):
        text = tree.texts[path].replace("\\\n", " ")
        for words in _BUILD.findall(text) if "build" in text else ():
            found.append(_of_words(words, folder_of(path)))
        for workflow, bake in _STEP.findall(text) if "build-push-action" in text or path.endswith(".hcl") else ():
            keys = dict(_KEY.findall(workflow or bake))
            context = joined("." if workflow else folder_of(path), keys.get("context", "."))
            if "file" in keys:
                found.append(Command(context, joined(".", keys["file"])))
            else:
                found.append(Command(context, joined(context, keys.get("dockerfile", "Dockerfile"))))
    return tuple(found)


def _of_words(words: str, folder: str) -> Command:
    plain = [word.strip("\"'") for word in words.split()]
    context = plain[-1] if plain and not plain[-1].startswith("-") and "$" not in plain[-1] else "."
    named = re.search(r"(?:^|\s)(?:-f|--file)[= ]+[\"']?([^\s\"'$]+)(?=[\s\"']|$)", words)
    if "/" not in context and context != "." and len(plain) > 1 and plain[-2].startswith("-"):
        context = "."
    context = joined(folder, context)
    dockerfile = joined(folder, named[1]) if named else joined(context, "Dockerfile")
    return Command(context, dockerfile, dict(_ARGUMENT.findall(words)))
