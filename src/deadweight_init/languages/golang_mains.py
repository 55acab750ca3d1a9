"""The main packages of a Go module, and which of them becomes the image."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from deadweight_init import declared
from deadweight_init.languages import golang_build, started
from deadweight_init.languages.golang_module import Module
from deadweight_init.records import ImageWords
from deadweight_init.tree import Tree, aside, folder_of, joined

_MAIN = re.compile(r"^package main\b", re.MULTILINE)
_SERVES = re.compile(
    r"\"(net/http|net|google\.golang\.org/grpc|github\.com/(gin-gonic|labstack|gofiber|go-chi)/[^\"]+)\""
)
_NOT_LINUX = re.compile(
    r"^//go:build (?:tools|windows|darwin|js|wasm|mage|docs?|gen|generate|generator|readme|.*\bignore\b)", re.MULTILINE
)
_TAGGED = re.compile(
    r"^//go:build (?!(?:linux|unix|amd64|arm64|cgo|gc|go1\.\d+)\s*$)[a-z_]\w*\s*$", re.MULTILINE | re.IGNORECASE
)
"""A tag of the repository's own, without which the file is no part of a build."""


@dataclass(frozen=True)
class Programs:
    """Main packages, relative to the module: all, the one that becomes the image (empty where nothing tells which), and those that
    may be meant as well, where nobody has said."""

    all: tuple[str, ...]
    chosen: str
    others: tuple[str, ...]

    @property
    def folder(self) -> str:
        """Where the chosen one lies below the module; empty for the module's own folder."""
        return "" if self.chosen == "." else self.chosen


def programs(
    tree: Tree, module: Module, words: ImageWords | None, main: str | None, said: Mapping[str, str]
) -> Programs:
    """``words`` is what the own image starts, ``main`` what the user names, ``said`` the repository's own ko.yaml."""
    found = tuple(_mains(tree, module.folder))
    asked = _named(found, main) if main else declared.main(said, found, words)
    if asked is not None:
        return Programs(found, posixpath.normpath(asked), ())
    if main:
        return Programs(found, "", ())
    first = _started(found, words)
    chosen = _likeliest(tree, module, found, first)
    return Programs(found, chosen, tuple(_alike(found, chosen, first)))


def _mains(tree: Tree, folder: str) -> Iterator[str]:
    seen: set[str] = set()
    inner = {folder_of(path) for path in tree.below(folder, "/go.mod") if folder_of(path) != folder}
    for path in sorted(tree.below(folder, ".go"), key=lambda path: (aside(path), path.count("/"), path)):
        package = folder_of(path)
        if package in seen or path.endswith("_test.go") or any(f"{package}/".startswith(f"{each}/") for each in inner):
            continue
        text = tree.text(path)
        if _MAIN.search(text) and not _NOT_LINUX.search(text) and not _TAGGED.search(text):
            seen.add(package)
            yield posixpath.relpath(package, folder)


def _named(mains: Sequence[str], name: str) -> str | None:
    """The main package that the user means: by its path, or by its last part where that is one's alone."""
    path = posixpath.normpath(name)
    last = [each for each in mains if posixpath.basename(each) == path]
    return path if path in mains else last[0] if len(last) == 1 else None


def _started(mains: Sequence[str], words: ImageWords | None) -> set[str]:
    """The names that stand first in the own image's command."""
    command = started.program(words.program if words else (), [posixpath.basename(each) for each in mains])
    return {posixpath.basename(word) for word in command[:3]}


def _likeliest(tree: Tree, module: Module, mains: Sequence[str], first: set[str]) -> str:
    """What the own image starts (``first``), or is built of; else the only one; else what serves, by its name; empty for none."""
    candidates = [each for each in mains if not aside(f"{each}/x")] or list(mains)
    candidates.sort(key=lambda each: (each != "." and not each.startswith("cmd/"), "internal" in each.split("/")))
    named = [each for each in candidates if posixpath.basename(each) in first]
    built = [each for each in golang_build.packages(tree, module.folder) if each in candidates]
    if named or built:
        return (named or built)[0]
    if "." in candidates or len(candidates) == 1:
        return "." if "." in candidates else candidates[0]
    serving = [
        each
        for each in candidates
        if any(_SERVES.search(tree.text(path)) for path in tree.below(joined(module.folder, each), ".go"))
    ]
    name = module.name
    daemons = (f"{name}d", "server", f"{name}-server", f"{name}server")
    clearly = [each for daemon in daemons for each in candidates if posixpath.basename(each) == daemon]
    usual = (name, "api", f"{name}-api", "app", "web", "service", "http")
    alike = [each for one in usual for each in serving or candidates if posixpath.basename(each) == one]
    return next(iter([*clearly, *alike, *serving, *candidates]), "")


def _alike(mains: Sequence[str], chosen: str, first: set[str]) -> list[str]:
    """The other programs, unless the own image says which one is meant."""
    if chosen in ("", ".") or posixpath.basename(chosen) in first:
        return []
    return [each for each in mains if each != chosen and not aside(f"{each}/x") and "internal" not in each.split("/")]
