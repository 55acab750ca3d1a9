"""The stand-in for Rust on Alpine: its programs are static, as there, but with the OS's C library in the place of musl.

No registry of packages has Rust's library for musl. A program that is linked whole runs on Alpine, in ``scratch`` and on
distroless ``static`` just as well. ``--target x86_64-unknown-linux-musl`` means the same.
"""

from __future__ import annotations

from pathlib import Path

from deadweight.sources.local import languages
from deadweight.sources.local.alpine import PLACE
from deadweight.sources.local.push import Settings
from deadweight.sources.local.recipes import PATHS, Made, in_place_of
from deadweight.sources.local.workshop import Workshop, link, put

PACKAGES = ("ca-certificates", "gcc", "libc6-dev", "pkg-config")
_WRAPPER = "/usr/local/cargo/stand-in/rustc"
_KNOWN = "/var/lib/dpkg/status.d"
_HOOK = (
    f'--customize-hook=chroot "$1" sh -c \'mkdir -p {_KNOWN} && cd {_KNOWN}'
    ' && touch $(dpkg-query -W -f "\\${Package} ") musl-dev musl-tools\''
)
"""What ``apk add`` finds to be there: these packages, and musl's, for which the OS's C library stands."""

WRAPPER = """#!/bin/sh
# Cargo starts the compiler through this: musl's target is the OS's own, and programs are linked whole.
rustc="$1"
shift
kinds= asked= before=
for word; do
  shift
  case "$word" in
    --target=*-linux-musl) word="${word%musl}gnu" ;;
    *-unknown-linux-musl) [ "$before" != --target ] || word="${word%musl}gnu" ;;
    --print* | *crt-static*) asked=1 ;;
  esac
  [ "$before" != --crate-type ] || kinds="$kinds $word"
  before="$word"
  set -- "$@" "$word"
done
if [ "$kinds" = " bin" ] && [ -z "$asked" ]; then set -- "$@" -C target-feature=+crt-static; fi
exec "$rustc" "$@"
"""
_RUSTUP = """#!/bin/sh
# A toolchain and its targets are here already; nothing else can be had.
echo "rustup: this stand-in has one toolchain: $(rustc --version)" >&2
"""


def rust_alpine(shop: Workshop, parameter: str) -> Made:
    """``VERSION-alpine``: that compiler of this machine, or the OS's newest, and a place for ``apk``."""
    wanted = parameter.partition("-")[0]
    own = languages.rust_of_this_machine()
    packages = (*PACKAGES, *(() if own else ("cargo", "rustc")))
    base = shop.rootfs_layer(packages, fast=True, suite=languages.rust_suite(), hooks=(_HOOK,))

    def fill(root: Path) -> None:
        put(root, _WRAPPER[1:], WRAPPER, executable=True)
        put(root, "usr/local/cargo/bin/rustup", _RUSTUP, executable=True)
        (root / PLACE[1:]).mkdir(parents=True)
        link(root, "usr/sbin/apk", f"{PLACE}/apk")

    layers = (base, *([languages.rust_layer(shop, *own)] if own else []), shop.tree_layer("rust-alpine", fill))
    version = own[1] if own else "the OS's"
    env = (
        *("RUSTUP_HOME=/usr/local/rustup", "CARGO_HOME=/usr/local/cargo", f"PATH=/usr/local/cargo/bin:{PATHS}"),
        *(f"RUST_VERSION={version if own else 'os'}", f"RUSTC_WRAPPER={_WRAPPER}"),
    )
    labels = in_place_of("Rust", f"{version}, with the OS's C library,", f"{wanted or 'its newest'} with musl")
    return Made(layers, Settings(env=env, cmd=("/bin/sh",), labels=labels))
