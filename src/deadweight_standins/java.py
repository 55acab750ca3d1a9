"""Make stand-ins for Java base images: a JRE made by jlink, with or without a shell, and a JDK with Maven."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from deadweight import _run
from deadweight.sources.network import jks
from deadweight_images.archive.pack import Layer, from_tree
from deadweight_standins import alpine, downloads, machine
from deadweight_standins.apt_releases import SID
from deadweight_standins.build_cache import BuildCache, Settings, link
from deadweight_standins.machine import MEANT, jlink_of_debian, other_jdk, wording
from deadweight_standins.recipes import PATHS, Made, distroless, distroless_settings, in_place_of, unpack_libraries
from deadweight_standins.stand_in import StandIn

MODULES = "java.se,jdk.crypto.ec,jdk.httpserver,jdk.jfr,jdk.management,jdk.unsupported,jdk.zipfs"
HOME = "opt/java/openjdk"
LIBRARIES = ("libc6", "libgcc-s1", "libstdc++6", "zlib1g")
JDK_PACKAGES = ("binutils", "ca-certificates", "curl", "tzdata")
MAVEN_PACKAGES = ("git", "openssh-client")
JAVAS = {"8": SID, "11": SID, MEANT: "", "21": "trixie", "25": "trixie", "26": SID}
"""Which release of the OS has which Java. The one meant is cut from this machine's JDK, or is what apt has here."""
NEWER_LIBRARIES = (
    *(*LIBRARIES, "liblcms2-2", "libjpeg62-turbo"),
    *("libpng16-16t64", "libfreetype6", "libbrotli1", "libbz2-1.0"),
)
MAVEN = "3.9.12"
MAVEN_FILE = f"org/apache/maven/apache-maven/{MAVEN}/apache-maven-{MAVEN}-bin.tar.gz"
MAVEN_DIGEST = "fa2c9948729296c23afd18fd01a90f62cdda09a46191b54a8bc3764c2eee812e"


def release(wanted: str) -> str:
    """The Java that stands in for ``wanted``: that one, else the next later one; the one meant where nothing is asked for."""
    later = (major for major in JAVAS if not wanted or int(major) >= int(wanted))
    return MEANT if not wanted else next(later, list(JAVAS)[-1])


def jre(cache: BuildCache, parameter: str) -> Made:
    """eclipse-temurin's JRE: ``MAJOR`` or ``MAJOR-alpine``, empty for the one meant.

    That one is cut by jlink from this machine's JDK, on the layer of ``ubuntu``, whose apt needs the same libraries; another
    one is made of the files of the OS's package.
    """
    wanted, _, flavour = parameter.partition("-")
    major = release(wanted)
    if major == MEANT:
        base = alpine.layer(cache, LIBRARIES) if flavour == "alpine" else cache.rootfs_layer(())
        layers, labels = (base, _runtime(cache)), _labels(other_jdk()) or in_place_of("Java", major, wanted)
    else:
        layers, labels = (_base(cache, major, flavour), _of_packages(cache, major)), in_place_of("Java", major, wanted)
    return Made(layers, Settings(env=_environment(), cmd=("jshell",), labels=labels))


def jdk(cache: BuildCache, parameter: str, more: Sequence[str] = ()) -> Made:
    """A JDK: ``MAJOR[-alpine]``. Of the one meant, that which set-up would install here; others as the OS's packages have them."""
    from deadweight.toolchain import system
    from deadweight.toolchain.catalogue import PROGRAMS

    wanted, _, flavour = parameter.partition("-")
    major = release(wanted)
    if major != MEANT or flavour == "alpine":
        layers = (_base(cache, major, flavour, (*JDK_PACKAGES, *more)), _of_packages(cache, major, jdk=True))
        return Made(layers, Settings(env=_environment(), cmd=("jshell",), labels=in_place_of("Java", major, wanted)))
    package = system.chosen(PROGRAMS["java"].packages["apt"][0])
    number = package.removeprefix("openjdk-").partition("-")[0]
    folder = f"java-{number}-openjdk-{cache.machine.deb}" if number.isdigit() else "default-java"
    env = (f"PATH={PATHS}", f"JAVA_HOME={machine.JVMS / folder}")
    labels = _labels("" if number == MEANT else package) or in_place_of("Java", major, wanted)
    layer = cache.rootfs_layer((*JDK_PACKAGES, *more, package), fast=True)
    return Made((layer,), Settings(env=env, cmd=("jshell",), labels=labels))


def maven(cache: BuildCache, parameter: str) -> Made:
    """A JDK and Maven, for the build stage of a Dockerfile. Maven is its own distribution, which its repository has too."""
    made = jdk(cache, parameter, MAVEN_PACKAGES)
    env = (*made.settings.env, "MAVEN_HOME=/usr/share/maven", "MAVEN_CONFIG=/root/.m2")
    return Made((*made.layers, _maven(cache)), replace(made.settings, env=env, cmd=("mvn",)))


def _maven(cache: BuildCache) -> Layer:
    def fill(root: Path) -> None:
        archive = downloads.fetch_from_maven(cache, MAVEN_FILE, MAVEN_DIGEST)
        with tempfile.TemporaryDirectory(prefix="deadweight-maven-", dir=cache.folder) as work:
            with tarfile.open(archive) as files:
                # Debian 12's Python, 3.11.2, knows no argument filter; later ones warn where none is set
                files.extraction_filter = getattr(tarfile, "data_filter", None)
                files.extractall(work)  # noqa: S202 - its digest was checked
            shutil.copytree(Path(work) / f"apache-maven-{MAVEN}", root / "usr/share/maven")
        link(root, "usr/bin/mvn", "/usr/share/maven/bin/mvn")

    return cache.tree_layer(f"maven-{MAVEN}", fill)


def suite_of(item: StandIn) -> str:
    """The release of the OS that a stand-in for Java is made of; empty for this machine's own."""
    return JAVAS[release(item.parameter.partition("-")[0])] if item.recipe in ("jre", "jdk", "maven") else ""


def _environment() -> tuple[str, ...]:
    return (f"JAVA_HOME=/{HOME}", f"PATH=/{HOME}/bin:{PATHS}", "LANG=C.UTF-8")


def _base(cache: BuildCache, major: str, flavour: str, more: Sequence[str] = ()) -> Layer:
    """What a Java of the OS's packages stands on."""
    suite = JAVAS[major]
    libraries = NEWER_LIBRARIES if suite else LIBRARIES
    if flavour == "alpine":
        return alpine.layer(cache, libraries, suite=suite)
    return cache.rootfs_layer(tuple(dict.fromkeys((*libraries, "ca-certificates", *more))), fast=True, suite=suite)


def _of_packages(cache: BuildCache, major: str, *, jdk: bool = False) -> Layer:
    """The files of the OS's packages where temurin has its own, whole without /etc, and trusting what this machine trusts."""

    def fill(root: Path) -> None:
        for kind in ("jre", "jdk") if jdk else ("jre",):
            package = cache.unpacked(f"openjdk-{major}-{kind}-headless", JAVAS[major])
            home = package / f"usr/lib/jvm/java-{major}-openjdk-{cache.machine.deb}"
            shutil.copytree(home, root / HOME, symlinks=True, dirs_exist_ok=True)
            _settle(root / HOME, package)
        for trust in [path for path in (root / HOME).rglob("*") if path.name == "cacerts"]:
            trust.unlink()
            trust.write_bytes(jks(cache.certificates()))

    return cache.tree_layer(f"java-{major}{'-jdk' if jdk else ''}", fill)


def _settle(home: Path, package: Path) -> None:
    """The OS keeps a Java's settings in /etc, with links to them: here they lie in it, so that it can be copied to anywhere."""
    for path in sorted(home.rglob("*")):
        if path.is_symlink() and str(path.readlink()).startswith("/etc/java-"):
            target = package / str(path.readlink())[1:]
            if target.is_dir():
                path.unlink()
                shutil.copytree(target, path)
            elif target.is_file():
                path.unlink()
                shutil.copyfile(target, path)


def java21(cache: BuildCache, flavour: str) -> Made:
    """Distroless Java 21, of the OS's own package."""
    return _distroless(cache, flavour, "21")


def java17(cache: BuildCache, flavour: str) -> Made:
    """Distroless Java 17, cut from this machine's JDK."""
    return _distroless(cache, flavour, MEANT)


def _distroless(cache: BuildCache, flavour: str, major: str) -> Made:
    """No shell, no awk; the static base with the libraries and the locale that a JVM needs."""
    suite, cut = JAVAS[major], major == MEANT
    libraries = LIBRARIES if cut else NEWER_LIBRARIES

    def fill(root: Path) -> None:
        distroless(cache, root, ("base-files", "ca-certificates", "netbase", "tzdata", *(libraries if cut else ())))
        unpack_libraries(cache, root, libraries, suite)
        # distroless Java images carry it: without it a JVM takes arguments and file names for ASCII
        locale = cache.unpacked("libc-bin", suite) / "usr/lib/locale/C.utf8"
        if locale.is_dir():
            shutil.copytree(locale, root / "usr/lib/locale/C.utf8", symlinks=True)

    env = (f"JAVA_HOME=/{HOME}", f"PATH=/{HOME}/bin:{PATHS}")
    settings = distroless_settings(flavour, env=env, entrypoint=(f"/{HOME}/bin/java", "-jar"))
    settings = replace(settings, labels=_labels(other_jdk()) if cut else {})
    runtime = _runtime(cache) if cut else _of_packages(cache, major)
    return Made((cache.tree_layer(f"java{major}", fill), runtime), settings)


def _labels(jdk: str) -> dict[str, str]:
    return {"org.opencontainers.image.description": wording("label.other_jdk", jdk=jdk)} if jdk else {}


def _runtime(cache: BuildCache) -> Layer:
    def make() -> Layer:
        from deadweight.toolchain.find import find

        jlink = jlink_of_debian() or find("java").path.resolve().parent / "jlink"
        with tempfile.TemporaryDirectory(prefix="deadweight-jlink-") as work:
            out = Path(work) / "runtime"
            trim = ("--strip-debug", "--no-man-pages", "--no-header-files", "--compress=0")
            _run.run([jlink, "--add-modules", MODULES, *trim, "--output", out], log=cache.log)
            return from_tree(out, cache.folder / "layers" / "jre.tgz", prefix=HOME)

    return cache.get("jlink runtime", make)
