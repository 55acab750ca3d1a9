"""Asking for our engine to be started or ended as root, for a user who is not: the other side is ``as_root``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from deadweight import _sudo as sudo
from deadweight.records.paths import user_cache

SECONDS = 240.0
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
"""What the engine reaches registries through; sudo takes all variables away but those it is told to keep."""


def call(action: str, say: Callable[[str], None]) -> None:
    """Do ``start``, ``stop`` or ``remove_data`` of the calling user's engine as root.

    Raises MissingError where sudo is not there or wants a password that nobody can type; CommandError with the engine's own words.
    """
    # -I: nothing but the installed package is imported; -B: no file of root's is left among the user's.
    argv: list[str | Path] = [sys.executable, "-I", "-B", "-m", "deadweight.engine.own.as_root", action]
    argv += [user_cache(), str(os.getuid()), str(os.getgid())]
    done = sudo.run(argv, timeout=SECONDS, keep=[name for name in _PROXIES if name in os.environ])
    for line in done.output.splitlines():
        say(line)
