"""Build busybox from the OS's source package against musl, static and dynamic, with awk math.

Debian's busybox has no awk math (FEATURE_AWK_LIBM is off). An alpine stand-in with it would fail in just the place where the
demo service works.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from deadweight import _run
from deadweight_standins.machine import require, scratch

if TYPE_CHECKING:
    from deadweight_standins.debian import Packages

HEADERS = ("linux", "asm-generic", "mtd")
NEEDS = ("musl-gcc", "make", "bzip2", "dpkg-source")
UNWANTED = (
    *("BUILD_LIBBUSYBOX", "SELINUX", "PAM", "TC", "WERROR", "DPKG", "DPKG_DEB", "RPM", "RPM2CPIO"),
    "FEATURE_WGET_OPENSSL",
)
"""What depends on more than musl and kernel headers (``tc`` no longer compiles), and what Alpine and Wolfi leave out.

``wget`` looks for openssl before it takes its own TLS. Where there is none, the child of its vfork calls exit(): musl's lock then
stays taken in the parent, which at its own end waits for ever, and a ``RUN ./mvnw package`` with it."""

EDITION = f"5 without {' '.join(UNWANTED)}"
"""Part of every fingerprint: a busybox of another edition, and what was made with it, is made anew."""


class Busybox(NamedTuple):
    """The two binaries and the applets' paths (``bin/ash``, ``usr/bin/awk``), busybox itself left out."""

    static: Path
    dynamic: Path
    applets: tuple[str, ...]
    version: str


def busybox(packages: Packages, folder: Path, log: Path) -> Busybox:
    """Build it into ``folder``, or take what an earlier call left there. Two cores: about 25 seconds."""
    done = folder / "done"
    if not (done.exists() and done.read_text() == EDITION):
        require(NEEDS)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(dir=scratch(), prefix="deadweight-busybox-") as work,
            tempfile.TemporaryDirectory(dir=folder.parent, prefix=".busybox-") as place,
        ):
            out = Path(place) / "out"
            out.mkdir()
            headers = packages.unpack("linux-libc-dev", Path(work) / "headers") / "usr/include"
            _compile(_source(packages, Path(work), log), out, headers, packages.machine.gnu, log)
            (out / "done").write_text(EDITION)
            shutil.rmtree(folder, ignore_errors=True)
            out.rename(folder)
    listed = _run.run([folder / "busybox-static", "--list-full"]).output.split()
    version = _run.run([folder / "busybox-static"]).output.split()[1].removeprefix("v")
    applets = tuple(sorted(path for path in listed if path != "bin/busybox"))
    return Busybox(folder / "busybox-static", folder / "busybox-dynamic", applets, version)


def _source(packages: Packages, work: Path, log: Path) -> Path:
    packages.source("busybox", work / "source")
    description = next((work / "source").glob("*.dsc"))
    _run.run(["dpkg-source", "--no-check", "-x", description, work / "tree"], log=log)
    return work / "tree"


def _compile(tree: Path, out: Path, headers: Path, gnu: str, log: Path) -> None:
    """Kernel headers lie in a folder of their own, so that no glibc header gets in."""
    include = tree.parent / "include"
    include.mkdir()
    for name in HEADERS:
        (include / name).symlink_to(headers / name)
    (include / "asm").symlink_to(headers / gnu / "asm")
    # GCC 14 (Debian 13) refuses what its system logger does with addresses of sockets; before, that was a warning.
    compiler = f"musl-gcc -pipe -Wno-error=incompatible-pointer-types -idirafter {include}"
    make = ["make", "-s", f"-j{os.cpu_count() or 2}", "HOSTCC=musl-gcc", f"CC={compiler}"]
    stable = {"SOURCE_DATE_EPOCH": "0", "KCONFIG_NOTIMESTAMP": "1", "LC_ALL": "C"}
    _run.run([*make, "defconfig"], cwd=tree, env=stable, log=log)
    _configure(tree / ".config")
    _run.run([*make, "oldconfig"], cwd=tree, env=stable, stdin=b"\n" * 500, log=log)
    _run.run(make, cwd=tree, env=stable, log=log)
    shutil.copy2(tree / "busybox", out / "busybox-dynamic")
    # Only the link differs for the static one; the objects serve both.
    _run.run([*make, "LDFLAGS=-static"], cwd=tree, env=stable, log=log)
    shutil.copy2(tree / "busybox", out / "busybox-static")


def _configure(file: Path) -> None:
    lines = []
    for line in file.read_text().splitlines():
        name = line.removeprefix("# ").removeprefix("CONFIG_").partition("=")[0].partition(" ")[0]
        lines.append(f"# CONFIG_{name} is not set" if name in UNWANTED and "CONFIG_" in line else line)
    file.write_text("\n".join(lines) + "\n")
