"""Go code that a generator makes and the repository does not hold: packages that are imported and not there, templ's templates."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence

from deadweight_init.tree import Tree, folder_of, joined

_IMPORT = re.compile(r"^[ \t]*(?:import[ \t]+)?(?:[\w.]+[ \t]+)?\"([^\"\n]+)\"", re.MULTILINE)
_CONSTRAINT = re.compile(r"^//go:build (?!linux\b|unix\b|!\w+\s*$)", re.MULTILINE)
_GENERATE = re.compile(r"^//go:generate[ \t]+(.+)$", re.MULTILINE)
_BY_GO = re.compile(r"go (?:run|tool)\b")
_CONFIGS = (
    (r"sqlc\.(?:ya?ml|json)", "sqlc"),
    (r"buf\.gen\.ya?ml", "buf"),
    (r"gqlgen\.ya?ml", "gqlgen"),
    (r"oapi-codegen[\w.-]*\.ya?ml", "oapi-codegen"),
    (r"[\w.-]+\.proto", "protoc"),
)
"""Settings of generators, and what these are called."""

SWAG, TEMPL = "github.com/swaggo/swag", "github.com/a-h/templ"


def find(tree: Tree, folder: str, gomod: str, module: str, main: str) -> tuple[list[str], str]:
    """The commands that make what is not there, run in the module's folder, and what cannot be made: why, empty where nothing is
    left. ``main`` is the program's package, relative to the module."""
    steps: dict[str, None] = {}
    version = _version(gomod, TEMPL)
    if version and any(
        not tree.has(f"{path.removesuffix('.templ')}_templ.go") for path in tree.below(folder, ".templ")
    ):
        steps[f"go run {TEMPL}/cmd/templ@{version} generate"] = None
    for package in absent(tree, folder, module, main):
        step = _step(tree, folder, gomod, package, main)
        if not step:
            maker = next((name for pattern, name in _CONFIGS if any(tree.named(pattern))), "")
            told = f"; {maker} may make it" if maker else ""
            return [], f"it imports {package}, which is not in the repository{told}: generate it first"
        steps[step] = None
    return list(steps), ""


def absent(tree: Tree, folder: str, module: str, main: str) -> list[str]:
    """The module's own packages that a program imports, itself or through others, and of which there is no file."""
    seen, todo, missing = set[str](), [posixpath.normpath(main)], dict[str, None]()
    while todo:
        package = todo.pop()
        if package in seen:
            continue
        seen.add(package)
        files = list(_files(tree, joined(folder, package)))
        # folders that are passed over (third_party) may hold some all the same
        if not files and package != posixpath.normpath(main) and not any((tree.root / folder / package).glob("*.go")):
            missing[package] = None
        for text in files:
            if not _CONSTRAINT.search(text):
                todo += [path[len(module) + 1 :] for path in _IMPORT.findall(text) if path.startswith(f"{module}/")]
    return sorted(missing)


def _files(tree: Tree, place: str) -> Iterator[str]:
    for path in tree.below(place, ".go"):
        if folder_of(path) == place and not path.endswith("_test.go"):
            yield tree.text(path)


def _step(tree: Tree, folder: str, gomod: str, package: str, main: str) -> str:
    """The command that makes a package; empty where none is known that needs Go alone."""
    for path in tree.below(folder, ".go"):
        here = posixpath.relpath(folder_of(path), folder)
        for command in _GENERATE.findall(tree.text(path)):
            near = package == here or package.startswith(f"{here}/") or posixpath.basename(package) in command
            if near and _BY_GO.match(command):
                return f"go generate ./{here}" if here != "." else "go generate ."
    version = _version(gomod, SWAG)
    if version and posixpath.basename(package) == "docs":
        start = next(_with_comments(tree, folder, main), "main.go")
        return f"go run {SWAG}/cmd/swag@{version} init -g {start} -o {package}"
    return ""


def _with_comments(tree: Tree, folder: str, main: str) -> Iterator[str]:
    """The file with the comments that swag reads first, relative to the module."""
    home = joined(folder, main)
    own = [path for path in tree.below(home, ".go") if folder_of(path) == home and not path.endswith("_test.go")]
    for path in (*own, *tree.below(folder, ".go")):
        if re.search(r"^\s*//\s*@title\b", tree.text(path), re.MULTILINE) or path in own[-1:]:
            yield posixpath.relpath(path, folder)


def _version(gomod: str, module: str) -> str:
    found = re.search(rf"^\s*(?:require\s+)?{re.escape(module)}\s+(v\S+)", gomod, re.MULTILINE)
    return found[1] if found else ""


def first(steps: Sequence[str]) -> str:
    """Why those have no rung that compile the program and nothing else."""
    return f"it compiles in code that is generated first ({steps[0]})"
