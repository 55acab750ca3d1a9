"""Prove a draft: build its first rung, watch it run, derive the others from it, then build and verify one after the other.

What does not pass is left out, what there is no time for stays in the suite as not tried.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from deadweight._errors import DeadweightError, Interrupted
from deadweight.suite.values import format_bytes
from deadweight_init import gates
from deadweight_init.bound import OutOfTime
from deadweight_init.derive.ladder import MINIMAL
from deadweight_init.derive.runtime import RuntimeFiles, runtime_files
from deadweight_init.draft import Draft, Recorded
from deadweight_init.learned import with_slower_end
from deadweight_init.proof import ENOUGH, Failure, Proof, Tools, first_sentence, nothing_left
from deadweight_init.reconciled import reconciled
from deadweight_init.records import Rung
from deadweight_init.reference import find_reference

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject
    from deadweight.records.evidence import Evidence

__all__ = ["Failure", "Tools", "first_sentence", "prove"]

ATTACK_SECONDS = 300.0
"""Attacks on all rungs that would take longer are left to the first: who verifies a fresh suite waits for them."""


def prove(proof: Proof) -> Draft:
    """A draft that holds only what was seen, and what there was no time for. Raises DeadweightError where nothing comes up;
    what is known by then is in ``proof.draft``. Raises Interrupted."""
    reference = find_reference(proof)
    _gate(proof, reference)
    if reference not in proof.verified:
        raise nothing_left("the image that came up does not pass its checks", proof)
    _watch(proof, reference)
    rest = proof.soonest(
        [each for each in proof.draft.rungs if each.name != reference and each.name not in proof.tried]
    )
    for rung in rest:
        _try(proof, rung)
    _leave_out_no_smaller(proof)
    _attacked(proof)
    return replace(proof.draft, proven=True)


def _try(proof: Proof, rung: Rung) -> None:
    """Build one rung within the bound, and verify it, however long that takes; without time it stays for later."""
    if proof.bound.over() and len(proof.verified) >= ENOUGH:
        proof.put_off(rung.name)
        return
    try:
        built = proof.build(rung)
    except OutOfTime:
        proof.put_off(rung.name)
        return
    if built:
        _gate(proof, rung.name)


def _watch(proof: Proof, reference: str) -> None:
    """See which files the own image opens, from which the smallest rung is derived."""
    own = proof.draft.derived_from
    path = {each.name: each.keys.get("dockerfile") for each in proof.draft.rungs}.get(reference)
    if own is None or path != own.path:
        return
    with proof.workspace() as workspace:
        found = _runtime_of(workspace.subject(proof.variant(workspace, reference)))
    if isinstance(found, str):
        proof.say(f"{MINIMAL}: left out: {found}")
    proof.draft = replace(proof.draft, runtime=found)


def _runtime_of(subject: Subject) -> RuntimeFiles | str:
    """What the image runs on, or why that cannot be seen."""
    from deadweight.checks.layers import base_image
    from deadweight.checks.scan.file_watch import CannotWatch
    from deadweight.checks.scan.reachability import touched

    base = base_image(subject).layers
    if not base:
        return "which of its layers are the base's is not known"
    try:
        opened, executed = touched(subject)
    except CannotWatch as reason:
        return str(reason)
    except Interrupted:
        raise
    except DeadweightError as error:
        return f"it could not be watched: {first_sentence(error.message)}"
    finally:
        subject.service.close()
    return runtime_files(subject.archive(), base, opened, executed)


def _leave_out_no_smaller(proof: Proof) -> None:
    """Leave out the run-time files alone where that saves nothing and enough others are left to compare with."""
    size, own = proof.sizes.get(MINIMAL), proof.sizes.get(proof.draft.rungs[0].name)
    if size is None or own is None or size < own or len(proof.verified) <= ENOUGH:
        return
    proof.verified.remove(MINIMAL)
    proof.leave_out(MINIMAL, f"it is no smaller ({format_bytes(size)}) than your own image ({format_bytes(own)})")


def _gate(proof: Proof, name: str, *, before: tuple[Recorded, ...] | None = None) -> None:
    """Verify what is built. What passes gets the size that it has as its budget, and its secrets as they are; what does not
    come up, or answers otherwise, is left out."""
    from deadweight.checks.budget import size_of

    with proof.workspace() as workspace:
        subject = workspace.subject(proof.variant(workspace, name))
        found = gates.verified([subject], _told(proof))
        size = size_of(subject)
    wrong = {each.check: each for each in found if not each.ok}
    running = next((each for each in wrong.values() if each.check != "layers" and not gates.killed(each)), None)
    if running is not None:
        held = reconciled(proof.draft.api, running) if running.check == "api" else None
        if held is not None and held != before:  # each time less is held, so this comes to an end
            proof.say(f"{name}: it answers otherwise only in what a build puts in, which is held no longer")
            proof.draft = replace(proof.draft, api=held)
            _gate(proof, name, before=held)
            return
        proof.leave_out(name, f"{running.check}: {running.reason}")
        return
    checks = gates.measured(size, wrong.get("layers"), killed="runs" in wrong)
    own = {**proof.draft.own, name: {**proof.draft.own.get(name, {}), "checks": checks}}
    accepted = {**proof.draft.accepted, name: gates.accepted(wrong.get("layers"), killed="runs" in wrong)}
    proof.verified.append(name)
    proof.sizes[name] = size
    proof.draft = with_slower_end(replace(proof.draft, own=own, accepted=accepted), found)


def _attacked(proof: Proof) -> None:
    """Try the suite's attacks on the first rung; where they cannot be measured, or not in time, the suite asks for none. Where
    those on all rungs would take long, it asks for them on the first alone."""
    name, began = proof.verified[0], time.monotonic()
    try:
        with proof.bound.kept(), proof.workspace() as workspace:
            why = gates.attacked([workspace.subject(proof.variant(workspace, name))], _told(proof))
    except OutOfTime as error:
        why = error.message
    seconds, own = time.monotonic() - began, proof.draft.own
    described = proof.draft.service.described
    if not why and described is not None and name in own and seconds * len(proof.draft.rungs) > ATTACK_SECONDS:
        why = f"they take {seconds:.0f} s for each variant, so only {proof.draft.full(name)} is attacked"
        checks = own[name]["checks"]
        attacked = {**checks.value, "attacks": {"openapi": described.value}}
        own = {**own, name: {**own[name], "checks": replace(checks, value=attacked)}}
    proof.draft = replace(proof.draft, own=own, unattacked=first_sentence(why) if why else "")


def _told(proof: Proof) -> gates.Told:
    def told(each: Evidence) -> None:
        proof.say(f"{each.variant}: {each.check}: {each.status}: {each.reason}")

    return told
