"""Hold a rung to the first image: the same requests to both, also those that the suite does not hold."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from deadweight._errors import MissingError
from deadweight_init.prove.proof import first_line
from deadweight_init.records import Change, Code, wording
from deadweight_workload.twin.check import compare, told

if TYPE_CHECKING:
    from deadweight_init.prove.proof import Proof
    from deadweight_workload.twin.compare import Comparison

NOT_HELD = ("process", "image", "files", "log", "ports", "SIGTERM")
"""A rung has another base, so its user, files and locale may differ. Its answers may not."""
MOST_TOLD = 4


def lost(proof: Proof, name: str) -> str:
    """Why a rung is no twin of the first: what works there fails in it; empty if nothing does. Other differences become comments of
    the suite, and the draft counts the operations that all rungs answer alike. So does it where nothing could be compared."""
    own, why = proof.verified[0], proof.time_limit.reason
    if proof.draft.health.value.get("kind") == "exit":
        return ""
    if not proof.time_limit.over():
        proof.say(wording("progress.twin", name=name, own=own))
        try:
            with proof.workspace() as workspace:
                first, other = (workspace.subject(proof.variant(workspace, side)) for side in (own, name))
                return _judged(proof, compare(first, other, (own, name), NOT_HELD, probing=False))
        except MissingError as error:
            why = first_line(error.message)
    change = Change(Code.NOT_COMPARED, wording("change.with_own", own=own, reason=why))
    proof.draft = replace(proof.draft, set_otherwise={**proof.draft.set_otherwise, name: (change,)})
    return ""


def _judged(proof: Proof, seen: Comparison) -> str:
    own, name = seen.a, seen.b
    broken = [one for one in seen.differences if one.field == "status" and (one.a or "").startswith("2")]
    if broken or any(one.request in ("start", "service") for one in seen.differences):
        count = len({one.request for one in broken})
        return wording("refused.answers_otherwise", count=count, own=own, first=told(seen.differences[0], seen))
    draft, changed = proof.draft, {one.request.rpartition(" (")[0] or one.request for one in seen.differences}
    changes = tuple(Change(Code.ANSWER, told(one, seen)) for one in seen.differences[:MOST_TOLD])
    alike = seen.ledger.asked - len(changed)
    works = alike if len(proof.verified) == 1 else min(draft.works, alike)
    otherwise = {**draft.set_otherwise, name: changes}
    proof.draft = replace(draft, set_otherwise=otherwise, works=works, known=max(draft.known, seen.ledger.known))
    return ""
