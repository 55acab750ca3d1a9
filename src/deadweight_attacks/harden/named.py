"""The seccomp profile that the suite names (``run.seccomp``) while settings are tried: where it stops the start, it is told with
the call, and the search goes on under the engine's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from deadweight.engine.options import RunOptions
from deadweight.engine.seccomp import stops
from deadweight_attacks.harden.trial import Trial

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject
    from deadweight.engine.client import Engine

Note = Callable[[str, Trial], None]


def startable(engine: Engine, options: RunOptions, note: Note) -> RunOptions:
    """Without the profile, where the runtime starts nothing under it: an engine might wait for ever."""
    try:
        stops.check(engine, options)
    except stops.StoppedByProfile as stopped:
        note(f"the seccomp profile {options.seccomp}", Trial(stopped.message))
        return options.but(seccomp="default")
    return options


def blame(subject: Subject, options: RunOptions, note: Note) -> None:
    """Note why the checks fail under it, and not under the engine's: the call, where it is the start that it stops."""
    health, port = subject.variant.health, subject.variant.port
    why = stops.explained(subject.engine(), subject.engine_image(), options, health, port)
    note(f"the seccomp profile {options.seccomp}", Trial(why or "the checks fail under it, and not under the engine's"))
