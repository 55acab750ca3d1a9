"""Go: a module and its main packages."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from deadweight.project.init import declared
from deadweight.project.init.languages import (
    front_end,
    golang_apk,
    golang_bare,
    golang_build,
    golang_generated,
    golang_ko,
    started,
)
from deadweight.project.init.languages.beside import examples, not_there, read_at_run_time
from deadweight.project.init.languages.common import ZONES, dockerignore, rungs_on
from deadweight.project.init.languages.golang_dockerfile import context_of, dockerfile
from deadweight.project.init.languages.sources import scan
from deadweight.project.init.records import ImageWords, Known, Ladder, Project, Service
from deadweight.project.init.tree import Tree, aside, folder_of, joined, line_of

_MAIN = re.compile(r"^package main\b", re.MULTILINE)
_SERVES = re.compile(
    r"\"(net/http|net|google\.golang\.org/grpc|github\.com/(gin-gonic|labstack|gofiber|go-chi)/[^\"]+)\""
)
_OF_BUILD = re.compile(
    r"CGO_ENABLED|GO(?:EXPERIMENT|OS|ARCH|AMD64|PROXY|FLAGS|111MODULE|PATH|PRIVATE|SUMDB|TOOLCHAIN|CACHE|MODCACHE|BIN|ROOT)"
)
_NOT_LINUX = re.compile(
    r"^//go:build (?:tools|windows|darwin|js|wasm|mage|docs?|gen|generate|generator|readme|.*\bignore\b)", re.MULTILINE
)
_TAGGED = re.compile(
    r"^//go:build (?!(?:linux|unix|amd64|arm64|cgo|gc|go1\.\d+)\s*$)[a-z_]\w*\s*$", re.MULTILINE | re.IGNORECASE
)
"""A tag of the repository's own, without which the file is no part of a build."""


def find(tree: Tree, folder: str, words: ImageWords | None, main: str | None) -> Project | None:
    """The module in a folder. ``words`` is what its own image starts, ``main`` the package that the user names."""
    file = joined(folder, "go.mod")
    made = "" if tree.has(file) else golang_bare.module(tree, folder)
    if not tree.has(file) and not made:
        return None
    text = tree.text(file) or f"module {made}\n"
    version = re.search(r"^go (\d+\.\d+)", text, re.MULTILINE)
    toolchain = re.search(r"^toolchain go(\d+\.\d+)", text, re.MULTILINE)
    known = toolchain or version
    name = (re.search(r"^module\s+(\S+)", text, re.MULTILINE) or ["", "service"])[1]
    name = re.sub(r"/v\d+$", "", name)
    mains = list(_mains(tree, folder))
    said = declared.ko(tree, folder)
    asked = _named(mains, main) if main else declared.main(said, mains, words)
    chosen = _chosen(tree, mains, words, asked, posixpath.basename(name), folder) if asked or not main else None
    below = chosen if chosen and chosen != "." else ""
    ports, health = scan(tree, _sources(tree, folder, below, [each for each in mains if chosen and each != chosen]))
    tags = golang_build.tags(tree, folder)
    absent = not_there(tree, folder, [joined(folder, each) for each in mains if each not in (chosen, ".")], tags)
    front = front_end.find(tree, folder, absent, words) if absent else {}
    plain = (re.search(r"^module\s+(\S+)", text, re.MULTILINE) or ["", ""])[1]
    made_first, ungenerated = (
        golang_generated.find(tree, folder, text, plain, chosen) if chosen and not made else ([], "")
    )
    binary = posixpath.basename(chosen) if chosen and chosen != "." else posixpath.basename(name)
    number = max((_pair(each[1]) for each in (version, toolchain) if each), default=(1, 22))
    return Project(
        language="go",
        kind="go",
        folder=folder,
        name=posixpath.basename(name),
        version=Known("1", "guessed")
        if made
        else _version(words, number, f"from {file}:{line_of(text, known.start())}" if known else "guessed"),
        ports=ports,
        health=health,
        details={
            "main": chosen or "",
            "others": " ".join(_alike(mains, chosen, words, asked)),
            "mains": " ".join(mains),
            **{f"ko_{name}": value for name, value in said.items()},
            "binary": binary,
            "called": " ".join((binary, posixpath.basename(name), *golang_build.outputs(tree, folder))),
            "cgo": "1" if golang_build.needs_cgo(tree, folder, text) else "",
            "made": made,
            "gopath": "1" if made and golang_bare.is_below_gopath(tree, folder) else "",
            "sum": "1" if tree.has(joined(folder, "go.sum")) else "",
            "replaced": " ".join(dict.fromkeys((*_replaced(text), *_workspace(tree, folder, text)))),
            "reads": " ".join(read_at_run_time(tree, folder, ".go")),
            "examples": " ".join("=".join(each) for each in examples(tree, folder, ".go")),
            "experiment": golang_build.experiment(tree, folder),
            "work": "1" if tree.has(joined(folder, "go.work")) else "",
            "tags": ",".join(tags),
            "generated": "\n".join(made_first),
            **front,
            **({ZONES: "1"} if golang_build.needs_zones(tree, folder) else {}),
            "vendored": "1" if (tree.root / folder / "vendor" / "modules.txt").is_file() else "",
        },
        problem=_above(tree, folder, text)
        or _problem(chosen, [] if front else [each for each in absent if absent[each]])
        or ungenerated,
    )


def _above(tree: Tree, folder: str, gomod: str) -> str:
    """That a folder which stands in for a module lies above what is brought in: no build has it."""
    for each in _replaced(gomod):
        path = joined(folder, each)
        if path.startswith("..") and (tree.root / path / "go.mod").is_file():
            above = "/".join([".."] * path.split("/").count(".."))
            return f"its go.mod replaces a module by {each}, above this folder: run deadweight init --dir {above}"
    return ""


def _problem(chosen: str | None, absent: Sequence[str]) -> str:
    if not chosen:
        return "cannot determine its main package; name it with --main"
    return f"it compiles in {absent[0]}, which is not in the repository and must be built first" if absent else ""


def _version(words: ImageWords | None, least: tuple[int, int], origin: str) -> Known[str]:
    """The version that its own image is built with, as exactly as it is there (the base is shared then), where that is new enough
    for the module; else the one of the module."""
    own = words.on(r"golang:(\d+\.\d+(?:\.\d+)?)(?![\w.])") if words else ""
    if own and _pair(own) >= least:
        return Known(own, "from your Dockerfile's base")
    return Known(f"{least[0]}.{least[1]}", origin)


def _replaced(gomod: str) -> list[str]:
    """The folders that stand in for modules, relative to the module."""
    found = re.findall(r"=>\s*(\.\.?/[^\s]*|\.\.?)\s*$", gomod, re.MULTILINE)
    return sorted({posixpath.normpath(each) for each in found})


def _workspace(tree: Tree, folder: str, gomod: str) -> list[str]:
    """The folders of modules that a go.work above puts in the place of those that this module needs, and that file's own."""
    home = folder
    while home != ".":
        home = folder_of(home)
        text = tree.text(joined(home, "go.work"))
        used = re.findall(r"^(?:use)?\s+(\./\S+|\.\./\S+)\s*$", text, re.MULTILINE)
        needed = [other for other in (joined(home, each) for each in used) if _needs(tree, gomod, other)]
        if needed:
            return [posixpath.relpath(each, folder) for each in (*needed, home)]
    return []


def _needs(tree: Tree, gomod: str, other: str) -> bool:
    name = re.search(r"^module\s+(\S+)", tree.text(joined(other, "go.mod")), re.MULTILINE)
    return name is not None and re.search(rf"{re.escape(name[1])} v", gomod) is not None


def mains(tree: Tree, folder: str) -> list[str]:
    """Its main packages, relative to the module."""
    return list(_mains(tree, folder))


def _pair(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def _sources(tree: Tree, folder: str, first: str, others: Collection[str] = ()) -> Iterator[str]:
    """The main package's files before the others, without those of ``others``: they are programs of their own."""
    apart = {joined(folder, each) for each in others}
    own = [path for path in tree.below(folder, ".go") if folder_of(path) not in apart]
    start = joined(folder, first) + "/" if first else ""
    return iter(sorted(own, key=lambda path: (not path.startswith(start), path.count("/"), path)))


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


def _chosen(
    tree: Tree, mains: Sequence[str], words: ImageWords | None, asked: str | None, module: str, folder: str
) -> str | None:
    """What the user names; else what the own image starts, or is built of; else the only one; else what serves, by its name."""
    if asked is not None:
        return posixpath.normpath(asked)
    candidates = [each for each in mains if not aside(f"{each}/x")] or list(mains)
    candidates.sort(key=lambda each: (each != "." and not each.startswith("cmd/"), "internal" in each.split("/")))
    first = {
        posixpath.basename(word)
        for word in started.program(words.program if words else (), [posixpath.basename(each) for each in mains])[:3]
    }
    named = [each for each in candidates if posixpath.basename(each) in first]
    built = [each for each in golang_build.packages(tree, folder) if each in candidates]
    if named or built:
        return (named or built)[0]
    if "." in candidates or len(candidates) == 1:
        return "." if "." in candidates else candidates[0]
    serving = [
        each
        for each in candidates
        if any(_SERVES.search(tree.text(path)) for path in tree.below(joined(folder, each), ".go"))
    ]
    daemons = (f"{module}d", "server", f"{module}-server", f"{module}server")
    clearly = [each for name in daemons for each in candidates if posixpath.basename(each) == name]
    usual = (
        module,
        "api",
        f"{module}-api",
        "app",
        "web",
        "service",
        "http",
    )
    alike = [each for name in usual for each in serving or candidates if posixpath.basename(each) == name]
    return next(iter([*clearly, *alike, *serving, *candidates]), None)


def _alike(mains: Sequence[str], chosen: str | None, words: ImageWords | None, asked: str | None) -> list[str]:
    """The other programs, where nobody has said which one is meant: not the user, and not the own image."""
    first = {
        posixpath.basename(word)
        for word in started.program(words.program if words else (), [posixpath.basename(each) for each in mains])[:3]
    }
    if asked is not None or chosen in (None, ".") or posixpath.basename(str(chosen)) in first:
        return []
    return [each for each in mains if each != chosen and not aside(f"{each}/x") and "internal" not in each.split("/")]


def ladder(service: Service, project: Project, place: str, port: int) -> Ladder:
    """Multi-stage on four bases, ko, and melange with apko. ``place`` is the folder for the files, relative to the suite."""
    details, own = project.details, service.own
    words = own.words if own else ImageWords()
    words = replace(words, env={name: value for name, value in words.env.items() if not _OF_BUILD.fullmatch(name)})
    cgo = bool(details["cgo"])
    copied = _run_time_files(words, project) if own and own.context == project.folder else []
    there = [posixpath.normpath(source) for source, _ in copied]
    reads = [each for each in project.details["reads"].split() if not any(_is_in(each, other) for other in there)]
    more = [(each, each) for each in reads]
    if "with_examples" in details:
        more += [(source, name) for source, _, name in (each.partition("=") for each in details["examples"].split())]
    home = started.home(project, words, kept=bool(copied), filled=bool(copied or more))
    copied += [(source, posixpath.join(home, name)) for source, name in more]
    words = replace(words, workdir=home)
    text = dockerfile(project, words, copied, port)
    build, plain = f"golang:{project.version.value}", f"golang:{project.version.value}-alpine"
    bases = {
        "debian": (build, "debian:12-slim"),
        "alpine": (plain if cgo else build, "alpine:3"),
        "chainguard": (build, "cgr.dev/chainguard/glibc-dynamic:latest" if cgo else "cgr.dev/chainguard/static:latest"),
        "distroless": (
            build,
            "gcr.io/distroless/base-debian12:nonroot" if cgo else "gcr.io/distroless/static-debian12:nonroot",
        ),
    }
    files = {f"{place}/Dockerfile": text, f"{place}/Dockerfile.dockerignore": dockerignore("go", place)}
    front = {front_end.FRONT: f"node:{project.details['front_version']}"} if "front" in project.details else {}
    rungs = list(rungs_on(bases, "the binary alone", f"{place}/Dockerfile", context_of(project), front))
    given = started.arguments(words.program, details["called"].split())
    apko, apk_files = golang_apk.rung(project, words, given, copied, place)
    return Ladder((*rungs, golang_ko.rung(project, words, given, copied), apko), {**files, **apk_files})


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _run_time_files(words: ImageWords, project: Project) -> list[tuple[str, str]]:
    """Files of the context beside the binary that the own image has: (source, path below its working folder)."""
    found: list[tuple[str, str]] = []
    if re.match(r"(?:.*/)?golang\b", words.base):  # it is compiled there, so they are what that needs
        return found
    for source, target in words.copied:
        plain = posixpath.normpath(source.rstrip("/"))
        if (
            plain in (".", "..")
            or "*" in plain
            or plain.endswith(".sh")
            or plain.upper().startswith(("LICENSE", "README"))
        ):
            continue
        if "$" in source or posixpath.basename(plain) == project.details["binary"]:
            continue
        found.append((plain, target))
    return found
