"""Run code in a process's network namespace (Linux, root)."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000  # sched.h


_ENGINES_FILES = ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf")


def is_process_of(pid: int, container: str) -> bool:
    """Whether ``pid`` is, as seen from here, a process of the container of this id: of an engine in another kernel or process
    namespace, the number is that of anything here.

    Every engine mounts files of the container's own folder into it, in whose paths its id stands. The id alone says nothing:
    whoever shares the engine's mounts has the container's root file system among them.
    """
    try:
        lines = Path(f"/proc/{pid}/mountinfo").read_text(errors="replace").splitlines()
    except OSError:
        return False
    fields = (line.split(" ") for line in lines)
    return pid > 0 and any(field[4] in _ENGINES_FILES and container in field[3] for field in fields)


def within(pid: int, work: Callable[[], T]) -> T:
    """Do something in the network namespace of ``pid`` and give its result. Raises OSError, and whatever ``work`` does."""
    with open(f"/proc/{pid}/ns/net", "rb") as namespace:  # noqa: PTH123 - its file number is what is needed
        return inside(namespace.fileno(), work)


def inside(namespace: int, work: Callable[[], T]) -> T:
    """The same by the number of an open file of the namespace.

    It runs in a thread of its own: a namespace belongs to a thread, and a socket stays in the one that it was made in.
    """

    def enter() -> T:
        if ctypes.CDLL(None, use_errno=True).setns(namespace, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return work()

    return in_thread(enter).result()


def in_thread(work: Callable[[], T]) -> Future[T]:
    """What ``work`` gives or raises, in a thread of its own; whoever waits for it may go away."""
    result: Future[T] = Future()

    def carry_out() -> None:
        try:
            result.set_result(work())
        except BaseException as error:
            result.set_exception(error)

    threading.Thread(target=carry_out, daemon=True).start()
    return result
