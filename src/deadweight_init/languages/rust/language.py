"""Detect a Cargo package or workspace member with a program, and write a Dockerfile for it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from deadweight_init.languages import common
from deadweight_init.languages.protocol import Facts, Language
from deadweight_init.languages.sources import by_depth, read_at_run_time, scan
from deadweight_init.records import ImageWords, Known, Ladder, Project, Service, wording
from deadweight_init.tree import TABLES, Tree, as_mappings, joined, with_parents

_LINKS: Mapping[str, str] = TABLES["rust"]["links"]
"""Crates that link a C library of the OS, and what is in a lock file if they compile it themselves."""

_CALLS: Mapping[str, Sequence[str]] = TABLES["rust"]["calls"]
"""Crates that call a tool when they are compiled, and Debian's packages of it."""

_MAKE = ("openssl-src", "tikv-jemalloc-sys", "luajit-src", "sasl2-src")
"""Crates that compile C with make or Perl, which the slim images lack."""

_CHANNEL = re.compile(r"\b(1\.\d+)")
_LEAST = re.compile(r"^rust-version\s*=", re.MULTILINE)
_LINKERS = re.compile(r"^(?:rustflags|linker)\s*=.*?\b(clang|lld|mold)\b", re.MULTILINE)
_SERVER = re.compile(r"(?:^|[-_])(?:server|service|serve|api|web|httpd?|daemon)$")
_BINDS = re.compile(
    r"\b(?:TcpListener|HttpServer|axum::Server|warp::serve|rocket::build|Server::builder)\b|\.launch\(\)|axum::serve"
)
_ROCKET = re.compile(r"^rocket\s*=|^\[dependencies\.rocket\]", re.MULTILINE)
_SHARED = "awk '/=> \\/(usr\\/)?lib/ && !/lib(c|m|dl|rt|pthread|gcc_s)\\.so/ {print $3}'"
"""Of what ldd tells the shared libraries beside the C library, which every base brings in its own version."""


@dataclass(frozen=True)
class RustProject(Project):
    """``chosen`` is its binary, ``top`` the folder of its workspace. ``links`` are crates that link a library of the OS,
    ``installs`` Debian's packages that its build calls, ``make`` crates that compile C. ``offline``: what SQLx asks
    lies in the repository."""

    top: str = "."
    locked: bool = False
    links: tuple[str, ...] = ()
    installs: tuple[str, ...] = ()
    make: tuple[str, ...] = ()
    offline: bool = False
    rocket: bool = False


class Rust:
    """The language Rust."""

    facts = Facts((r"Cargo\.toml",), (".rs",), "rust")

    def find(self, tree: Tree, folder: str, words: ImageWords | None, main: str | None) -> RustProject | None:
        """The package of a folder; None for a workspace without one, and for a library."""
        file = joined(folder, "Cargo.toml")
        text = tree.texts[file]
        manifest, package = tree.data[file], tree.data[file].get("package")
        binaries = _binaries(tree, folder, manifest, package) if isinstance(package, dict) else []
        first = {posixpath.basename(word) for word in words.program[:3]} if words else set[str]()
        chosen = main or next((binary for binary in binaries if binary in first), next(iter(binaries), ""))
        if not isinstance(package, dict) or chosen not in binaries:
            return None
        above = with_parents(folder)
        top = next((home for home in above if "workspace" in tree.data[joined(home, "Cargo.toml")]), folder)
        lock = tree.texts[joined(top, "Cargo.lock")]
        entries = re.finditer(r"^name = \"([^\"]+)\"$(.*?)(?=^\[\[|\Z)", lock, re.MULTILINE | re.DOTALL)
        crates = {match[1]: match[2] for match in entries}
        settings = [tree.texts[joined(home, f".cargo/{name}")] for home in above for name in ("config.toml", "config")]
        installs = [package for crate, packages in _CALLS.items() if crate in crates for package in packages]
        installs += [linker for text_of_settings in settings for linker in _LINKERS.findall(text_of_settings)]
        rocket = bool(_ROCKET.search(text))
        ports, health = scan(tree, by_depth(tree.below(folder, ".rs")))
        reads = [name for name in ("Rocket.toml", "templates") if rocket and tree.has_folder(joined(folder, name))]
        return RustProject(
            language="rust",
            kind="cargo",
            folder=folder,
            name=str(package.get("name") or "service"),
            version=_version(tree, folder, top, words),
            ports=ports or (Known(8000 if rocket else 8080),),
            health=health,
            programs=tuple(binaries),
            chosen=chosen,
            called=(chosen,),
            reads=tuple(dict.fromkeys((*read_at_run_time(tree, folder, ".rs"), *reads))),
            top=top,
            locked=bool(lock),
            links=tuple(_links(crates)),
            installs=tuple(dict.fromkeys(installs)),
            make=tuple(crate for crate in _MAKE if crate in crates),
            offline=any(tree.has_folder(joined(home, name)) for home in above for name in (".sqlx", "sqlx-data.json")),
            rocket=rocket,
        )

    def ladder(self, service: Service, project: RustProject, place: str, port: int) -> Ladder:
        """Debian, Alpine (built with musl there), Chainguard and distroless."""
        # the whole image has the headers of the OS's libraries, make and Perl
        whole = "" if project.links or project.make else "-slim"
        bases = common.bases_of("rust", version=project.version.value, whole=whole)
        needs = (*project.links, *project.installs, *project.make)
        why = wording("refused.not_for_musl", crates=", ".join(needs)) if needs else ""
        lines = [*common.arguments(bases), *_build_stage(service, project), "", *_run_stage(service, project, port)]
        made = common.one_dockerfile(bases, wording("rung.binary"), place, project.top, lines, ("target",))
        rungs = (replace(rung, refused=why) if rung.name == "alpine" else rung for rung in made.rungs)
        return Ladder(tuple(rungs), made.files)


def _version(tree: Tree, folder: str, top: str, words: ImageWords | None) -> Known[str]:
    files = [joined(home, f"rust-toolchain{end}") for home in (folder, top) for end in ("", ".toml")]
    named = (known for file in files for known in tree.values(file, _CHANNEL))
    least = (Known("1", known.origin) for known in tree.values(joined(folder, "Cargo.toml"), _LEAST))
    return next(named, None) or common.of_base(words, r"rust:(1\.\d+)") or next(least, None) or Known("1")


def _binaries(tree: Tree, folder: str, manifest: Mapping[str, Any], package: Mapping[str, Any]) -> list[str]:
    """Its programs, that which is most likely the service first: ``default-run``, one called a server, one called as the package
    is, one whose file listens."""
    own = str(package.get("name") or "")
    bins = [entry for entry in as_mappings(manifest.get("bin")) if entry.get("name")]
    named = {str(entry["name"]): str(entry.get("path") or f"src/bin/{entry['name']}.rs") for entry in bins}
    if not named and joined(folder, "src/main.rs") in tree.files:
        named = {own: "src/main.rs"}
    if not named:
        paths = (posixpath.relpath(path, folder) for path in tree.below(joined(folder, "src/bin"), ".rs"))
        matches = (re.fullmatch(r"src/bin/([^/]+?)(?:/main)?\.rs", path) for path in paths)
        named = {match[1]: match[0] for match in matches if match}

    def rank(name: str) -> tuple[bool, ...]:
        called = bool(_SERVER.search(name)) or name == f"{own}d"
        binds = bool(_BINDS.search(tree.texts[joined(folder, named[name])]))
        return name != package.get("default-run"), not called, name != own, not binds

    return sorted(named, key=rank)


def _links(crates: Mapping[str, str]) -> Iterator[str]:
    """The crates that link a library of the OS."""
    if "libsqlite3-sys" in crates and ' "cc"' not in crates["libsqlite3-sys"]:  # it compiles its own with that
        yield "libsqlite3-sys"
    yield from (crate for crate, compiled in _LINKS.items() if crate in crates and compiled not in crates)


def _build_stage(service: Service, project: RustProject) -> Iterator[str]:
    program = f"/usr/local/bin/{project.chosen}"
    package = "" if project.folder == project.top else f" --package {project.name}"
    empty = f" && mkdir {common.EMPTY}" if project.owned else ""
    yield "FROM ${BUILD} AS build"
    if project.installs:
        yield f"RUN apt-get update && apt-get install -y --no-install-recommends {' '.join(project.installs)}"
    if project.offline:
        yield "# What SQLx would ask a database lies in the repository."
        yield "ENV SQLX_OFFLINE=true"
    yield "WORKDIR /src"
    yield "COPY . ."
    yield "# Crates and what was compiled stay in caches; the binary is copied out of them in the same instruction."
    yield "RUN --mount=type=cache,target=/usr/local/cargo/registry \\"
    yield f"    --mount=type=cache,id={service.name}-target,target=/src/target \\"
    yield f"    cargo build --release{' --locked' if project.locked else ''}{package} --bin {project.chosen} \\"
    yield f"    && cp target/release/{project.chosen} {program}{empty}"
    if project.links:
        yield "# The libraries of the OS that it links."
        yield f"RUN mkdir /libraries && ldd {program} | {_SHARED} | xargs -r cp -Lt /libraries"


def _run_stage(service: Service, project: RustProject, port: int) -> Iterator[str]:
    words, program = common.image_words(service), f"/usr/local/bin/{project.chosen}"
    inside = posixpath.relpath(project.folder, project.top)
    env = common.plain_env(words, "PATH|CARGO_\\w+|RUSTUP_\\w+")
    if project.rocket:
        env = {"ROCKET_ADDRESS": common.EVERYWHERE, "ROCKET_PORT": str(port), **env}
    if project.links:
        env["LD_LIBRARY_PATH"] = "/usr/local/lib/libraries"
    copies = [
        f"--from=build {program} {program}",
        *(["--from=build /libraries /usr/local/lib/libraries"] if project.links else []),
    ]
    copies += [f"{posixpath.normpath(posixpath.join(inside, path))} {common.HOME}/{path}" for path in project.reads]
    if project.owned:
        copies.insert(0, f"--from=build {common.EMPTY} {common.HOME}")
    given = words.program[1:] if posixpath.basename((words.program or ("",))[0]) in project.programs else ()
    first, *rest = common.run_stage(project, port, (program, *given), copies, env=env, stop=words.stop)
    yield from (first, *common.CERTIFICATES, *rest)


LANGUAGE: Language[RustProject] = Rust()
