"""Tell from a service's log, or the kernel's, which wall refused it something, and the change that loosens that wall."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from deadweight.engine.seccomp.profile import numbers
from deadweight_attacks.walls import wording

TABLES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
PATTERNS = [(entry["wall"], re.compile(entry["pattern"])) for entry in TABLES["patterns"]]
MARKS = {
    "ecs": '"containerDefinitions"', "profile": '"syscalls"', "kubernetes": "apiVersion:", "compose": "services:",
    "quadlet": "[Container]", "run": " run ",
}  # fmt: skip
"""What stands in each form that harden writes, and in none before it."""
AUDIT_ARCHITECTURES = {"c000003e": "amd64", "c00000b7": "arm64", "x86_64": "amd64", "aarch64": "arm64"}
"""As the kernel tells them (linux/audit.h), and ausearch."""


@dataclass(frozen=True)
class Finding:
    """``wall`` as under ``run:`` (``refused``: a call or a right, nobody tells which), ``what`` the system call or the path,
    ``change`` what to do about it. ``times`` is in how many lines it was; ``written`` is False of a call that the profile allows.
    """

    wall: str
    what: str
    program: str
    change: str
    times: int = 1
    written: bool = True

    def __str__(self) -> str:
        what, program = f" {self.what}" if self.what else "", self.program or wording("harden.explain_program")
        facts = {"wall": self.wall, "what": what, "program": program, "times": self.times, "change": self.change}
        return wording("harden.explained" if self.written else "harden.explained_allowed", **facts)


def explain(text: str, log: Iterable[str]) -> tuple[Finding, ...]:
    """What the lines of a log tell of the walls in ``text``, which harden wrote; each wall and thing once."""
    form = next((name for name, mark in MARKS.items() if mark in text), "any")
    allowed = _allowed(text) if form == "profile" else frozenset[str]()
    times: dict[tuple[str, str, str], int] = {}
    for line in log:
        for wall, pattern in PATTERNS:
            if fit := pattern.search(line):
                key = (wall, *_told(fit.groupdict()))
                times[key] = times.get(key, 0) + 1
                break
    return tuple(
        Finding(wall, what, program, _change(form, wall, what), count, what not in allowed)
        for (wall, what, program), count in times.items()
    )


def _told(groups: dict[str, str | None]) -> tuple[str, str]:
    """The call or the path, and the program."""
    program = groups.get("program") or groups.get("task") or ""
    if re.fullmatch("(?:[0-9A-F]{2})+", program):  # auditd's way to write what has spaces in it
        program = bytes.fromhex(program).decode(errors="replace")
    what = groups.get("call") or groups.get("path") or ""
    if what.isdigit():
        known = numbers(AUDIT_ARCHITECTURES.get(groups.get("arch") or "", "amd64"))
        what = next((name for name, number in known.items() if number == int(what)), f"number {what}")
    return what, program.strip('"')


def _change(form: str, wall: str, what: str) -> str:
    ways: dict[str, str] = TABLES["change"][wall]
    folder = str(PurePosixPath(what).parent) if what.startswith("/") else "the folder that it writes to"
    return ways.get(form, ways["any"]).format(call=what, folder=folder)


def _allowed(text: str) -> frozenset[str]:
    rules = json.loads(text)["syscalls"]
    return frozenset(name for rule in rules if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"])
