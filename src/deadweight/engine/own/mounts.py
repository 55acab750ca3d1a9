"""Mounts of an engine of ours, on Linux and as root."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from deadweight._run import run


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
FOLDER = "/sys/fs/cgroup"


def has_cgroups() -> bool:
    """Whether control groups, of version 1 or 2, are mounted at their usual place."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind = line.split()[:3]
        if kind in ("cgroup", "cgroup2") and (point == FOLDER or point.startswith(f"{FOLDER}/")):
            return True
    return False


def read_only_cgroups() -> tuple[str, ...]:
    """Where control groups are mounted so that no engine can use them, as in a container that is not privileged."""
    found = []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind, options = line.split()[:4]
        below = kind in ("cgroup", "cgroup2", "tmpfs") and (point == FOLDER or point.startswith(f"{FOLDER}/"))
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
    argv = [script] if script else ["mount", "-t", "cgroup2", "cgroup2", FOLDER]
    run(argv, check=False, timeout=60)
