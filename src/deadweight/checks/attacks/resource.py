"""Attacks on memory, processes and processor: does the container take more than the hardened posture would grant?

They run one at a time on the whole machine, each in a container of its own, within the outer bound of ``walls.bounded``.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
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
from deadweight.checks.attacks.walls import MARGIN, Ground
from deadweight.checks.http_request import Prepared
from deadweight.engine.faults import Ended, translated
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

ALONE = Path("/run/deadweight-attack.lock")
"""One for the machine: variants attacked side by side may each be attacked by a process of its own, and projects as well."""


@dataclass(frozen=True)
class Use:
    """What a container uses at a moment. ``cpu_seconds`` is the sum since its start, ``waited_seconds`` what its processes would
    have taken beside that, had other load not held a processor (0 where that cannot be seen from here). ``pids`` is 0 where the
    engine tells nothing: what runs is one process at least."""

    memory_bytes: int
    pids: int
    cpu_seconds: float
    waited_seconds: float
    at: float


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
    with alone():
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


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Hold the machine during an attack on resources, so that no other one is starved by it. Raises Interrupted."""
    from filelock import FileLock, Timeout

    lock = FileLock(ALONE)
    while True:
        if _run.cancelled():
            raise Interrupted("interrupted")
        try:
            lock.acquire(timeout=1.0)
            break
        except Timeout:
            continue
        except OSError as error:
            raise DeadweightError(
                f"{ALONE}: cannot be locked, and attacks on resources must run one at a time: {error.strerror}",
                hint=f"remove {ALONE} if another user owns it",
            ) from error
    try:
        yield
    finally:
        lock.release()


def _watch(lab: Lab, yard: Yard, container: Container, of: str, sent: Sequence[Future[Reply]]) -> Shot:
    granted = _granted(lab.ground, of)
    beside = yard.beside
    before, peak, wanted, slowest, last = use(container, beside), 0.0, 0.0, 0.0, ""
    if not before.pids and yard.alive():
        raise DeadweightError("the engine does not report what a container uses: its statistics are empty")
    limit = answer_seconds(lab.variant.health)
    brief = "limits" in yard.posture.walls and of != "answers"  # no wall limits how long an answer takes
    deadline = time.monotonic() + (WATCH_SECONDS if brief else PATIENCE_SECONDS)
    while time.monotonic() < deadline and not last:
        if _run.cancelled():
            raise Interrupted("interrupted")
        time.sleep(0.1)
        if not yard.alive():
            return _crashed(container, peak, granted)
        if all(each.done() for each in sent):
            last = f"; the attack ended: {told(sent[0].result())}"
        now = use(container, beside)
        peak, wanted = max(peak, _taken(before, now, of)), max(wanted, _wanted(before, now))
        before = now if now.at - before.at > SLICE_SECONDS else before
        if peak > granted * MARGIN:
            return Shot("succeeded", "", _detail(of, peak, granted, slowest))
        slowest = max(slowest, _answer_seconds(container, lab, limit))
        if slowest >= limit:
            if not yard.alive(NOTICE_SECONDS):
                return _crashed(container, peak, granted)
            detail = _detail(of, peak, granted, slowest)
            return Shot("succeeded", "", {**detail, "proof": f"the service did not answer within {limit:g} s"})
    if of == "cpu" and wanted > granted * MARGIN and _unlimited(yard, granted):
        proof = f"wanted {_shown(of, wanted)}, where {_shown(of, granted)} are granted, and only other load held it to {peak:.2f}"
        return Shot("succeeded", "", {**_detail(of, peak, granted, slowest), "proof": proof})
    took = "" if of == "answers" else f"took {_shown(of, peak)} of the {_shown(of, granted)} granted; "
    said = f"{took}the service answered within {slowest:.2f} s{last}"
    # One that is still at work arrived, whatever became of the others.
    status = min((status_of(each.result()) for each in sent if each.done()), default=0) if last else 0
    return Shot("failed", said, {**_detail(of, peak, granted, slowest), "proof": None}, status=status)


def _crashed(container: Container, peak: float, granted: float) -> Shot:
    """The peak is told where there was time to see one."""
    seen = {"peak": round(peak, 2)} if peak else {}
    return Shot("crashed", f"the service {container.state().told()}", {**seen, "granted": granted})


def _detail(of: str, peak: float, granted: float, slowest: float) -> dict[str, Any]:
    return {
        "proof": f"took {_shown(of, peak)}, where {_shown(of, granted)} are granted",
        "peak": round(peak, 2),
        "granted": granted,
        "slowest_answer_seconds": round(slowest, 3),
    }


def _granted(ground: Ground, of: str) -> float:
    return {"memory": float(ground.memory_bytes), "pids": float(ground.pids), "cpu": ground.cpus, "answers": 1.0}[of]


def _taken(before: Use, now: Use, of: str) -> float:
    """Bytes, processes, or processors kept busy on average."""
    if of == "memory":
        return float(now.memory_bytes)
    if of == "pids":
        return float(now.pids)
    if of == "answers":
        return 0.0
    elapsed = now.at - before.at
    return (now.cpu_seconds - before.cpu_seconds) / elapsed if elapsed > SLICE_SECONDS else 0.0


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


def use(container: Container, beside: Sequence[int] = ()) -> Use:
    """The engine's counters of a container, on either version of cgroups. Memory counts without what the kernel can drop.

    ``beside``: processes in it that the service did not start.
    """
    read: Callable[..., Any] = container.api.stats
    with translated(f"counters of container {container.name}"):
        document = read(container.id, stream=False, one_shot=True)
    memory = document.get("memory_stats") or {}
    inner = memory.get("stats") or {}
    cache = int(inner.get("total_inactive_file") or inner.get("inactive_file") or 0)
    return Use(
        memory_bytes=max(0, int(memory.get("usage") or 0) - cache),
        pids=int((document.get("pids_stats") or {}).get("current") or 0),
        cpu_seconds=int(((document.get("cpu_stats") or {}).get("cpu_usage") or {}).get("total_usage") or 0) / 1e9,
        waited_seconds=sum(waited(each) for pid in (container.state().pid, *beside) for each in _tree(pid)),
        at=time.monotonic(),
    )


def waited(pid: int) -> float:
    """Seconds for which a process was ready to run and had no processor (``run_delay``, Linux, sched-stats)."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def _tree(pid: int) -> Iterator[int]:
    """A process of this machine and all that it started."""
    yield pid
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in file.read_text().split():
                yield from _tree(int(child))
