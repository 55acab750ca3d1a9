"""What is told of a container: its state, whether it came up, what a program in it gave, how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

KILLED = 137
"""The exit code of what SIGKILL ended: 128 and the signal's number."""
UNTOLD = "SIGKILL: if nobody sent it, for its memory limit"
"""An engine loses the kernel's word on that now and then (moby, the event of a container that ends at once)."""


@dataclass(frozen=True)
class ContainerState:
    """The engine's view of a container. ``exit_code`` means something only once it is not running."""

    running: bool
    exit_code: int
    oom_killed: bool
    error: str
    pid: int
    started_at: str
    finished_at: str

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> ContainerState:
        """As the engine tells it: ``State`` of what it says of a container."""
        return cls(
            running=bool(document.get("Running")),
            exit_code=int(document.get("ExitCode") or 0),
            oom_killed=bool(document.get("OOMKilled")),
            error=str(document.get("Error") or ""),
            pid=int(document.get("Pid") or 0),
            started_at=str(document.get("StartedAt") or ""),
            finished_at=str(document.get("FinishedAt") or ""),
        )

    def told(self) -> str:
        """One clause for a message: how it ended."""
        if self.running:
            return "is running"
        if self.oom_killed:
            return f"was ended for using more memory than allowed (exit code {self.exit_code})"
        why = self.error or (UNTOLD if self.exit_code == KILLED else "")
        return f"ended with exit code {self.exit_code}" + (f" ({why})" if why else "")


@dataclass(frozen=True)
class ExecResult:
    """What a program run inside the container gave. Exit codes 126 and 127: it could not be started, it is not there."""

    exit_code: int
    output: bytes
    errors: bytes


@dataclass(frozen=True)
class Readiness:
    """Whether a service came up. ``seconds`` from the start call to the first healthy answer, None where it never came."""

    healthy: bool
    seconds: float | None
    reason: str


@dataclass(frozen=True)
class Stopped:
    """How a container ended on SIGTERM. ``in_time`` False: it did not, and was killed after ``seconds``."""

    in_time: bool
    seconds: float
    exit_code: int
