"""Many attacks on one posture, one after another, and what each did to the service that it met."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from deadweight._errors import DeadweightError, Interrupted
from deadweight.checks.attacks.containers import DIED, Yard
from deadweight.checks.attacks.deliver import Shot, fire
from deadweight.checks.attacks.lab import Lab, NoService
from deadweight.checks.attacks.model import Payload
from deadweight.checks.attacks.resource import alone, fire_resource
from deadweight.engine.faults import CannotStart

LATER = f"{DIED} a moment later"


def fire_all(lab: Lab, yard: Yard, payloads: Iterable[Payload], shots: dict[str, Shot]) -> None:
    """Fill ``shots``. Those without a trace come first: they share a container. Raises CannotStart, NoService, Interrupted.

    A service that dies is an outcome, and the next attack gets a new one. Where it dies a moment after an answer, that is the doing
    of the attack that it answered, not of the next, which is sent again.
    """
    before: Payload | None = None
    for payload in sorted(payloads, key=lambda each: (each.resource, each.trace == "state", each.trace == "files")):
        used = yard.kept
        shot = fire_one(lab, yard, payload)
        lost, yard.lost = yard.lost, False
        if shot.seen == "crashed" and used and not lost and before is not None:
            shot = fire_one(lab, yard, payload)
            lost = shot.seen != "crashed"
        if lost and before is not None:
            shots[before.id] = shots[before.id].ended(LATER)
        shots[payload.id] = shot
        before = payload
    if before is not None and not yard.alive():
        shots[before.id] = shots[before.id].ended(LATER)


def fire_one(lab: Lab, yard: Yard, payload: Payload) -> Shot:
    """Send one attack, ask the service whether it still answers, and throw its container away where it must not be used again."""
    if payload.evidence.takes == "disk" and not lab.room_on_disk():
        return Shot("not_measured", "this machine has too little free disk space to try it")
    try:
        if payload.evidence.kind == "resource":
            return fire_resource(lab, yard, payload)
        with alone() if payload.resource else contextlib.nullcontext():
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
    if complaint or taken or shot.seen == "crashed" or not shot.status:
        yard.spoil()
    return shot
