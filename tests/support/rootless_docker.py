"""Docker of a user who is not root, in RootlessKit."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from tests.support.rootless import User, engine_of, lacking

USER = User(61001, 7_300_000)
SCRIPT = "/usr/share/docker.io/contrib/dockerd-rootless.sh"
"""Debian's place; elsewhere it is on PATH."""


def missing() -> str:
    """What there is none of here; empty where it can be started."""
    script = "" if _script() else "dockerd-rootless.sh"
    return ", ".join(filter(None, (lacking("dockerd", "rootlesskit"), script)))


def rootless_docker() -> contextlib.AbstractContextManager[tuple[str, Path]]:
    """Gives where it listens, and its folder."""
    kept = (
        "--data-root",
        "FOLDER/home/docker",
        "--exec-root",
        "FOLDER/run/docker",
        "--host",
        "unix://FOLDER/run/docker.sock",
    )
    return engine_of(USER, "run/docker.sock", (_script(), *kept))


def _script() -> str:
    return shutil.which("dockerd-rootless.sh") or (SCRIPT if Path(SCRIPT).exists() else "")
