"""Whether an engine is one whose containers, their networks and their files this process cannot enter."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deadweight.engine.client import Engine


def elsewhere(engine: Engine) -> bool:
    """Whether this process cannot enter networks of the engine's: it is not root, or not of the engine's machine."""
    if sys.platform != "linux" or os.geteuid() != 0 or not engine.host.startswith("unix://"):
        return True
    return engine.info.desktop or engine.info.rootless or not _seen(engine.host.removeprefix("unix://"))


def _seen(path: str) -> bool:
    """Whether who listens on a socket is a process that we see (unix(7), SO_PEERCRED: 0 for one of another namespace)."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as asked:
        asked.connect(path)
        pid: int = struct.unpack("3i", asked.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        return pid > 0
    return False
