"""Prove a draft: build its first rung, watch it run, then build and verify the others, a few at a time; what does not pass is
left out.

Each rung is verified as soon as it is built, so that a proof that is ended by its bound has something to show.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from deadweight.suite.values import format_bytes
from deadweight_init import gates
from deadweight_init.bound import GRACE_SECONDS, OutOfTime
from deadweight_init.draft import Draft
from deadweight_init.languages.trimmed import COMPILED, TRIMMED
from deadweight_init.learned import with_an_end, with_slower_end
from deadweight_init.older import with_what_installs
from deadweight_init.proof import Proof, Tools, first_sentence, nothing_left
from deadweight_init.reconciled import reconciled
from deadweight_init.records import Rung
from deadweight_init.reference import find_reference
from deadweight_init.remedies import remedy_of_files
from deadweight_init.tree import look

if TYPE_CHECKING:
    from deadweight.records.evidence import Evidence
    from deadweight_init.files import Written

__all__ = ["Tools", "first_sentence", "prove"]

ENOUGH = 2
"""So many rungs are verified before a proof may end for lack of time: fewer compare nothing."""

SHORT_SECONDS = 90.0
"""With less time than that before the bound, one rung is tried at a time until there are enough."""

ATTACK_SECONDS = 300.0
"""Attacks on all rungs that would take longer are left to the first: who verifies a fresh suite waits for them."""

AT_ONCE = max(2, min(4, os.cpu_count() or 1))
"""So many rungs are built, and then verified, side by side."""


def prove(draft: Draft, written: Written, tools: Tools) -> Draft:
    """A draft that holds only what was seen. Raises DeadweightError where no rung builds, Interrupted."""
    proof = Proof(draft, written, tools)
    reference = find_reference(proof)
    _gate(proof, [reference])
    again = _once_more(proof, proof.draft.ladder.rungs)  # one may have been built beside the first, and have failed
    rest = [
        *again,
        *proof.soonest([rung for rung in proof.draft.rungs if rung.name != reference and rung not in again]),
    ]
    while rest or (rest := on_other_bases(proof)):
        some, rest = together(rest, 1 if _is_short(proof) else AT_ONCE)
        _try(proof, [rung for rung in some if not is_spare(proof, rung)])
        _end(proof)
        rest = [*_once_more(proof, some), *rest]
    if not proof.draft.rungs:
        raise nothing_left("no image that was built here runs as it should", proof)
    leave_out_no_smaller(proof)
    _attacked(proof)
    return replace(proof.draft, proven=True)


def on_other_bases(proof: Proof) -> list[Rung]:
    """The own Dockerfile on other bases, where it passes and nothing beside it does: what it does before the service starts no
    generated image knows."""
    own = proof.draft.rungs[:1]
    alone = len(proof.verified) < ENOUGH and bool(own) and not own[0].is_made and own[0].name in proof.verified
    if proof.draft.flavoured or not alone or proof.bound.over():
        return []
    before = {each.name for each in proof.draft.rungs}
    proof.draft = replace(proof.draft, flavoured=True)
    return proof.soonest([each for each in proof.draft.rungs if each.name not in before])


def _is_short(proof: Proof) -> bool:
    """Whether there may be time for one more rung alone, and one is lacking: side by side two take longer each."""
    left = proof.bound.left()
    return left is not None and left < SHORT_SECONDS and len(proof.verified) < ENOUGH


def together(rungs: Sequence[Rung], most: int = AT_ONCE) -> tuple[list[Rung], list[Rung]]:
    """The next rungs to build side by side, and those that are left: of one builder, as one that compiles anew for minutes would
    hold up another that is built already."""
    some = [each for each in rungs if each.builder == rungs[0].builder][:most]
    return some, [each for each in rungs if each not in some]


def _try(proof: Proof, rungs: Sequence[Rung]) -> None:
    """Build and verify some rungs. Those that do not come to an end within the bound are left out."""
    if not rungs:
        return
    try:
        with proof.bound.kept(0.0 if len(proof.verified) >= ENOUGH else GRACE_SECONDS):
            proof.build(*rungs)
            _gate(proof, [rung.name for rung in rungs if rung.name in proof.built])
    except OutOfTime as error:
        for rung in rungs:
            if rung.name not in proof.verified and rung.name not in proof.draft.left_out:
                proof.leave_out(rung.name, error.message)


def _end(proof: Proof) -> None:
    """Build the first generated rungs again where they ignore SIGTERM: the own image, which ended, may have a process 1 that
    passes it on. Where there is no time for that, they stay as they are."""
    shared = [each for each in proof.draft.rungs if each.is_made and each.name != TRIMMED]
    made = {each.name for each in shared if each.name in proof.verified}
    deaf = [each for each in shared if gates.IGNORES in proof.draft.accepted.get(each.name, ())]
    service, left = with_an_end(proof.draft.service), proof.bound.left()
    has_time = left is None or left >= SHORT_SECONDS
    if service is None or not deaf or {each.name for each in deaf} != made or not has_time or proof.ends_tried:
        return
    proof.ends_tried = True
    before, verified = proof.draft, list(proof.verified)
    # their gates were measured on what is built anew: what these let pass would be taken for nothing found
    own = {
        name: {key: each for key, each in keys.items() if key != "checks"}
        for name, keys in before.own.items()
        if name in made
    }
    proof.draft = replace(before, service=service, own={**before.own, **own})
    proof.verified[:] = [name for name in verified if name not in made]
    _try(proof, deaf)
    if made - set(proof.verified):
        proof.draft, proof.verified[:] = before, verified
        proof.build(*deaf)


def _once_more(proof: Proof, rungs: Sequence[Rung]) -> list[Rung]:
    """The generated rungs of these that are tried again with what they lacked, or with what their packages need to be installed.
    That is for a service of which no generated one has passed: the others are built of the same file."""
    # what the own build on a minimal base lacks, no other file gives it: for the others it would be one too many
    made = [each for each in rungs if each.is_made and each.name != TRIMMED and each.name in proof.draft.left_out]
    if any(each.is_made and each.name in proof.verified for each in proof.draft.rungs) or proof.bound.over():
        return []
    for rung in made:
        if rung.name in proof.died:
            again = remedy_of_files(proof.draft, rung, proof.died[rung.name], look(proof.written.root))
        else:
            again = with_what_installs(proof.draft, rung.name, look(proof.written.root))
        if again is None:
            continue
        helped = [each for each in made if each.name in proof.died or _is_built_otherwise(proof.draft, again, each)]
        if helped:
            names = [each.name for each in helped]
            left_out = {name: why for name, why in proof.draft.left_out.items() if name not in names}
            proof.draft = replace(again, left_out=left_out)
            proof.say(f"{', '.join(names)}: tried once more, with what was lacking")
            return helped
    return []


def _is_built_otherwise(before: Draft, after: Draft, rung: Rung) -> bool:
    """Whether a rung that did not build has another file or other bases now: it would fail once more of the same."""
    now, then = ({each.name: each.keys for each in draft.ladder.rungs}.get(rung.name) for draft in (before, after))
    return now != then or any(before.ladder.files.get(name) != after.ladder.files.get(name) for name in rung.files)


def is_spare(proof: Proof, rung: Rung) -> bool:
    """Whether this is the own build on a minimal base, where that does not build, or where another rung has compiled the same."""
    project, own = proof.draft.service.project, proof.draft.service.own
    of_own = [each for each in proof.draft.ladder.rungs if own and each.keys.get("dockerfile") == own.path]
    if (
        own
        and rung.name == TRIMMED
        and of_own
        and all(each.refused and each.name not in proof.built for each in of_own)
    ):
        proof.leave_out(rung.name, f"it begins with {own.path}, which does not build")
        return True
    made = any(each.files and each.name in proof.verified for each in proof.draft.rungs)
    if rung.name != TRIMMED or project is None or project.language not in COMPILED or not made:
        return False
    proof.leave_out(rung.name, "the others hold the same program; it is for a build that does more than compile")
    return True


def leave_out_no_smaller(proof: Proof) -> None:
    """Leave out the own build on a minimal base where that saves nothing and enough others are left to compare with."""
    own = proof.draft.service.own
    of_own = [each.name for each in proof.draft.rungs if own and each.keys.get("dockerfile") == own.path]
    sizes = [proof.sizes[name] for name in of_own if name in proof.sizes]
    size = proof.sizes.get(TRIMMED)
    if size is None or not sizes or size < min(sizes) or len(proof.verified) <= ENOUGH:
        return
    proof.verified.remove(TRIMMED)
    proof.leave_out(
        TRIMMED, f"it is no smaller ({format_bytes(size)}) than your own image ({format_bytes(min(sizes))})"
    )


def _gate(proof: Proof, names: Sequence[str], *, again: bool = False) -> None:
    """Verify what is built. What passes gets the size that it has as its budget, and its secrets as they are; what does not
    come up, or answers otherwise, is left out."""
    from deadweight.checks.budget import size_of

    with proof.workspace() as workspace:
        subjects = [workspace.subject(proof.variant(workspace, name)) for name in names]
        found = gates.verified(subjects, _told(proof))
        sizes = [size_of(each) for each in subjects]
    own, accepted = dict(proof.draft.own), dict(proof.draft.accepted)
    otherwise = []
    for name, size in zip(names, sizes, strict=True):
        full = proof.draft.full(name)
        wrong = {each.check: each for each in found if each.variant == full and not each.ok}
        running = next((each for each in wrong.values() if each.check != "layers" and not gates.killed(each)), None)
        if running is not None and _held_less(proof, name, running, again=again):
            otherwise.append(name)
            continue
        if running is not None:
            proof.leave_out(name, f"{running.check}: {running.reason}")
            proof.died[name] = running.reason
            continue
        own[name] = {**own.get(name, {}), "checks": gates.measured(size, wrong.get("layers"), killed="runs" in wrong)}
        accepted[name] = gates.accepted(wrong.get("layers"), killed="runs" in wrong)
        proof.verified.append(name)
        proof.sizes[name] = size
    proof.draft = with_slower_end(replace(proof.draft, own=own, accepted=accepted), found)
    if otherwise:  # each time less is held, so this comes to an end
        _gate(proof, otherwise, again=True)


def _held_less(proof: Proof, name: str, found: Evidence, *, again: bool) -> bool:
    """Whether the recorded checks held what only a build puts in, and hold less now."""
    held = reconciled(proof.draft.api, found) if found.check == "api" else None
    if held is None or (again and held == proof.draft.api):
        return False
    proof.say(f"{name}: it answers otherwise only in what a build puts in, which is held no longer")
    proof.draft = replace(proof.draft, api=held)
    return True


def _attacked(proof: Proof) -> None:
    """Try the suite's attacks on the first rung; where they cannot be measured, or not in time, the suite asks for none. Where
    those on all rungs would take long, it asks for them on the first alone."""
    name, began = proof.draft.rungs[0].name, time.monotonic()
    try:
        with proof.bound.kept(), proof.workspace() as workspace:
            why = gates.attacked([workspace.subject(proof.variant(workspace, name))], _told(proof))
    except OutOfTime as error:
        why = error.message
    seconds, own = time.monotonic() - began, proof.draft.own
    described = proof.draft.service.described
    if not why and described is not None and name in own and seconds * len(proof.draft.rungs) > ATTACK_SECONDS:
        why = f"they take {seconds:.0f} s for each variant, so only {proof.draft.full(name)} is attacked"
        own = {**own, name: {**own[name], "checks": gates.and_attacks(own[name]["checks"], described.value)}}
    proof.draft = replace(proof.draft, own=own, unattacked=first_sentence(why) if why else "")


def _told(proof: Proof) -> gates.Told:
    def told(each: Evidence) -> None:
        proof.say(f"{each.variant}: {each.check}: {each.status}: {each.reason}")

    return told
