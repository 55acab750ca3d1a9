"""Stand-ins for Java bases: a jlink runtime on an OS-made base, with and without a shell, and a JDK with Maven."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from deadweight import _run
from deadweight.sources.local.layer import Layer, from_tree
from deadweight.sources.local.push import Settings
from deadweight.sources.local.recipes import PATHS, Made, distroless, distroless_settings, unpack_libraries
from deadweight.sources.local.table import StandIn
from deadweight.sources.local.workshop import Workshop

MODULES = "java.se,jdk.crypto.ec,jdk.httpserver,jdk.jfr,jdk.management,jdk.unsupported,jdk.zipfs"
HOME = "opt/java/openjdk"
LIBRARIES = ("libc6", "libgcc-s1", "libstdc++6", "zlib1g")
MAVEN_PACKAGES = ("ca-certificates", "git", "maven")
MEANT = "17"
"""The Java of the public images that these stand in for."""
_DEBIAN = Path("/usr/lib/jvm")


NEWER_FROM = "trixie"
"""The release of the OS that has the Javas which are later than the one meant."""
NEWER_LIBRARIES = (
    *LIBRARIES,
    "liblcms2-2",
    "libjpeg62-turbo",
    "libpng16-16t64",
    "libfreetype6",
    "libbrotli1",
    "libbz2-1.0",
)


def jre(shop: Workshop, parameter: str) -> Made:
    """eclipse-temurin's JRE: ``MAJOR`` or ``MAJOR-alpine``, empty for the one meant.

    That one is cut by jlink from this machine's JDK; a later one is the OS's own package.
    """
    major, _, flavour = parameter.partition("-")
    if flavour == "alpine":
        return _alpine_jre(shop, major)
    if major not in ("", MEANT):
        package = f"openjdk-{major}-jre-headless"
        env = (f"JAVA_HOME={_home(shop, major)}", f"PATH={PATHS}")
        layer = shop.rootfs_layer((*LIBRARIES, "ca-certificates", package), fast=True, suite=NEWER_FROM)
        return Made((layer,), Settings(env=env, cmd=("jshell",)))
    layers = (shop.rootfs_layer(LIBRARIES), _runtime(shop))
    env = (f"JAVA_HOME=/{HOME}", f"PATH=/{HOME}/bin:{PATHS}")
    return Made(layers, Settings(env=env, cmd=("jshell",), labels=_labels(other_jdk())))


def suite_of(item: StandIn) -> str:
    """The release of the OS that a stand-in for Java is made of; empty for this machine's own."""
    later = item.recipe in ("jre", "maven") and item.parameter not in ("", MEANT)
    return NEWER_FROM if later else ""


def _home(shop: Workshop, major: str) -> Path:
    return _DEBIAN / f"java-{major}-openjdk-{shop.machine.deb}"


def _alpine_jre(shop: Workshop, major: str) -> Made:
    from deadweight.sources.local import alpine

    settings = Settings(
        env=(f"JAVA_HOME=/{HOME}", f"PATH=/{HOME}/bin:{PATHS}"), cmd=("java",), labels=_labels(other_jdk())
    )
    if major == MEANT:
        return Made((alpine.layer(shop, LIBRARIES), _runtime(shop)), settings)
    base = alpine.layer(shop, NEWER_LIBRARIES, suite=NEWER_FROM)
    return Made((base, _newer_runtime(shop, major)), replace(settings, labels={}))


def _newer_runtime(shop: Workshop, major: str) -> Layer:
    """The files of the OS's package where temurin has its own; its settings lie beside them, and its CAs come from this machine."""

    def fill(root: Path) -> None:
        import shutil

        package = shop.unpacked(f"openjdk-{major}-jre-headless", NEWER_FROM)
        shutil.copytree(package / str(_home(shop, major))[1:], root / HOME, symlinks=True)
        shutil.copytree(package / f"etc/java-{major}-openjdk", root / f"etc/java-{major}-openjdk", symlinks=True)

    return shop.tree_layer(f"java-{major}", fill)


def java21(shop: Workshop, flavour: str) -> Made:
    """Distroless Java 21, of the OS's own package."""
    major = "21"

    def fill(root: Path) -> None:
        distroless(shop, root, ("base-files", "ca-certificates", "netbase", "tzdata"))
        unpack_libraries(shop, root, NEWER_LIBRARIES, suite=NEWER_FROM)
        _utf8_locale(shop.unpacked("libc-bin", NEWER_FROM), root)

    env = (f"JAVA_HOME=/{HOME}", f"PATH=/{HOME}/bin:{PATHS}")
    settings = distroless_settings(flavour, env=env, entrypoint=(f"/{HOME}/bin/java", "-jar"))
    return Made((shop.tree_layer("java21", fill), _newer_runtime(shop, major)), settings)


def java17(shop: Workshop, flavour: str) -> Made:
    """Distroless Java: no shell, no awk; the static base with the four libraries and the locale that a JVM needs."""

    def fill(root: Path) -> None:
        distroless(shop, root, ("base-files", "ca-certificates", "netbase", "tzdata", *LIBRARIES))
        unpack_libraries(shop, root, LIBRARIES)
        _utf8_locale(shop.unpacked("libc-bin"), root)

    env = (f"JAVA_HOME=/{HOME}", f"PATH=/{HOME}/bin:{PATHS}")
    settings = distroless_settings(flavour, env=env, entrypoint=(f"/{HOME}/bin/java", "-jar"))
    settings = replace(settings, labels={**settings.labels, **_labels(other_jdk())})
    return Made((shop.tree_layer("java17", fill), _runtime(shop)), settings)


def maven(shop: Workshop, parameter: str) -> Made:
    """A JDK and Maven on the OS, for the build stage of a Dockerfile: the JDK that set-up would install here, or a later one."""
    from deadweight.toolchain import catalogue, system

    major = parameter.partition("-")[0]
    if major not in ("", MEANT):
        packages = (*MAVEN_PACKAGES, f"openjdk-{major}-jdk-headless")
        env = (f"PATH={PATHS}", f"JAVA_HOME={_home(shop, major)}", "MAVEN_CONFIG=/root/.m2")
        return Made((shop.rootfs_layer(packages, fast=True, suite=NEWER_FROM),), Settings(env=env, cmd=("mvn",)))
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
