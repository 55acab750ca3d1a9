"""Make stand-ins for Python base images, with CPython binaries from the jars of JavaCPP's presets.

Compiling takes minutes. These jars hold the program, standard library, headers and pip for one release of each minor version,
built from official sources on other systems: paths of those are replaced. Missing extension modules come from the OS, or are
named in the stand-in's label.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from deadweight._errors import DeadweightError
from deadweight_images.archive.pack import FAST, Layer, from_tree
from deadweight_standins import alpine, downloads
from deadweight_standins.bases import number, record, table
from deadweight_standins.build_cache import BuildCache, Settings, link, put
from deadweight_standins.recipes import (
    CERTIFICATES,
    FULL_PACKAGES,
    PATHS,
    SLIM_PACKAGES,
    Made,
    distroless,
    distroless_settings,
    in_place_of,
    unpack_libraries,
    zones,
)
from deadweight_standins.stand_in import short


@dataclass(frozen=True)
class Release:
    """One CPython: ``presets`` is the version of the presets that hold it, ``digests`` their jars' SHA-256 by architecture (OCI).

    ``modules_from`` is a release of the OS with the same minor number: its extension modules fill in for those that were left out.
    ``sqlite`` is the same module of the standard library, built for PyPI, for the minor numbers that no release of the OS has.
    """

    version: str
    presets: str
    digests: dict[str, str]
    modules_from: str = ""
    sqlite: str = "pysqlite3-binary==0.5.4.post2"

    @property
    def minor(self) -> str:
        return short(self.version)


RELEASES = tuple(record(Release, entry) for entry in table("pythons.toml")["release"])
"""From the oldest to the newest."""

JAR = "org/bytedeco/cpython/{0.version}-{0.presets}/cpython-{0.version}-{0.presets}-linux-{1}.jar"
JAVA_NAMES = {"amd64": "x86_64", "arm64": "arm64"}
LEFT_OUT = ("_sqlite3", "_bz2", "_lzma", "_uuid", "readline", "_curses", "_curses_panel")
"""Extension modules that the earlier jars were built without."""
MADE_ON = re.compile(rb"(?:/[\w.-]+)+/cppbuild/linux-\w+")
"""The folder that the jars' files were made in."""

RUNTIME = (
    *("libbz2-1.0", "libcrypt1", "libffi8", "liblzma5", "libncursesw6", "libreadline8", "libsqlite3-0"),
    *("libssl3", "libtinfo6", "libuuid1", "libzstd1", "zlib1g"),
)


def release(wanted: str, architecture: str = "amd64") -> Release:
    """The Python that stands in for ``wanted`` (``3.12``; empty or ``3``: the newest): that one, else the next later one."""
    known = [release for release in RELEASES if architecture in release.digests]
    if not wanted or wanted == "3":
        return known[-1]
    return next((release for release in known if number(release.minor) >= number(short(wanted))), known[-1])


def python(cache: BuildCache, parameter: str) -> Made:
    """``VERSION[-slim|-alpine]``: Python below /usr/local, as the original has it, pip included; the rest is the OS."""
    wanted, _, flavour = parameter.partition("-")
    chosen = release(wanted, cache.machine.oci)
    made, lacking = _layer(cache, chosen, wanted)
    tuning = cache.tree_layer(f"python-settings-{bool(cache.authorities)}", lambda root: _settings(cache, root))
    env = (f"PATH={PATHS}", "LANG=C.UTF-8", f"PYTHON_VERSION={chosen.version}")
    labels = in_place_of("Python", chosen.version, wanted, lacking)
    if flavour == "alpine":
        below = alpine.layer(cache, ("libc6", "libgcc-s1", "libstdc++6", *RUNTIME))
        base: tuple[Layer, ...] = (below, cache.tree_layer("zones", lambda root: zones(cache, root)))
    else:
        packages = (*(SLIM_PACKAGES if flavour == "slim" else FULL_PACKAGES), *RUNTIME)
        base = (cache.rootfs_layer(packages, fast=True),)
    return Made((*base, made, tuning), Settings(env=env, cmd=("python3",), labels=labels))


def python3(cache: BuildCache, flavour: str) -> Made:
    """Python without a shell: that of Debian 12, as distroless has it, with ``13`` in front that of Debian 13, or with
    ``newest-`` the newest."""
    wanted = "" if flavour.startswith("newest-") else "3.13" if flavour.startswith("13") else "3.11"
    libraries = ("libc6", "libgcc-s1", "libstdc++6", *RUNTIME)

    def fill(root: Path) -> None:
        distroless(cache, root, ("base-files", "ca-certificates", "netbase", "tzdata", *libraries))
        unpack_libraries(cache, root, libraries)
        for name in ("python3", "python"):
            link(root, f"usr/bin/{name}", "/usr/local/bin/python3")

    settings = distroless_settings(flavour, entrypoint=("/usr/bin/python3",))
    made, _ = _layer(cache, release(wanted, cache.machine.oci), wanted)
    return Made((cache.tree_layer("python3", fill), made), settings)


def _settings(cache: BuildCache, root: Path) -> None:
    """An older pip brings its own CAs, and does not look at the OS's."""
    if cache.authorities:
        put(root, "etc/pip.conf", f"[global]\ncert = /{CERTIFICATES}\n")
        put(root, "etc/uv/uv.toml", "native-tls = true\n")


def _layer(cache: BuildCache, release: Release, wanted: str) -> tuple[Layer, tuple[str, ...]]:
    """The layer with that Python below /usr/local, also under the number that was asked for, and the modules that it lacks."""
    asked = short(wanted) if "." in wanted else release.minor

    def make() -> tuple[Layer, tuple[str, ...]]:
        with tempfile.TemporaryDirectory(prefix="deadweight-python-", dir=cache.folder) as work:
            root = Path(work) / "root"
            root.mkdir()
            _unpack(cache, release, root)
            lacking = _fill_in(cache, release, root, Path(work))
            if asked != release.minor:
                link(root, f"bin/python{asked}", f"python{release.minor}")
                link(root, f"lib/python{asked}", f"python{release.minor}")
            target = cache.folder / "layers" / f"python-{asked}.tgz"
            return from_tree(root, target, prefix="usr/local", level=FAST), lacking

    return cache.get(f"python {asked}", make)


def _unpack(cache: BuildCache, release: Release, root: Path) -> None:
    """The jar's files where an installation has them. Tests, notes and OpenSSL's own are left out."""
    java = JAVA_NAMES[cache.machine.oci]
    jar = downloads.fetch_from_maven(cache, JAR.format(release, java), release.digests[cache.machine.oci])
    prefix, library = f"org/bytedeco/cpython/linux-{java}/", f"lib/python{release.minor}"
    for member, content in _members(jar, prefix):
        top = member.partition("/")[0]
        if top.startswith("libpython"):
            put(root, f"lib/{member}", content, executable=True)
            link(root, f"lib/{member.partition('.so')[0]}.so", member)
        elif top.startswith("libffi.so."):
            put(root, f"{library}/{member}", content, executable=True)  # where modules look that name no folder
        elif member.startswith((f"{library}/", "include/python")) and not member.startswith(f"{library}/test/"):
            put(root, member, _moved(member, content), executable=".so" in Path(member).suffixes)
        elif top == "bin" and re.match(r"bin/(?:python|pip|pydoc|2to3|idle)", member):
            put(root, member, _moved(member, content), executable=True)
        elif member.startswith("lib/pkgconfig/python"):
            put(root, member, _moved(member, content))
    for name, target in (("python3", f"python{release.minor}"), ("python", "python3"), ("pip", "pip3")):
        (root / f"bin/{name}").unlink(missing_ok=True)
        link(root, f"bin/{name}", target)


def _members(jar: Path, prefix: str) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(jar) as archive:
        names = [name for name in archive.namelist() if name.startswith(prefix) and not name.endswith("/")]
        return [(name.removeprefix(prefix), archive.read(name)) for name in names if "/../" not in name]


def _moved(name: str, content: bytes) -> bytes:
    """A file that names the folder it was made in, naming /usr/local; OpenSSL inside of a module looks at the OS's CAs."""
    if ".so" not in Path(name).suffixes:
        text = MADE_ON.sub(b"/usr/local", content)
        return re.sub(rb"\A#!\S*/bin/python", b"#!/usr/local/bin/python", text)
    for tail, place in ((b"/ssl/cert.pem", f"/{CERTIFICATES}".encode()), (b"/ssl/certs", b"/etc/ssl/certs")):
        for folder in set(MADE_ON.findall(content)):
            old = folder + tail + b"\0"
            content = content.replace(old, place.ljust(len(old), b"\0"))
    return content


def _fill_in(cache: BuildCache, release: Release, root: Path, work: Path) -> tuple[str, ...]:
    """Put the extension modules in that the jar lacks, as far as they can be had; the names of the others."""
    folder = root / f"lib/python{release.minor}/lib-dynload"
    lacking = [name for name in LEFT_OUT if not list(folder.glob(f"{name}.*.so"))]
    if not lacking:
        return ()
    try:
        given = _of_os(cache, release) if release.modules_from else _of_pypi(release, work, root)
    except DeadweightError:  # a release that is no longer served: the label tells what that costs
        return tuple(lacking)
    for name in lacking:
        for module in given.glob(f"{name}.*.so"):
            put(folder, module.name, module, executable=True)
    return tuple(name for name in lacking if not list(folder.glob(f"{name}.*.so")))


def _of_os(cache: BuildCache, release: Release) -> Path:
    package = f"libpython{release.minor}-stdlib"
    packages = cache.of(release.modules_from)
    unpacked = cache.folder / "unpacked-modules" / package
    return packages.unpack(package, unpacked) / f"usr/lib/python{release.minor}/lib-dynload"


def _of_pypi(release: Release, work: Path, root: Path) -> Path:
    with downloads.wheel_of(release.sqlite, "--python-version", release.minor) as wheel:
        wheel.extractall(work / "sqlite")  # pip verified it
    libraries = work / "sqlite" / "pysqlite3_binary.libs"
    shutil.copytree(libraries, root / f"lib/python{release.minor}/{libraries.name}")  # it looks beside lib-dynload
    return work / "sqlite" / "pysqlite3"
