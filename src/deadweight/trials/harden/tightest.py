"""The tightest posture of a variant: searched for here, or as root where that takes sudo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from deadweight.checks import as_root
from deadweight.checks.protocol import Subject
from deadweight.trials.harden import search
from deadweight.trials.harden.found import Found, Tightest


def tightest(subject: Subject, told: Callable[[str], None] = lambda _line: None) -> Found:
    """As ``search.tightest``; who is not root has it done as root, in a process of its own, where sudo asks for nothing."""
    if not (subject.variant.runnable and as_root.possible(subject)):
        return search.tightest(subject, told)
    reply = as_root.call(AS_ROOT, Order(), subject, told)
    return Found(**reply.fields(), variant=subject.variant, suite=subject.suite.name, image=subject.engine_image())


@dataclass(frozen=True)
class Order:
    """What to search for: nothing but the variant."""


def _obey(_order: Order, subject: Subject, told: as_root.Told) -> Tightest:
    """What was found without what the caller knows."""
    return Tightest(**search.tightest(subject, told).fields())


AS_ROOT = as_root.Work(__name__, Order, Tightest, _obey)
