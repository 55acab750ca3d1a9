"""Measure the memory, processes and processor time that an attacked container takes beyond its limits.

Load from other processes proves nothing. The limit's own counters show what a limit holds back. The time spent ready to run
shows what only other load holds back.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deadweight._errors import DeadweightError
from deadweight.engine.faults import Ended
from deadweight.engine.health import NO_ANSWER
from deadweight_attacks.containers import NOTICE_SECONDS, Yard, answer_seconds
from deadweight_attacks.counters import Counters, Use
from deadweight_attacks.deliver import Reply, Shot, status_of, told
from deadweight_attacks.lab import Lab
from deadweight_attacks.run_options import MARGIN, Ground
from deadweight_attacks.walls import wording

if TYPE_CHECKING:
    from deadweight.engine.container import Container
    from deadweight.engine.health import Question

ASK_SECONDS = 0.2
"""How often the service is asked meanwhile: each question takes of the machine what the attack is measured by."""
PERIOD_SECONDS = 0.1
"""For so long engines grant processors at a time (``cpu.cfs_period_us``)."""
SLICE_SECONDS = 0.7
"""Processor time is averaged over so long at least: who uses a share up at the start of each period takes at most a seventh more in
such a slice, wherever it begins, and that is within the margin."""
BRISK_SECONDS = 0.3
"""Where no limit is set there are no such periods, and less time tells as much."""

NEAR, HELD_SECONDS = 0.9, 0.5
"""What takes nearly all that is granted, and no more, or is refused more, for so long is held by the limit."""


@dataclass
class Hold:
    """Whether a limit holds what asks for more: for a while nearly all that is granted is taken, or the limit itself counts what it
    refuses, and no more is taken."""

    granted: float
    since: float | None = None

    def holds(self, taken: float, at: float, refused: bool = False) -> bool:
        """``taken`` at a moment. ``refused``: the limit was met since the last one."""
        near = refused or self.granted * NEAR <= taken
        self.since = (at if self.since is None else self.since) if near and taken <= self.granted * MARGIN else None
        return self.since is not None and at - self.since >= HELD_SECONDS


class Watch:
    """What was seen of a container under attack. ``held``: a limit holds what the attack takes."""

    def __init__(self, lab: Lab, yard: Yard, container: Container, of: str) -> None:
        self._yard, self._container, self._of = yard, container, of
        self._granted, self._limit = _granted(lab.ground, of), answer_seconds(lab.variant.health)
        self._ask = container.question(lab.variant.health, lab.variant.port)
        self._asked = 0.0
        self._counters = Counters(container)
        self._before = self._last = self._counters.read()
        self._waited = self._counters.waited_seconds(yard.beside) if of == "cpu" else 0.0
        self._hold, self.held, self._met = Hold(self._granted), False, False
        self._slice_seconds = SLICE_SECONDS if "limits" in yard.posture.walls else BRISK_SECONDS
        self._peak = self._wanted = self._slowest = 0.0
        self.begun = time.monotonic()
        if not self._before.pids and yard.alive():
            raise DeadweightError(wording("engine.no_statistics"))

    def look(self) -> Shot | None:
        """Look once; what that proves, if anything."""
        if not self._yard.alive():
            return _crashed(self._container, self._peak, self._granted)
        now = self._counters.read()
        taken = _taken(self._before, now, self._of, self._slice_seconds)
        self._peak = max(self._peak, taken or 0.0)
        if self._of != "cpu":
            refused = _refused(self._last, now, self._of)
            self._met = self._met or refused
            self.held = self._hold.holds(taken or 0.0, now.at, refused)
        elif taken is not None:
            self._slice(taken, now)
        self._last = now
        if self._peak > self._granted * MARGIN:
            return self._succeeded()
        self._slowest = max(self._slowest, self._asked_again())
        if self._slowest >= self._limit:
            if not self._yard.alive(NOTICE_SECONDS):
                return _crashed(self._container, self._peak, self._granted)
            return self._succeeded(f"the service did not answer within {self._limit:g} s")
        return self._held_by_others()

    def _asked_again(self) -> float:
        """How long the service took to say that it is healthy, in seconds; 0 where it was asked a moment ago."""
        now = time.monotonic()
        if now - self._asked < ASK_SECONDS and self._of != "answers":
            return 0.0
        self._asked = now
        return _answer_seconds(self._ask, self._limit)

    def _slice(self, taken: float, now: Use) -> None:
        """A slice of time is over: how many processors were kept busy or waited for, and whether the limit was met in most of its
        periods, or all that is granted was taken. A new one begins."""
        elapsed, waited = now.at - self._before.at, self._counters.waited_seconds(self._yard.beside)
        busy = now.cpu_seconds - self._before.cpu_seconds + max(0.0, waited - self._waited)
        throttled = (now.throttled - self._before.throttled) * PERIOD_SECONDS > elapsed / 2
        self.held = (throttled or self._granted * NEAR <= taken) and taken <= self._granted * MARGIN
        self._wanted = max(self._wanted, busy / elapsed)
        self._before, self._waited = now, waited

    def _held_by_others(self) -> Shot | None:
        """It wanted more than granted, and no limit stands in its way."""
        over = self._of == "cpu" and self._wanted > self._granted * MARGIN
        if not over or not _unlimited(self._yard, self._granted):
            return None
        wanted, granted = _shown(self._of, self._wanted), _shown(self._of, self._granted)
        return self._succeeded(
            f"wanted {wanted}, where {granted} are granted, and only other load held it to {self._peak:.2f}"
        )

    def _succeeded(self, proof: str = "") -> Shot:
        detail = self._detail()
        return Shot("succeeded", "", {**detail, "proof": proof or detail["proof"]})

    def failed(self, sent: Sequence[Future[Reply]]) -> Shot:
        """Nothing was proven. ``sent`` is what was sent, of which some may be at work still."""
        ended = bool(sent) and all(each.done() for each in sent)
        took = f"took {_shown(self._of, self._peak)} of the {_shown(self._of, self._granted)} granted; "
        last = f"; the attack ended: {told(sent[0].result())}" if ended else ""
        said = f"{'' if self._of == 'answers' else took}the service answered within {self._slowest:.2f} s{last}"
        # One that is still at work arrived, whatever became of the others; so did one that met its limit, which may be why the
        # service answers that it cannot do more.
        status = min((status_of(each.result()) for each in sent), default=0) if ended and not self._met else 0
        return Shot("failed", said, {**self._detail(), "proof": None}, status=status)

    def _detail(self) -> dict[str, Any]:
        return {
            "proof": f"took {_shown(self._of, self._peak)}, where {_shown(self._of, self._granted)} are granted",
            "peak": round(self._peak, 2),
            "granted": self._granted,
            "slowest_answer_seconds": round(self._slowest, 3),
        }


def _crashed(container: Container, peak: float, granted: float) -> Shot:
    """The peak is told where there was time to see one."""
    seen = {"peak": round(peak, 2)} if peak else {}
    return Shot("crashed", f"the service {container.state().told()}", {**seen, "granted": granted})


def _granted(ground: Ground, of: str) -> float:
    return {"memory": float(ground.memory_bytes), "pids": float(ground.pids), "cpu": ground.cpus, "answers": 1.0}[of]


def _taken(before: Use, now: Use, of: str, slice_seconds: float) -> float | None:
    """Bytes, processes, or processors kept busy on average over a slice; None where it is too early to tell."""
    if of == "memory":
        return float(now.memory_bytes)
    if of == "pids":
        return float(now.pids)
    elapsed = now.at - before.at
    return (now.cpu_seconds - before.cpu_seconds) / elapsed if of == "cpu" and elapsed > slice_seconds else None


def _refused(before: Use, now: Use, of: str) -> bool:
    """Whether the limit itself counted since then that it was met."""
    return {"memory": now.killed > before.killed, "pids": now.refused > before.refused}.get(of, False)


def _unlimited(yard: Yard, granted: float) -> bool:
    """Whether the engine gives this posture more processors than are granted: a limit makes processes wait too."""
    return "limits" not in yard.posture.walls and (yard.options.cpus or 0.0) > granted * MARGIN


def _shown(of: str, amount: float) -> str:
    from deadweight.suite.values import format_bytes

    if of == "memory":
        return format_bytes(int(amount))
    return f"{amount:.0f} processes" if of == "pids" else f"{amount:.2f} processors"


def _answer_seconds(ask: Question, limit: float) -> float:
    """How long the service takes to say that it is healthy; the limit where it does not, and where it has ended.

    ``ask`` asks the container under attack, never the yard, which would put a new one in the place of one that has ended.
    """
    started = time.monotonic()
    try:
        ask(limit)
    except (*NO_ANSWER, Ended):
        return limit
    return time.monotonic() - started
