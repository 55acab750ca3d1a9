"""Podman's service of a user who is not root: with user numbers of its own, a store and a run folder, and nothing of this machine's
changed. Needs root (to become that user), podman, newuidmap and slirp4netns or pasta."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from deadweight.engine import api as wire
from deadweight.engine.own import mounts, processes

USER, SUBORDINATE = 61000, 7_000_000
START_SECONDS = 20.0
FILES = {
    "passwd": f"root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\nrootless:x:{USER}:{USER}::HOME:/bin/sh\n",
    "group": f"root:x:0:\nnogroup:x:65534:\nrootless:x:{USER}:\n",
    "subuid": f"rootless:{SUBORDINATE}:65536\n",
    "subgid": f"rootless:{SUBORDINATE}:65536\n",
}
"""What lies over the files in ``/etc`` of the service's own mounts."""
START = f"""
set -e
for name in {" ".join(FILES)}; do mount --bind "$1/etc/$name" "/etc/$name"; done
mount -t tmpfs tmpfs /dev/net && mknod -m 666 /dev/net/tun c 10 200
cd /
exec setpriv --reuid {USER} --regid {USER} --clear-groups env -i HOME="$1/home" XDG_RUNTIME_DIR="$1/run" PATH="$PATH" \\
  podman --cgroup-manager cgroupfs --runtime "$2" --storage-driver overlay system service --time=0 "unix://$1/run/podman.sock"
"""


def missing() -> str:
    """What there is none of here; empty where it can be started."""
    wanted = [name for name in ("podman", "newuidmap", "runc", "setpriv", "unshare") if shutil.which(name) is None]
    if not any(map(shutil.which, ("slirp4netns", "pasta"))):
        wanted.append("slirp4netns")
    return ", ".join(wanted)


@contextlib.contextmanager
def rootless_podman() -> Iterator[tuple[str, Path]]:
    """Gives where it listens, and its folder. It is gone afterwards, with all that it started."""
    folder = Path(
        f"/var/tmp/dw-rootless-{os.getpid()}"
    )  # not where only root enters, nor in /run, over which Podman mounts
    for part in ("etc", "home", "run"):
        (folder / part).mkdir(parents=True)
    for name, text in FILES.items():
        (folder / "etc" / name).write_text(text.replace("HOME", str(folder / "home")))
    for part in ("home", "run"):
        os.chown(folder / part, USER, USER)
        (folder / part).chmod(0o700)
    host = f"unix://{folder}/run/podman.sock"
    argv = ["unshare", "--mount", "sh", "-c", START, "sh", str(folder), shutil.which("runc") or "runc"]
    with (folder / "podman.log").open("wb") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        until = time.monotonic() + START_SECONDS
        while (problem := wire.trouble(host)) and time.monotonic() < until and process.poll() is None:
            time.sleep(0.1)
        assert not problem, (folder / "podman.log").read_text()[-2000:]
        yield host, folder
    finally:
        _end()
        process.wait(20)
        mounts.unmount_below(folder)
        shutil.rmtree(folder, ignore_errors=True)
        Path(f"/dev/shm/libpod_rootless_lock_{USER}").unlink(missing_ok=True)


def _end() -> None:
    """All that runs as that user, or as one of its subordinates."""
    users = {USER, *range(SUBORDINATE, SUBORDINATE + 65536)}
    for each in processes.everyone():
        with contextlib.suppress(OSError):
            if Path(f"/proc/{each.pid}").stat().st_uid in users:
                os.kill(each.pid, signal.SIGKILL)


def bridges(folder: Path) -> Path:
    """The file of the network namespace in which its bridges are, as its own mounts have it."""
    pause = (folder / "run/libpod/tmp/pause.pid").read_text().strip()
    return next(Path(f"/proc/{pause}/root{folder}/run/netns").glob("rootless-netns-*"))
