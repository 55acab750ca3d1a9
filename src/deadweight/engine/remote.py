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


def is_remote(engine: Engine) -> bool:
    """Whether this process cannot enter networks of the engine's: it is not root, or not of the engine's machine."""
    if sys.platform != "linux" or os.geteuid() != 0 or not engine.host.startswith("unix://"):
        return True
    return engine.info.desktop or engine.info.rootless or engines_user(engine) is None


def engines_user(engine: Engine) -> int | None:
    """The number of the user that an engine on this machine runs as; None where it is not on this machine, or none of the processes
    that we see (unix(7), SO_PEERCRED: the number is 0 for one of another namespace)."""
    if sys.platform != "linux" or not engine.host.startswith("unix://"):
        return None
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as asked:
        asked.connect(engine.host.removeprefix("unix://"))
        process, user, _ = struct.unpack("3i", asked.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return user if process > 0 else None
    return None
