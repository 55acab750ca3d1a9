"""Wait until a service in a container listens, and say why it does not."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Sequence
from enum import Enum
from typing import TYPE_CHECKING

from deadweight import _run
from deadweight._errors import DeadweightError, Interrupted
from deadweight._log_excerpt import plain
from deadweight.checks.service import last_lines

if TYPE_CHECKING:
    from deadweight.engine.container import Container

START_SECONDS = 90.0
LOOPBACK_SECONDS = 10.0
"""So long something may listen on loopback alone before it is clear that nothing else will."""

DECLARED_SECONDS = 20.0
"""So long a declared port is waited for once another one is open."""

SETTLE_SECONDS = 1.0

LOOK_SECONDS, MARGIN_SECONDS = 45.0, 5.0
"""Whoever says something new within so long is still at it. The second look is so long before a start counts as failed."""

HEARD_LINES = 2000
MOST_SECONDS = 240.0
"""So long a service is waited for that is still at it: large frameworks on a busy machine."""


class Progress:
    """Whether a container says something new: lines that differ in more than numbers. Asked from ``at`` on, each LOOK_SECONDS."""

    def __init__(self, at: float) -> None:
        self._at, self._said = at, frozenset[str]()

    def since_last(self, container: Container) -> bool:
        """Whether it has said anything new when it is time to look; the first look tells nothing."""
        if time.monotonic() < self._at:
            return False
        first, before = not self._said, self._said
        self._at = time.monotonic() + LOOK_SECONDS
        self._said = before | _kinds_of(container) | {""}
        return not first and self._said != before


def _kinds_of(container: Container) -> frozenset[str]:
    try:
        return frozenset(re.sub(r"\d+", "", line) for line in container.logs(HEARD_LINES))
    except DeadweightError:
        return frozenset()


class Down(Enum):
    """Why a service does not come up."""

    ENDED = "ended"
    ENDED_WITH_0 = "ended_with_0"
    """It ends without an error, although the repository says that it listens."""
    MISSING_VARIABLE = "missing_variable"
    NOT_LISTENING = "not_listening"
    ONLY_LOOPBACK = "only_loopback"
    NEED_FAILED = "need_failed"
    """What it needs beside it cannot be had, or does not come up."""
    NOT_HARDENED = "not_hardened"


class NotUp(DeadweightError):
    """The service did not come up; says why, with its last lines. ``log`` are its lines, ``variable`` is what it lacks."""

    def __init__(self, code: Down, message: str, log: Sequence[str] = (), variable: str = "") -> None:
        super().__init__(message)
        self.code, self.log, self.variable = code, tuple(log), variable


_UNSET = tuple(
    re.compile(pattern)
    for pattern in (
        r"KeyError: ['\"]([A-Z][A-Z0-9_]+)['\"]",
        r"(?i:environment variables?|env(?:ironment)? vars?|variable|setting)s?:? [\"'`$]{0,2}([A-Z][A-Z0-9_]{2,})\b",
        (
            r"\b([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)[\"'`]? (?:environment variable )?(?:(?:is|was|must be|needs to be) )?"
            r"(?:not set|unset|set|required|missing|undefined|not defined|empty)\b"
        ),
        r"(?i:missing|required|unset|undefined|must set|please set)[^A-Z]{0,30}[\"'`$]{0,2}([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)\b",
        r"\b([A-Z][A-Z0-9_]+) not found\. Declare it as envvar",
        r"[Ss]et the ([A-Z][A-Z0-9_]+) environment variable",
        r"Could not resolve placeholder '([\w.-]+)'",
    )
)


def missing_variable(lines: Sequence[str]) -> str:
    """The variable (or Spring's setting) for want of which a service ended, as far as its own words name one."""
    return next((found[1] for line in lines for pattern in _UNSET if (found := pattern.search(line))), "")


def ended(reason: str, container: Container) -> NotUp:
    """The failure of a service that ended, with the variable that it lacks, if it names one."""
    lines = _all_lines(container)
    variable = missing_variable([line for line in lines if not _PLAIN.search(line)])
    return NotUp(Down.MISSING_VARIABLE if variable else Down.ENDED, with_cause(reason, container), lines, variable)


def wait_listening(
    container: Container, ports: Sequence[int], seconds: float = START_SECONDS, declared: Collection[int] = ()
) -> tuple[int, ...]:
    """The ports that can be reached from outside, once it listens. One that is ``declared`` is waited for a while longer: a port
    for management often opens first. Raises NotUp: it ended, never listens, on loopback only."""
    deadline = container.started + seconds
    progress, first_open = Progress(deadline - LOOK_SECONDS - MARGIN_SECONDS), 0.0
    while True:
        if _run.cancelled():
            raise Interrupted("interrupted")
        state = container.state()
        if not state.running:
            raise ended(f"it {state.told()}", container)
        found = container.listeners() or ()
        reached = {each.port for each in found if not each.loopback}
        if reached:
            first_open = first_open or time.monotonic()
            if not declared or reached & set(declared) or time.monotonic() > first_open + DECLARED_SECONDS:
                break
            time.sleep(0.2)
            continue
        if not found and progress.since_last(container):
            deadline = max(deadline, min(time.monotonic() + LOOK_SECONDS, container.started + MOST_SECONDS))
        if time.monotonic() > deadline or (found and time.monotonic() > container.started + LOOPBACK_SECONDS):
            if found:
                where = ", ".join(f"{each.address}:{each.port}" for each in found)
                reason = f"it listens on {where} only, which cannot be reached from outside the container"
                raise NotUp(Down.ONLY_LOOPBACK, f"{reason}: bind it to 0.0.0.0", _all_lines(container))
            waited = time.monotonic() - container.started
            reason = with_cause(f"it does not listen on any port after {waited:.0f} s", container)
            raise NotUp(Down.NOT_LISTENING, reason, _all_lines(container))
        time.sleep(0.2)
    time.sleep(SETTLE_SECONDS)  # a second port often comes a moment later
    state = container.state()
    if not state.running:
        raise ended(f"it {state.told()}", container)
    open_now = {each.port for each in container.listeners() or found if not each.loopback}
    return tuple(sorted(open_now, key=lambda port: (ports.index(port) if port in ports else len(ports), port)))


_PLAIN = re.compile(r"\b(?:TRACE|DEBUG|INFO)\b")
"""Lines that name errors without telling of one: ``INFO … Mapped "{[/error]}" onto …``."""


def with_cause(reason: str, container: Container) -> str:
    """A reason with the first line that names an error and the last lines: runtimes print the cause first, frames after it."""
    lines = [line.strip() for line in _all_lines(container) if not _PLAIN.search(line)]
    words = ("panic:", "error", "exception", "fatal", "cannot", "refused", "denied", "missing", "not set", "required")
    cause = next((line for line in lines if any(word in line.lower() for word in words)), "")
    shown = [line for line in last_lines(container, 3) if line.strip() != cause]
    said = " | ".join([*([cause[:300]] if cause else []), *shown])
    return f"{reason}: {said}" if said else f"{reason}; the service printed nothing"


def first_line(container: Container) -> str:
    """The first line that it wrote; empty where it wrote none."""
    return next((line.strip() for line in _all_lines(container) if line.strip()), "")


def first_lines(container: Container, most: int) -> tuple[str, ...]:
    """The first lines that it wrote."""
    return tuple(_all_lines(container)[:most])


def _all_lines(container: Container) -> list[str]:
    try:
        return [plain(line) for line in container.logs(None)[:2000]]
    except DeadweightError:
        return []
