"""Look up an external program in ``programs.toml``: how to recognise it, which version is pinned, and how to get it.

Versions are pinned in ``go.mod`` and ``go.sum``, or in ``wheels.lock``.
"""

from __future__ import annotations

import functools
import hashlib
import platform
import re
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from deadweight._errors import UsageError, wording
from deadweight._plugins import AUTHORS

Kind = Literal["go", "wheel", "deb", "system"]
HERE = Path(__file__).parent
WHEELS = HERE / "wheels.lock"

NUMBER = r"(\d+(?:\.\d+)+)"


@dataclass(frozen=True)
class Program:
    """One external program.

    ``commands`` are its names on PATH, ``probe`` the arguments that print its version, which ``pattern`` finds in the output.
    With ``exact``, a program on PATH counts only if its version is the pinned one (where this platform can get that one);
    otherwise ``least`` is the lowest version that will do. ``source`` is the Go package, the wheel's project or the Debian
    package. ``folder`` has the ``go.mod`` where that is shared with another tool (default: the tool's own name), or is elsewhere
    (an absolute path). ``packages`` are the system's packages per package manager; for apt ``a|b`` is the first that exists,
    ``a?`` only if it does. ``seconds`` and ``size_bytes`` are roughly what getting it takes on two cores with empty caches, one
    after another, and on disk.
    """

    name: str
    kind: Kind
    commands: tuple[str, ...]
    source: str = ""
    probe: tuple[str, ...] = ("--version",)
    pattern: str = NUMBER
    least: str | None = None
    exact: bool = False
    module: str = ""
    ldflags: str = ""
    folder: str = ""
    packages: dict[str, tuple[str, ...]] = field(default_factory=dict)
    seconds: int = 5
    size_bytes: int = 0

    @property
    def pinned(self) -> str | None:
        """The version that we get; None for programs that the system's package manager gives."""
        if self.kind == "go":
            return _pins_of_module(self.module_folder).get(self.module)
        if self.kind == "wheel":
            # a wheel's version may carry a fourth number of its own: 0.76.0.1 carries 0.76.0
            return ".".join(wheel_pin(self.source).version.split(".")[:3])
        return None

    @property
    def file(self) -> str:
        """The program of our copy, relative to its folder."""
        return "go/bin/go" if self.name == "go" else self.name

    @property
    def module_folder(self) -> Path:
        """Where the ``go.mod`` and ``go.sum`` of a Go tool lie."""
        return HERE / "go" / (self.folder or self.name)

    @property
    def module_files(self) -> tuple[Path, ...]:
        """``go.mod`` and ``go.sum``, and the sources of a tool of our own."""
        return tuple(sorted(path for path in self.module_folder.iterdir() if path.suffix in (".mod", ".sum", ".go")))

    @property
    def gettable(self) -> bool:
        """Whether a pinned copy exists for this platform (Trivy's wheel: Linux on amd64 only)."""
        if self.kind == "wheel":
            everywhere = ("linux-amd64", "linux-arm64", "darwin-arm64", "darwin-amd64")
            return system_key() in (("linux-amd64",) if self.name == "trivy" else everywhere)
        return self.kind == "go" or self.name == "docker-registry"

    @property
    def folder_name(self) -> str:
        """Name of the folder that holds our copy: it changes whenever the pin does, so that an old copy is never taken for it."""
        if self.kind == "deb":
            return f"{self.name}-debian-{system_key()}"
        if self.kind == "go":
            content = b"".join(part.read_bytes() for part in self.module_files)
        else:
            content = " ".join(wheel_pin(self.source).hashes).encode()
        return f"{self.name}-{self.pinned}-{system_key()}-{hashlib.sha256(content).hexdigest()[:8]}"


class WheelPin(NamedTuple):
    """A wheel's project, exact version, and the SHA-256 hashes of its files, one per platform."""

    project: str
    version: str
    hashes: tuple[str, ...]


def system_key() -> str:
    """This platform, as it stands in folder names: ``linux-amd64``."""
    machine = platform.machine().lower()
    return f"{sys.platform}-{ {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(machine, machine) }"


@functools.cache
def wheel_pin(project: str) -> WheelPin:
    """A wheel's line of ``wheels.lock``."""
    line = rf"^{re.escape(project)}==(\S+)((?:[\s\\]+--hash=sha256:\w+)+)"
    if match := re.search(line, WHEELS.read_text(encoding="utf-8"), re.MULTILINE):
        return WheelPin(project, match[1], tuple(re.findall(r"sha256:(\w+)", match[2])))
    raise UsageError(wording("toolchain.not_pinned", file=WHEELS.name, project=project))


@functools.cache
def _pins_of_module(folder: Path) -> dict[str, str]:
    text = (folder / "go.mod").read_text(encoding="utf-8")
    return dict(re.findall(r"^\s*(?:require\s+)?(\S+)\s+v(\S+)", text, re.MULTILINE))


# The table, and what plug-ins add to it.


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
    packages = {"apt": apt, "dnf": dnf, "brew": brew}
    return Program(
        name, "system", commands or (name,), probe=probe, pattern=pattern, least=least, packages=packages, seconds=seconds,
        size_bytes=size,
    )  # fmt: skip


def _program(name: str, keys: dict[str, Any]) -> Program:
    entry: dict[str, Any] = {"kind": "system", "commands": (name,)}
    entry |= {key: tuple(value) if isinstance(value, list) else value for key, value in keys.items()}
    packages = {manager: entry.pop(manager, ()) for manager in ("apt", "dnf", "brew")}
    return Program(name, packages=packages, **entry)


PROGRAMS: dict[str, Program] = {
    name: _program(name, keys)
    for name, keys in tomllib.loads((HERE / "programs.toml").read_text(encoding="utf-8")).items()
}


def add(programs: object, whose: str) -> None:
    """Take in the programs that a plug-in describes, so that ``doctor`` and ``setup`` know them. One that is in the table stays.

    Raises UsageError for what is not a tuple of system programs, and for a name that the table has for another program.
    """
    for entry in programs if isinstance(programs, tuple) else (programs,):
        if not isinstance(entry, Program) or entry.kind != "system":
            raise UsageError(wording("toolchain.no_program", plugin=whose, entry=entry), hint=AUTHORS)
        known = PROGRAMS.setdefault(entry.name, entry)
        if (known.kind, known.commands) != (entry.kind, entry.commands):
            raise UsageError(wording("toolchain.name_taken", plugin=whose, program=entry.name))


def program(name: str) -> Program:
    """The entry of that name. Raises UsageError for a name that the table lacks."""
    try:
        return PROGRAMS[name]
    except KeyError:
        known = f"tools: {', '.join(sorted(PROGRAMS))}"
        raise UsageError(wording("suite.unknown", kind="tool", name=name), hint=known) from None
