"""Send many attacks to one posture in turn, and find the one that killed the service."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

from deadweight._errors import DeadweightError, Interrupted
from deadweight.engine.faults import CannotStart
from deadweight_attacks.containers import DIED, NOTICE_SECONDS, Yard
from deadweight_attacks.deliver import Shot, fire
from deadweight_attacks.lab import Lab, NoService
from deadweight_attacks.model import Payload
from deadweight_attacks.resource import fire_resource, resource_lock

LATER = f"{DIED} a moment later"
ONCE = f"{LATER}, but survived when the attack was sent again"
SUSPECTS = 5
"""So many attacks are sent again to find the one of which a service died."""


def fire_all(lab: Lab, yard: Yard, payloads: Iterable[Payload], shots: dict[str, Shot]) -> None:
    """Fill ``shots``. Those without a trace come first: they share a container; of those on resources, those that end without the
    service. Raises CannotStart, NoService, Interrupted.

    A service that dies is an outcome, and the next attack gets a new one. Where it dies a moment after an answer, the attacks that
    it had answered are suspected, not the next, which is sent again.
    """
    met: list[Payload] = []  # those that the container of now has answered
    for payload in sorted(payloads, key=_order):
        used = yard.is_reused
        shot = fire_one(lab, yard, payload)
        lost, yard.lost = yard.lost, False
        if shot.seen == "crashed" and used and not lost and met:
            shot = fire_one(lab, yard, payload)
            lost = shot.seen != "crashed"
        shots[payload.id] = shot
        if lost and met:
            died = not yard.alive(NOTICE_SECONDS)
            blame(lab, yard, met, shots)
            if died:
                blame(lab, yard, [payload], shots)
        met = [*([] if lost or not used else met), payload] if yard.is_reused else []
    if met and not yard.alive():
        blame(lab, yard, met, shots)


def _order(payload: Payload) -> tuple[bool, ...]:
    by_hole = payload.resource and payload.delivery == "service"
    return payload.resource, payload.trace == "state", by_hole, payload.trace == "files"


def blame(lab: Lab, yard: Yard, met: Sequence[Payload], shots: dict[str, Shot]) -> None:
    """Find the attack of which the service died after it had answered: that of which a fresh one dies too, the last ones first.

    One death proves nothing: services end for reasons of their own, and a machine short of memory ends them. Where none is to
    blame, the last one's evidence tells of it.
    """
    for payload in reversed(met[-SUSPECTS:]):
        yard.spoil()
        again = fire_one(lab, yard, payload)
        died = again.seen == "crashed" or "afterwards" in again.detail or not yard.alive(NOTICE_SECONDS)
        yard.lost = False
        yard.spoil()
        if died:
            shots[payload.id] = shots[payload.id].ended(LATER)
            return
    last = shots[met[-1].id]
    shots[met[-1].id] = replace(last, detail={**last.detail, "afterwards": ONCE})


def fire_one(lab: Lab, yard: Yard, payload: Payload) -> Shot:
    """Send one attack, ask the service whether it still answers, and throw its container away where it must not be used again."""
    if payload.evidence.takes == "disk" and (why := lab.no_room_on_disk()):
        return Shot("not_measured", why)
    try:
        if payload.evidence.kind == "resource":
            return fire_resource(lab, yard, payload)
        yard.get()  # nobody need wait for a container to start
        with resource_lock(alone=False) if payload.resource else contextlib.nullcontext():
            shot = fire(lab, yard, payload)
            complaint = yard.complaint() if shot.seen in ("succeeded", "failed") else ""
    except (Interrupted, CannotStart, NoService):
        raise
    except DeadweightError as error:
        yard.spoil()
        return Shot("not_measured", error.message)
    if complaint:
        shot = shot.ended(complaint)
    taken = payload.trace == "state" and shot.seen == "succeeded"
    if complaint or taken or shot.seen == "crashed" or (not shot.status and _at_work(payload, shot)):
        yard.spoil()
    return shot


def _at_work(payload: Payload, shot: Shot) -> bool:
    """Whether what got no answer may still be at work in the service: not where nothing was sent, nor where it was proven and ended
    with the attacker's program."""
    ended = payload.breach is not None and shot.seen == "succeeded"
    return not ended and shot.seen != "not_measured"
