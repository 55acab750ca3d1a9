"""Attacks on memory, processes and processor: does the container take more than the hardened posture would grant?

They take turns on the whole machine (``turns``), each in a container of its own, within the outer bound of ``walls.bounded``.
What others do beside it proves nothing: what a limit holds is known by the limit's own counters, and what only other load holds by
how long it was ready to run. Of processors, what the two leave open is asked once more with the machine alone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from deadweight import _run
from deadweight._errors import DeadweightError, Interrupted
from deadweight.checks.attacks.containers import NOTICE_SECONDS, Yard, answer_seconds
from deadweight.checks.attacks.deliver import BIND_PORT, Reply, Shot, send, status_of, told
from deadweight.checks.attacks.filled import fill
from deadweight.checks.attacks.flood import UNSENDABLE, flood, requests
from deadweight.checks.attacks.lab import Lab
from deadweight.checks.attacks.model import Payload
from deadweight.checks.attacks.request import ordered
from deadweight.checks.attacks.session import OBEYED, Order
from deadweight.checks.attacks.turns import turn
from deadweight.checks.attacks.walls import MARGIN, Ground
from deadweight.checks.http_request import Prepared
from deadweight.engine.counters import Counters, Use
from deadweight.engine.faults import Ended
from deadweight.engine.health import NO_ANSWER

if TYPE_CHECKING:
    from deadweight.engine.container import Container
    from deadweight.engine.health import Question

PATIENCE_SECONDS = 8.0
"""A busy machine gets so long to give the attack what it wants, or the limit that is to hold it."""
PROCESSOR_SECONDS = 1.6
"""The same of processors where a limit is to hold it, two slices and the looks between: other load does not end by waiting."""
LOOK_SECONDS = 0.05
ASK_SECONDS = 0.2
"""How often the service is asked meanwhile: each question takes of the machine what the attack is measured by."""
START_SECONDS = 10.0
NOTHING = Order(("hello", "", ""))
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


def fire_resource(lab: Lab, yard: Yard, payload: Payload) -> Shot:
    """Send the attack, and watch until the container took more than granted, or a moment has passed."""
    if _run.cancelled():
        raise Interrupted("interrupted")
    if payload.flood is None:
        return _fired(lab, yard, payload, None)
    shot, said = Shot("not_measured", UNSENDABLE), []
    for request in requests(lab, payload):
        shot = _fired(lab, yard, payload, request)
        if shot.seen != "failed":
            return shot
        said.append(f"{request.method} {request.path}: {shot.said}")
    # A flood that is still under way has arrived.
    return replace(shot, said="; ".join(said) or shot.said, status=shot.status or OBEYED)


def _fired(lab: Lab, yard: Yard, payload: Payload, flooded: Prepared | None) -> Shot:
    of = payload.evidence.of or "memory"
    _ready(yard, payload)  # nobody need wait for a container to start
    with turn(alone=of == "answers", processors=of == "cpu"):
        shot, certain = _sent(lab, yard, payload, flooded)
    if certain or of != "cpu":
        return shot
    _ready(yard, payload)
    with turn(alone=True):
        return _sent(lab, yard, payload, flooded)[0]


def _sent(lab: Lab, yard: Yard, payload: Payload, flooded: Prepared | None) -> tuple[Shot, bool]:
    """What came of it, and whether that would be the same on an idle machine."""
    container = _ready(yard, payload)
    places = fill(lab, payload, BIND_PORT).places
    seconds = max(payload.seconds, PATIENCE_SECONDS + answer_seconds(lab.variant.health))
    with ThreadPoolExecutor(payload.parallel) as pool:
        try:
            if flooded is not None:
                sent = [pool.submit(flood, lab, yard, payload, flooded, seconds)]
            else:
                request = ordered(payload, places, lab.subject.suite.root, lab.awk)
                sent = [pool.submit(send, yard, request, seconds) for _ in range(payload.parallel)]
            return _watch(lab, yard, container, payload.evidence.of or "memory", sent)
        finally:
            _end(yard, payload)


def _ready(yard: Yard, payload: Payload) -> Container:
    """The container to attack, with the attacker's program in it before anything is measured, where that is what attacks.

    A service that has ended of the attack before is exchanged for a new one. Raises DeadweightError where nothing can be started.
    """
    container = yard.get()
    if payload.breach is None:
        return container
    try:
        yard.session.obey(NOTHING, START_SECONDS)
    except Interrupted:
        raise
    except (DeadweightError, OSError):
        yard.lost = yard.lost or not yard.alive(NOTICE_SECONDS)
        yard.spoil()
        container = yard.get()
        try:
            yard.session.obey(NOTHING, START_SECONDS)
        except OSError as error:
            raise DeadweightError(f"the attacker's program cannot be started beside the service: {error}") from error
    return container


def _end(yard: Yard, payload: Payload) -> None:
    """End the attack, and with it the requests: what came by the service's own hole ends with the service."""
    if payload.breach is not None:
        yard.hang_up()
    if payload.breach is None or yard.complaint():
        yard.spoil()


def _watch(lab: Lab, yard: Yard, container: Container, of: str, sent: Sequence[Future[Reply]]) -> tuple[Shot, bool]:
    """Look again and again until something is proven, the attack has ended, a limit was seen to hold it, or the time is over."""
    watch = _Watch(lab, yard, container, of)
    limited = "limits" in yard.posture.walls and of != "answers"  # no wall limits how long an answer takes
    seconds = PROCESSOR_SECONDS if limited and of == "cpu" else PATIENCE_SECONDS
    while time.monotonic() - watch.begun < seconds:
        if _run.cancelled():
            raise Interrupted("interrupted")
        time.sleep(LOOK_SECONDS)
        over = all(each.done() for each in sent)
        if (shot := watch.look()) is not None:
            return shot, True
        if over or (limited and watch.held):
            return watch.failed(sent), True
    return watch.failed(sent), False


class _Watch:
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
            raise DeadweightError("the engine does not report what a container uses: its statistics are empty")

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
    from deadweight.suite.sizes import format_bytes

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
