"""Trials of one search, and what is believed of them: a service may fail one start of many, or the machine does."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from deadweight import _run
from deadweight._errors import CheckFailed, Interrupted
from deadweight.checks.runs import CLEAN_EXITS
from deadweight.engine.options import RunOptions
from deadweight_attacks.harden.folders import NOTHING, Written
from deadweight_attacks.harden.trial import Trial, attempt

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject

RUNS = 3
"""So many trials with the same settings agree before it is believed that a wall makes one fail."""
ENOUGH, AFTER_A_HITCH = 15, 22
"""So many trials pass before anything is believed, and so many after a hitch: where a service fails 30 % of its starts, fewer than
2 % of searches find something (``tests/attacks/test_wavering.py`` counts). Most of these trials are made anyway."""
AT_ONCE, SLOW_SECONDS, SLOW_AT_ONCE = 4, 2.0, 2
"""Trials side by side where only the service's steadiness is asked for; fewer of one that takes its time to come up."""
HASTY_SECONDS = 5.0
"""What failed sooner is tried once more. What takes longer has waited for a service that does not come up."""
AGAIN = ", again"
TOLD = 200


@dataclass
class Tries:
    """What was tried. ``exits`` are the exit codes that count as an end in good order; None takes any. ``hosts`` is where what
    the service needs is, on each network. ``wavered``: settings that failed worked when they were tried again. ``passed`` counts
    the trials that passed since then."""

    subject: Subject
    told: Callable[[str], None]
    tried: list[tuple[str, str]] = field(default_factory=list)
    last: Trial = field(default_factory=lambda: Trial("nothing was tried"))
    user: str = ""
    written: Written = NOTHING
    exits: tuple[int, ...] | None = CLEAN_EXITS
    hosts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    seconds: float = 0.0
    wavered: bool = False
    passed: int = 0

    def passes(self, what: str, options: RunOptions) -> bool:
        started = time.monotonic()
        self.note(what, self._attempt(options))
        self.seconds = time.monotonic() - started
        return not self.last.problem

    def _attempt(self, options: RunOptions) -> Trial:
        if _run.cancelled():  # of many at once, those that wait for their turn are not begun
            raise Interrupted("interrupted")
        return attempt(self.subject, options.but(hosts=self.hosts.get(options.network, {})), self.exits)

    def note(self, what: str, trial: Trial) -> None:
        failed = [each.removesuffix(AGAIN) for each, problem in self.tried[-1:] if problem]
        hitch = not trial.problem and what.removesuffix(AGAIN) in failed
        self.wavered, self.passed = self.wavered or hitch, 0 if hitch else self.passed
        self.last = trial
        self.tried.append((what, trial.problem))
        self.told(f"{self.subject.variant.name}: {what}: {trial.problem[:TOLD] if trial.problem else 'works'}")
        if not trial.problem:
            self.user, self.written, self.passed = trial.user, trial.written, self.passed + 1

    def spares(self, what: str, options: RunOptions) -> bool:
        """Whether it works without something. One failure may be the machine's: tried a second time, two searches agree."""
        return self.passes(what, options) or self.passes(f"{what}{AGAIN}", options)

    def holds(self, what: str, options: RunOptions) -> bool:
        """The same, where the second trial does not take long."""
        return self.passes(what, options) or (self.seconds < HASTY_SECONDS and self.passes(f"{what}{AGAIN}", options))

    def steady(self, what: str, options: RunOptions, trials: int = RUNS - 1) -> None:
        """See settings that worked work whenever they are tried. Raises CheckFailed where they do not: no trial proves anything."""
        for number in range(1, trials + 1):
            if not self.passes(f"{what}{AGAIN}", options):
                raise self._wavers(number, number + 1)

    def believed(self, what: str, options: RunOptions) -> None:
        """As many more trials of what was found as are missing to those that have to pass: side by side, and where one fails there,
        each alone, for it may be the machine's limit; not so where there was a hitch before. Raises CheckFailed as ``steady``."""
        missing = (AFTER_A_HITCH if self.wavered else ENOUGH) - self.passed
        if missing <= 0:
            return
        at_once = SLOW_AT_ONCE if self.last.seconds > SLOW_SECONDS else AT_ONCE
        with ThreadPoolExecutor(min(missing, at_once)) as together:
            trials = list(together.map(self._attempt, [options] * missing))
        if _run.cancelled():
            raise Interrupted("interrupted")
        wavered, failed = self.wavered, [each for each in trials if each.problem]
        for trial in (*(each for each in trials if not each.problem), *failed):
            self.note(f"{what}{AGAIN}", trial)
        if failed and wavered:
            raise self._wavers(missing - len(failed), missing)
        if failed:
            self.steady(what, options, AFTER_A_HITCH)

    def _wavers(self, passed: int, trials: int) -> CheckFailed:
        return CheckFailed(
            f"{self.subject.variant.name}: the checks pass only sometimes with the same settings ({passed} of "
            f"{trials} trials), so no trial would prove anything: {self.last.problem}",
            hint="run it again on a quiet machine, or give the checks more time",
        )
