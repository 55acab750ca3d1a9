"""Inspect and end processes on this machine, and mount what our own engine needs (bind mounts, control groups)."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deadweight._run import run


@dataclass(frozen=True)
class Process:
    """One process: ``command`` is its argument list as one string, ``name`` what the kernel calls it."""

    pid: int
    parent: int
    name: str
    command: str


def read_process(pid: int) -> Process | None:
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
            process = read_process(int(entry.name))
            if process is not None:
                yield process


def same_network(pid: int) -> bool:
    """Whether a process shares our network namespace."""
    try:
        return Path(f"/proc/{pid}/ns/net").samefile("/proc/self/ns/net")
    except OSError:
        return False


def end_process(pid: int, grace_seconds: float) -> None:
    """SIGTERM, then SIGKILL after the grace; returns when the process is gone, or five seconds after SIGKILL."""
    for number, seconds in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, 5.0)):
        if read_process(pid) is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and read_process(pid) is not None:
            time.sleep(0.05)


def kill_containers_of(run_folder: Path) -> None:
    """End the containers that a killed engine left running. The next dockerd would wait ten seconds for each of them."""
    living = list(everyone())
    shims = {
        process.pid for process in living if "containerd-shim" in process.command and str(run_folder) in process.command
    }
    for process in living:
        if process.parent in shims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
    for pid in shims:
        end_process(pid, 2.0)


# Mounts of an engine of ours, on Linux and as root.
def bind(held: Path, shown: Path) -> None:
    """Show the folder ``held`` at ``shown`` too; both are made if missing, for us alone. Raises CommandError, OSError."""
    for folder in (held, shown):
        folder.mkdir(mode=0o700, exist_ok=True)
    run(["mount", "--bind", held, shown], timeout=30)


def unmount_below(folder: Path) -> None:
    """Undo what is mounted on a folder or below it, the last first; what is in use goes once it no longer is."""
    with contextlib.suppress(OSError):
        for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
            point = line.split()[4].encode().decode("unicode_escape")
            if point == str(folder) or point.startswith(f"{folder}/"):
                run(["umount", "-l", point], check=False, timeout=30)


# Control groups: an engine does not start where nobody mounted them, as on a machine without systemd.
CGROUP_FOLDER = "/sys/fs/cgroup"


def has_cgroups() -> bool:
    """Whether control groups, of version 1 or 2, are mounted at their usual place."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind = line.split()[:3]
        if kind in ("cgroup", "cgroup2") and (point == CGROUP_FOLDER or point.startswith(f"{CGROUP_FOLDER}/")):
            return True
    return False


def read_only_cgroups() -> tuple[str, ...]:
    """Where control groups are mounted so that no engine can use them, as in a container that is not privileged."""
    found = []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind, options = line.split()[:4]
        below = kind in ("cgroup", "cgroup2", "tmpfs") and (
            point == CGROUP_FOLDER or point.startswith(f"{CGROUP_FOLDER}/")
        )
        if below and "ro" in options.split(","):
            found.append(point)
    return tuple(found)


def make_cgroups_writable(points: tuple[str, ...]) -> None:
    """Mount them anew, for this mount namespace alone. What fails, dockerd tells."""
    for point in points:
        run(["mount", "-o", "remount,bind,rw", point], check=False, timeout=60)


def mount_cgroups() -> None:
    """Mount them: by Debian's script for it (version 1 with all controllers), else version 2. What fails, dockerd tells."""
    script = shutil.which("cgroupfs-mount")
    argv = [script] if script else ["mount", "-t", "cgroup2", "cgroup2", CGROUP_FOLDER]
    run(argv, check=False, timeout=60)
