"""The tightest posture of a variant: searched for here, or as root where that takes sudo."""

from __future__ import annotations

from collections.abc import Callable

from deadweight.checks.protocol import Subject
from deadweight.checks.through_sudo import possible
from deadweight.trials.harden import search, through_sudo


def tightest(subject: Subject, told: Callable[[str], None] = lambda _line: None) -> search.Found:
    """As ``search.tightest``; who is not root has it done as root, in a process of its own, where sudo asks for nothing."""
    if subject.variant.runnable and possible(subject):
        return through_sudo.tightest(subject, told)
    return search.tightest(subject, told)
