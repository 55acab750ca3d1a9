"""Go code without a go.mod: from before there were modules, or too small for one."""

from __future__ import annotations

import posixpath
import re

from deadweight_init.tree import Tree, aside, folder_of, joined, with_above

_MAIN = re.compile(r"^package main\b", re.MULTILINE)
_OWN = re.compile(r"\"((?:[\w-]+\.)+[\w-]+/[\w./-]+)\"")


def module(tree: Tree, folder: str) -> str:
    """The path that a module in this folder would have: as its packages call each other, else its folder's name. Empty where a
    go.mod is there, or above or below it, and where it holds no main package."""
    modules = {folder_of(path) for path in tree.named(r"go\.mod")}
    if modules & set(with_above(folder)) or any(joined(each, ".").startswith(f"{folder}/") for each in modules):
        return ""
    if folder == "." and modules:
        return ""
    code = [path for path in tree.below(folder, ".go") if not path.endswith("_test.go") and not aside(path)]
    here = [path for path in code if folder_of(path) == folder or f"/{path}".rpartition("/cmd/")[1]]
    if not any(_MAIN.search(tree.text(path)) for path in here):
        return ""
    folders = {posixpath.relpath(folder_of(path), folder) for path in code} - {"."}
    for path in code:
        for found in _OWN.finditer(tree.text(path)):
            inner = next((each for each in folders if found[1].endswith(f"/{each}")), "")
            if inner and not tree.has_folder(joined(folder, f"vendor/{found[1]}")):
                return found[1].removesuffix(f"/{inner}")
    name = posixpath.basename(folder) if folder != "." else tree.root.name
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip(".-") or "service"


def is_below_gopath(tree: Tree, folder: str) -> bool:
    """Whether what it needs is vendored as before there were modules, so that it is found only from a place below GOPATH."""
    return tree.has_folder(joined(folder, "vendor"))
