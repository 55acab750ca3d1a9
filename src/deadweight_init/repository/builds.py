"""Find the context, target stage and arguments to build a Dockerfile with, from Compose files, scripts, workflows."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from deadweight.records.reference import split
from deadweight_init.records import OwnDockerfile
from deadweight_init.repository.compose import FOR_DEVELOPERS, ComposeService
from deadweight_init.tree import TABLES, TREES, Tree, aside, folder_of, joined

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
class _Command:
    """A command that builds a Dockerfile, with its context, as paths from the root."""

    context: str
    dockerfile: str
    args: Mapping[str, str] = field(default_factory=dict)


@lru_cache(TREES)
def _commands(tree: Tree) -> tuple[_Command, ...]:
    """What scripts, Makefiles, workflows and bake files build."""
    found = list[_Command]()
    for path in tree.named(_BUILD_FILES):
        text = tree.text(path).replace("\\\n", " ")
        for words in _BUILD.findall(text) if "build" in text else ():
            found.append(_of_words(words, folder_of(path)))
        for workflow, bake in _STEP.findall(text) if "build-push-action" in text or path.endswith(".hcl") else ():
            keys = dict(_KEY.findall(workflow or bake))
            context = joined("." if workflow else folder_of(path), keys.get("context", "."))
            if "file" in keys:
                found.append(_Command(context, joined(".", keys["file"])))
            else:
                found.append(_Command(context, joined(context, keys.get("dockerfile", "Dockerfile"))))
    return tuple(found)


def _of_words(words: str, folder: str) -> _Command:
    plain = [word.strip("\"'") for word in words.split()]
    context = plain[-1] if plain and not plain[-1].startswith("-") and "$" not in plain[-1] else "."
    named = re.search(r"(?:^|\s)(?:-f|--file)[= ]+[\"']?([^\s\"'$]+)(?=[\s\"']|$)", words)
    if "/" not in context and context != "." and len(plain) > 1 and plain[-2].startswith("-"):
        context = "."
    context = joined(folder, context)
    dockerfile = joined(folder, named[1]) if named else joined(context, "Dockerfile")
    return _Command(context, dockerfile, dict(_ARGUMENT.findall(words)))


_HOLDERS = TABLES["folders"]["dockerfiles"]
"""Folders of Dockerfiles for what lies above them."""


_NOT_FOR_USERS = re.compile(
    r"(?:^|[-_.])(?:dev|develop\w*|tests?|testing|debug\w*|lint\w*|local|ci)(?:$|[-_.])", re.IGNORECASE
)
_FOR_USERS = re.compile(r"prod|production|release|runtime|runner|final|deploy|serve|server|app", re.IGNORECASE)


@dataclass(frozen=True)
class Build:
    """``target`` is a stage; ``args`` are build arguments; ``contexts`` are those that files of the repository name."""

    target: str | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    contexts: tuple[str, ...] = ()


def builds(tree: Tree, composed: Sequence[ComposeService]) -> dict[str, Build]:
    """For each Dockerfile (a path) how it is built for those who use the service; what is for developers comes last."""
    found: dict[str, Build] = {}
    commands = _commands(tree)
    pairs = [
        *((command.dockerfile, command.context) for command in commands),
        *((each.path, each.context) for each in composed),
    ]
    for path, context in pairs:
        before = found.get(path, Build())
        found[path] = replace(before, contexts=tuple(dict.fromkeys((*before.contexts, context))))
    said = [each for each in composed if not each.published]
    for service in sorted(said, key=lambda each: bool(FOR_DEVELOPERS.search(each.file))):
        before = found[service.path]
        target = None if service.target and _NOT_FOR_USERS.search(service.target) else service.target
        found[service.path] = replace(before, target=before.target or target, args={**service.args, **before.args})
    for command in commands:
        before = found[command.dockerfile]
        found[command.dockerfile] = replace(before, args={**command.args, **before.args})
    return found


def likely(built: Mapping[str, Build], path: str) -> tuple[str, ...]:
    """The contexts of a Dockerfile: those that are told, else those of another one beside it, else the folder above one that holds
    Dockerfiles alone by its name."""
    folder = folder_of(path)
    beside = (build.contexts for name, build in built.items() if folder_of(name) == folder != ".")
    above = (folder_of(folder),) if folder.rpartition("/")[2] in _HOLDERS else ()
    return built.get(path, Build()).contexts or next(beside, above)


def apart(
    composed: Sequence[ComposeService], own: Sequence[OwnDockerfile]
) -> Iterator[tuple[str, list[OwnDockerfile]]]:
    """The Dockerfiles of one folder by service, each with its name: those that one Compose file builds as different services are
    not ways to build the same. Without such a file they are one service's, which has no name of its own."""
    paths = {each.path for each in own if not each.refused and not _NOT_FOR_USERS.search(posixpath.basename(each.path))}
    for file in dict.fromkeys(each.file for each in composed):
        names: dict[str, str] = {}
        for service in composed:
            if service.file == file and service.path in paths and not service.published:
                names.setdefault(service.path, service.name)
        if len(names) > 1:
            first = next(iter(names))
            rest = [each for each in own if each.path not in names]
            yield from (
                (name, [each for each in own if each.path == path]) for path, name in names.items() if path != first
            )
            yield names[first], [*(each for each in own if each.path == first), *rest]
            return
    yield "", list(own)


_LATER = re.compile(r"(dev|test|debug|goreleaser|release|cross|ci|windows|arm|aarch64|protos|lint|docs)", re.IGNORECASE)


def in_order(own: Sequence[OwnDockerfile], names: Collection[str]) -> list[OwnDockerfile]:
    """The likeliest first: of several the one that names a port makes the service, others make packages of it, or tools. ``names``
    are the repository's: what stands on its own published image adds to the service, such as pages to show."""

    def rank(each: OwnDockerfile) -> tuple[bool | str, ...]:
        adds = posixpath.basename(split(each.words.base)[0]).lower() in names and "/" in each.words.base
        return (
            aside(each.path), bool(each.refused), adds, bool(_LATER.search(each.path)), not each.words.ports, each.path
        )  # fmt: skip

    return sorted(own, key=rank)


_BUILDS = re.compile(r"(?:.*[-_.])?(?:builder|build|base|deps|dependencies)", re.IGNORECASE)


def stage_of(told: str | None, names: list[str]) -> str | None:
    """The stage to build: the one that a Compose file names, unless it is one that only builds, which developers work in, and
    the last one is for users. None for the last one."""
    name = (told or "").lower()
    for_users = bool(names) and not _NOT_FOR_USERS.search(names[-1])
    if name not in names or (for_users and name != names[-1] and _BUILDS.fullmatch(name)):
        for_them = (name for name in reversed(names) if _FOR_USERS.fullmatch(name))
        return None if for_users else next(for_them, None)
    return told
