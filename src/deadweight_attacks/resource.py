"""Attacks on memory, processes and processor: does the container take more than the hardened posture would grant?

They take turns on the whole machine (``resource_lock``), each in a container of its own, within the outer bound of
``run_options.bounded``.
What the container consumes meanwhile is judged by ``consumption``. Of processors, what that leaves open is asked once more with
the machine alone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from deadweight import _run
from deadweight._errors import DeadweightError, Interrupted
from deadweight.checks.api import Prepared
from deadweight_attacks.consumption import Watch
from deadweight_attacks.containers import NOTICE_SECONDS, Yard, answer_seconds
from deadweight_attacks.deliver import BIND_PORT, Reply, Shot, send
from deadweight_attacks.flood import UNSENDABLE, flood, requests
from deadweight_attacks.lab import Lab
from deadweight_attacks.model import Payload
from deadweight_attacks.request import ordered
from deadweight_attacks.resource_lock import resource_lock
from deadweight_attacks.session import OBEYED, Order
from deadweight_attacks.template import fill

if TYPE_CHECKING:
    from deadweight.engine.container import Container

PATIENCE_SECONDS = 8.0
"""A busy machine gets so long to give the attack what it wants, or the limit that is to hold it."""
PROCESSOR_SECONDS = 1.6
"""The same of processors where a limit is to hold it, two slices and the looks between: other load does not end by waiting."""
LOOK_SECONDS = 0.05
START_SECONDS = 10.0
NOTHING = Order(("hello", "", ""))


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
            return replace(shot, detail={**shot.detail, "at": f"{request.method} {request.path}"})
        said.append(f"{request.method} {request.path}: {shot.said}")
    # A flood that is still under way has arrived.
    return replace(shot, said="; ".join(said) or shot.said, status=shot.status or OBEYED)


def _fired(lab: Lab, yard: Yard, payload: Payload, flooded: Prepared | None) -> Shot:
    of = payload.evidence.of or "memory"
    _ready(yard, payload)  # nobody need wait for a container to start
    with resource_lock(alone=of == "answers", processors=of == "cpu"):
        shot, certain = _sent(lab, yard, payload, flooded)
    if certain or of != "cpu":
        return shot
    _ready(yard, payload)
    with resource_lock(alone=True):
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
    watch = Watch(lab, yard, container, of)
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
