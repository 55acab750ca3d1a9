"""Engines of users who are not root: with user numbers of their own, a store and a run folder; nothing else here is changed.
They need root (to become that user), newuidmap and slirp4netns or pasta."""

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deadweight.engine.own import machine
from tests.support.processes import engine_at

START = """
set -e
for name in passwd group subuid subgid; do mount --bind "$1/etc/$name" "/etc/$name"; done
mount -t tmpfs tmpfs /dev/net && mknod -m 666 /dev/net/tun c 10 200
cd /
folder=$1 user=$2
shift 2
exec setpriv --reuid $user --regid $user --clear-groups env -i HOME="$folder/home" XDG_RUNTIME_DIR="$folder/run" PATH="$PATH" "$@"
"""


@dataclass(frozen=True)
class User:
    """By number; ``subordinate`` is the first of 65536 that are its own beside that."""

    number: int
    subordinate: int

    def files(self, home: str) -> dict[str, str]:
        """What lies over the files in ``/etc`` of the engine's own mounts."""
        known = "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"
        beside = f"rootless:{self.subordinate}:65536\n"
        return {
            "passwd": f"{known}rootless:x:{self.number}:{self.number}::{home}:/bin/sh\n",
            "group": f"root:x:0:\nnogroup:x:65534:\nrootless:x:{self.number}:\n",
            "subuid": beside,
            "subgid": beside,
        }


def lacking(*programs: str) -> str:
    """What there is none of here; empty where such an engine can be started."""
    wanted = [name for name in (*programs, "newuidmap", "setpriv", "unshare") if shutil.which(name) is None]
    if not any(map(shutil.which, ("slirp4netns", "pasta"))):
        wanted.append("slirp4netns")
    return ", ".join(wanted)


@contextlib.contextmanager
def engine_of(user: User, socket: str, argv: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Start it with these words, in which ``FOLDER`` is its folder; gives where it listens (a path below that), and its folder.
    It is gone afterwards, with all that it started."""
    # not where only root enters, nor in /run, over which Podman mounts
    folder = Path(f"/var/tmp/dw-rootless-{os.getpid()}-{user.number}")
    for part in ("etc", "home", "run"):
        (folder / part).mkdir(parents=True)
    for name, text in user.files(str(folder / "home")).items():
        (folder / "etc" / name).write_text(text)
    for part in ("home", "run"):
        os.chown(folder / part, user.number, user.number)
        (folder / part).chmod(0o700)
    host = f"unix://{folder}/{socket}"
    words = [word.replace("FOLDER", str(folder)) for word in argv]
    start = ["unshare", "--mount", "sh", "-c", START, "sh", str(folder), str(user.number), *words]
    try:
        with engine_at(host, start, folder / "log"):
            yield host, folder
    finally:
        _end(user)
        machine.unmount_below(folder)
        shutil.rmtree(folder, ignore_errors=True)
        Path(f"/dev/shm/libpod_rootless_lock_{user.number}").unlink(missing_ok=True)


def _end(user: User) -> None:
    """All that runs as that user, or as one of its subordinates."""
    users = {user.number, *range(user.subordinate, user.subordinate + 65536)}
    for each in machine.everyone():
        with contextlib.suppress(OSError):
            if Path(f"/proc/{each.pid}").stat().st_uid in users:
                os.kill(each.pid, signal.SIGKILL)


DOCKER, PODMAN = User(61001, 7_300_000), User(61000, 7_000_000)
SCRIPT = "/usr/share/docker.io/contrib/dockerd-rootless.sh"
"""Debian's place; elsewhere it is on PATH."""


def docker_lacks() -> str:
    """What there is none of here; empty where Docker can be started, in RootlessKit."""
    script = "" if _script() else "dockerd-rootless.sh"
    return ", ".join(filter(None, (lacking("dockerd", "rootlesskit"), script)))


def rootless_docker() -> contextlib.AbstractContextManager[tuple[str, Path]]:
    """Gives where it listens, and its folder."""
    kept = "--data-root FOLDER/home/docker --exec-root FOLDER/run/docker --host unix://FOLDER/run/docker.sock"
    return engine_of(DOCKER, "run/docker.sock", (_script(), *kept.split()))


def _script() -> str:
    return shutil.which("dockerd-rootless.sh") or (SCRIPT if Path(SCRIPT).exists() else "")


def podman_lacks() -> str:
    """What there is none of here; empty where Podman's service can be started."""
    return lacking("podman", "runc")


def rootless_podman() -> contextlib.AbstractContextManager[tuple[str, Path]]:
    """Gives where it listens, and its folder."""
    words = f"podman --cgroup-manager cgroupfs --runtime {shutil.which('runc') or 'runc'} --storage-driver overlay"
    service = "system service --time=0 unix://FOLDER/run/podman.sock"
    return engine_of(PODMAN, "run/podman.sock", (*words.split(), *service.split()))


def bridges(folder: Path) -> Path:
    """The file of the network namespace in which Podman's bridges are, as its own mounts have it."""
    pause = (folder / "run/libpod/tmp/pause.pid").read_text().strip()
    return next(Path(f"/proc/{pause}/root{folder}/run/netns").glob("rootless-netns-*"))
