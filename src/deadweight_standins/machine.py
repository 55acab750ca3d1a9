"""Detect this machine's architecture, as each tool names it, its OS release and its private CAs."""

from __future__ import annotations

import functools
import os
import platform
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from deadweight._errors import MissingError
from deadweight.records.paths import content
from deadweight_images.errors import Catalogue

wording = Catalogue("deadweight_standins")
"""This package's sentences, by code (``messages.toml``)."""


PROGRAMS = {
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
    "mmdebstrap": "mmdebstrap",
    "musl-gcc": "musl-tools",
    "make": "make",
    "bzip2": "bzip2",
    "bwrap": "bubblewrap",
    "dpkg-source": "dpkg-dev",
}
"""Programs that the local source runs on this machine, each with the OS package that brings it."""


class Machine(NamedTuple):
    """One architecture, as Debian, the OCI, APK, GNU and musl call it; ``codename`` is the OS release (``bookworm``)."""

    deb: str
    oci: str
    apk: str
    gnu: str
    codename: str

    @property
    def musl_loader(self) -> str:
        return f"ld-musl-{self.apk}.so.1"


_KINDS = {
    "x86_64": ("amd64", "amd64", "x86_64", "x86_64-linux-gnu"),
    "aarch64": ("arm64", "arm64", "aarch64", "aarch64-linux-gnu"),
}


def this_machine() -> Machine:
    """Raises MissingError where this is no Debian or Ubuntu, or an architecture without stand-ins."""
    kind = _KINDS.get(platform.machine())
    release = os_release()
    debian = "debian" in (release.get("ID", ""), *release.get("ID_LIKE", "").split())
    if kind is not None and debian and shutil.which("apt-get") is None:
        raise MissingError(wording("machine.no_apt"))
    if kind is None or not debian:
        name = release.get("PRETTY_NAME", platform.platform())
        raise MissingError(wording("machine.other", name=name))
    return Machine(*kind, codename=release.get("VERSION_CODENAME", "stable"))


def require(programs: tuple[str, ...]) -> None:
    """Raises MissingError that names every absent program and the one command that brings them all."""
    absent = [name for name in programs if shutil.which(name) is None]
    if absent:
        packages = " ".join(dict.fromkeys(PROGRAMS.get(name, name) for name in absent))
        raise MissingError(wording("machine.no_program", programs=", ".join(absent), packages=packages))


@functools.cache
def os_release() -> Mapping[str, str]:
    """What os-release(5) says of this machine's OS."""
    text = content(Path("/etc/os-release")).decode("utf-8", "replace")
    return dict(re.findall(r'^([A-Z_]+)="?([^"\n]*)"?$', text, re.MULTILINE))


def scratch() -> str | None:
    """A folder in memory for work that writes tens of thousands of small files (halves the time), None where there is none.

    It must hold devices and programs, and leave memory to the rest: 3 GiB have to be free in it.
    """
    try:
        space = os.statvfs("/dev/shm")  # noqa: S108 - looked at, and used through tempfile only
    except OSError:
        return None
    usable = not space.f_flag & (os.ST_NODEV | os.ST_NOEXEC | os.ST_RDONLY) and os.access("/dev/shm", os.W_OK)  # noqa: S108
    return "/dev/shm" if usable and space.f_bavail * space.f_frsize > 3 << 30 else None  # noqa: S108


# CAs that this machine trusts beside the public ones: a company's proxy, a private registry. Stand-ins trust them as it does.
PUBLIC = Path("/usr/share/ca-certificates")
"""Where the OS's package keeps the public ones (Debian, Ubuntu)."""

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----")


def authorities(bundle: Path | None, public: Path = PUBLIC) -> tuple[bytes, ...]:
    """The certificates of ``bundle`` (PEM) that are not among the OS's public ones, in the bundle's order; each ends a line."""
    if bundle is None or not bundle.is_file():
        return ()
    files = (f"{folder}/{name}" for folder, _, names in os.walk(public) for name in names if name.endswith(".crt"))
    known = {_bare(one) for file in files for one in _PEM.findall(Path(file).read_bytes())}
    trusted = {_bare(one): one for one in _PEM.findall(bundle.read_bytes())}
    return tuple(one + b"\n" for bare, one in trusted.items() if bare not in known)


def _bare(certificate: bytes) -> bytes:
    return certificate.translate(None, b" \t\r\n")


# The JDK of this machine, which runtimes are cut from.
MEANT = "17"
"""The Java of the public images that these stand in for, where a tag names none."""
JVMS = Path("/usr/lib/jvm")


def other_jdk() -> str:
    """The version of the JDK that runtimes are cut from where it is not the one meant, else empty.

    A part of what such a stand-in is made of: with another JDK it is made anew.
    """
    from deadweight.toolchain.find import inspect_tool

    version = inspect_tool("java").version
    return version if version and not jlink_of_debian() and version.partition(".")[0] != MEANT else ""


def jlink_of_debian() -> Path | None:
    """That of the JDK that is meant, where it stands beside a later one that is found first."""
    return next(iter(sorted(JVMS.glob(f"java-{MEANT}-openjdk*/bin/jlink"))), None)
