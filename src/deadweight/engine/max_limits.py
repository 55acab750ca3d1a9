"""How far an engine's runtime can raise resource limits, where it has no right to raise them beyond its own.

Podman asks for limits that a machine without CAP_SYS_RESOURCE (a container, a CI runner) refuses: "setrlimit RLIMIT_NPROC:
operation not permitted". What binds are the limits of its service, which lowers them as it starts.
"""

from __future__ import annotations

import contextlib
import resource
import socket
import struct
from collections.abc import Mapping
from pathlib import Path

LIMITS = {"nofile": ("Max open files", resource.RLIMIT_NOFILE), "nproc": ("Max processes", resource.RLIMIT_NPROC)}
MOST = 65_536
"""What is asked for where nothing binds."""


def ceilings(host: str) -> Mapping[str, int]:
    """By the limit's name in setrlimit(2): the hard limit of the service at ``host``; our own, where that is not to be seen."""
    told = _of_process(_listener(host)) if host.startswith("unix://") else {}
    own = {name: resource.getrlimit(number)[1] for name, (_, number) in LIMITS.items()}
    found = {name: told.get(name, own[name]) for name in LIMITS}
    return {name: MOST if bound == resource.RLIM_INFINITY else min(bound, MOST) for name, bound in found.items()}


def _listener(host: str) -> int:
    """The process that listens on a socket of this machine (unix(7), SO_PEERCRED); 0 where it cannot be told."""
    with contextlib.suppress(OSError, AttributeError), socket.socket(socket.AF_UNIX) as there:
        there.settimeout(3.0)
        there.connect(host.removeprefix("unix://"))
        pid: int = struct.unpack("3i", there.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        return pid
    return 0


def _of_process(pid: int) -> dict[str, int]:
    """Hard limits of a process (proc(5), "/proc/pid/limits"); nothing where it cannot be seen."""
    found: dict[str, int] = {}
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/limits").read_text().splitlines():
            for name, (title, _) in LIMITS.items():
                hard = line.removeprefix(title).split()[1:2] if line.startswith(title) else []
                if hard:
                    found[name] = int(hard[0]) if hard[0].isdigit() else resource.RLIM_INFINITY
    return found
