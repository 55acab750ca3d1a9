"""Memory for the segments of layers that come in pieces: filled, looked at by several threads, then filled again.

To touch fresh memory costs as much as to undo gzip into it, so a few buffers go round. They are mapped, not allocated: what is
let go of returns to the system at once, and is not left in the allocator's heap when the view of the image needs the room.
"""

from __future__ import annotations

import contextlib
import mmap
from collections import deque
from typing import Any, Protocol


class Work(Protocol):
    """What a thread does with a buffer."""

    def done(self) -> bool:
        """Whether it needs the buffer no more."""
        ...

    def result(self) -> Any:
        """Wait until it is done."""
        ...


class Buffer:
    """``view`` is all of it, writable. ``busy`` are the works of threads that look at it."""

    __slots__ = ("busy", "view")

    def __init__(self, size: int) -> None:
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if hasattr(mmap, "MADV_HUGEPAGE"):  # Linux: two thousand faults fewer
            with contextlib.suppress(OSError):
                memory.madvise(mmap.MADV_HUGEPAGE)
        self.view = memoryview(memory)
        self.busy: list[Work] = []


class Buffers:
    """At most ``most`` buffers of ``size`` bytes for one reader, which has one of them at a time."""

    def __init__(self, size: int, most: int) -> None:
        self._size, self._left = size, most
        self._used: deque[Buffer] = deque()

    def take(self) -> Buffer:
        """A buffer that nobody looks at; waits for the one that was given back first where there are no more."""
        for _turn in range(len(self._used)):
            if all(work.done() for work in self._used[0].busy):
                break
            self._used.rotate(-1)
        else:
            if self._left:
                self._left -= 1
                return Buffer(self._size)
        buffer = self._used.popleft()
        for work in buffer.busy:
            work.result()
        buffer.busy.clear()
        return buffer

    def give(self, buffer: Buffer) -> None:
        """Let it be filled again once its works are done."""
        self._used.append(buffer)
