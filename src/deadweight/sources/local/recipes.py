"""How each stand-in is made: its layers and its run-time settings. One function a recipe, and the table of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deadweight import _run
from deadweight.sources.local.layer import Layer
from deadweight.sources.local.push import Settings
from deadweight.sources.local.workshop import Workshop, accounts, link, put

PATHS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
GO_PACKAGES = (
    "ca-certificates curl g++ gcc git gnupg libc6-dev make netbase openssh-client pkg-config procps wget".split()  # noqa: SIM905
)
STATIC_PACKAGES = ("base-files", "ca-certificates", "netbase", "tzdata")


@dataclass(frozen=True)
class Made:
    """What a recipe gives."""

    layers: tuple[Layer, ...]
    settings: Settings


Recipe = Callable[[Workshop, str], Made]


def golang(shop: Workshop, version: str) -> Made:
    """Debian with a C toolchain and git, as the original has, and really that Go."""
    env = (
        f"PATH=/go/bin:/usr/local/go/bin:{PATHS}",
        *(f"GOLANG_VERSION={version}", "GOTOOLCHAIN=local", "GOPATH=/go"),
    )
    layers = (shop.rootfs_layer(GO_PACKAGES, fast=True), shop.go_layer(version))
    return Made(layers, Settings(env=env, cmd=("bash",), workdir="/go"))


def ubuntu(shop: Workshop, _: str) -> Made:
    """The OS of this machine with bash, coreutils, mawk, apt and dpkg; it keeps its own os-release."""
    return Made((shop.rootfs_layer(()),), Settings(env=(f"PATH={PATHS}",), cmd=("/bin/bash",)))


def alpine(shop: Workshop, _: str) -> Made:
    """musl and a dynamic busybox, with alpine's layout. apk-tools cannot be had."""

    def fill(root: Path) -> None:
        tools, loader = shop.busybox(), shop.machine.musl_loader
        accounts(root, "/bin/sh")
        put(root, "bin/busybox", tools.dynamic, executable=True)
        for applet in tools.applets:
            link(root, applet, "/bin/busybox")
        library = next(shop.unpacked("musl").rglob("libc.so"))
        put(root, f"lib/{loader}", library, executable=True)
        link(root, f"lib/{loader.replace('ld-musl-', 'libc.musl-')}", loader)
        put(root, CERTIFICATES, shop.certificates())
        _os_release(root, "alpine", f"musl, busybox {tools.version}")

    return Made((shop.tree_layer("alpine", fill),), Settings(env=(f"PATH={PATHS}",), cmd=("/bin/sh",)))


def busybox(shop: Workshop, _: str) -> Made:
    """One static busybox, certificates, a user without rights. Also the donor of an awk for bases that have none."""

    def fill(root: Path) -> None:
        tools = shop.busybox()
        accounts(root, "/bin/sh")
        put(root, "bin/busybox", tools.static, executable=True)
        for applet in tools.applets:
            link(root, applet, "/bin/busybox")
        put(root, CERTIFICATES, shop.certificates())
        _os_release(root, "chainguard/busybox", f"static busybox {tools.version}")

    env = (f"PATH={PATHS}", f"SSL_CERT_FILE=/{CERTIFICATES}")
    return Made((shop.tree_layer("busybox", fill),), Settings(env=env, entrypoint=("/bin/sh", "-l"), user="65532"))


def tools(shop: Workshop, _: str) -> Made:
    """The busybox stand-in as root: tools for a look into a container that has none."""
    settings = Settings(env=(f"PATH={PATHS}",), cmd=("/bin/sh",))
    return Made(busybox(shop, "").layers, settings)


def static(shop: Workshop, flavour: str) -> Made:
    """What Google's static image holds: base-files, netbase, time zones, certificates, and dpkg's word on each of them."""

    def fill(root: Path) -> None:
        distroless(shop, root, STATIC_PACKAGES)

    layers: tuple[Layer, ...] = (shop.tree_layer("static", fill),)
    if "debug" in flavour:
        layers += (shop.tree_layer("static-debug", lambda root: _debug_tools(shop, root)),)
    return Made(layers, distroless_settings(flavour, cmd=("/busybox/sh",) if "debug" in flavour else ()))


def _debug_tools(shop: Workshop, root: Path) -> None:
    tools = shop.busybox()
    put(root, "busybox/busybox", tools.static, executable=True)
    for applet in tools.applets:
        link(root, f"busybox/{Path(applet).name}", "/busybox/busybox")


def distroless(shop: Workshop, root: Path, packages: tuple[str, ...]) -> None:
    accounts(root, "/sbin/nologin")
    base, net, zones = (shop.unpacked(name) for name in ("base-files", "netbase", "tzdata"))
    for name in ("protocols", "services", "rpc", "ethertypes"):
        if (net / "etc" / name).is_file():
            put(root, f"etc/{name}", net / "etc" / name)
    put(root, "usr/lib/os-release", base / "usr/lib/os-release")
    link(root, "etc/os-release", "../usr/lib/os-release")
    put(root, "etc/debian_version", base / "etc/debian_version")
    put(root, CERTIFICATES, shop.certificates())
    zoneinfo = zones / "usr/share/zoneinfo"
    for path in sorted(zoneinfo.rglob("*")):
        name = f"usr/share/zoneinfo/{path.relative_to(zoneinfo).as_posix()}"
        if path.is_symlink():
            link(root, name, str(path.readlink()))
        elif path.is_file():
            put(root, name, path)
    for name, package in shop.packages.get(packages).items():
        if name in packages:
            control = _run.run(["dpkg-deb", "--field", package]).output
            put(root, f"var/lib/dpkg/status.d/{name}", control)


def distroless_settings(flavour: str, *, cmd: tuple[str, ...] = (), **more: tuple[str, ...]) -> Settings:
    user = "65532" if "nonroot" in flavour else "0"
    path = f"{PATHS}:/busybox" if cmd else PATHS
    return Settings(
        env=(f"PATH={path}", f"SSL_CERT_FILE=/{CERTIFICATES}", *more.get("env", ())),
        cmd=cmd,
        entrypoint=more.get("entrypoint", ()),
        user=user,
        workdir="/home/nonroot" if user != "0" else "/",
    )


def _os_release(root: Path, name: str, what: str) -> None:
    """An honest one: a scanner that took it for the original would use the wrong advisories."""
    put(
        root,
        "etc/os-release",
        f'ID=deadweight-stand-in\nNAME="Deadweight stand-in for {name}"\n'
        f'PRETTY_NAME="Deadweight stand-in for {name} ({what})"\nVERSION_ID="1"\n',
    )
