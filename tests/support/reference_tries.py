"""The search for a rung that comes up, without an engine: what each try teaches is a test's own word."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from deadweight_init import reference


def why_not_up(
    monkeypatch: Any, root: Path, answers: tuple[Exception | None, ...], **more: Any
) -> tuple[str, list[tuple[str, bool]], str]:
    """Why a rung does not come up whose tries end so in turn (None: it comes up), which drafts were tried and whether more was
    demanded of them, and the draft that is kept. ``more`` are functions of ``reference`` with what they give."""
    left, asked = list(answers), []

    def learn(proof: Any, _rung: Any, *, demanding: bool = True) -> None:
        asked.append((proof.draft, demanding))
        if (answer := left.pop(0)) is not None:
            raise answer

    monkeypatch.setattr(reference, "_learn", learn)
    for name, given in {"built_somehow": True, **more}.items():
        monkeypatch.setattr(reference, name, lambda *_, given=given: given)
    proof: Any = SimpleNamespace(
        draft="draft",
        written=SimpleNamespace(root=root),
        say=lambda _: None,
        bound=SimpleNamespace(over=lambda: False),
    )
    rung: Any = SimpleNamespace(name="debian")
    return reference._why_not_up(proof, rung), asked, proof.draft
