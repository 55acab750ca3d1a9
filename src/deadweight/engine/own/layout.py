"""Where an engine of ours keeps its things."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from deadweight.records.paths import user_cache


@dataclass(frozen=True)
class Layout:
    """Where one engine of ours keeps its things. ``run`` is short, since a socket's path may have 107 bytes at most.

    ``group`` is the number of the group that may speak to it, beside root.
    """

    run: Path
    data: Path
    log: Path
    group: int = 0

    @property
    def socket(self) -> Path:
        return self.run / "docker.sock"

    @property
    def pid_file(self) -> Path:
        """Written by the shell that becomes dockerd, so that it is there from the first moment on."""
        return self.run / "engine.pid"

    @property
    def temporary(self) -> Path:
        """Where the engine's own temporary files are reached: it makes sockets below (an ssh mount's), so this too is short."""
        return self.run / "tmp"

    @property
    def host(self) -> str:
        return f"unix://{self.socket}"

    @property
    def bridge(self) -> str:
        return f"dwt{self.run.name[-8:]}"


def layout(uid: int | None = None, gid: int = 0) -> Layout:
    """One engine per user cache and user (default: who we are)."""
    cache = user_cache()
    if uid is None:
        uid = os.geteuid() if hasattr(os, "geteuid") else 0
    key = hashlib.sha256(str(cache).encode()).hexdigest()[:8]
    return Layout(Path(f"/run/deadweight-{uid}-{key}"), cache / "engine", cache / "logs" / "engine.log", gid)
