"""Watch which files of a container are opened and executed, by fanotify(7) marks on its root filesystem.

Unlike polling, this also sees a program that lives for milliseconds. The mark is set while the engine starts the container, as
soon as its root filesystem is mounted and before anything in it runs. If that mount is not visible here, ``/proc/PID/root`` is
marked right after, and the files mapped by then are added. It needs Linux, CAP_SYS_ADMIN and an engine on this machine;
without them it says why not.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from deadweight._errors import wording

FAN_CLOEXEC, FAN_NONBLOCK, FAN_UNLIMITED_QUEUE = 0x1, 0x2, 0x10
FAN_MARK_ADD, FAN_MARK_FILESYSTEM = 0x1, 0x100
FAN_OPEN, FAN_OPEN_EXEC, FAN_Q_OVERFLOW = 0x20, 0x1000, 0x4000
AT_FDCWD = -100
_EVENT = struct.Struct("=IBBHQii")
PAUSE_SECONDS = 0.002
MAX_FILES = 100_000


class CannotWatch(Exception):
    """Files cannot be watched here; says why."""


def _new_group() -> int:
    flags = os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_LARGEFILE", 0)
    try:
        made: int = ctypes.CDLL(None, use_errno=True).fanotify_init(
            FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_QUEUE, flags
        )
    except AttributeError:
        raise CannotWatch(wording("scan.no_fanotify")) from None
    if made < 0:
        raise CannotWatch(wording("scan.fanotify_refused", problem=os.strerror(ctypes.get_errno())))
    return made


READ_BYTES = 1 << 12
"""Each event that is read holds an open file until it is noted, and a process may have a thousand of them: 170 events at once."""


class _Group:
    """One fanotify group with one filesystem marked. ``files`` are paths in the container; ``executed`` those run as programs."""

    def __init__(self, path: str) -> None:
        self.files: set[str] = set()
        self.executed: set[str] = set()
        self.lost = False
        self._prefix = "" if path.startswith("/proc/") else path
        self._fd = _new_group()
        where = ctypes.c_char_p(os.fsencode(path))
        how, what = FAN_MARK_ADD | FAN_MARK_FILESYSTEM, ctypes.c_uint64(FAN_OPEN | FAN_OPEN_EXEC)
        if ctypes.CDLL(None, use_errno=True).fanotify_mark(self._fd, how, what, AT_FDCWD, where) < 0:
            reason = os.strerror(ctypes.get_errno())
            os.close(self._fd)
            raise CannotWatch(wording("scan.cannot_watch", problem=reason))

    def drain(self) -> None:
        """Take all events that wait. What is opened before the first program is run is the runtime's own preparation."""
        while True:
            try:
                data = os.read(self._fd, READ_BYTES)
            except BlockingIOError:
                return
            place = 0
            while place + _EVENT.size <= len(data):
                length, _, _, _, mask, fd, _ = _EVENT.unpack_from(data, place)
                place += max(length, _EVENT.size)
                self.lost = self.lost or bool(mask & FAN_Q_OVERFLOW)
                if fd >= 0:
                    self._note(mask, fd)

    def _note(self, mask: int, fd: int) -> None:
        try:
            path = str(Path(f"/proc/self/fd/{fd}").readlink()).removesuffix(" (deleted)")
        except OSError:
            return
        finally:
            os.close(fd)
        if self._prefix and path.startswith(self._prefix):
            return  # the engine itself, from outside
        if mask & FAN_OPEN_EXEC:
            self.executed.add(path)
        if self.executed and len(self.files) < MAX_FILES:
            self.files.add(path)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Watch:
    """Use it as a context manager around the start of a container; then ``follow`` it, and read ``files`` at the end."""

    def __init__(self) -> None:
        self._groups: dict[str, _Group] = {}
        self._extra: set[str] = set()
        self._mapping = 0
        self._known = frozenset(_overlays())
        self._stop, self._settled, self._guard = threading.Event(), False, threading.Lock()
        self._thread = threading.Thread(target=self._work, name="watch", daemon=True)

    def __enter__(self) -> Watch:
        """Raises CannotWatch."""
        if sys.platform != "linux":
            raise CannotWatch(wording("scan.watch_only_on_linux"))
        os.close(_new_group())  # permission is found out before a container is started
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for group in self._groups.values():
            group.close()

    def follow(self, merged: str | None, pid: int, container: str) -> None:
        """From now on only this container, by its id: ``merged`` is where the engine mounted its root, where it tells that, and
        ``pid`` its first process on this machine."""
        with self._guard:
            self._settled = True
            merged = merged or next((path for path in self._groups if path.endswith(f"/{container}")), None)
            if merged is None or merged not in self._groups:
                merged = f"/proc/{pid}/root"
                self._groups[merged] = _Group(merged)
                self._mapping = pid
                self._look_at_mapped(self._groups[merged])
            for path in [path for path in self._groups if path != merged]:
                self._groups.pop(path).close()

    def files(self) -> tuple[frozenset[str], frozenset[str]]:
        """What was opened, and what of it was executed, so far. Raises CannotWatch where the kernel lost events."""
        with self._guard:
            (group,) = self._groups.values()
            group.drain()
            self._look_at_mapped(group)
            if group.lost or len(group.files) >= MAX_FILES:
                raise CannotWatch(wording("scan.too_many_files"))
            return frozenset(group.files | self._extra), frozenset(group.executed)

    def _look_at_mapped(self, group: _Group) -> None:
        """What was executed before its mark was set. Once more at the end: while a program takes a process over, nothing is
        mapped."""
        if self._mapping:
            mapped = set(_mapped(self._mapping))
            group.executed |= mapped
            self._extra |= mapped

    def _work(self) -> None:
        while not self._stop.is_set():
            with self._guard:
                if not self._settled:
                    for path in _overlays():
                        if path not in self._known and path not in self._groups:
                            with contextlib.suppress(CannotWatch):
                                self._groups[path] = _Group(path)
                for group in self._groups.values():
                    group.drain()
            time.sleep(PAUSE_SECONDS if not self._settled else 10 * PAUSE_SECONDS)


def _overlays() -> Iterator[str]:
    """Where overlay filesystems are mounted that an engine made for a container: ``…/overlay2/ID/merged``, or with containerd's
    store ``…/rootfs/overlayfs/CONTAINER``."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            place = line.split(" ")[4]
            if " - overlay " in line and (place.endswith("/merged") or "/rootfs/overlayfs/" in place):
                yield place


def _mapped(pid: int) -> Iterator[str]:
    """Programs and libraries that a process has mapped, by their paths in its own root."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace").splitlines():
            fields = line.split(maxsplit=5)
            if len(fields) == 6 and fields[5].startswith("/"):
                yield fields[5]
