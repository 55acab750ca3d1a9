"""Hold a rung to the first image: the same requests to both, also those that the suite does not hold."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from deadweight._errors import MissingError
from deadweight_init.records import Change, Code, wording
from deadweight_workload.twin.check import compare, told

if TYPE_CHECKING:
    from deadweight.project.workspace import Workspace
    from deadweight_init.prove.proof import Proof

NOT_HELD = ("process", "files", "log", "ports", "SIGTERM")
"""A rung has another base, so its user, files and locale may differ. Its answers may not."""
MOST_TOLD = 4


def lost(proof: Proof, workspace: Workspace, name: str) -> str:
    """Why a rung is no twin of the first: what works there fails in it; empty if nothing does. Other differences become comments of
    the suite, and the draft counts the operations that all rungs answer alike."""
    own = proof.verified[0]
    first, other = (workspace.subject(proof.variant(workspace, side)) for side in (own, name))
    if first.variant.health.kind == "exit" or proof.time_limit.over():
        return ""
    try:
        seen = compare(first, other, (own, name), NOT_HELD)
    except MissingError:
        return ""
    broken = [one for one in seen.differences if one.field == "status" and (one.a or "").startswith("2")]
    if broken or any(one.request in ("start", "service") for one in seen.differences):
        count = len({one.request for one in broken})
        return wording("refused.answers_otherwise", count=count, own=own, first=told(seen.differences[0], seen))
    draft, changed = proof.draft, {one.request.rpartition(" (")[0] or one.request for one in seen.differences}
    changes = tuple(Change(Code.ANSWER, told(one, seen)) for one in seen.differences[:MOST_TOLD])
    otherwise = {**draft.set_otherwise, name: (*draft.set_otherwise.get(name, ()), *changes)}
    alike = seen.ledger.asked - len(changed)
    works = min(draft.works, alike) if draft.compared else alike
    known = max(draft.known, seen.ledger.known)
    proof.draft = replace(draft, set_otherwise=otherwise, works=works, known=known, compared=True)
    return ""
