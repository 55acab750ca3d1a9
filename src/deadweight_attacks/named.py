"""The seccomp profile that the suite names (``run.seccomp``), before anything is attacked under it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deadweight.engine.faults import CannotStart
from deadweight.engine.seccomp import stops
from deadweight_attacks.host import PURPOSE

if TYPE_CHECKING:
    from deadweight_attacks.lab import Lab


def refused(lab: Lab) -> str:
    """Why the service does not come up under it, with the call; empty where it does, or where none is named. Tried with nothing
    added: what the attacker's program needs may be just what is missing. Raises Interrupted."""
    variant, engine, named = lab.variant, lab.engine, lab.named
    if not stops.is_file(named.seccomp):
        return ""
    try:
        stops.check(engine, named)
        with engine.start(lab.image, named, purpose=PURPOSE, variant=variant.name) as container:
            ready = container.wait_healthy(variant.health, variant.port)
        problem = "" if ready.healthy else ready.reason
    except stops.StoppedByProfile as stopped:
        return stopped.message
    except CannotStart as error:
        problem = error.message
    if not problem:
        return ""
    why = stops.explained(engine, lab.image, named, variant.health, variant.port)
    return why or f"the service does not come up under the seccomp profile {named.seccomp}: {problem}"
