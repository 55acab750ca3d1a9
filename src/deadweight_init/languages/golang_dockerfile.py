"""A Dockerfile that compiles a Go program, and runs it alone on any base."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from deadweight_init.languages import front_end, started
from deadweight_init.languages.common import (
    CERTIFICATES,
    EMPTY,
    HEADER,
    ZONES,
    copied,
    env_lines,
    exec_form,
    is_owned,
    own_folder,
    stop_line,
    unprivileged,
)
from deadweight_init.records import ImageWords, Project

_CACHES = "--mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build"


def context_of(project: Project) -> str:
    """The folder that a build needs: the module's, or one above it where folders beside it stand in for modules."""
    folders = [posixpath.normpath(posixpath.join(project.folder, each)) for each in project.details["replaced"].split()]
    above = [each for each in folders if project.folder != "." and not each.startswith(f"{project.folder}/")]
    if not above or any(each.startswith("..") for each in above):
        return project.folder
    return posixpath.commonpath([project.folder, *above]) or "."


def dockerfile(project: Project, words: ImageWords, beside: Sequence[tuple[str, str]], port: int) -> str:
    details, inside = project.details, _inside(project)
    fronted = "front" in details
    lines = [
        HEADER,
        *([f"ARG {front_end.FRONT}=node:{details['front_version']}"] if fronted else []),
        f"ARG BUILD=golang:{project.version.value}",
        "ARG BASE=gcr.io/distroless/static-debian12:nonroot",
        "",
        *(front_end.stage(details, inside) if fronted else []),
        "FROM ${BUILD} AS build",
        "WORKDIR /src",
        *_sources_in(project),
        *(front_end.taken(details, inside) if fronted else []),
        *_generated(details["generated"].splitlines()),
        *_compiled(project),
        "",
        *_run_stage(project, words, beside, port),
    ]
    return "\n".join(lines) + "\n"


def _inside(project: Project) -> str:
    """The module's folder, seen from the one that is built."""
    return posixpath.relpath(project.folder, context_of(project))


def _compiled(project: Project) -> list[str]:
    """The instruction that makes the binary."""
    details = project.details
    main = "." if details["main"] == "." else f"./{details['main']}"
    cgo = "1" if details["cgo"] else "0"
    switched = f"CGO_ENABLED={cgo}{' GO111MODULE=off' if details['gopath'] else ''}"
    switched += f" GOEXPERIMENT={details['experiment']}" if details["experiment"] else ""
    tags = ",".join([*filter(None, details["tags"].split(",")), *(["timetzdata"] if ZONES in details else [])])
    tagged = f" -tags {tags}" if tags else ""
    empty = f" && mkdir {EMPTY}" if is_owned(project) else ""
    return [
        "# The module needs cgo."
        if details["cgo"]
        else "# The binary needs no C library, so that it runs on every base.",
        f"RUN {_CACHES} \\",
        f"    {switched} go build -trimpath{tagged} -ldflags='-s -w' -o /out/{details['binary']} {main}{empty}",
    ]


def _run_stage(project: Project, words: ImageWords, beside: Sequence[tuple[str, str]], port: int) -> list[str]:
    binary, inside = project.details["binary"], _inside(project)
    place = f"/usr/local/bin/{binary}"
    given = started.arguments(words.program, project.details["called"].split())
    return [
        "FROM ${BASE}",
        *CERTIFICATES,
        f"COPY --from=build /out/{binary} {place}",
        *own_folder(project, words.workdir),
        *(copied(project, posixpath.normpath(posixpath.join(inside, source)), target) for source, target in beside),
        *env_lines(words.env),
        *unprivileged(port),
        *stop_line(words.stop),
        "# Exec form: the service itself is process 1 and gets SIGTERM. No HEALTHCHECK: it would need a program in the image.",
        f"ENTRYPOINT {exec_form((place, *given))}",
    ]


def _generated(steps: Sequence[str]) -> list[str]:
    """The instructions that make the code which the repository does not hold."""
    told = ["# Code that the repository does not hold: its generators make it."] if steps else []
    return [*told, *(f"RUN {_CACHES} \\\n    {each}" for each in steps)]


def _sources_in(project: Project) -> list[str]:
    """The instructions that bring in modules and code."""
    details, inside = project.details, _inside(project)
    if inside != ".":
        return [
            "# The module is built beside those that stand in for modules of it.",
            "COPY . .",
            f"WORKDIR /src/{inside}",
        ]
    if details["vendored"] or details["work"]:
        return ["COPY . ."]
    if details["gopath"]:
        return [
            "# From before there were modules: what is vendored is found from a place below GOPATH.",
            f"WORKDIR /go/src/{details['made']}",
            "COPY . .",
        ]
    if details["made"]:
        return [
            "COPY . .",
            "# The repository has no go.mod: this takes its modules as they are today. One of its own would pin them.",
            f"RUN {_CACHES} \\",
            f"    go mod init {details['made']} && go mod tidy",
        ]
    replaced = [f"COPY {each}/go.mod ./{each}/" for each in details["replaced"].split() if not each.startswith(".")]
    return [
        "# Modules first: an edit of the code does not fetch them again.",
        f"COPY go.mod {'go.sum ' if details['sum'] else ''}./",
        *replaced,
        "RUN --mount=type=cache,target=/go/pkg/mod go mod download",
        "COPY . .",
    ]
