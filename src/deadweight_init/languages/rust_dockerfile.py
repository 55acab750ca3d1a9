"""A Dockerfile that compiles a Rust program, and runs it alone on a base with a C library."""

from __future__ import annotations

import posixpath
import re
from dataclasses import replace

from deadweight_init.languages import started
from deadweight_init.languages.common import (
    CERTIFICATES,
    EMPTY,
    HEADER,
    copied,
    env_lines,
    exec_form,
    is_owned,
    own_folder,
    stop_line,
    unprivileged,
)
from deadweight_init.records import ImageWords, Project, Service

_SHARED = "awk '/=> \\/(usr\\/)?lib/ && !/lib(c|m|dl|rt|pthread|gcc_s)\\.so/ {print $3}'"
"""The shared libraries of what ldd tells, beside the C library, which every base brings in its own version."""

_INSTALL = "RUN apt-get update && apt-get install -y --no-install-recommends"
_OFFLINE = ("# What SQLx would ask a database lies in the repository.", "ENV SQLX_OFFLINE=true")
_LINKED = ("COPY --from=build /libraries /usr/local/lib/libraries", "ENV LD_LIBRARY_PATH=/usr/local/lib/libraries")


def dockerfile(service: Service, project: Project, port: int) -> str:
    details, version = project.details, project.version.value
    whole = details["links"] or details["make"]
    lines = [
        HEADER,
        f"ARG BUILD=rust:{version}{'' if whole else '-slim'}-bookworm",
        "ARG BASE=gcr.io/distroless/cc-debian12:nonroot",
        "",
        *_build_stage(service, project),
        "",
        *_run_stage(service, project, port),
    ]
    return "\n".join(lines) + "\n"


def _build_stage(service: Service, project: Project) -> list[str]:
    details, place = project.details, _place(project)
    taken = f"cp target/release/{details['binary']} {place}{f' && mkdir {EMPTY}' if is_owned(project) else ''}"
    return [
        "FROM ${BUILD} AS build",
        *([f"{_INSTALL} {details['installs']}"] if details["installs"] else []),
        *(_OFFLINE if details["offline"] else ()),
        "WORKDIR /src",
        "COPY . .",
        "# Crates and what was compiled stay in caches; the binary is copied out of them in the same instruction.",
        "# The second is this service's own: Cargo knows programs by their names and the age of their sources.",
        "RUN --mount=type=cache,target=/usr/local/cargo/registry \\",
        f"    --mount=type=cache,id={service.name}-target,target=/src/target \\",
        f"    {_cargo(project)} && {taken}",
        *(_libraries(place) if details["links"] else ()),
    ]


def _cargo(project: Project) -> str:
    """The command that compiles the program."""
    details = project.details
    locked = " --locked" if details["locked"] else ""
    package = "" if _inside(project) == "." else f" --package {project.name}"
    chosen = f" {details['features']}" if details["features"] else ""
    return f"cargo build --release{locked}{package}{chosen} --bin {details['binary']}"


def _libraries(place: str) -> tuple[str, ...]:
    return (
        "# The libraries that it links: not every base has them.",
        f"RUN mkdir /libraries && ldd {place} | {_SHARED} | xargs -r cp -Lt /libraries",
    )


def _run_stage(service: Service, project: Project, port: int) -> list[str]:
    own, details, place = service.own.words if service.own else ImageWords(), project.details, _place(project)
    if service.own and service.own.context != details["top"]:  # what it copies is called otherwise here
        own = replace(own, copied=())
    env = {name: value for name, value in own.env.items() if name != "PATH" and "$" not in value}
    if details["rocket"]:
        env = {"ROCKET_ADDRESS": "0.0.0.0", "ROCKET_PORT": str(port), **env}  # noqa: S104 - in a container
    return [
        "FROM ${BASE}",
        *env_lines(env),
        *CERTIFICATES,
        *(_LINKED if details["links"] else ()),
        f"COPY --from=build {place} {place}",
        *_beside(project, own, _inside(project)),
        *unprivileged(port),
        *stop_line(own.stop),
        "# Exec form: the service itself is process 1 and gets SIGTERM. No HEALTHCHECK: it would need a program in the image.",
        f"ENTRYPOINT {exec_form((place, *started.arguments(own.program, (details['binary'],))))}",
    ]


def _place(project: Project) -> str:
    """Where the binary lies in both stages."""
    return f"/usr/local/bin/{project.details['binary']}"


def _inside(project: Project) -> str:
    """The package's folder, seen from the one that is built."""
    return posixpath.relpath(project.folder, project.details["top"])


def _is_beside(source: str, project: Project) -> bool:
    """Whether something that the own image has is no code, and not the program."""
    plain = posixpath.normpath(source)
    manifest = posixpath.basename(plain) in ("Cargo.toml", "Cargo.lock", project.details["binary"])
    return plain not in (".", "src") and not manifest and not re.search(r"[*$]|\.sh$", plain)


def _beside(project: Project, own: ImageWords, inside: str) -> list[str]:
    """What the program reads beside it, and folders whose place in the build it has in it."""
    reads, fixed = project.details["reads"].split(), project.details["compiled_in"].split()

    def source(each: str) -> str:
        return posixpath.normpath(posixpath.join(inside, each))

    beside = [each for each in own.copied if _is_beside(each[0], project)]
    if re.match(r"(?:.*/)?rust\b", own.base):  # it is compiled there, so they are what that needs
        beside = []
    home = started.home(project, own, kept=bool(beside), filled=bool(reads or beside))
    there = {posixpath.normpath(each) for each, _ in beside}
    pairs = [*beside, *((source(each), posixpath.join(home, each)) for each in reads if source(each) not in there)]
    pairs += [(source(each), f"/src/{source(each)}") for each in fixed]
    return [*own_folder(project, home), *(copied(project, *each) for each in dict.fromkeys(pairs))]
