"""Rust: a Cargo package with one binary, or a member of a workspace."""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

from deadweight_init.languages import rust_build, rust_lock, started
from deadweight_init.languages.beside import read_at_run_time
from deadweight_init.languages.common import dockerignore, rungs_on
from deadweight_init.languages.rust_dockerfile import dockerfile
from deadweight_init.languages.sources import scan
from deadweight_init.records import ImageWords, Known, Ladder, Project, Service
from deadweight_init.tree import Tree, folder_of, joined, line_of

_LIBRARIES = {
    "openssl-sys": "openssl-src",
    "pq-sys": "pq-src",
    "mysqlclient-sys": "mysqlclient-src",
    "libsasl2-sys": "sasl2-src",
}
"""Crates that link a C library of the OS, and what is in a lock file where they compile it themselves."""

_MAKE = ("openssl-src", "tikv-jemalloc-sys", "jemalloc-sys", "luajit-src", "sasl2-src", "krb5-src")
"""Crates that compile a C library with make, some with Perl too: the slim images have neither."""

_BY_ITSELF = frozenset(("aws-lc-sys", "aws-lc-fips-sys"))
"""Crates that name tools which they do without on most machines."""

_PROTOC = ("prost-build", "tonic-build", "tonic-prost-build", "grpcio-compiler")
_RELATIVE = re.compile(r"\brelative!\(\s*\"([\w./-]+)\"\s*\)")


def find(tree: Tree, folder: str, words: ImageWords | None, main: str | None) -> Project | None:
    """The package of a folder; None for a workspace without one, and for a library."""
    file = joined(folder, "Cargo.toml")
    manifest = _manifest(tree.text(file)) if tree.has(file) else {}
    package = manifest.get("package")
    if not isinstance(package, dict):
        return None
    binaries = _binaries(tree, folder, manifest, package)
    first = {posixpath.basename(word) for word in started.program(words.program if words else (), binaries)[:3]}
    chosen = main or next((name for name in binaries if name in first), next(iter(binaries), None))
    if chosen is None or chosen not in binaries:
        return None
    ports, health = scan(tree, sorted(tree.below(folder, ".rs"), key=lambda path: (path.count("/"), path)))
    top = _top(tree, folder)
    rocket = bool(re.search(r"^rocket\s*=|^\[dependencies\.rocket\]", tree.text(file), re.MULTILINE))
    reads = dict.fromkeys((*read_at_run_time(tree, folder, ".rs"), *_of_rocket(tree, folder, rocket)))
    return Project(
        language="rust",
        kind="cargo",
        folder=folder,
        name=str(package.get("name") or "service"),
        version=_version(tree, folder, top, words),
        ports=ports or (Known(8000 if rocket else 8080),),
        health=health,
        details={
            **_of_crates(tree, folder, top, str(package.get("name") or "")),
            "reads": " ".join(reads),
            "compiled_in": " ".join(_compiled_in(tree, folder)),
            "binary": chosen,
            "mains": " ".join(binaries),
            "top": top,
            "features": rust_build.features(tree, folder),
            "offline": "1" if rust_build.is_offline(tree, folder) else "",
            "rocket": "1" if rocket else "",
        },
    )


def _of_crates(tree: Tree, folder: str, top: str, package: str) -> dict[str, str]:
    """What the crates that it needs ask of a build."""
    lock = tree.text(joined(top, "Cargo.lock"))
    crates = rust_lock.crates(lock, package)
    links = _links(lock, crates) if lock else _likely_links(tree.text(joined(folder, "Cargo.toml")))
    return {
        "locked": "1" if lock else "",
        "links": " ".join(links),
        "installs": " ".join((*_installs(lock, crates), *dict.fromkeys(rust_build.linkers(tree, folder)))),
        "make": " ".join(each for each in _MAKE if each in crates),
    }


def _version(tree: Tree, folder: str, top: str, words: ImageWords | None) -> Known[str]:
    for home in dict.fromkeys((folder, top)):
        said = tree.text(joined(home, "rust-toolchain")) + tree.text(joined(home, "rust-toolchain.toml"))
        if found := re.search(r"\b(1\.\d+)", said):
            return Known(found[1], "from rust-toolchain")
    if own := words.on(r"rust:(1\.\d+)") if words else "":
        return Known(own, "from your Dockerfile's base")
    file = joined(folder, "Cargo.toml")
    least = re.search(r"^rust-version\s*=\s*[\"'](1\.\d+)", tree.text(file), re.MULTILINE)
    return Known("1", f"from {file}:{line_of(tree.text(file), least.start())}" if least else "guessed")


def _manifest(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}


def _top(tree: Tree, folder: str) -> str:
    """The folder of the workspace that a package is a member of; its own without one."""
    each = folder
    while each != ".":
        each = folder_of(each)
        if "workspace" in _manifest(tree.text(joined(each, "Cargo.toml"))):
            return each
    return folder


def _binaries(tree: Tree, folder: str, manifest: dict[str, Any], package: dict[str, Any]) -> list[str]:
    """Its programs, that which is most likely the service first."""
    bins = [each for each in manifest.get("bin") or () if isinstance(each, dict) and each.get("name")]
    named = {str(each["name"]): str(each.get("path") or f"src/bin/{each['name']}.rs") for each in bins}
    if not named and tree.has(joined(folder, "src/main.rs")):
        named = {str(package.get("name") or ""): "src/main.rs"}
    if not named:
        for path in (posixpath.relpath(each, folder) for each in tree.below(joined(folder, "src/bin"), ".rs")):
            if found := re.fullmatch(r"src/bin/([^/]+?)(?:/main)?\.rs", path):
                named[found[1]] = path
    return rust_build.serving_first(tree, folder, package, named)


def _links(lock: str, crates: Collection[str]) -> Iterator[str]:
    """The crates that link a library of the OS."""
    if "libsqlite3-sys" in crates and "libsqlite3-sys" not in rust_lock.users(
        lock, "cc"
    ):  # it compiles its own with that
        yield "libsqlite3-sys"
    for crate, compiled in _LIBRARIES.items():
        if crate in crates and compiled not in crates:
            yield crate


def _installs(lock: str, crates: Collection[str]) -> Iterator[str]:
    """Debian's packages of the tools that its crates call when they are compiled."""
    if not set(_PROTOC).isdisjoint(crates):
        yield from ("protobuf-compiler", "libprotobuf-dev")
    for crate, package in (("cmake", "cmake"), ("bindgen", "libclang-dev")):
        if crate in crates and rust_lock.users(lock, crate) & set(crates) - _BY_ITSELF:
            yield package


def _likely_links(manifest: str) -> Iterator[str]:
    """The same by what a manifest asks for, where no lock file tells what comes with it."""
    diesel = re.search(r"^diesel\s*=.*$", manifest, re.MULTILINE)
    if diesel and "postgres" in diesel[0]:
        yield "pq-sys"
    if diesel and "mysql" in diesel[0]:
        yield "mysqlclient-sys"
    reqwest = re.search(r"^reqwest\s*=.*$", manifest, re.MULTILINE)
    if re.search(r"^(?:openssl|native-tls)\s*=|native-tls", manifest, re.MULTILINE) or (
        reqwest and "rustls" not in reqwest[0]
    ):
        yield "openssl-sys"


def _of_rocket(tree: Tree, folder: str, rocket: bool) -> Iterator[str]:
    """What Rocket reads where it is started: its settings, and templates where a crate for them is there."""
    if rocket and tree.has(joined(folder, "Rocket.toml")):
        yield "Rocket.toml"
    templates = "rocket_dyn_templates" in tree.text(joined(folder, "Cargo.toml"))
    if rocket and templates and any(tree.below(joined(folder, "templates"), "")):
        yield "templates"


def _compiled_in(tree: Tree, folder: str) -> Iterator[str]:
    """Folders whose path in the build the program has in it: ``relative!("static")``."""
    for path in tree.below(folder, ".rs"):
        for found in _RELATIVE.finditer(tree.text(path)):
            if any(tree.below(joined(folder, found[1]), "")):
                yield found[1]


def ladder(service: Service, project: Project, place: str, port: int) -> Ladder:
    """Multi-stage on Debian, Alpine (built with musl there), Chainguard and distroless."""
    version, details = project.version.value, project.details
    # the whole image has the headers of the OS's libraries, make and Perl
    whole = f"rust:{version}-bookworm" if details["links"] or details["make"] else f"rust:{version}-slim-bookworm"
    bases = {
        "debian": (whole, "debian:12-slim"),
        "chainguard": (whole, "cgr.dev/chainguard/glibc-dynamic:latest"),
        "distroless": (whole, "gcr.io/distroless/cc-debian12:nonroot"),
        "alpine": (f"rust:{version}-alpine", "alpine:3"),  # last: it compiles once more, the others all once
    }
    files = {
        f"{place}/Dockerfile": dockerfile(service, project, port),
        f"{place}/Dockerfile.dockerignore": dockerignore("rust", place),
    }
    rungs = list(rungs_on(bases, "the binary alone", f"{place}/Dockerfile", details["top"]))
    why = ""
    if details["links"]:
        why = f"it links a library of the OS ({details['links'].replace(' ', ', ')}), which is not built for musl here"
    elif details["installs"]:
        why = f"its build calls what is installed with apt-get here ({details['installs'].replace(' ', ', ')})"
    elif details["make"]:
        why = (
            f"it compiles C with make and Perl ({details['make'].replace(' ', ', ')}), which Rust's Alpine image lacks"
        )
    return Ladder(tuple(replace(each, refused=why) if each.name == "alpine" else each for each in rungs), files)
