"""A Dockerfile that compiles a Rust program, and runs it alone on a base with a C library."""

from __future__ import annotations

import posixpath
import re
from dataclasses import replace

from deadweight.project.init.languages import started
from deadweight.project.init.languages.common import (
    EMPTY,
    HEADER,
    copied,
    env_lines,
    exec_form,
    is_owned,
    own_folder,
    stop_line,
)
from deadweight.project.init.records import ImageWords, Project, Service

_SHARED = "awk '/=> \\/(usr\\/)?lib/ && !/lib(c|m|dl|rt|pthread|gcc_s)\\.so/ {print $3}'"
"""The shared libraries of what ldd tells, beside the C library, which every base brings in its own version."""

_INSTALL = "RUN apt-get update && apt-get install -y --no-install-recommends"


def dockerfile(service: Service, project: Project, port: int) -> str:
    own, details = service.own.words if service.own else ImageWords(), project.details
    if service.own and service.own.context != details["top"]:  # what it copies is called otherwise here
        own = replace(own, copied=())
    binary, version = details["binary"], project.version.value
    locked = " --locked" if details["locked"] else ""
    inside = posixpath.relpath(project.folder, details["top"])
    package = "" if inside == "." else f" --package {project.name}"
    chosen = f" {details['features']}" if details["features"] else ""
    given = {name: value for name, value in own.env.items() if name != "PATH" and "$" not in value}
    if details["rocket"]:
        given = {"ROCKET_ADDRESS": "0.0.0.0", "ROCKET_PORT": str(port), **given}  # noqa: S104 - in a container
    empty = f" && mkdir {EMPTY}" if is_owned(project) else ""
    place, links = f"/usr/local/bin/{binary}", bool(details["links"])
    lines = [
        HEADER,
        f"ARG BUILD=rust:{version}{'' if links or details['make'] else '-slim'}-bookworm",
        "ARG BASE=gcr.io/distroless/cc-debian12:nonroot",
        "",
        "FROM ${BUILD} AS build",
        *([f"{_INSTALL} {details['installs']}"] if details["installs"] else []),
        *(
            ["# What SQLx would ask a database lies in the repository.", "ENV SQLX_OFFLINE=true"]
            if details["offline"]
            else []
        ),
        "WORKDIR /src",
        "COPY . .",
        "# Crates and what was compiled stay in caches; the binary is copied out of them in the same instruction.",
        "# The second is this service's own: Cargo knows programs by their names and the age of their sources.",
        "RUN --mount=type=cache,target=/usr/local/cargo/registry \\",
        f"    --mount=type=cache,id={service.name}-target,target=/src/target \\",
        f"    cargo build --release{locked}{package}{chosen} --bin {binary} && cp target/release/{binary} {place}{empty}",
        *(
            [
                "# The libraries that it links: not every base has them.",
                f"RUN mkdir /libraries && ldd {place} | {_SHARED} | xargs -r cp -Lt /libraries",
            ]
            if links
            else []
        ),
        "",
        "FROM ${BASE}",
        *env_lines(given),
        "# For outgoing TLS; not every base has them.",
        "COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt",
        *(
            ["COPY --from=build /libraries /usr/local/lib/libraries", "ENV LD_LIBRARY_PATH=/usr/local/lib/libraries"]
            if links
            else []
        ),
        f"COPY --from=build {place} {place}",
        *_beside(project, own, inside),
        "# By number: no base needs to know the user, and Kubernetes can see that it is not root.",
        "USER 65532:65532",
        f"EXPOSE {port}",
        *stop_line(own.stop),
        "# Exec form: the service itself is process 1 and gets SIGTERM. No HEALTHCHECK: it would need a program in the image.",
        f"ENTRYPOINT {exec_form((place, *started.arguments(own.program, (binary,))))}",
    ]
    return "\n".join(lines) + "\n"


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
