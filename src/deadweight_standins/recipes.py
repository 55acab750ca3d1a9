"""Make stand-in images for Ubuntu, distroless, busybox and more: the layers and run settings of each."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deadweight import _run
from deadweight.toolchain import catalogue, golang
from deadweight_images.archive.pack import FAST, Layer
from deadweight_standins import apt_releases
from deadweight_standins.apk_build import RELEASE
from deadweight_standins.bases import Renamed, names
from deadweight_standins.build_cache import BuildCache, Settings, accounts, link, put
from deadweight_standins.machine import Machine, wording

PATHS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
DISTROLESS: dict[str, tuple[str, ...]] = {
    "base-nossl": ("libc6",),
    "base": ("libc6", "libssl3"),
    "cc": ("libc6", "libssl3", "libgcc-s1", "libstdc++6", "libgomp1"),
}
_LISTS = names().lists
BUILD_PACKAGES, SLIM_PACKAGES, STATIC_PACKAGES = _LISTS["build"], _LISTS["slim"], _LISTS["static"]
FULL_PACKAGES = (*BUILD_PACKAGES, *_LISTS["headers"])


@dataclass(frozen=True)
class Made:
    """What a recipe gives."""

    layers: tuple[Layer, ...]
    settings: Settings


Recipe = Callable[[BuildCache, str], Made]


def ubuntu(cache: BuildCache, suite: str) -> Made:
    """The OS with bash, coreutils, mawk, apt and dpkg; it keeps its own os-release. ``suite``: empty for this machine's own."""
    return Made((cache.rootfs_layer((), suite=suite),), Settings(env=(f"PATH={PATHS}",), cmd=("/bin/bash",)))


def buildpack(cache: BuildCache, suite: str) -> Made:
    """The OS with a compiler and the headers of its libraries."""
    layer = cache.rootfs_layer(FULL_PACKAGES, fast=True, suite=suite)
    return Made((layer,), Settings(env=(f"PATH={PATHS}",), cmd=("bash",)))


def feeds(cache: BuildCache, suite: str) -> Made:
    """What a RUN with apt-get gets as mounts: this machine's package sources for a release of the OS.

    A second file of sources adds packages that are called otherwise now.
    """

    def fill(root: Path) -> None:
        own = apt_releases.sources(cache.machine.codename, suite or cache.machine.codename)
        put(root, "stand-in.sources", own)
        put(root, "99stand-in", apt_releases.settings())
        fill_renamed(root, cache.machine)
        put(root, f"{RENAMED_FOLDER}/stand-in.sources", f"{own.rstrip()}\n\n{RENAMED_SOURCES}")

    return Made((cache.tree_layer(f"feeds-{suite}", fill),), Settings())


def distroless_base(cache: BuildCache, parameter: str) -> Made:
    """Distroless with a C library: ``base[-FLAVOUR]`` has OpenSSL too, ``cc[-FLAVOUR]`` C++'s libraries on top."""
    kind = next(kind for kind in DISTROLESS if parameter.startswith(kind))
    return _distroless(cache, f"distroless-{kind}", DISTROLESS[kind], parameter.removeprefix(kind))


def static(cache: BuildCache, flavour: str) -> Made:
    """What Google's static image holds: base-files, netbase, time zones, certificates, and dpkg's word on each of them."""
    return _distroless(cache, "static", (), flavour)


def _distroless(cache: BuildCache, name: str, libraries: tuple[str, ...], flavour: str) -> Made:
    def fill(root: Path) -> None:
        distroless(cache, root, (*STATIC_PACKAGES, *libraries))
        if libraries:
            unpack_libraries(cache, root, libraries)

    layers: tuple[Layer, ...] = (cache.tree_layer(name, fill),)
    if "debug" in flavour:
        layers += (cache.tree_layer("static-debug", lambda root: _debug_tools(cache, root)),)
    return Made(layers, distroless_settings(flavour, cmd=("/busybox/sh",) if "debug" in flavour else ()))


def unpack_libraries(cache: BuildCache, root: Path, packages: Sequence[str], suite: str = "") -> None:
    """The shared objects of packages where the loader looks, and the loader at its fixed name."""
    cache.of(suite).get(packages)
    for name in packages:
        package = cache.unpacked(name, suite)
        for path in sorted(package.rglob("*.so*")):
            relative = path.relative_to(package)
            if path.is_dir() or {"gdb", "gconv"} & set(relative.parts):
                continue
            target = root / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            if not os.path.lexists(target):
                shutil.copy2(path, target, follow_symlinks=False)
    for loader in sorted((root / "usr/lib").glob("*/ld-linux-*.so.*")):  # newer releases keep it in one place only
        folder = "lib64" if "x86-64" in loader.name else "lib"
        link(root, f"{folder}/{loader.name}", f"/{loader.relative_to(root).as_posix()}")


def busybox(cache: BuildCache, _: str) -> Made:
    """One static busybox, certificates, a user without rights. Attacks bind it in as a shell where an image has none."""

    def fill(root: Path) -> None:
        tools = cache.busybox()
        accounts(root, "/bin/sh")
        put(root, "bin/busybox", tools.static, executable=True)
        for applet in tools.applets:
            link(root, applet, "/bin/busybox")
        put(root, CERTIFICATES, cache.certificates())
        os_release(root, "chainguard/busybox", f"static busybox {tools.version}")

    env = (f"PATH={PATHS}", f"SSL_CERT_FILE=/{CERTIFICATES}")
    return Made((cache.tree_layer("busybox", fill),), Settings(env=env, entrypoint=("/bin/sh", "-l"), user="65532"))


def tools(cache: BuildCache, _: str) -> Made:
    """The busybox stand-in as root: tools for a look into a container that has none."""
    return Made(busybox(cache, "").layers, Settings(env=(f"PATH={PATHS}",), cmd=("/bin/sh",)))


def _debug_tools(cache: BuildCache, root: Path) -> None:
    tools = cache.busybox()
    put(root, "busybox/busybox", tools.static, executable=True)
    for applet in tools.applets:
        link(root, f"busybox/{Path(applet).name}", "/busybox/busybox")


def distroless(cache: BuildCache, root: Path, packages: tuple[str, ...]) -> None:
    accounts(root, "/sbin/nologin")
    base, net = (cache.unpacked(name) for name in ("base-files", "netbase"))
    for name in ("protocols", "services", "rpc", "ethertypes"):
        if (net / "etc" / name).is_file():
            put(root, f"etc/{name}", net / "etc" / name)
    put(root, "usr/lib/os-release", base / "usr/lib/os-release")
    link(root, "etc/os-release", "../usr/lib/os-release")
    put(root, "etc/debian_version", base / "etc/debian_version")
    put(root, CERTIFICATES, cache.certificates())
    zones(cache, root)
    for name, package in cache.packages.get(packages).items():
        if name in packages:
            control = _run.run(["dpkg-deb", "--field", package]).output
            put(root, f"var/lib/dpkg/status.d/{name}", control)


def zones(cache: BuildCache, root: Path) -> None:
    """The time zones where programs look for them."""
    zoneinfo = cache.unpacked("tzdata") / "usr/share/zoneinfo"
    for path in sorted(zoneinfo.rglob("*")):
        name = f"usr/share/zoneinfo/{path.relative_to(zoneinfo).as_posix()}"
        if path.is_symlink():
            link(root, name, str(path.readlink()))
        elif path.is_file():
            put(root, name, path)


def distroless_settings(flavour: str, *, cmd: tuple[str, ...] = (), **more: tuple[str, ...]) -> Settings:
    user, workdir = ("65532", "/home/nonroot") if "nonroot" in flavour else ("0", "/")
    path = f"{PATHS}:/busybox" if cmd else PATHS
    env = (f"PATH={path}", f"SSL_CERT_FILE=/{CERTIFICATES}", *more.get("env", ()))
    return Settings(env=env, cmd=cmd, entrypoint=more.get("entrypoint", ()), user=user, workdir=workdir)


def os_release(root: Path, name: str, what: str) -> None:
    """An honest one: a scanner that took it for the original would use the wrong advisories."""
    put(root, "etc/os-release", RELEASE.format(name=name, what=what))


def in_place_of(what: str, made: str, wanted: str, lacking: Sequence[str] = ()) -> dict[str, str]:
    """The label that tells where another version stands in than the tag names, and what the one that does lacks."""
    same = not wanted or made == wanted or made.startswith(f"{wanted}.") or wanted.startswith(f"{made}.")
    text = "" if same else wording("label.in_place", what=what, made=made, wanted=wanted)
    if lacking:
        text = wording("label.without", made=text or f"{what} {made}", names=", ".join(lacking))
    return {"org.opencontainers.image.description": text} if text else {}


# The stand-in for BuildKit's generator of SBOMs: the pinned Trivy, with a program of ours that speaks BuildKit's protocol.
SOURCE = Path(__file__).with_name("scanner")


def generator(cache: BuildCache, _: str) -> Made:
    """Both programs are static, and what Trivy would download is empty: so there is nothing else in it."""

    def fill(root: Path) -> None:
        from deadweight.checks.scan import database as trivy_cache
        from deadweight.toolchain.find import find

        put(root, "scan", golang.built(cache.machine.oci, SOURCE), executable=True)
        put(root, "trivy", find("trivy").path, executable=True)
        trivy_cache.prepare(root / "cache", None)

    layer = cache.tree_layer("scanner", fill, level=FAST)
    return Made((layer,), Settings(entrypoint=("/scan",)))


def edition() -> str:
    """What it is made of."""
    return f"trivy {catalogue.program('trivy').pinned} {golang.source_digest(SOURCE)[:16]}"


# Names that Debian's packages had when many Dockerfiles were written, for releases that know them no more.
#
# Each is an empty package that depends on what it is called now, and that says of itself that it is a stand-in. It is older than
# any real one, so it is taken only where there is none.
RENAMED_FOLDER = "renamed"
RENAMED_PLACE = "/media"
"""Where the packages are while a RUN lasts: every Debian image has this folder, and it is empty."""

RENAMED_SOURCES = f"Types: deb\nURIs: file:{RENAMED_PLACE}\nSuites: ./\nTrusted: yes\n"


def installs_renamed(command: str) -> bool:
    """Whether a command may install one of them by its old name."""
    old = "|".join(map(re.escape, names().renamed))
    return bool(re.search(rf"(?<![\w.+-])(?:{old})(?![\w.+-])", command))


def fill_renamed(root: Path, machine: Machine) -> None:
    """Write a flat repository of them into ``root``. Raises CommandError where dpkg-deb fails."""
    with tempfile.TemporaryDirectory(prefix="deadweight-renamed-") as work:
        made = [_package(Path(work), name, entry) for name, entry in names().renamed.items()]
        apt_releases.repository_of(made, machine, machine.codename, root / RENAMED_FOLDER)


def _package(work: Path, name: str, entry: Renamed) -> Path:
    tree, package = work / "trees" / name, work / f"{name}_{entry.version}_all.deb"
    control = (
        f"Package: {name}\nVersion: {entry.version}\nArchitecture: all\nMaintainer: Deadweight <nobody@example.invalid>\n"
        f"Depends: {entry.now}\nDescription: stand-in for a name that this release does not know\n"
    )
    put(tree, "DEBIAN/control", control)
    (tree / "DEBIAN").chmod(0o755)
    if entry.link is not None:
        link(tree, *entry.link)
    environment = {"SOURCE_DATE_EPOCH": "0"}
    _run.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", tree, package], env=environment)
    return package
