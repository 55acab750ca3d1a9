"""Whose a container or network is: the labels we put on it, and whether the process that made it is still alive."""

from __future__ import annotations

import functools
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from deadweight._errors import DeadweightError
from deadweight._run import run

PROJECT = "deadweight.project"
OWNER = "deadweight.owner"
HOST = "deadweight.host"
CREATED = "deadweight.created"
PURPOSE = "deadweight.purpose"
VARIANT = "deadweight.variant"
ROOT = "deadweight.root"
"""The project's folder: checkouts of one suite have the same name, and may share an engine."""

FOREIGN_LIFETIME_SECONDS = 24 * 3600


def labels(project: str, purpose: str, variant: str = "") -> dict[str, str]:
    """The labels of everything that this process makes in the engine."""
    return {
        PROJECT: project,
        OWNER: f"{os.getpid()}:{_started(os.getpid()) or '?'}",
        HOST: host_id(),
        CREATED: str(int(time.time())),
        PURPOSE: purpose,
        VARIANT: variant,
    }


@functools.cache
def host_id() -> str:
    """This machine and, on Linux, its boot and our process-id namespace: process ids mean nothing beyond these."""
    boot, namespace = "", ""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
        namespace = Path("/proc/self/ns/pid").readlink().name
    except OSError:
        pass
    return "/".join((socket.gethostname(), boot, namespace))


def is_stale(marks: Mapping[str, str]) -> bool:
    """Whether the process that made a thing with these labels is dead.

    Process ids of another machine or namespace cannot be judged: such a thing is stale a day after it was made.
    """
    if OWNER not in marks:
        return False
    host, boot, namespace = _split(host_id())
    their_host, their_boot, their_namespace = _split(marks.get(HOST, ""))
    if their_host == host and their_boot != boot:
        return True
    if (their_host, their_boot, their_namespace) != (host, boot, namespace):
        return _age_seconds(marks) > FOREIGN_LIFETIME_SECONDS
    pid, _, started = marks[OWNER].partition(":")
    return not pid.isdigit() or _started(int(pid)) != started


def _split(host: str) -> tuple[str, str, str]:
    parts = host.split("/")
    return (parts[0], parts[1], parts[2]) if len(parts) == 3 else (host, "", "")


def _age_seconds(marks: Mapping[str, str]) -> float:
    created = marks.get(CREATED, "")
    return time.time() - int(created) if created.isdigit() else float("inf")


def _started(pid: int) -> str | None:
    """When a process started, in the system's own unit; None where there is no such process (or only its zombie)."""
    if Path("/proc/self/stat").exists():
        try:
            # The name in parentheses may hold blanks and parentheses; fields are counted after the last one (proc(5)).
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in ("Z", "X") else fields[19]
    try:
        shown = run(["ps", "-o", "lstart=", "-p", str(pid)], check=False, timeout=10)
    except DeadweightError:
        return None
    return "-".join(shown.output.split()) or None
