"""Install operating-system packages with apt-get (Debian, Ubuntu); elsewhere only name the command."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from deadweight import _sudo as sudo
from deadweight._errors import CommandError, MissingError, quoting, wording
from deadweight._run import Completed, run
from deadweight.toolchain import tool_cache
from deadweight.toolchain.catalogue import Program

APT_SECONDS = 1200.0
_MANAGERS = (("apt", "apt-get"), ("dnf", "dnf"), ("brew", "brew"))


def manager() -> str | None:
    """``apt``, ``dnf`` or ``brew``: the first that this machine has."""
    return next((name for name, command in _MANAGERS if shutil.which(command)), None)


def command_for(programs: Iterable[Program]) -> str | None:
    """The command a user could give to get these programs here; None where we know none."""
    kind = manager()
    if kind is None:
        return None
    names = sorted(
        {_plain(package) for entry in programs for package in entry.packages.get(kind, ()) if "?" not in package}
    )
    if not names:
        return None
    prefix = "" if kind == "brew" or sudo.is_root() else "sudo "
    return f"{prefix}{dict(_MANAGERS)[kind]} install {' '.join(names)}"


def chosen(packages: str) -> str:
    """The first of ``a|b`` that apt knows here, and the first of all where its lists tell of none."""
    names = _existing([packages])
    return names[0] if names else _plain(packages)


def can_install() -> str:
    """Empty if we may install system packages here without asking for anything, else what stands in the way."""
    if manager() != "apt":
        return wording("toolchain.no_apt")
    return sudo.trouble()


def install(programs: Sequence[Program], log: Path) -> None:
    """Install the packages of these programs with apt-get, as root or with sudo. Recommended packages are left out.

    Raises MissingError where it cannot be done here, with the command that the user can give; CommandError if apt-get fails.
    """
    problem = can_install()
    if problem:
        names = ", ".join(entry.name for entry in programs)
        hint = command_for(programs) or "install them and put them on PATH"
        raise MissingError(quoting(problem, f"{names}: {problem}"), hint=hint)
    wanted = [package for entry in programs for package in entry.packages["apt"]]
    packages = _existing(wanted)
    if packages is None:
        _apt(["update"], log)
        packages = _existing(wanted)
    if packages is None:
        missing = ", ".join(sorted({_plain(package) for package in wanted}))
        raise MissingError(wording("toolchain.no_package", packages=missing))
    arguments = ["install", "--no-install-recommends", *packages]
    try:
        _apt(arguments, log)
    except CommandError:
        _apt(["update"], log)  # lists older than the mirror name files that are gone
        _apt(arguments, log)


def unpack(entry: Program, log: Path, *, anew: bool = False) -> Path:
    """Put a Debian package's program into our copies without installing the package, so that no service is started."""
    if manager() != "apt" or shutil.which("dpkg") is None:
        hint = command_for([entry]) or f"put {entry.name} on PATH"
        raise MissingError(wording("toolchain.missing", program=entry.name), hint=hint)

    def fill(folder: Path, scratch: Path) -> None:
        scratch.chmod(0o755)  # apt downloads as a user of its own
        if _existing([entry.source]) is None:
            _apt(["update"], log)
        run(["apt-get", "download", entry.source], cwd=scratch, log=log, timeout=APT_SECONDS)
        for package in scratch.glob("*.deb"):
            run(["dpkg", "-x", package, scratch / "root"], log=log)
        shutil.copyfile(scratch / "root" / "usr" / "bin" / entry.name, folder / entry.name)

    return tool_cache.make(entry, fill, anew=anew)


def _existing(wanted: Sequence[str]) -> list[str] | None:
    """The packages to name to apt-get; None if one of them has no candidate. ``a|b``: the first there is; ``a?``: if there is."""
    names = sorted({name for package in wanted for name in package.rstrip("?").split("|")})
    listed = run(["apt-cache", "policy", *names], env={"LC_ALL": "C"}, check=False, timeout=60).output
    there = set(re.findall(r"^(\S+):\n  Installed: .*\n  Candidate: (?!\(none\))", listed, re.MULTILINE))
    chosen: list[str] = []
    for package in dict.fromkeys(wanted):
        first = next((name for name in package.rstrip("?").split("|") if name in there), None)
        if first is None and not package.endswith("?"):
            return None
        if first is not None and first not in chosen:
            chosen.append(first)
    return chosen


def _apt(arguments: Sequence[str], log: Path) -> Completed:
    options = ["-y", "-q", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0"]
    argv = ["env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", "apt-get", *options, *arguments]
    return sudo.run(argv, log=log, timeout=APT_SECONDS)


def _plain(package: str) -> str:
    return package.rstrip("?").split("|")[0]
