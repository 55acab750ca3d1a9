"""How a repository itself compiles its Go program: with C, with build tags, with an experiment."""

from __future__ import annotations

import itertools
import posixpath
import re
from collections.abc import Iterator

from deadweight_init.tree import Tree, aside, folder_of

_DOCKERFILES = r"(?:Dockerfile|Containerfile)(?:[.-][\w.-]+)?|[\w.-]+\.(?:dockerfile|containerfile)"
_BUILDS = rf"{_DOCKERFILES}|Makefile|\.goreleaser\.ya?ml"
_CGO_MODULES = ("github.com/mattn/go-sqlite3", "github.com/confluentinc/confluent-kafka-go")
_IN_C = r"(?:gorm\.io/driver/sqlite|github\.com/(?:jinzhu/gorm/dialects/sqlite|mattn/go-sqlite3))"
_CGO = re.compile(rf"^import \"C\"|^\s+\"C\"$|^[ \t]*(?:import[ \t]+)?(?:[\w.]+[ \t]+)?\"{_IN_C}\"", re.MULTILINE)
"""Code in C, or a driver that is some: go.mod names what others bring along since Go 1.17 alone."""

_TAGS = re.compile(r"\bgo\s+(?:build|install)\b[^\n&|;]*?\s--?tags[= ]+(?:([\"'])([\w,. -]+)\1|([\w,.]+))(?=\s|$)")
_FOR_TESTS = re.compile(r"(?i)test|e2e|mock|debug|tools")


def _own(tree: Tree, folder: str, pattern: str) -> Iterator[str]:
    """The texts of the files that build it, those for the whole repository too."""
    return (tree.text(path).replace("\\\n", " ") for path in tree.named(pattern) if folder_of(path) in (".", folder))


def experiment(tree: Tree, folder: str) -> str:
    """What of Go is switched on for its build."""
    found = (re.search(r"\bGOEXPERIMENT[ =]\s*[\"']?([\w,]+)", text) for text in _own(tree, folder, _BUILDS))
    return next((each[1] for each in found if each), "")


def needs_cgo(tree: Tree, folder: str, gomod: str) -> bool:
    """Whether it is compiled with C: as its own build says, else by what it is made of."""
    said = {
        found
        for text in _own(tree, folder, _BUILDS)
        for found in re.findall(r"CGO_ENABLED\s*[:?]?[=:\s]\s*[\"']?([01])", text)
    }
    if len(said) == 1:
        return said == {"1"}
    if any(f"{name} v" in gomod for name in _CGO_MODULES):
        return True
    code = (path for path in tree.below(folder, ".go") if not path.endswith("_test.go") and not aside(path))
    return any(_CGO.search(tree.text(path)) for path in itertools.islice(code, 2000))


_PACKAGE = re.compile(r"\bgo\s+(?:build|install)\b(?=\s)([^\n&|;]*)")


def packages(tree: Tree, folder: str) -> tuple[str, ...]:
    """The main packages that its own Dockerfile compiles, relative to the module, in order; as it writes them, none with a
    variable in it."""
    found: dict[str, None] = {}
    for text in _own(tree, folder, _DOCKERFILES):
        for each in _PACKAGE.findall(text):
            last = (each.split() or [""])[-1].strip("\"'")
            if re.fullmatch(r"\.|\./[\w./-]*[\w-]/?", last) and not last.endswith(".go"):
                found[posixpath.normpath(last)] = None
    return tuple(found)


_OUTPUT = re.compile(r"\bgo\s+build\b[^\n&|;]*?\s-o[= ]+[\"']?([\w./$(){}-]*?)([\w-]+)[\"']?(?=\s|$)")


def outputs(tree: Tree, folder: str) -> tuple[str, ...]:
    """What its own builds call the program that they compile, whatever its package is called."""
    found = (each[2] for text in _own(tree, folder, _BUILDS) for each in _OUTPUT.finditer(text))
    return tuple(dict.fromkeys(found))


def tags(tree: Tree, folder: str) -> tuple[str, ...]:
    """The build tags that its own Dockerfile compiles it with, without those for tests."""
    for text in _own(tree, folder, _DOCKERFILES):
        for found in _TAGS.finditer(text):
            said = tuple(dict.fromkeys(re.split(r"[,\s]+", (found[2] or found[3]).strip())))
            if not any(_FOR_TESTS.search(each) for each in said):
                return said
    return ()


_READS_ZONES = re.compile(r"\btime\.LoadLocation\(|[\"'&?]loc=|\.Add\(\"loc\"")


def needs_zones(tree: Tree, folder: str) -> bool:
    """Whether it asks for a time zone by its name, which not every base knows: then they are compiled in."""
    files = (path for path in tree.below(folder, ".go") if not path.endswith("_test.go") and not aside(path))
    return any(_READS_ZONES.search(tree.text(path)) for path in files)
