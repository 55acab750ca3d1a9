"""Prove a draft: build and watch its first variant, derive the others, then build and verify each in turn.

A variant that fails is left out. One that time did not allow stays in the suite as not tried. Gates come from measured values.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from deadweight._errors import DeadweightError, Interrupted
from deadweight.suite.values import format_bytes
from deadweight_images.findings import MAX_FINDINGS
from deadweight_init.derive.changes import of_settings
from deadweight_init.derive.ladder import MINIMAL
from deadweight_init.derive.runtime import RuntimeFiles, config_of, runtime_files
from deadweight_init.draft import Draft
from deadweight_init.prove.proof import ENOUGH, OutOfTime, Proof, first_line, nothing_left
from deadweight_init.prove.reference import find_reference
from deadweight_init.records import SEEN, Known, Rung

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject
    from deadweight.records.evidence import Evidence
    from deadweight_images.findings import BaseImage

Told = Callable[["Evidence"], None]

IGNORES = "ignores SIGTERM, so every deployment has to kill it"

MINE, BASE = "mine", "base"
ATTACKS, LAYERS = "attacks", "layers"

MOST_NAMED = 12
"""So many secrets are accepted each by itself; a longer list is looked at by nobody."""

NAMED_DAYS = 365
"""So long an accepted secret is let pass."""


def verified(subjects: Sequence[Subject], on_evidence: Told) -> list[Evidence]:
    """What the checks of these subjects find but for attacks. The layers of what does not run as it should are not looked at:
    that takes long in a large image; and what does not come up is waited for once."""
    from deadweight.checks import table
    from deadweight.checks.layers import base_image
    from deadweight.checks.runner import verify

    asked = dict.fromkeys(check.name for each in subjects for check in table.asked(each.variant))
    first = [name for name in asked if name not in (ATTACKS, LAYERS)]
    found = verify(subjects, first, on_evidence=on_evidence, enough=_wrong) if first else []
    failed = {each.variant for each in found if _wrong(each)}
    rest = {each.variant.name: each for each in subjects if each.variant.name not in failed}
    for each in verify(list(rest.values()), (LAYERS,), on_evidence=on_evidence) if rest and LAYERS in asked else ():
        found.append(each if each.ok else by_owner(each, base_image(rest[each.variant])))
    return found


def _wrong(found: Evidence) -> bool:
    return not found.ok and not killed(found)


def killed(found: Evidence) -> bool:
    """Whether all that is wrong is that it does not end on SIGTERM: true of many services, and no reason to leave one out."""
    return found.check == "runs" and bool(found.data.get("killed"))


def why_unattacked(subjects: Sequence[Subject], on_evidence: Told) -> str:
    """Why the suite's attacks cannot be measured here, tried on the first of its images; empty where they can, or where it asks
    for none."""
    from deadweight.checks.runner import run_checks

    found = [each for subject in subjects[:1] for each in run_checks(subject, (ATTACKS,), on_evidence)]
    return next((each.reason for each in found if each.status != "pass"), "")


def by_owner(layers: Evidence, base: BaseImage) -> Evidence:
    """The evidence with the base's own findings told as the base's: a gate that asks for no difference does not look."""
    data = dict(layers.data)
    for key in ("hidden", "secrets", "skipped"):
        data[key] = [
            {**each, "owner": BASE} if _owner(each) == MINE and each.get("layer") in base.layers else each
            for each in data.get(key) or ()
        ]
    return replace(layers, data=data)


def measured(size: int, layers: Evidence | None, *, killed: bool) -> Known[dict[str, Any]]:
    """The ``checks`` of one variant. ``size`` in bytes; ``layers`` is the evidence where that check failed."""
    gates: dict[str, Any] = {"budget": {"size_bytes": {"soft": _mb(size * 1.1), "hard": _mb(size * 1.5)}}}
    if killed:
        gates["runs"] = {"if_killed": "warn"}
    if layers is not None:
        gates["layers"] = _layers(layers.data)
    told = (format_bytes(size), *let_pass(layers, killed=killed))
    return Known(gates, f"{SEEN}: {'; '.join(told)}")


def let_pass(layers: Evidence | None, *, killed: bool) -> tuple[str, ...]:
    """What these gates let pass that a service should not have."""
    told = (IGNORES,) if killed else ()
    if layers is None:
        return told
    failed = _failed(layers.data)
    if "unread" not in failed and {_owner(each) for each in _counted(layers.data)} == {BASE}:
        return (*told, f"{layers.reason}, all in files of the base and of packages (invoke layers)")
    if _mine(layers.data) and "unread" not in failed:
        then = "remove those that are real, and their entries under allow"
    else:
        then = "then write none"
    return (*told, f"{layers.reason}: look at them (invoke layers), {then}")


def _layers(data: Mapping[str, Any]) -> dict[str, Any]:
    """What was found is accepted, apart for what is mine and what the base brought."""
    failed = _failed(data)
    found: dict[str, Any] = _secrets(data) if "secrets" in failed else {}
    if "unread" in failed:
        owners = {_owner(each) for each in data.get("skipped") or () if each.get("unread")}
        found["unread"] = {**_both(owners), "reason": "seen when the suite was written"}
    return found


def _failed(data: Mapping[str, Any]) -> set[str]:
    return {str(gate["name"]) for gate in data.get("gates") or () if not gate["held"]}


def _secrets(data: Mapping[str, Any]) -> dict[str, Any]:
    """Mine are accepted one by one, so that the next one fails; where they are many, or have no names, all of them are."""
    owners = {_owner(each) for each in _counted(data)}
    mine = _mine(data)
    if not mine:
        return {"secrets": "allow" if MINE in owners or not owners else _both(owners)}
    day = date.today() + timedelta(days=NAMED_DAYS)  # noqa: DTZ011 - expiry dates are the user's own days
    entries = [{"fingerprint": mark, "reason": f"seen in {place}", "expires": day} for mark, place in mine.items()]
    return {**({"secrets": _both(owners - {MINE})} if BASE in owners else {}), "allow": entries}


def _mine(data: Mapping[str, Any]) -> dict[str, str]:
    """The fingerprints of my secrets with the first place of each; empty where they are too many, or one has none."""
    found: dict[str, str] = {}
    if len(data.get("secrets") or ()) >= MAX_FINDINGS:  # there may be more
        return found
    for each in _counted(data):
        if _owner(each) == MINE:
            place = str(each.get("path") or each.get("where") or "a layer")
            found.setdefault(str(each.get("fingerprint") or ""), place)
    return found if len(found) <= MOST_NAMED and "" not in found else {}


def _counted(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The secrets that a gate counts, those of hidden files too."""
    hidden = (mark for file in data.get("hidden") or () for mark in _with_owner(file))
    found = [*(data.get("secrets") or ()), *hidden]
    return [each for each in found if not each.get("allowed") and each.get("confidence") != "low"]


def _with_owner(file: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    return ({**mark, "owner": file.get("owner"), "path": file.get("path")} for mark in file.get("secrets") or ())


def _owner(found: Mapping[str, Any]) -> str:
    return MINE if found.get("owner", MINE) == MINE else BASE


def _both(owners: set[str]) -> dict[str, str]:
    return {owner: "allow" if owner in owners else "none" for owner in (MINE, BASE)}


def _mb(size: float) -> str:
    return f"{size / 1e6:.1f}MB" if size < 1e8 else f"{size / 1e6:.0f}MB"


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
    rest = [each for each in proof.draft.rungs if each.name != reference and each.name not in proof.tried]
    # what is derived first, and of a Dockerfile before others
    for rung in sorted(rest, key=lambda each: (not each.changes, each.builder != "dockerfile")):
        _try(proof, rung)
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
    """See how the own image is set and which files it opens, from which the other rungs are derived."""
    own = proof.draft.derived_from
    path = {each.name: each.keys.get("dockerfile") for each in proof.draft.rungs}.get(reference)
    if own is None or path != own.path:
        return
    with proof.workspace() as workspace:
        subject = workspace.subject(proof.variant(workspace, reference))
        found, config = _runtime_of(subject), config_of(subject.archive())
    if isinstance(found, str):
        proof.say(f"{MINIMAL}: left out: {found}")
    proof.draft = replace(proof.draft, runtime=found, config=config)


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
        return f"it could not be watched: {first_line(error.message)}"
    finally:
        subject.service.close()
    return runtime_files(subject.archive(), base, opened, executed)


def _gate(proof: Proof, name: str) -> None:
    """Verify what is built. What passes gets the size that it has as its budget, and its secrets as they are; what does not
    come up, or answers otherwise, is left out."""
    from deadweight.checks.budget import size_of
    from deadweight.checks.runner import run_checks

    with proof.workspace() as workspace:
        subject = workspace.subject(proof.variant(workspace, name))
        found = verified([subject], _told(proof))
        size, config = size_of(subject), config_of(subject.archive())
    wrong = {each.check: each for each in found if not each.ok}
    running = next((each for each in wrong.values() if each.check != "layers" and not killed(each)), None)
    if running is not None:
        proof.leave_out(name, f"{running.check}: {running.reason}")
        return
    checks = measured(size, wrong.get("layers"), killed="runs" in wrong)
    own = {**proof.draft.own, name: {**proof.draft.own.get(name, {}), "checks": checks}}
    accepted = {**proof.draft.accepted, name: let_pass(wrong.get("layers"), killed="runs" in wrong)}
    proof.verified.append(name)
    otherwise = proof.draft.set_otherwise
    if proof.draft.config and any(each.name == name and each.is_made for each in proof.draft.rungs):
        otherwise = {**otherwise, name: tuple(of_settings(proof.draft.config, config))}
    proof.draft = replace(proof.draft, own=own, accepted=accepted, set_otherwise=otherwise)
    with proof.workspace() as workspace:  # by the gates that it has now: the report asks for these
        run_checks(workspace.subject(proof.variant(workspace, name)), ("budget", *wrong), _told(proof))


def _attacked(proof: Proof) -> None:
    """Try the suite's attacks on the first rung; where they cannot be measured, or not in time, the suite asks for none. Where
    those on all rungs would take long, it asks for them on the first alone."""
    name, began = proof.verified[0], time.monotonic()
    try:
        with proof.bound.kept(), proof.workspace() as workspace:
            why = why_unattacked([workspace.subject(proof.variant(workspace, name))], _told(proof))
    except OutOfTime as error:
        why = error.message
    seconds, own = time.monotonic() - began, proof.draft.own
    described = proof.draft.service.described
    if not why and described is not None and name in own and seconds * len(proof.draft.rungs) > ATTACK_SECONDS:
        why = f"they take {seconds:.0f} s for each variant, so only {proof.draft.full(name)} is attacked"
        checks = own[name]["checks"]
        attacked = {**checks.value, "attacks": {"openapi": described.value}}
        own = {**own, name: {**own[name], "checks": replace(checks, value=attacked)}}
    proof.draft = replace(proof.draft, own=own, unattacked=first_line(why) if why else "")


def _told(proof: Proof) -> Told:
    def told(each: Evidence) -> None:
        proof.say(f"{each.variant}: {each.check}: {each.status}: {each.reason}")

    return told
