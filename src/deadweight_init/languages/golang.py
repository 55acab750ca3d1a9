"""Go: a module and its main packages."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import replace

from deadweight_init import declared
from deadweight_init.languages import (
    front_end,
    golang_apk,
    golang_bare,
    golang_build,
    golang_generated,
    golang_ko,
    golang_mains,
    golang_module,
    started,
)
from deadweight_init.languages.beside import examples, not_there, read_at_run_time
from deadweight_init.languages.common import ZONES, dockerignore, rungs_on
from deadweight_init.languages.golang_dockerfile import context_of, dockerfile
from deadweight_init.languages.golang_mains import Programs
from deadweight_init.languages.golang_module import Module
from deadweight_init.languages.sources import scan
from deadweight_init.records import ImageWords, Ladder, Project, Service
from deadweight_init.tree import Tree, folder_of, joined

_OF_BUILD = re.compile(
    r"CGO_ENABLED|GO(?:EXPERIMENT|OS|ARCH|AMD64|PROXY|FLAGS|111MODULE|PATH|PRIVATE|SUMDB|TOOLCHAIN|CACHE|MODCACHE|BIN|ROOT)"
)


def find(tree: Tree, folder: str, words: ImageWords | None, main: str | None) -> Project | None:
    """The module in a folder. ``words`` is what its own image starts, ``main`` the package that the user names."""
    module = golang_module.read(tree, folder)
    if module is None:
        return None
    said = declared.ko(tree, folder)
    programs = golang_mains.programs(tree, module, words, main, said)
    tags = golang_build.tags(tree, folder)
    others = [joined(folder, each) for each in programs.all if each not in (programs.chosen, ".")]
    absent = not_there(tree, folder, others, tags)
    front = front_end.find(tree, folder, absent, words) if absent else {}
    steps, ungenerated = _generated(tree, module, programs)
    ports, health = scan(tree, _sources(tree, folder, programs))
    return Project(
        language="go",
        kind="go",
        folder=folder,
        name=module.name,
        version=golang_module.version(module, words),
        ports=ports,
        health=health,
        details={
            **_of_programs(tree, module, programs),
            **_of_module(tree, module),
            **_of_build(tree, module, tags),
            **{f"ko_{name}": value for name, value in said.items()},
            "reads": " ".join(read_at_run_time(tree, folder, ".go")),
            "examples": " ".join("=".join(each) for each in examples(tree, folder, ".go")),
            "generated": "\n".join(steps),
            **front,
        },
        problem=golang_module.above(tree, module)
        or _problem(programs, [] if front else [each for each in absent if absent[each]])
        or ungenerated,
    )


def _generated(tree: Tree, module: Module, programs: Programs) -> tuple[list[str], str]:
    """The commands that make code which the repository does not hold, and why what is not there cannot be made."""
    if module.made or not programs.chosen:
        return [], ""
    return golang_generated.find(tree, module.folder, module.text, module.path, programs.chosen)


def _of_programs(tree: Tree, module: Module, programs: Programs) -> dict[str, str]:
    """``called`` are all names by which the own image may start the program."""
    binary = posixpath.basename(programs.folder) or module.name
    return {
        "main": programs.chosen,
        "others": " ".join(programs.others),
        "mains": " ".join(programs.all),
        "binary": binary,
        "called": " ".join((binary, module.name, *golang_build.outputs(tree, module.folder))),
    }


def _of_module(tree: Tree, module: Module) -> dict[str, str]:
    folder = module.folder
    return {
        "made": module.made,
        "gopath": "1" if module.made and golang_bare.is_below_gopath(tree, folder) else "",
        "sum": "1" if tree.has(joined(folder, "go.sum")) else "",
        "work": "1" if tree.has(joined(folder, "go.work")) else "",
        "replaced": " ".join(golang_module.stand_ins(tree, module)),
        "vendored": "1" if (tree.root / folder / "vendor" / "modules.txt").is_file() else "",
    }


def _of_build(tree: Tree, module: Module, tags: Sequence[str]) -> dict[str, str]:
    return {
        "cgo": "1" if golang_build.needs_cgo(tree, module.folder, module.text) else "",
        "experiment": golang_build.experiment(tree, module.folder),
        "tags": ",".join(tags),
        **({ZONES: "1"} if golang_build.needs_zones(tree, module.folder) else {}),
    }


def _problem(programs: Programs, absent: Sequence[str]) -> str:
    if not programs.chosen:
        return "cannot determine its main package; name it with --main"
    return f"it compiles in {absent[0]}, which is not in the repository and must be built first" if absent else ""


def _sources(tree: Tree, folder: str, programs: Programs) -> list[str]:
    """The chosen program's files before the rest, without those of other main packages: they are programs of their own."""
    others = {joined(folder, each) for each in programs.all if programs.chosen and each != programs.chosen}
    start = f"{joined(folder, programs.folder)}/" if programs.folder else ""
    own = (path for path in tree.below(folder, ".go") if folder_of(path) not in others)
    return sorted(own, key=lambda path: (not path.startswith(start), path.count("/"), path))


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
