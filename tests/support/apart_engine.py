"""An engine that this machine's processes are not seen by, nor its: as in another kernel. It has mounts, processes and a network of
its own; only its socket is here."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from deadweight.engine import api as wire
from deadweight.engine.own import machine

START = """
set -e
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs tmpfs /run -o mode=755
mkdir -p "$1/socket" && ip link set lo up
exec dockerd --config-file "$1/none.json" --host "unix://$1/socket/docker.sock" --data-root "$1/data" --exec-root /run/docker \
  --pidfile /run/docker.pid --exec-opt native.cgroupdriver=cgroupfs --log-level warn
"""
START_SECONDS = 40.0


@contextlib.contextmanager
def apart_engine(folder: Path) -> Iterator[str]:
    """Gives where it listens. It ends, with all that it started, when its first process does."""
    if sys.platform != "linux" or shutil.which("dockerd") is None:
        raise FileNotFoundError("dockerd")
    (folder / "none.json").write_text("{}")
    host = f"unix://{folder}/socket/docker.sock"
    argv = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", START, "sh", str(folder)]
    with (folder / "dockerd.log").open("wb") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        until = time.monotonic() + START_SECONDS
        while (problem := wire.trouble(host)) and time.monotonic() < until and process.poll() is None:
            time.sleep(0.1)
        assert not problem, (folder / "dockerd.log").read_text()[-2000:]
        yield host
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(20)
        machine.unmount_below(folder)
        shutil.rmtree(folder / "data", ignore_errors=True)
