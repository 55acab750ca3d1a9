"""What an external program says, line by line: its log, its caller, and the last lines for an error."""

from __future__ import annotations

import shlex
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from deadweight._errors import CommandError

TAIL_LINES = 15


class Sink:
    """Takes merged output line by line: the log, the caller's callback, and the last lines for an error."""

    def __init__(
        self, argv: Sequence[str], log: Path | None, on_line: Callable[[str], None] | None, redact: Sequence[str]
    ) -> None:
        self.log, self.on_line, self.expired = log, on_line, False
        self._secrets = [secret for secret in redact if secret]
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._file: IO[str] | None = None
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            self._file = log.open("a", encoding="utf-8", errors="replace")
            self._file.write(f"$ {self.clean(shlex.join(argv))}\n")
            self._file.flush()

    def clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "[redacted]")
        return text

    def line(self, text: str) -> None:
        text = self.clean(text)
        if text.strip():
            self.tail.append(text)
        if self._file is not None:
            self._file.write(text + "\n")
            self._file.flush()
        if self.on_line is not None:
            self.on_line(text)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def failure(self, argv: Sequence[str], said: str, reason: str, code: int | None, hint: str | None) -> CommandError:
        """The error of a program that failed. ``said`` counts where nothing was listened to while it ran."""
        tail = list(self.tail) or [line for line in said.splitlines() if line.strip()][-TAIL_LINES:]
        return CommandError(
            [self.clean(word) for word in argv],
            exit_code_of_command=code,
            reason=reason,
            tail=tail,
            log=self.log,
            hint=hint,
        )
