"""The programs that the system's package manager installs: their packages, and the least version that works."""

from __future__ import annotations

from deadweight.toolchain.pins import NUMBER, Program


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


MB = 1_000_000
_DOCKER_APT = ("docker.io", "docker-cli?", "docker-buildx?", "iptables", "cgroupfs-mount?")
JDK_APT = "openjdk-17-jdk-headless|openjdk-21-jdk-headless|default-jdk-headless"

PROGRAMS_OF_SYSTEMS = (
    system_program(
        "docker-cli",
        "docker",
        apt=_DOCKER_APT,
        dnf=("docker-cli", "docker-buildx"),
        brew=("docker", "docker-buildx"),
        pattern=r"Docker version (\d+\.\d+(?:\.\d+)?)",
        least="18.09",
        seconds=10,
        size=250 * MB,
    ),
    system_program(
        "dockerd",
        apt=_DOCKER_APT,
        dnf=("moby-engine",),
        pattern=r"version (\d+\.\d+(?:\.\d+)?)",
        least="20.10",
        seconds=10,
        size=250 * MB,
    ),
    system_program("bwrap", apt=("bubblewrap",), dnf=("bubblewrap",), least="0.4", seconds=1, size=MB),
    system_program("mmdebstrap", apt=("mmdebstrap",), dnf=("mmdebstrap",), least="0.8", seconds=3, size=MB),
    system_program(
        "musl-gcc",
        apt=("musl-tools", "linux-libc-dev"),
        dnf=("musl-gcc", "kernel-headers"),
        pattern=r"\s(\d+\.\d+(?:\.\d+)?)(?:\s|$)",
        seconds=15,
        size=200 * MB,
    ),
    system_program("dpkg-source", apt=("dpkg-dev",), dnf=("dpkg-dev",), brew=("dpkg",), seconds=3, size=10 * MB),
    system_program("ip", apt=("iproute2",), dnf=("iproute",), probe=("-V",), pattern=r"iproute2-(\S+?),?\s"),
    system_program("openssl", apt=("openssl",), dnf=("openssl",), brew=("openssl",), probe=("version",)),
    system_program(  # the shell alone, where there is a package of it: pages take half of the processor time in it
        "chromium",
        "chromium-headless-shell",
        "chromium",
        "chromium-browser",
        apt=("chromium-headless-shell|chromium|chromium-browser",),
        dnf=("chromium",),
        seconds=30,
        size=400 * MB,
    ),
    system_program("chromedriver", apt=("chromium-driver|chromium-chromedriver",), dnf=("chromedriver",), size=20 * MB),
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
        size=330 * MB,
    ),
    system_program(
        "mvn",
        apt=("maven", JDK_APT),
        dnf=("maven",),
        brew=("maven",),
        pattern=r"Apache Maven (\d+\.\d+(?:\.\d+)?)",
        least="3.6",
        seconds=10,
        size=30 * MB,
    ),
    system_program(
        "podman",
        apt=("podman", "netavark?", "aardvark-dns?", "uidmap?", "slirp4netns?", "passt?"),
        dnf=("podman",),
        brew=("podman",),
        least="4.0",
        seconds=15,
        size=120 * MB,
    ),
    system_program("buildah", apt=("buildah",), dnf=("buildah",), least="1.23", seconds=10, size=60 * MB),
    system_program("iptables", apt=("iptables",), dnf=("iptables",), seconds=1, size=2 * MB),
)
