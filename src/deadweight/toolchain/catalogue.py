"""Look up an external program in ``programs.toml``: how to recognise it, which version, and how to get it."""

from __future__ import annotations

import tomllib
from typing import Any

from deadweight._errors import UsageError, wording
from deadweight.toolchain.pins import HERE, NUMBER
from deadweight.toolchain.pins import Program as Program

PLUGIN_HINT = "this is an error in the plug-in: report it to its authors"


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
            raise UsageError(wording("toolchain.no_program", plugin=whose, entry=entry), hint=PLUGIN_HINT)
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
