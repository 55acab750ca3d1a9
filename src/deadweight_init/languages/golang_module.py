"""A Go module: its path, its version of Go, and the folders that stand in for modules that it needs."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

from deadweight_init.languages import golang_bare
from deadweight_init.records import ImageWords, Known
from deadweight_init.tree import Tree, folder_of, joined, line_of


@dataclass(frozen=True)
class Module:
    """``text`` is its go.mod; ``made`` is the path that it is given where it has none, else empty."""

    folder: str
    text: str
    made: str

    @property
    def file(self) -> str:
        return joined(self.folder, "go.mod")

    @property
    def path(self) -> str:
        """As packages of it are imported; empty where its file does not say."""
        return (re.search(r"^module\s+(\S+)", self.text, re.MULTILINE) or ["", ""])[1]

    @property
    def name(self) -> str:
        """The last part of its path that is no version."""
        return posixpath.basename(re.sub(r"/v\d+$", "", self.path or "service"))


def read(tree: Tree, folder: str) -> Module | None:
    """The module of a folder; None where there is none, and no code that could be one."""
    if tree.has(file := joined(folder, "go.mod")):
        return Module(folder, tree.text(file), "")
    made = golang_bare.module(tree, folder)
    return Module(folder, f"module {made}\n", made) if made else None


def version(module: Module, words: ImageWords | None) -> Known[str]:
    """The version that its own image is built with, as exactly as it is there (the base is shared then), where that is new enough
    for the module; else the one of the module."""
    if module.made:
        return Known("1", "guessed")
    least = re.search(r"^go (\d+\.\d+)", module.text, re.MULTILINE)
    toolchain = re.search(r"^toolchain go(\d+\.\d+)", module.text, re.MULTILINE)
    newest = max((_pair(each[1]) for each in (least, toolchain) if each), default=(1, 22))
    own = words.on(r"golang:(\d+\.\d+(?:\.\d+)?)(?![\w.])") if words else ""
    if own and _pair(own) >= newest:
        return Known(own, "from your Dockerfile's base")
    told = toolchain or least
    origin = f"from {module.file}:{line_of(module.text, told.start())}" if told else "guessed"
    return Known(f"{newest[0]}.{newest[1]}", origin)


def _pair(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def stand_ins(tree: Tree, module: Module) -> list[str]:
    """The folders that a build takes in the place of modules, relative to this one."""
    return list(dict.fromkeys((*_replaced(module), *_workspace(tree, module))))


def above(tree: Tree, module: Module) -> str:
    """That a folder which stands in for a module lies above what is brought in: no build has it."""
    for each in _replaced(module):
        path = joined(module.folder, each)
        if path.startswith("..") and (tree.root / path / "go.mod").is_file():
            folder = "/".join([".."] * path.split("/").count(".."))
            return f"its go.mod replaces a module by {each}, above this folder: run deadweight init --dir {folder}"
    return ""


def _replaced(module: Module) -> list[str]:
    """The folders that its go.mod puts in the place of modules."""
    found = re.findall(r"=>\s*(\.\.?/[^\s]*|\.\.?)\s*$", module.text, re.MULTILINE)
    return sorted({posixpath.normpath(each) for each in found})


def _workspace(tree: Tree, module: Module) -> list[str]:
    """The folders of modules that a go.work above puts in the place of those that this module needs, and that file's own."""
    home = module.folder
    while home != ".":
        home = folder_of(home)
        text = tree.text(joined(home, "go.work"))
        used = re.findall(r"^(?:use)?\s+(\./\S+|\.\./\S+)\s*$", text, re.MULTILINE)
        needed = [other for other in (joined(home, each) for each in used) if _needs(tree, module, other)]
        if needed:
            return [posixpath.relpath(each, module.folder) for each in (*needed, home)]
    return []


def _needs(tree: Tree, module: Module, other: str) -> bool:
    name = re.search(r"^module\s+(\S+)", tree.text(joined(other, "go.mod")), re.MULTILINE)
    return name is not None and re.search(rf"{re.escape(name[1])} v", module.text) is not None
