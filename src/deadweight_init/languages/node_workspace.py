"""A Node package that is a member of a workspace (npm's, yarn's or pnpm's): its lock file and the modules that it shares lie in a
folder above it, and the packages beside it that it uses have to be built first.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import yaml

from deadweight_init.languages import node_builds
from deadweight_init.languages.node_managers import Manager
from deadweight_init.languages.node_scripts import of_node
from deadweight_init.languages.node_start import part, read_package
from deadweight_init.records import ImageWords, Project
from deadweight_init.tree import Tree, folder_of, joined, with_above

_LOCKS = ("package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml")
_ALL_NEEDS = ("dependencies", "devDependencies", "peerDependencies", "optionalDependencies")

ROOT, MEMBER, NAME, _MADE = "workspace", "member", "member name", "members made"
"""Of a project's details: the folder above, the package's own folder seen from there, what it is called, and the folders of those
that are built before it."""


@dataclass(frozen=True)
class Workspace:
    """``member`` is the package's folder, seen from ``root``; ``made`` are the folders of those that it uses and that are built,
    what they use themselves first."""

    root: str
    member: str
    made: tuple[str, ...]


def workspace_of(tree: Tree, folder: str) -> Workspace | None:
    """The workspace that a package is a member of; None for one that stands alone, or that has a lock file of its own."""
    if any(tree.has(joined(folder, name)) for name in _LOCKS):
        return None
    for root in with_above(folder)[1:]:
        members = _members(tree, root)
        if folder in members.values():
            used = list(dict.fromkeys(_used(tree, members, folder, frozenset((folder,)))))
            built = [each for each in used if node_builds.is_built(part(read_package(tree, each), "scripts"))]
            return Workspace(
                root, posixpath.relpath(folder, root), tuple(posixpath.relpath(each, root) for each in built)
            )
    return None


def started_member(tree: Tree, root: str, words: ImageWords | None) -> str:
    """The folder of the member whose file an image starts, where the folder above has no such file; empty for another image."""
    entry = next((word for word in of_node(words.words) if not word.startswith("-")), "") if words else ""
    if not entry or entry.startswith("/") or _has(tree, root, entry):
        return ""
    found = [each for each in _members(tree, root).values() if _has(tree, each, entry)]
    return found[0] if len(found) == 1 else ""


def as_member(manager: Manager, kind: str, details: Mapping[str, str]) -> Manager:
    """How its modules are installed in the workspace, and those of the others are not, where the manager can do that."""
    name = details[NAME] or f"./{details[MEMBER]}"
    if kind.startswith("pnpm"):
        only = f" --filter '{{.}}' --filter '{name}...'"
        again = manager.install.rpartition("&& ")[2].replace(" --no-frozen-lockfile", " --frozen-lockfile")
        prune = f"CI=true {again}{only} --prod --offline --ignore-scripts --config.modules-cache-max-age=0"
        return replace(manager, install=f"{manager.install}{only}", prune=prune)
    if kind.startswith("berry") and details[NAME]:
        return replace(manager, prune=manager.prune.replace("--all", details[NAME]))
    return manager


def details_of(workspace: Workspace, package: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, str]:
    """What a project's details say of a member: it is installed with the sources of the whole workspace."""
    return {
        ROOT: workspace.root,
        MEMBER: workspace.member,
        NAME: str(package.get("name") or ""),
        _MADE: " ".join(workspace.made),
        "early": "1",
        "prepare": "1" if "prepare" in part(dict(above), "scripts") else "",
    }


def in_turn(details: Mapping[str, str], commands: list[str]) -> list[str]:
    """A shell's commands that build what a member uses, and then run in its own folder."""
    first = [f"npm run build --prefix {each}" for each in details[_MADE].split()]
    return [*first, *([f"(cd {details[MEMBER]} && {' && '.join(commands)})"] if commands else [])]


def home_in_image(project: Project) -> str:
    """The folder in which generated images start a service."""
    return posixpath.normpath(posixpath.join("/app", project.details.get(MEMBER, "")))


def hoisted(project: Project, words: tuple[str, ...]) -> tuple[str, ...]:
    """Arguments of ``node`` with programs of a member's ``node_modules/.bin`` where npm puts them: above all members."""
    up = "../" * (project.details[MEMBER].count("/") + 1) if project.kind.startswith("npm") else ""
    return tuple(f"{up}{word}" if word.startswith("node_modules/.bin/") else word for word in words)


def _has(tree: Tree, folder: str, entry: str) -> bool:
    return any(tree.has(joined(folder, f"{entry}{ending}")) for ending in ("", ".js", "/index.js"))


def _members(tree: Tree, root: str) -> dict[str, str]:
    """The folders of a workspace's packages, by their names; empty for a folder that is none."""
    patterns = [re.compile(_as_expression(each)) for each in _patterns(tree, root) if not each.startswith("!")]
    found = {}
    for path in tree.named(r"package\.json") if patterns else ():
        folder = folder_of(path)
        at = posixpath.relpath(folder, root)
        if any(each.fullmatch(at) for each in patterns):
            found[str(read_package(tree, folder).get("name") or folder)] = folder
    return found


def _patterns(tree: Tree, root: str) -> list[str]:
    said: Any = read_package(tree, root).get("workspaces")
    said = said.get("packages") if isinstance(said, dict) else said
    if text := tree.text(joined(root, "pnpm-workspace.yaml")):
        try:
            document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - the safe one
        except yaml.YAMLError:
            document = None
        said = document.get("packages") if isinstance(document, dict) else said
    return [each for each in said if isinstance(each, str)] if isinstance(said, list) else []


def _as_expression(pattern: str) -> str:
    parts = posixpath.normpath(pattern).split("/")
    return "/".join(".+" if each == "**" else re.escape(each).replace(r"\*", "[^/]*") for each in parts)


def _used(tree: Tree, members: Mapping[str, str], folder: str, seen: frozenset[str]) -> Iterator[str]:
    """The folders of the members that one uses, each after those that it uses itself."""
    package = read_package(tree, folder)
    for name in dict.fromkeys(each for key in _ALL_NEEDS for each in part(package, key)):
        other = members.get(name)
        if other is not None and other not in seen:
            yield from _used(tree, members, other, seen | {other})
            yield other
