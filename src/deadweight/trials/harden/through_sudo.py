"""The search for the tightest posture in a process of root's, for a user who has sudo."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from deadweight.checks.protocol import Subject
from deadweight.checks.through_sudo import Place, Told, call, place_of, serve
from deadweight.engine.options import RunOptions
from deadweight.trials.harden import search


@dataclass(frozen=True)
class Order:
    """What to search for: nothing but the variant."""

    place: Place


@dataclass(frozen=True)
class Reply:
    """``search.Found`` without what the caller knows."""

    options: RunOptions
    cut_off: Mapping[str, str]
    headroom: int
    tried: tuple[tuple[str, str], ...]


def tightest(subject: Subject, told: Told) -> search.Found:
    """As ``search.tightest``. Raises CommandError where the process ended without a word, with its last lines."""
    place = place_of(subject)
    reply = call(__name__, Order(place), Reply, told)
    return search.Found(
        subject.variant, subject.suite.name, place.image, reply.options, reply.cut_off, reply.headroom, reply.tried
    )


def _obey(_order: Order, subject: Subject, told: Told) -> Reply:
    found = search.tightest(subject, told)
    return Reply(found.options, found.cut_off, found.headroom, found.tried)


if __name__ == "__main__":
    sys.exit(serve(sys.argv[1:], Order, _obey))
