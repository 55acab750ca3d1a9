"""A Dockerfile that compiles a Go program, and runs it alone on any base."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from deadweight.project.init.languages import front_end, started
from deadweight.project.init.languages.common import (
    EMPTY,
    HEADER,
    ZONES,
    copied,
    env_lines,
    exec_form,
    is_owned,
    own_folder,
    stop_line,
)
from deadweight.project.init.records import ImageWords, Project


def context_of(project: Project) -> str:
    """The folder that a build needs: the module's, or one above it where folders beside it stand in for modules."""
    folders = [posixpath.normpath(posixpath.join(project.folder, each)) for each in project.details["replaced"].split()]
    above = [each for each in folders if project.folder != "." and not each.startswith(f"{project.folder}/")]
    if not above or any(each.startswith("..") for each in above):
        return project.folder
    return posixpath.commonpath([project.folder, *above]) or "."


def dockerfile(project: Project, words: ImageWords, beside: Sequence[tuple[str, str]], port: int) -> str:
    details = project.details
    main = "." if details["main"] == "." else f"./{details['main']}"
    cgo = "1" if details["cgo"] else "0"
    empty = f" && mkdir {EMPTY}" if is_owned(project) else ""
    tags = ",".join([*filter(None, details["tags"].split(",")), *(["timetzdata"] if ZONES in details else [])])
    tagged = f" -tags {tags}" if tags else ""
    inside, fronted = posixpath.relpath(project.folder, context_of(project)), "front" in details
    switched = f"CGO_ENABLED={cgo}{' GO111MODULE=off' if details['gopath'] else ''}"
    switched += f" GOEXPERIMENT={details['experiment']}" if details["experiment"] else ""
    place = f"/usr/local/bin/{details['binary']}"
    given = started.arguments(words.program, details["called"].split())
    lines = [
        HEADER,
        *([f"ARG {front_end.FRONT}=node:{details['front_version']}"] if fronted else []),
        f"ARG BUILD=golang:{project.version.value}",
        "ARG BASE=gcr.io/distroless/static-debian12:nonroot",
        "",
        *(front_end.stage(details, inside) if fronted else []),
        "FROM ${BUILD} AS build",
        "WORKDIR /src",
    ]
    lines += [
        *_sources_in(project),
        *(front_end.taken(details, inside) if fronted else []),
        *_generated(details["generated"].splitlines()),
        "# The binary needs no C library, so that it runs on every base." if cgo == "0" else "# The module needs cgo.",
        "RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \\",
        f"    {switched} go build -trimpath{tagged} -ldflags='-s -w' -o /out/{details['binary']} {main}{empty}",
        "",
        "FROM ${BASE}",
        "# For outgoing TLS; not every base has them.",
        "COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt",
        f"COPY --from=build /out/{details['binary']} {place}",
    ]
    lines += [
        *own_folder(project, words.workdir),
        *(copied(project, posixpath.normpath(posixpath.join(inside, source)), target) for source, target in beside),
        *env_lines(words.env),
        "# By number: no base needs to know the user, and Kubernetes can see that it is not root.",
        "USER 65532:65532",
        f"EXPOSE {port}",
        *stop_line(words.stop),
        "# Exec form: the service itself is process 1 and gets SIGTERM. No HEALTHCHECK: it would need a program in the image.",
        f"ENTRYPOINT {exec_form((place, *given))}",
    ]
    return "\n".join(lines) + "\n"


def _generated(steps: Sequence[str]) -> list[str]:
    """The instructions that make the code which the repository does not hold."""
    caches = "--mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build"
    told = ["# Code that the repository does not hold: its generators make it."] if steps else []
    return [*told, *(f"RUN {caches} \\\n    {each}" for each in steps)]


def _sources_in(project: Project) -> list[str]:
    """The instructions that bring in modules and code."""
    context, details = context_of(project), project.details
    inside = posixpath.relpath(project.folder, context)
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
            "RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \\",
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
