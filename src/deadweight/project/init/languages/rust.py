"""Rust: a Cargo package with one binary, or a member of a workspace."""

from __future__ import annotations

import posixpath
import re
import tomllib
from typing import Any

from deadweight.project.init.languages.beside import read_at_run_time
from deadweight.project.init.languages.common import (
    EMPTY,
    HEADER,
    copied,
    dockerignore,
    env_lines,
    exec_form,
    home_of,
    is_owned,
    own_folder,
    rungs_on,
)
from deadweight.project.init.languages.sources import scan
from deadweight.project.init.records import ImageWords, Known, Ladder, Project, Service
from deadweight.project.init.tree import Tree, joined, line_of


def find(tree: Tree, folder: str, words: ImageWords | None, main: str | None) -> Project | None:
    """The package of a folder; None for a workspace without one, and for a library."""
    file = joined(folder, "Cargo.toml")
    manifest = _manifest(tree.text(file)) if tree.has(file) else {}
    package = manifest.get("package")
    if not isinstance(package, dict):
        return None
    binaries = _binaries(tree, folder, manifest, str(package.get("name") or ""))
    started = {posixpath.basename(word) for word in (words.program if words else ())[:3]}
    chosen = main or next((name for name in binaries if name in started), next(iter(binaries), None))
    if chosen is None or chosen not in binaries:
        return None
    ports, health = scan(tree, sorted(tree.below(folder, ".rs"), key=lambda path: (path.count("/"), path)))
    toolchain = re.search(
        r"(1\.\d+)", tree.text(joined(folder, "rust-toolchain")) + tree.text(joined(folder, "rust-toolchain.toml"))
    )
    text = tree.text(file)
    least = re.search(r"^rust-version\s*=\s*[\"'](1\.\d+)", text, re.MULTILINE)
    origin = f"from {file}:{line_of(text, least.start())}" if least else "guessed"
    own = words.on(r"rust:(1\.\d+)") if words else ""
    known = Known(own, "from your Dockerfile's base") if own else Known("1", origin)
    return Project(
        language="rust",
        kind="cargo",
        folder=folder,
        name=str(package.get("name") or "service"),
        version=Known(toolchain[1], "from rust-toolchain") if toolchain else known,
        ports=ports or (Known(8080),),
        health=health,
        details={
            "reads": " ".join(read_at_run_time(tree, folder, ".rs")),
            "binary": chosen,
            "mains": " ".join(binaries),
            "locked": "1" if tree.has(joined(folder, "Cargo.lock")) else "",
        },
    )


def _manifest(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}


def _binaries(tree: Tree, folder: str, manifest: dict[str, Any], package: str) -> list[str]:
    named = [str(each.get("name")) for each in manifest.get("bin") or () if isinstance(each, dict) and each.get("name")]
    if tree.has(joined(folder, "src/main.rs")):
        named = named or [package]
    return named or [posixpath.basename(path)[:-3] for path in tree.below(joined(folder, "src/bin"), ".rs")]


def ladder(service: Service, project: Project, place: str, port: int) -> Ladder:
    """Multi-stage on Debian, Alpine (built with musl there), Chainguard and distroless."""
    version = project.version.value
    slim = f"rust:{version}-slim-bookworm"
    bases = {
        "debian": (slim, "debian:12-slim"),
        "chainguard": (slim, "cgr.dev/chainguard/glibc-dynamic:latest"),
        "distroless": (slim, "gcr.io/distroless/cc-debian12:nonroot"),
        "alpine": (f"rust:{version}-alpine", "alpine:3"),  # last: it compiles once more, the others all once
    }
    files = {
        f"{place}/Dockerfile": _dockerfile(service, project, port),
        f"{place}/Dockerfile.dockerignore": dockerignore("rust", place),
    }
    return Ladder(tuple(rungs_on(bases, "the binary alone", f"{place}/Dockerfile", project.folder)), files)


def _dockerfile(service: Service, project: Project, port: int) -> str:
    own = service.own.words if service.own else ImageWords()
    binary, version = project.details["binary"], project.version.value
    locked = " --locked" if project.details["locked"] else ""
    arguments = own.program[1:]
    empty = f" && mkdir {EMPTY}" if is_owned(project) else ""
    lines = [
        HEADER,
        f"ARG BUILD=rust:{version}-slim-bookworm",
        "ARG BASE=gcr.io/distroless/cc-debian12:nonroot",
        "",
        "FROM ${BUILD} AS build",
        "WORKDIR /src",
        "COPY . .",
        "# Crates and what was compiled stay in caches; the binary is copied out of them in the same instruction.",
        "RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \\",
        f"    cargo build --release{locked} --bin {binary} && cp target/release/{binary} /usr/local/bin/{binary}{empty}",
        "",
        "FROM ${BASE}",
        *env_lines({name: value for name, value in own.env.items() if name != "PATH" and "$" not in value}),
        f"COPY --from=build /usr/local/bin/{binary} /usr/local/bin/{binary}",
        *_beside(project, own),
        "# By number: no base needs to know the user, and Kubernetes can see that it is not root.",
        "USER 65532:65532",
        f"EXPOSE {port}",
        "# Exec form: the service itself is process 1 and gets SIGTERM. No HEALTHCHECK: it would need a program in the image.",
        f"ENTRYPOINT {exec_form((f'/usr/local/bin/{binary}', *arguments))}",
    ]
    return "\n".join(lines) + "\n"


def _beside(project: Project, own: ImageWords) -> list[str]:
    """The folder in which it is started, and what it reads there."""
    reads = project.details["reads"].split()
    home = home_of(project, own.workdir, filled=bool(reads))
    return [*own_folder(project, home), *(copied(project, each, posixpath.join(home, each)) for each in reads)]
