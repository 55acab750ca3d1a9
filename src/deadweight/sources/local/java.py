"""Stand-ins for Java bases: a jlink runtime on an OS-made base, with and without a shell, and a JDK with Maven."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path

from deadweight import _run
from deadweight.sources.local.layer import Layer, from_tree
from deadweight.sources.local.push import Settings
from deadweight.sources.local.recipes import PATHS, Made, distroless, distroless_settings
from deadweight.sources.local.workshop import Workshop

MODULES = "java.se,jdk.crypto.ec,jdk.httpserver,jdk.jfr,jdk.management,jdk.unsupported,jdk.zipfs"
HOME = "opt/java/openjdk"
LIBRARIES = ("libc6", "libgcc-s1", "libstdc++6", "zlib1g")
MAVEN_PACKAGES = ("ca-certificates", "git", "maven")
MEANT = "17"
"""The Java of the public images that these stand in for."""
_DEBIAN = Path("/usr/lib/jvm")


def jre(shop: Workshop, _: str) -> Made:
    """eclipse-temurin's JRE: the OS with a shell, and a runtime cut by jlink from this machine's JDK."""
    layers = (shop.rootfs_layer(LIBRARIES), _runtime(shop))
    env = (f"JAVA_HOME=/{HOME}", f"PATH=/{HOME}/bin:{PATHS}")
    return Made(layers, Settings(env=env, cmd=("jshell",), labels=_labels(other_jdk())))


def java17(shop: Workshop, flavour: str) -> Made:
    """Distroless Java: no shell, no awk; the static base with the four libraries and the locale that a JVM needs."""

    def fill(root: Path) -> None:
        distroless(shop, root, ("base-files", "ca-certificates", "netbase", "tzdata", *LIBRARIES))
        for name in LIBRARIES:
            _libraries(shop.unpacked(name), root)
        _utf8_locale(shop.unpacked("libc-bin"), root)

    env = (f"JAVA_HOME=/{HOME}", f"PATH=/{HOME}/bin:{PATHS}")
    settings = distroless_settings(flavour, env=env, entrypoint=(f"/{HOME}/bin/java", "-jar"))
    settings = replace(settings, labels={**settings.labels, **_labels(other_jdk())})
    return Made((shop.tree_layer("java17", fill), _runtime(shop)), settings)


def maven(shop: Workshop, _: str) -> Made:
    """A JDK and Maven on the OS, for the build stage of a Dockerfile: the JDK that set-up would install here."""
    from deadweight.toolchain import catalogue, system

    package = system.chosen(catalogue.JDK_APT)
    number = package.removeprefix("openjdk-").partition("-")[0]
    folder = f"java-{number}-openjdk-{shop.machine.deb}" if number.isdigit() else "default-java"
    env = (f"PATH={PATHS}", f"JAVA_HOME={_DEBIAN / folder}", "MAVEN_CONFIG=/root/.m2")
    labels = _labels("" if number == MEANT else package)
    return Made(
        (shop.rootfs_layer((*MAVEN_PACKAGES, package), fast=True),), Settings(env=env, cmd=("mvn",), labels=labels)
    )


def other_jdk() -> str:
    """The version of the JDK that runtimes are cut from where it is not the one meant, else empty.

    A part of what such a stand-in is made of: with another JDK it is made anew.
    """
    from deadweight.toolchain.find import look

    version = look("java").version
    return version if version and not _of_debian() and version.partition(".")[0] != MEANT else ""


def _labels(jdk: str) -> dict[str, str]:
    return {"org.opencontainers.image.description": f"made with another JDK: {jdk}"} if jdk else {}


def _of_debian() -> Path | None:
    """The JDK that is meant, where it stands beside a later one that is found first."""
    return next(iter(sorted(_DEBIAN.glob(f"java-{MEANT}-openjdk*/bin/jlink"))), None)


def _runtime(shop: Workshop) -> Layer:
    def make() -> Layer:
        from deadweight.toolchain.find import find

        jlink = _of_debian() or find("java").path.resolve().parent / "jlink"
        with tempfile.TemporaryDirectory(prefix="deadweight-jlink-") as work:
            out = Path(work) / "runtime"
            trim = ("--strip-debug", "--no-man-pages", "--no-header-files", "--compress=1")
            _run.run([jlink, "--add-modules", MODULES, *trim, "--output", out], log=shop.log)
            return from_tree(out, shop.folder / "layers" / "jre.tgz", prefix=HOME)

    return shop.once("jlink runtime", make)


def _utf8_locale(package: Path, root: Path) -> None:
    """The locale C.UTF-8, which distroless Java images carry: without it a JVM takes arguments and file names for ASCII."""
    import shutil

    place = Path("usr/lib/locale/C.utf8")
    if (package / place).is_dir():
        shutil.copytree(package / place, root / place, symlinks=True)


def _libraries(package: Path, root: Path) -> None:
    """Copy a package's shared objects to the place where the loader looks; the loader itself to its fixed name."""
    import shutil

    for path in sorted(package.rglob("*.so*")):
        relative = path.relative_to(package)
        if "gdb" in relative.parts or "gconv" in relative.parts or path.is_dir():
            continue
        target = root / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(target):
            shutil.copy2(path, target, follow_symlinks=False)
