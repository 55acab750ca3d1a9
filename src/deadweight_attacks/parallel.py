"""Several variants attacked side by side, and their evidence kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial

from deadweight.checks.protocol import Check, Subject
from deadweight.checks.runner import run_check, side_by_side
from deadweight.records.evidence import Evidence
from deadweight.suite.model import Variant
from deadweight_attacks.check import CHECK, attack


class Asked:
    """The check with the postures that were asked for, of whatever variant. ``told`` takes lines of progress."""

    name = CHECK.name
    needs_engine = True

    def __init__(self, postures: Sequence[str], told: Callable[[str], None]) -> None:
        self._postures, self._told = postures, told

    def applies(self, variant: Variant) -> bool:
        return variant.runnable

    def run(self, subject: Subject) -> Evidence:
        return attack(subject, postures=self._postures, told=self._told)


def attack_all(
    subjects: Sequence[Subject],
    postures: Sequence[str] = (),
    *,
    told: Callable[[str], None] = lambda _line: None,
    jobs: int | None = None,
) -> list[Evidence]:
    """Attack these variants, ``jobs`` side by side (default: twice the cores, four at most: attacks wait more than they work);
    evidence in the order given, saved. Those that are granted most memory begin first, as they take longest.

    Raises UsageError for a posture that does not exist, KeyboardInterrupt once every attack has stopped and cleaned up.
    """
    check: Check = Asked(postures, told)
    first = sorted(range(len(subjects)), key=lambda number: -subjects[number].variant.run.memory)
    jobs = jobs or min(4, 2 * (os.cpu_count() or 1))
    with side_by_side(partial(run_check, check), [subjects[number] for number in first], jobs=jobs) as running:
        done = dict(zip(first, (each.result() for _, each in running), strict=True))
    return [done[number] for number in range(len(subjects))]
