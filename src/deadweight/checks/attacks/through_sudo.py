"""The attacks on one variant in a process of root's, for a user who has sudo."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deadweight._errors import DeadweightError
from deadweight.checks.attacks import run
from deadweight.checks.attacks.shell import bound, static_shell
from deadweight.checks.protocol import Subject
from deadweight.checks.through_sudo import Place, Told, call, place_of, serve
from deadweight.engine.options import Mount
from deadweight.records.evidence import Evidence


@dataclass(frozen=True)
class Order:
    """How to attack. ``shell`` is the file of the static shell, empty where there is none; then ``no_shell`` says why."""

    place: Place
    shell: str
    no_shell: str
    postures: tuple[str, ...]
    brief: bool


def attack(subject: Subject, postures: Sequence[str], brief: bool, told: Told) -> Evidence:
    """As ``run.attack``. Raises CommandError where the process ended without a word, with its last lines."""
    shell, no_shell = _shell(subject)
    order = Order(place_of(subject), shell, no_shell, tuple(postures), brief)
    return call(__name__, order, Evidence, told)


def _shell(subject: Subject) -> tuple[str, str]:
    """Got here: what comes from a source is kept in the caller's folders, where nothing of root's should be."""
    try:
        return str(static_shell(subject)[0].source), ""
    except DeadweightError as error:
        return "", error.message


def _obey(order: Order, subject: Subject, told: Told) -> Evidence:
    return run.attack(
        subject,
        postures=order.postures,
        brief=order.brief,
        told=told,
        shell_from=lambda _subject: _given_shell(order),
    )


def _given_shell(order: Order) -> tuple[Mount, ...]:
    if not order.shell:
        raise DeadweightError(order.no_shell)
    return bound(Path(order.shell))


if __name__ == "__main__":
    sys.exit(serve(sys.argv[1:], Order, _obey))
