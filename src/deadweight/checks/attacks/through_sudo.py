"""The attacks on one variant in a process of root's, for a user who has sudo."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deadweight._errors import DeadweightError
from deadweight.checks.attacks import helper, run, shell
from deadweight.checks.attacks.helper import own_helper
from deadweight.checks.attacks.shell import static_shell
from deadweight.checks.protocol import Subject
from deadweight.checks.through_sudo import Place, Told, call, place_of, serve
from deadweight.engine.options import Mount
from deadweight.records.evidence import Evidence


@dataclass(frozen=True)
class Order:
    """How to attack. ``shell`` is the file of the static shell, empty where there is none; then ``no_shell`` says why. ``helper``
    and ``no_helper`` are the same of the attacker's own program."""

    place: Place
    shell: str
    no_shell: str
    helper: str
    no_helper: str
    postures: tuple[str, ...]
    brief: bool


def attack(subject: Subject, postures: Sequence[str], brief: bool, told: Told) -> Evidence:
    """As ``run.attack``. Raises CommandError where the process ended without a word, with its last lines."""
    brought = (*_brought(lambda: static_shell(subject)), *_brought(lambda: own_helper(subject)))
    order = Order(place_of(subject), *brought, tuple(postures), brief)
    return call(__name__, order, Evidence, told)


def _brought(mounts: Callable[[], tuple[Mount, ...]]) -> tuple[str, str]:
    """Got here: what comes from a source is kept in the caller's folders, where nothing of root's should be."""
    try:
        return str(mounts()[0].source), ""
    except DeadweightError as error:
        return "", error.message


def _obey(order: Order, subject: Subject, told: Told) -> Evidence:
    return run.attack(
        subject,
        postures=order.postures,
        brief=order.brief,
        told=told,
        shell_from=lambda _subject: shell.bound(_given(order.shell, order.no_shell)),
        helper_from=lambda _subject: helper.bound(_given(order.helper, order.no_helper)),
    )


def _given(file: str, why_not: str) -> Path:
    if not file:
        raise DeadweightError(why_not)
    return Path(file)


if __name__ == "__main__":
    sys.exit(serve(sys.argv[1:], Order, _obey))
