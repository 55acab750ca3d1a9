"""The port that a server was given by the kernel: it binds port 0 itself, so nobody else can take it in between."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from deadweight_standins.registry import listening

SECONDS = 60.0


def port_of(server: subprocess.Popen[bytes], log: Path) -> int:
    """Once it listens, by TCP over IPv4; what it said is told if it ends before, or does not come up."""
    until = time.monotonic() + SECONDS
    while server.poll() is None and time.monotonic() < until:
        if ports := listening(server.pid):
            return ports[0]
        time.sleep(0.02)
    raise AssertionError(f"{server.args!r} does not listen: {log.read_text(errors='replace')}")
