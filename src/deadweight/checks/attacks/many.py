"""Several variants attacked side by side, and their evidence kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from deadweight import _run
from deadweight.checks.attacks.entrance import CHECK, attack
from deadweight.checks.protocol import Check, Subject
from deadweight.checks.runner import run_check
from deadweight.records.evidence import Evidence
from deadweight.suite.model import Variant


class _Asked:
    """The check with the postures that were asked for, of whatever variant."""

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
    """Attack these variants, ``jobs`` side by side (default: cores, four at most); evidence in the order given, saved.

    Raises UsageError for a posture that does not exist, KeyboardInterrupt once every attack has stopped and cleaned up.
    """
    check: Check = _Asked(postures, told)
    with ThreadPoolExecutor(jobs or min(4, os.cpu_count() or 1)) as pool:
        futures = [pool.submit(run_check, check, subject) for subject in subjects]
        try:
            return [future.result() for future in futures]
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                _run.cancel_all()  # the attacks look at it wherever they wait, and each removes what it made
            pool.shutdown(wait=True, cancel_futures=True)
            raise
