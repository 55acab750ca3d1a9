"""``attacks``: real attacks on the image, and which wall stopped each; here, or as root where that takes sudo."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from deadweight.checks.attacks import run, through_sudo
from deadweight.checks.protocol import Subject
from deadweight.checks.through_sudo import possible
from deadweight.records.evidence import Evidence
from deadweight.suite.model import Variant

Told = Callable[[str], None]


class Attacks:
    """The check. It is asked for where the variant has ``checks.attacks``."""

    name = "attacks"
    needs_engine = True

    def applies(self, variant: Variant) -> bool:
        return variant.runnable and variant.checks.attacks is not None

    def run(self, subject: Subject) -> Evidence:
        """Attack, and judge by the gates."""
        return attack(subject, brief=True, told=subject.say)


def attack(
    subject: Subject, *, postures: Sequence[str] = (), brief: bool = False, told: Told = lambda _line: None
) -> Evidence:
    """As ``run.attack``; who is not root has it done as root, in a process of its own, where sudo asks for nothing."""
    if possible(subject):
        run.check_request(subject, postures)
        return through_sudo.attack(subject, postures, brief, told)
    return run.attack(subject, postures=postures, brief=brief, told=told)


CHECK = Attacks()
