"""Attacks on memory, processes and processor: does the container take more than the hardened posture would grant?

They take turns on the whole machine (``turns``), each in a container of its own, within the outer bound of ``walls.bounded``.
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
from deadweight.checks.attacks.usage import Use, use
from deadweight.checks.attacks.walls import MARGIN, Ground
from deadweight.checks.http_request import Prepared
from deadweight.engine.faults import Ended
from deadweight.engine.health import NO_ANSWER

if TYPE_CHECKING:
    from deadweight.engine.container import Container

WATCH_SECONDS = 2.5
PATIENCE_SECONDS = 8.0
"""Where no limit stands in the way, a busy machine gets so long to give the attack what it wants."""
START_SECONDS = 10.0
NOTHING = Order(("hello", "", ""))
SLICE_SECONDS = 0.5
"""Processor time is averaged over so long at least."""

NEAR, HELD_SECONDS = 0.9, 0.5
"""What takes nearly all that is granted, and no more, for so long is held by the limit."""
ALONE = ("cpu", "answers")
"""What others would falsify, or what would falsify theirs."""


@dataclass
class Hold:
    """Whether a limit holds what asks for more: nearly all that is granted is taken, and no more, for a while."""

    granted: float
    since: float | None = None

    def holds(self, taken: float | None, at: float) -> bool:
        """``taken`` at a moment; None where nothing can be said of it."""
        if taken is None:
            return False
        near = self.granted * NEAR <= taken <= self.granted * MARGIN
        self.since = (at if self.since is None else self.since) if near else None
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
    _ready(yard, payload)  # nobody need wait for a container to start
    with turn(alone=payload.evidence.of in ALONE):
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
                shot = _watch(lab, yard, container, payload.evidence.of or "memory", sent)
            finally:
                _end(yard, payload)
    return shot


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


def _watch(lab: Lab, yard: Yard, container: Container, of: str, sent: Sequence[Future[Reply]]) -> Shot:
    """Look again and again until something is proven, the attack has ended, a limit was seen to hold it, or the time is over."""
    watch = _Watch(lab, yard, container, of)
    brief = "limits" in yard.posture.walls and of != "answers"  # no wall limits how long an answer takes
    seconds = WATCH_SECONDS if brief else PATIENCE_SECONDS
    while time.monotonic() - watch.begun < seconds:
        if _run.cancelled():
            raise Interrupted("interrupted")
        time.sleep(0.1)
        over = all(each.done() for each in sent)
        if (shot := watch.look()) is not None:
            return shot
        if over or (brief and watch.held):
            break
    return watch.failed(sent)


class _Watch:
    """What was seen of a container under attack. ``held``: a limit holds what the attack takes."""

    def __init__(self, lab: Lab, yard: Yard, container: Container, of: str) -> None:
        self._lab, self._yard, self._container, self._of = lab, yard, container, of
        self._granted, self._limit = _granted(lab.ground, of), answer_seconds(lab.variant.health)
        self._before, self._hold, self.held = use(container, yard.beside), Hold(self._granted), False
        self._peak = self._wanted = self._slowest = 0.0
        self.begun = time.monotonic()
        if not self._before.pids and yard.alive():
            raise DeadweightError("the engine does not report what a container uses: its statistics are empty")

    def look(self) -> Shot | None:
        """Look once; what that proves, if anything."""
        if not self._yard.alive():
            return _crashed(self._container, self._peak, self._granted)
        now = use(self._container, self._yard.beside)
        taken = _taken(self._before, now, self._of)
        self._peak, self._wanted = max(self._peak, taken or 0.0), max(self._wanted, _wanted(self._before, now))
        self._before = now if now.at - self._before.at > SLICE_SECONDS else self._before
        self.held = self._hold.holds(taken, now.at)
        if self._peak > self._granted * MARGIN:
            return self._succeeded()
        self._slowest = max(self._slowest, _answer_seconds(self._container, self._lab, self._limit))
        if self._slowest >= self._limit:
            if not self._yard.alive(NOTICE_SECONDS):
                return _crashed(self._container, self._peak, self._granted)
            return self._succeeded(f"the service did not answer within {self._limit:g} s")
        return self._held_by_others(now.at)

    def _held_by_others(self, at: float) -> Shot | None:
        """It wanted more than granted, no limit stands in its way, and it has had time to get it."""
        over = self._of == "cpu" and self._wanted > self._granted * MARGIN and at - self.begun > WATCH_SECONDS
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
        # One that is still at work arrived, whatever became of the others.
        status = min((status_of(each.result()) for each in sent), default=0) if ended else 0
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


def _taken(before: Use, now: Use, of: str) -> float | None:
    """Bytes, processes, or processors kept busy on average; None where it is too early to tell."""
    if of == "memory":
        return float(now.memory_bytes)
    if of == "pids":
        return float(now.pids)
    elapsed = now.at - before.at
    return (now.cpu_seconds - before.cpu_seconds) / elapsed if of == "cpu" and elapsed > SLICE_SECONDS else None


def _wanted(before: Use, now: Use) -> float:
    """Processors kept busy or waited for, on average."""
    elapsed, waited = now.at - before.at, max(0.0, now.waited_seconds - before.waited_seconds)
    return (now.cpu_seconds - before.cpu_seconds + waited) / elapsed if elapsed > SLICE_SECONDS else 0.0


def _unlimited(yard: Yard, granted: float) -> bool:
    """Whether the engine gives this posture more processors than are granted: a limit makes processes wait too."""
    return "limits" not in yard.posture.walls and (yard.options.cpus or 0.0) > granted * MARGIN


def _shown(of: str, amount: float) -> str:
    from deadweight.suite.sizes import format_bytes

    if of == "memory":
        return format_bytes(int(amount))
    return f"{amount:.0f} processes" if of == "pids" else f"{amount:.2f} processors"


def _answer_seconds(container: Container, lab: Lab, limit: float) -> float:
    """How long the service takes to say that it is healthy; the limit where it does not, and where it has ended.

    The container under attack is asked, never the yard, which would put a new one in the place of one that has ended.
    """
    started = time.monotonic()
    try:
        container.question(lab.variant.health, lab.variant.port)(limit)
    except (*NO_ANSWER, Ended):
        return limit
    return time.monotonic() - started
