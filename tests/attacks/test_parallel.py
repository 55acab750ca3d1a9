"""Several variants side by side."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from deadweight_attacks import check


def test_what_takes_longest_begins_first_and_evidence_keeps_its_order(monkeypatch):
    """Else the last one runs alone, with a processor idle."""
    began: list[str] = []
    monkeypatch.setattr(check, "run_check", lambda _check, subject: began.append(subject.name) or subject.name)
    subjects: Any = [
        SimpleNamespace(name=name, variant=SimpleNamespace(run=SimpleNamespace(memory=memory)))
        for name, memory in (("a", 1), ("b", 3), ("c", 1), ("d", 2))
    ]
    found: Any = check.attack_all(subjects, jobs=1)
    assert found == ["a", "b", "c", "d"]
    assert began == ["b", "d", "a", "c"]
