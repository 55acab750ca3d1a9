"""Processes that a test started, however deep below it: known by a mark in their environment, never by their names alone."""

from __future__ import annotations

from pathlib import Path

MARK = "DEADWEIGHT_TEST_MARK"
"""The variable that carries it: whatever they start inherits it."""


def alive(mark: str) -> list[str]:
    """The command lines of living processes with this mark (a zombie has no environment any more)."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (place / "environ").read_bytes():
                found.append((place / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found
