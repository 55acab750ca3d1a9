"""How a repository itself compiles its Rust program: which program, with which features, with which linker."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any

from deadweight_init.tree import Tree, folder_of, joined, with_above

_DOCKERFILES = r"(?:Dockerfile|Containerfile)(?:[.-][\w.-]+)?|[\w.-]+\.(?:dockerfile|containerfile)"
_BUILD = re.compile(r"\bcargo\s+(?:build|install)\b[^\n&|;]*")
_FEATURES = re.compile(r"(?<!\S)(?:--features|-F)[= ]([\"']?)([\w,/ -]+?)\1(?=\s+-|\s*$)")

_BINDS = re.compile(
    r"\b(?:TcpListener|HttpServer|UdpSocket|axum::Server|hyper::Server|warp::serve|rocket::(?:build|ignite|launch)|Server::builder)\b"
    r"|#\[(?:rocket::)?launch\]|\baxum::serve\b|\.launch\(\)"
)
_SERVER = re.compile(r"(?:^|[-_])(?:server|service|serve|api|web|httpd?|daemon)$")
_LINKERS = {"clang": "clang", "lld": "lld", "mold": "mold"}
"""What a linker is called in Cargo's settings, and Debian's package of it."""


def serving_first(tree: Tree, folder: str, package: Mapping[str, Any], names: Mapping[str, str]) -> list[str]:
    """Its programs, that which is most likely the service first: the one that ``default-run`` names, then one that is called a
    server, then one that is called as the package is, then one whose file listens. ``names`` has the file of each."""
    default, own = package.get("default-run"), str(package.get("name") or "")

    def rank(name: str) -> tuple[bool, bool, bool, bool]:
        text = tree.text(joined(folder, names[name]))
        called = bool(_SERVER.search(name)) or name == f"{own}d"
        return name != default, not called, name != own, not _BINDS.search(text)

    return sorted(names, key=rank)


def features(tree: Tree, folder: str) -> str:
    """The options by which its own Dockerfile chooses Cargo's features, none with a variable in it; empty where it does not."""
    for path in tree.named(_DOCKERFILES):
        if folder_of(path) not in (".", folder):
            continue
        for build in _BUILD.findall(tree.text(path).replace("\\\n", " ")):
            found = _FEATURES.search(build)
            said = [f"--features {','.join(re.split(r'[, ]+', found[2].strip()))}"] if found else []
            said += [word for word in ("--no-default-features", "--all-features") if word in build.split()]
            if said:
                return " ".join(sorted(said, reverse=True))
    return ""


def is_offline(tree: Tree, folder: str) -> bool:
    """Whether what SQLx asks a database when it is compiled lies in the repository."""
    homes = with_above(folder)
    return any(
        tree.has(joined(each, "sqlx-data.json")) or any(tree.below(joined(each, ".sqlx"), ".json")) for each in homes
    )


def linkers(tree: Tree, folder: str) -> Iterator[str]:
    """Debian's packages of the linker that Cargo's settings of the repository name for Linux."""
    for home in with_above(folder):
        for name in ("config.toml", "config"):
            text = tree.text(joined(home, posixpath.join(".cargo", name)))
            for section in re.split(r"^(?=\[)", text, flags=re.MULTILINE):
                if re.match(r"\[target\.[^\]]*(?:windows|apple|darwin|wasm|aarch64|musl)", section):
                    continue
                for called, package in _LINKERS.items():
                    if re.search(rf"linker\s*=\s*\"?{called}\b|-fuse-ld={called}\b", section):
                        yield package
