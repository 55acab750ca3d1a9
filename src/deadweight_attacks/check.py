"""Run the ``attacks`` check on a variant, here or through sudo, and return which wall stopped each attack."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from deadweight._errors import DeadweightError
from deadweight.checks import as_root
from deadweight.checks.protocol import Subject
from deadweight.checks.runner import result_of, run_check, side_by_side
from deadweight.engine.options import Mount
from deadweight.records.evidence import Evidence
from deadweight.suite.model import Variant
from deadweight_attacks import helper, run
from deadweight_attacks.helper import own_helper, static_shell

Say = Callable[[str], None]


class Attacks:
    """The check: with the ``postures`` that were asked for, of whatever variant; without, briefly, of one that has
    ``checks.attacks``. ``say`` takes lines of progress."""

    name = "attacks"
    needs_engine = True

    def __init__(self, postures: Sequence[str] | None = None, say: Say | None = None) -> None:
        self._postures, self._say = postures, say

    def applies(self, variant: Variant) -> bool:
        return variant.runnable and (self._postures is not None or variant.checks.attacks is not None)

    def run(self, subject: Subject) -> Evidence:
        """Attack, and judge by the gates."""
        brief, say = self._postures is None, self._say or subject.say
        return attack(subject, postures=self._postures or (), brief=brief, say=say)


def attack(
    subject: Subject, *, postures: Sequence[str] = (), brief: bool = False, say: Say = lambda _line: None
) -> Evidence:
    """As ``run.attack``; who is not root has it done as root, in a process of its own, where sudo asks for nothing."""
    if not as_root.possible(subject):
        return run.attack(subject, postures=postures, brief=brief, say=say)
    run.check_request(subject, postures)
    brought = (*_program_file(static_shell, subject), *_program_file(own_helper, subject))
    return as_root.call(AS_ROOT, Order(*brought, tuple(postures), brief), subject, say)


@dataclass(frozen=True)
class Order:
    """How to attack. ``shell`` is the file of the static shell, empty where there is none; then ``no_shell`` says why. ``helper``
    and ``no_helper`` are the same of the attacker's own program."""

    shell: str
    no_shell: str
    helper: str
    no_helper: str
    postures: tuple[str, ...]
    brief: bool


def _program_file(mounts: Callable[[Subject], tuple[Mount, ...]], subject: Subject) -> tuple[str, str]:
    """Got here: what comes from a source is kept in the caller's folders, where nothing of root's should be."""
    try:
        return str(mounts(subject)[0].source), ""
    except DeadweightError as error:
        return "", error.message


def _obey(order: Order, subject: Subject, say: Say) -> Evidence:
    return run.attack(
        subject,
        postures=order.postures,
        brief=order.brief,
        say=say,
        shell_from=lambda _subject: helper.shell_mount(_required_file(order.shell, order.no_shell)),
        helper_from=lambda _subject: helper.mounts_of(_required_file(order.helper, order.no_helper)),
    )


def _required_file(file: str, why_not: str) -> Path:
    if not file:
        raise DeadweightError(why_not)
    return Path(file)


AS_ROOT = as_root.Work(__name__, Order, Evidence, _obey)
CHECK = Attacks()


# Several variants attacked side by side, and their evidence kept.
def attack_all(
    subjects: Sequence[Subject],
    postures: Sequence[str] = (),
    *,
    say: Say = lambda _line: None,
    jobs: int | None = None,
) -> list[Evidence]:
    """Attack these variants, ``jobs`` side by side (default: twice the cores, four at most: attacks wait more than they work);
    evidence in the order given, saved. Those that are granted most memory begin first, as they take longest.

    Raises UsageError for a posture that does not exist, KeyboardInterrupt once every attack has stopped and cleaned up.
    """
    check = Attacks(postures, say)
    first = sorted(range(len(subjects)), key=lambda number: -subjects[number].variant.run.memory)
    jobs = jobs or min(4, 2 * (os.cpu_count() or 1))
    with side_by_side(partial(run_check, check), [subjects[number] for number in first], jobs=jobs) as running:
        done = dict(zip(first, (result_of(work) for _, work in running), strict=True))
    return [done[number] for number in range(len(subjects))]
