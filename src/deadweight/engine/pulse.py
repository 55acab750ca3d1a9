"""Whether a container still runs, as the kernel tells of its first process: at once, and far cheaper than an engine's answer."""

from __future__ import annotations

import os
import select

from deadweight.engine import netns


class Pulse:
    """A hold on a process (pidfd_open(2)), which no later process of the same number can take over."""

    def __init__(self, number: int) -> None:
        self._number = number

    @classmethod
    def of(cls, pid: int, container: str) -> Pulse | None:
        """That of the first process of the container of this id; None where it is none of this machine's, or this kernel gives no
        hold on it."""
        try:
            held = cls(os.pidfd_open(pid))
        except (OSError, AttributeError):
            return None
        if netns.is_process_of(pid, container):  # asked after it was held: then the number still was its own
            return held
        held.close()
        return None

    def beats(self, wait: float = 0.0) -> bool:
        """Whether it still runs after ``wait`` seconds; at once where it ends before."""
        asked = select.poll()
        asked.register(self._number, select.POLLIN)
        return not asked.poll(wait * 1000)

    def close(self) -> None:
        os.close(self._number)
