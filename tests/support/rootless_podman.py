"""Podman's service of a user who is not root."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from tests.support.rootless import User, engine_of, lacking

USER = User(61000, 7_000_000)


def missing() -> str:
    """What there is none of here; empty where it can be started."""
    return lacking("podman", "runc")


def rootless_podman() -> contextlib.AbstractContextManager[tuple[str, Path]]:
    """Gives where it listens, and its folder."""
    words = (
        "podman",
        "--cgroup-manager",
        "cgroupfs",
        "--runtime",
        shutil.which("runc") or "runc",
        "--storage-driver",
        "overlay",
    )
    return engine_of(
        USER, "run/podman.sock", (*words, "system", "service", "--time=0", "unix://FOLDER/run/podman.sock")
    )


def bridges(folder: Path) -> Path:
    """The file of the network namespace in which its bridges are, as its own mounts have it."""
    pause = (folder / "run/libpod/tmp/pause.pid").read_text().strip()
    return next(Path(f"/proc/{pause}/root{folder}/run/netns").glob("rootless-netns-*"))
