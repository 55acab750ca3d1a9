"""Detect a Go module, and choose which main package goes in the image."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence

from deadweight_init import declared
from deadweight_init.languages.go import recipe
from deadweight_init.languages.go.recipe import GoProject
from deadweight_init.languages.protocol import Facts, Language
from deadweight_init.languages.sources import read_at_run_time, scan
from deadweight_init.records import ImageWords, Known, Ladder, Service
from deadweight_init.tree import Tree, aside, folder_of, joined, line_of

_MAIN = re.compile(r"^package main\b", re.MULTILINE)
_SERVES = re.compile(
    r"\"(net/http|net|google\.golang\.org/grpc|github\.com/(gin-gonic|labstack|gofiber|go-chi)/[^\"]+)\""
)
_NOT_BUILT = re.compile(r"^//go:build (?!(?:linux|unix|amd64|arm64|cgo|gc|go1\.\d+|!\w+)\s*$)", re.MULTILINE)
"""A constraint under which a plain build for Linux leaves a file out, as far as it can be told."""

_CGO = re.compile(
    r"^import \"C\"|^\s+\"C\"$|\"(?:gorm\.io/driver/sqlite|github\.com/(?:mattn/go-sqlite3|jinzhu/gorm/dialects/sqlite))\"",
    re.MULTILINE,
)
_BUILDS = r"(?:Dockerfile|Containerfile)(?:[.-][\w.-]+)?|Makefile|\.goreleaser\.ya?ml"
_CGO_SAID = re.compile(r"CGO_ENABLED\s*[:?]?[=:\s]\s*[\"']?([01])")
_OUTPUT = re.compile(r"\bgo\s+build\b[^\n&|;]*?\s-o[= ]+[\"']?[\w./$(){}-]*?([\w-]+)[\"']?(?=\s|$)")
_PACKAGE = re.compile(r"\bgo\s+(?:build|install)\b[^\n&|;]*\s(\.(?:/[\w.-]+)*)/?[\"']?\s*(?=$|[&|;\n])", re.MULTILINE)
_ZONES = re.compile(r"\btime\.LoadLocation\(|[\"'&?]loc=")


class Go:
    """The language Go."""

    facts = Facts((r"go\.mod",), (".go",), "golang", compiled=True)

    def find(self, tree: Tree, folder: str, words: ImageWords | None, main: str | None) -> GoProject | None:
        """The module in a folder, with the program that becomes the image."""
        file = joined(folder, "go.mod")
        if not tree.has(file):
            return None
        text = tree.text(file)
        path = re.search(r"^module\s+(\S+)", text, re.MULTILINE)
        name = posixpath.basename(re.sub(r"/v\d+$", "", path[1] if path else "service"))
        builds = "\n".join(tree.text(each) for each in tree.named(_BUILDS) if folder_of(each) in (".", folder))
        builds = builds.replace("\\\n", " ")
        own_ko = declared.ko(tree, folder)
        mains = tuple(_mains(tree, folder))
        asked = _named(mains, main) if main else declared.main(own_ko, mains, words)
        first = {posixpath.basename(word) for word in words.program[:3]} if words else set[str]()
        chosen = asked or ("" if main else _likeliest(tree, folder, name, mains, first, builds))
        sources = [each for each in tree.below(folder, ".go") if not each.endswith("_test.go") and not aside(each)]
        code = [tree.text(each) for each in sources]
        cgo = set(_CGO_SAID.findall(builds))
        replaced = (*_replaced(text), *_workspace(tree, folder, text))
        binary = posixpath.basename("" if chosen == "." else chosen) or name
        own = [
            each for each in mains if each != chosen and not aside(f"{each}/x") and "internal" not in each.split("/")
        ]
        ports, health = scan(tree, _in_turn(tree, folder, chosen, mains))
        return GoProject(
            language="go",
            kind="go",
            folder=folder,
            name=name,
            version=_version(file, text, words),
            ports=ports,
            health=health,
            programs=mains,
            chosen=chosen,
            others=() if asked or chosen in ("", ".") or posixpath.basename(chosen) in first else tuple(own),
            called=tuple(dict.fromkeys((binary, name, *_OUTPUT.findall(builds)))),
            reads=read_at_run_time(tree, folder, ".go"),
            binary=binary,
            context=_context(folder, replaced),
            whole=bool(replaced)
            or (tree.root / folder / "vendor/modules.txt").is_file()
            or tree.has(joined(folder, "go.work")),
            has_sum=tree.has(joined(folder, "go.sum")),
            cgo=cgo == {"1"} if len(cgo) == 1 else any(_CGO.search(each) for each in code),
            zones=any(_ZONES.search(each) for each in code),
            ko=own_ko,
            problem=_problem(tree, folder, chosen, _replaced(text)),
        )

    def ladder(self, service: Service, project: GoProject, place: str, port: int, health: str | None) -> Ladder:
        """A binary on four bases, ko, and melange with apko."""
        return recipe.ladder(service, project, place, port)


def _problem(tree: Tree, folder: str, chosen: str, replaced: Sequence[str]) -> str:
    if not chosen:
        return "cannot determine its main package; name it with --main"
    for each in replaced:
        path = joined(folder, each)
        if path.startswith("..") and (tree.root / path / "go.mod").is_file():
            above = "/".join([".."] * path.split("/").count(".."))
            return f"its go.mod replaces a module by {each}, above this folder: run deadweight init --dir {above}"
    return ""


def _version(file: str, text: str, words: ImageWords | None) -> Known[str]:
    """The own image's version, as exactly as it is there (the base is shared then), if it is new enough for the module."""
    match = re.search(r"^toolchain go(\d+\.\d+)", text, re.MULTILINE) or re.search(
        r"^go (\d+\.\d+)", text, re.MULTILINE
    )
    least = match[1] if match else "1.22"
    own = words.on(r"golang:(\d+\.\d+(?:\.\d+)?)(?![\w.])") if words else ""
    if own and _numbers(own) >= _numbers(least):
        return Known(own, "from your Dockerfile's base")
    return Known(least, f"from {file}:{line_of(text, match.start())}" if match else "guessed")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(each) for each in version.split(".")[:2])


def _mains(tree: Tree, folder: str) -> Iterator[str]:
    """The main packages, relative to the module; those of examples and tools last."""
    inner = {folder_of(path) for path in tree.below(folder, "/go.mod") if folder_of(path) != folder}
    mains: dict[str, None] = {}
    for path in sorted(tree.below(folder, ".go"), key=lambda path: (aside(path), path.count("/"), path)):
        if path.endswith("_test.go") or any(path.startswith(f"{each}/") for each in inner):
            continue
        if _MAIN.search(tree.text(path)) and not _NOT_BUILT.search(tree.text(path)):
            mains[posixpath.relpath(folder_of(path), folder)] = None
    return iter(mains)


def _named(mains: Sequence[str], name: str) -> str | None:
    """The main package that the user means: by its path, or by its last part if that is one's alone."""
    path = posixpath.normpath(name)
    last = [each for each in mains if posixpath.basename(each) == path]
    return path if path in mains else last[0] if len(last) == 1 else None


def _likeliest(tree: Tree, folder: str, name: str, mains: Sequence[str], first: set[str], builds: str) -> str:
    """What the own image starts (``first``), what its build names, the module's folder, what is called a server, what serves."""
    candidates = [each for each in mains if not aside(f"{each}/x")] or list(mains)
    candidates.sort(key=lambda each: (each != "." and not each.startswith("cmd/"), "internal" in each.split("/")))
    built = [posixpath.normpath(each) for each in _PACKAGE.findall(builds)]
    started = [main for main in candidates if posixpath.basename(main) in first]
    known = [*started, *(each for each in built if each in candidates), *(each for each in candidates if each == ".")]
    if known or len(candidates) == 1:
        return (known or candidates)[0]
    serving = [
        each
        for each in candidates
        if any(_SERVES.search(tree.text(path)) for path in tree.below(joined(folder, each), ".go"))
    ]
    daemons = (f"{name}d", "server", f"{name}-server", f"{name}server")
    usual = (name, "api", f"{name}-api", "app", "web", "service")
    alike = [each for one in daemons for each in candidates if posixpath.basename(each) == one]
    alike += [each for one in usual for each in serving or candidates if posixpath.basename(each) == one]
    return next(iter((*alike, *serving, *candidates)), "")


def _in_turn(tree: Tree, folder: str, chosen: str, mains: Sequence[str]) -> list[str]:
    """The program's sources before the rest, without those of other programs."""
    others = {joined(folder, main) for main in mains if chosen and main != chosen}
    start = "" if chosen in ("", ".") else f"{joined(folder, chosen)}/"
    own = (path for path in tree.below(folder, ".go") if folder_of(path) not in others)
    return sorted(own, key=lambda path: (not path.startswith(start), path.count("/"), path))


def _replaced(text: str) -> list[str]:
    """The folders that a go.mod puts in the place of modules."""
    return sorted(set(re.findall(r"=>\s*(\.\.?/[^\s]*|\.\.?)\s*$", text, re.MULTILINE)))


def _workspace(tree: Tree, folder: str, text: str) -> list[str]:
    """The folders of modules that a go.work above puts in the place of those that this module needs, and that file's own."""
    home = folder
    while home != ".":
        home = folder_of(home)
        used = re.findall(r"^(?:use)?\s+(\.\.?/\S+)\s*$", tree.text(joined(home, "go.work")), re.MULTILINE)
        names = {each: tree.text(joined(home, f"{each}/go.mod")).partition("\n")[0].split()[-1:] for each in used}
        needed = [joined(home, each) for each, name in names.items() if name and f"{name[0]} v" in text]
        if needed:
            return [posixpath.relpath(each, folder) for each in (*needed, home)]
    return []


def _context(folder: str, replaced: Sequence[str]) -> str:
    """The folder that holds the module and all that stands in for modules."""
    above = [path for each in replaced if folder != "." and not (path := joined(folder, each)).startswith(f"{folder}/")]
    return folder if any(each.startswith("..") for each in above) else posixpath.commonpath([folder, *above]) or "."


LANGUAGE: Language[GoProject] = Go()
