"""Processes of this machine, read from ``/proc``: who lives, who belongs to an engine of ours, and how to end one."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """One process: ``command`` is its argument list as one string, ``name`` what the kernel calls it."""

    pid: int
    parent: int
    name: str
    command: str


def read(pid: int) -> Process | None:
    """The process of that number; None if there is none, or only its exit code is left (a zombie)."""
    folder = Path("/proc") / str(pid)
    try:
        name, _, rest = (folder / "stat").read_text(errors="replace").partition("(")[2].rpartition(")")
        state, parent = rest.split()[:2]
        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (OSError, ValueError):
        return None
    return None if state in "ZX" else Process(pid, int(parent), name, command)


def everyone() -> Iterator[Process]:
    """All processes that live."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            process = read(int(entry.name))
            if process is not None:
                yield process


def same_network(pid: int) -> bool:
    """Whether a process shares our network namespace."""
    try:
        return Path(f"/proc/{pid}/ns/net").samefile("/proc/self/ns/net")
    except OSError:
        return False


def end(pid: int, grace_seconds: float) -> None:
    """SIGTERM, then SIGKILL after the grace; returns when the process is gone, or five seconds after SIGKILL."""
    for number, seconds in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, 5.0)):
        if read(pid) is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and read(pid) is not None:
            time.sleep(0.05)


def kill_containers_of(run_folder: Path) -> None:
    """End the containers that a killed engine left running. The next dockerd would wait ten seconds for each of them."""
    living = list(everyone())
    shims = {each.pid for each in living if "containerd-shim" in each.command and str(run_folder) in each.command}
    for each in living:
        if each.parent in shims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each.pid, signal.SIGKILL)
    for pid in shims:
        end(pid, 2.0)
