"""Every decision of a pool, with its time and reason: a line in ``logs/pool.log``, and kept with what is built."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path


class Journal:
    """Thread-safe. ``say`` takes what the user should see at once: what was lost, and what that means."""

    def __init__(self, file: Path, say: Callable[[str], None]) -> None:
        self._file, self._say, self._guard = file, say, threading.Lock()
        self._of: dict[str, list[str]] = defaultdict(list)

    def note(self, line: str, *, variant: str = "", loud: bool = False) -> None:
        """Write a decision down; ``variant`` is the one that it is about."""
        whole = f"{variant}: {line}" if variant else line
        with self._guard:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a", encoding="utf-8") as file:
                file.write(f"{datetime.now(UTC).isoformat(timespec='milliseconds')} {whole}\n")
            if variant:
                self._of[variant].append(line)
        if loud:
            self._say(f"pool: {whole}")

    def of(self, variant: str) -> tuple[str, ...]:
        """What was decided of one variant in this run, oldest first."""
        with self._guard:
            return tuple(self._of[variant])
