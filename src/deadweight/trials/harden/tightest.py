"""The tightest posture of a variant: searched for here, or as root where that takes sudo."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from deadweight.checks import as_root
from deadweight.checks.protocol import Subject
from deadweight.engine.options import RunOptions
from deadweight.trials.harden import search
from deadweight.trials.harden.found import Found


def tightest(subject: Subject, told: Callable[[str], None] = lambda _line: None) -> Found:
    """As ``search.tightest``; who is not root has it done as root, in a process of its own, where sudo asks for nothing."""
    if not (subject.variant.runnable and as_root.possible(subject)):
        return search.tightest(subject, told)
    reply = as_root.call(AS_ROOT, Order(), subject, told)
    return Found(
        subject.variant,
        subject.suite.name,
        subject.engine_image(),
        reply.options,
        reply.cut_off,
        reply.headroom,
        reply.tried,
        asks=reply.asks,
    )


@dataclass(frozen=True)
class Order:
    """What to search for: nothing but the variant."""


@dataclass(frozen=True)
class Reply:
    """``Found`` without what the caller knows."""

    options: RunOptions
    cut_off: Mapping[str, str]
    headroom: int
    tried: tuple[tuple[str, str], ...]
    asks: tuple[str, ...] = ()


def _obey(_order: Order, subject: Subject, told: as_root.Told) -> Reply:
    found = search.tightest(subject, told)
    return Reply(found.options, found.cut_off, found.headroom, found.tried, found.asks)


AS_ROOT = as_root.Work(__name__, Order, Reply, _obey)
