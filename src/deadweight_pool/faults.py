"""Whose fault it is that a build failed: the Dockerfile's, or that of the endpoint it ran on.

A build error is never tried again. What BuildKit says last decides, never what a program in the build said: ``connection refused``
in the words of ``go mod download`` is the build's own.
"""

from __future__ import annotations

import re
from typing import Literal

from deadweight._errors import CommandError

Fault = Literal["build", "lost", "disk", "perhaps disk"]

_OWN = re.compile(
    r"did not complete successfully: exit code: \d+|dockerfile parse error|failed to parse|not found$", re.MULTILINE
)
_LOST = re.compile(
    r"Unavailable: |code = Unavailable|error reading from server|error reading server preface|connection error: desc"
    r"|transport is closing|transport: |connection reset by peer|broken pipe|use of closed network connection"
    r"|no active session|session \S+ (?:was )?closed|failed to list workers|failed to dial|failed to get status|unexpected EOF"
    r"|Canceled: |context canceled|DeadlineExceeded|context deadline exceeded|failed to receive status|graceful_stop"
)
_DISK = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)


def judged(error: CommandError) -> Fault:
    """``lost``: the connection, or the daemon, is gone. ``disk``: its disk is full. ``build``: all the rest.

    ``perhaps disk``: a program in the build found a disk full, which may be the daemon's, or a tmpfs of its own.
    """
    last = last_words(error)
    if _OWN.search(last):
        return "perhaps disk" if _DISK.search("\n".join(error.tail)) else "build"
    if _DISK.search(last):
        return "disk"
    return "lost" if error.exit_code_of_command is None or _LOST.search(last) else "build"


def last_words(error: CommandError) -> str:
    """What buildctl itself says in the end, without the words of programs that ran in the build."""
    lines = [line for line in error.tail if line.startswith(("error: ", "ERROR: "))]
    return lines[-1] if lines else ""
