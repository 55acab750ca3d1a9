"""Stand-ins for Rust. On Alpine, and for musl's target, programs are static as there, with the OS's C library in musl's place.

No registry of packages has Rust's library for musl. A program that is linked whole runs on Alpine, in ``scratch`` and on
distroless ``static`` just as well. ``--target x86_64-unknown-linux-musl`` means the same.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from deadweight import _run
from deadweight_images.archive.pack import FAST, Layer, from_tree
from deadweight_standins.alpine import APK_KNOWS, place_for_apk
from deadweight_standins.push import Settings
from deadweight_standins.recipes import FULL_PACKAGES, PATHS, Made, in_place_of
from deadweight_standins.suites import SID
from deadweight_standins.workshop import Workshop, put

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


def rust(shop: Workshop, parameter: str) -> Made:
    """``VERSION[-slim]``: the official toolchain of this machine where it has one, else the OS's newest."""
    wanted, _, flavour = parameter.partition("-")
    slim = ("ca-certificates", "gcc", "libc6-dev")
    packages = (*(slim if flavour == "slim" else FULL_PACKAGES), "libssl-dev", "pkg-config")
    own = rust_of_this_machine()
    base = shop.rootfs_layer((*packages, *(() if own else ("cargo", "rustc"))), fast=True, suite=rust_suite())
    labels = in_place_of("Rust", own[1] if own else "the OS's", wanted)
    return _made(shop, base, own, labels, alpine=False)


def rust_alpine(shop: Workshop, parameter: str) -> Made:
    """``VERSION-alpine``: that compiler of this machine, or the OS's newest, and a place for ``apk``."""
    wanted = parameter.partition("-")[0]
    own = rust_of_this_machine()
    packages = (*PACKAGES, *(() if own else ("cargo", "rustc")))
    base = shop.rootfs_layer(packages, fast=True, suite=rust_suite(), hooks=(APK_KNOWS,))
    version = own[1] if own else "the OS's"
    labels = in_place_of("Rust", f"{version}, with the OS's C library,", f"{wanted or 'its newest'} with musl")
    return _made(shop, base, own, labels, alpine=True)


def _made(
    shop: Workshop, base: Layer, own: tuple[Path, str] | None, labels: Mapping[str, str], *, alpine: bool
) -> Made:
    """A base with a toolchain, the program that stands before the compiler, and on Alpine a place for ``apk``."""
    place = _WRAPPER_OF_ALPINE if alpine else _WRAPPER

    def fill(root: Path) -> None:
        put(root, place[1:], wrapper(alpine=alpine), executable=True)
        put(root, "usr/local/cargo/bin/rustup", _RUSTUP, executable=True)
        if alpine:
            place_for_apk(root)

    more = shop.tree_layer("rust-alpine" if alpine else "rust-wrapper", fill)
    layers = (base, *([rust_layer(shop, *own)] if own else []), more)
    env = (
        *("RUSTUP_HOME=/usr/local/rustup", "CARGO_HOME=/usr/local/cargo", f"PATH=/usr/local/cargo/bin:{PATHS}"),
        *(f"RUST_VERSION={own[1] if own else 'os'}", f"RUSTC_WRAPPER={place}"),
    )
    return Made(layers, Settings(env=env, cmd=("/bin/sh" if alpine else "bash",), labels=labels))


def rust_layer(shop: Workshop, folder: Path, version: str) -> Layer:
    """A toolchain of this machine below ``/usr/local/cargo``."""

    def make() -> Layer:
        with tempfile.TemporaryDirectory(prefix="deadweight-rust-", dir=shop.folder) as work:
            root = Path(work) / "cargo"
            for name in ("bin", "lib"):
                shutil.copytree(folder / name, root / name, symlinks=True)
            return from_tree(root, shop.folder / "layers" / f"rust-{version}.tgz", prefix="usr/local/cargo", level=FAST)

    return shop.once(f"rust {version}", make)


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
