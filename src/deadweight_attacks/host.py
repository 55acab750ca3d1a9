"""Create a small folder with planted files that stands in for a mounted host folder, and remove leftovers."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from deadweight.engine.labels import is_stale, labels
from deadweight_attacks.listeners import MOST_BYTES, EngineStandIn, Word

if TYPE_CHECKING:
    from deadweight.engine.options import Mount

PREFIX = "deadweight-host-"
HOST_TARGET, SOCKET_TARGET = "/host", "/var/run/docker.sock"
TOKEN_TARGET = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105 - a path
PURPOSE = "attack"
SIZE_BYTES = 16 * 2**20
NAMELESS_SECONDS = 600.0
_MS_NOSUID, _MS_NODEV, _MNT_DETACH = 2, 4, 2  # sys/mount.h


class HostFolder:
    """A folder with a planted file and the engine's stand-in socket, on a file system of its own in memory.

    So what attacks write there is bounded, and an engine that does not see that file system finds no folder to hand in. It belongs
    to us and only we may write there, as on a real host. ``handed`` False: no container gets it, so it needs none of that.
    ``owner`` is the user of an engine without root, to whom it then belongs: an ordinary folder, for what is mounted now is not
    seen there. Raises OSError where nothing can be mounted.
    """

    def __init__(self, secret: str, *, handed: bool = True, owner: int | None = None) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        try:
            if handed and owner is None:
                _mount_memory(self.path)
            (self.path / "owner.json").write_text(json.dumps(labels("-", PURPOSE)), encoding="utf-8")
            self.mounted.mkdir(mode=0o755)
            self.file = "planted"
            (self.mounted / self.file).write_text(secret + "\n", encoding="ascii")
            self.engine = EngineStandIn(self.path / "engine.sock")
            if owner is not None and owner != os.geteuid():  # what is around them stays ours: our guard writes there
                for path in (self.engine.path, self.mounted / self.file, self.mounted):
                    os.chown(path, owner, owner)
                self.path.chmod(0o711)
        except BaseException:
            _remove(self.path)
            raise

    @property
    def mounted(self) -> Path:
        """What is handed in."""
        return self.path / "mounted"

    def mounts(self) -> tuple[Mount, ...]:
        """What of the host is handed in where that wall is down: the folder, the engine's socket, a service account's token."""
        from deadweight.engine.options import Mount  # half of what the guard, which needs none of it, took to start

        return (
            Mount(self.mounted, HOST_TARGET, read_only=False),
            Mount(self.engine.path, SOCKET_TARGET, read_only=False),
            Mount(self.mounted / self.file, TOKEN_TARGET),
        )

    def holds(self, name: str, word: Word) -> bool:
        """Whether an attack left the word in this file. It may have left a link or a pipe: neither is followed or waited for."""
        with contextlib.suppress(OSError):
            file = os.open(self.mounted / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with open(file, "rb") as opened:  # noqa: PTH123 - by its number
                return word.whole.encode() in (opened.read(MOST_BYTES) or b"")
        return False

    def close(self) -> None:
        self.engine.close()
        _remove(self.path)


def sweep_host_folders(folder: Path | None = None) -> int:
    """Remove the host folders of runs that were killed; how many there were."""
    removed = 0
    for path in (folder or Path(tempfile.gettempdir())).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError, ValueError):
            if not path.is_symlink() and _stale(path):
                _remove(path)
                removed += 1
    return removed


def _stale(path: Path) -> bool:
    """Its owner is dead; or it has none (killed before it was written down), and had time to get one."""
    try:
        marks = json.loads((path / "owner.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return time.time() - path.stat().st_mtime > NAMELESS_SECONDS
    return is_stale(marks)


def _remove(path: Path) -> None:
    if path.is_mount():
        _libc().umount2(os.fsencode(path), _MNT_DETACH)  # detached: a container that is about to end may still hold it
    shutil.rmtree(path, ignore_errors=True)


def _mount_memory(path: Path) -> None:
    """By the system call, not by ``mount``: programs are not started any more once somebody pressed Ctrl-C."""
    options = f"size={SIZE_BYTES},nr_inodes=1024,mode=755".encode()
    if _libc().mount(b"tmpfs", os.fsencode(path), b"tmpfs", _MS_NOSUID | _MS_NODEV, options) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mount: {os.strerror(number)}")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
