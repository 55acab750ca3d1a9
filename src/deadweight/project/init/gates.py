"""The gates of a fresh suite: from what was measured, so that it is green, and no looser than that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from deadweight.project.init.languages.common import scalar
from deadweight.project.init.records import SEEN, Known
from deadweight.suite.sizes import format_bytes

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject
    from deadweight.image.look.base_image import BaseImage
    from deadweight.records.evidence import Evidence

Told = Callable[["Evidence"], None]

MINE, BASE = "mine", "base"
ATTACKS, LAYERS = "attacks", "layers"


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
    return found.check == "runs" and "startup_seconds" in found.data and "did not end within" in found.reason


def attacked(subjects: Sequence[Subject], on_evidence: Told) -> str:
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


def measured(size: int, layers: Evidence | None, *, killed: bool) -> Known[str]:
    """The ``checks`` of one variant. ``size`` in bytes; ``layers`` is the evidence where that check failed."""
    gates = [f"budget: {{size_bytes: {_budget(size)}}}"]
    if killed:
        gates.append("runs: {if_killed: warn}")
    if layers is not None:
        gates.append(f"layers: {{{', '.join(_layers(layers.data))}}}")
    told = (format_bytes(size), *accepted(layers, killed=killed))
    return Known(f"{{{', '.join(gates)}}}", f"{SEEN}: {'; '.join(told)}")


def and_attacks(checks: Known[str], openapi: str) -> Known[str]:
    """These ``checks`` of one variant with attacks on the operations of an OpenAPI document."""
    return Known(f"{checks.value[:-1]}, attacks: {{openapi: {scalar(openapi)}}}}}", checks.origin)


def accepted(layers: Evidence | None, *, killed: bool) -> tuple[str, ...]:
    """What these gates let pass that a service should not have."""
    told = ("ignores SIGTERM, so every deployment has to kill it",) if killed else ()
    found = "" if layers is None else f"{layers.reason}: look at them (invoke layers), then write none"
    return (*told, found) if found else told


def _layers(data: Mapping[str, Any]) -> list[str]:
    """What was found is accepted, apart for what is mine and what the base brought."""
    failed = {gate["name"] for gate in data.get("gates") or () if not gate["held"]}
    found = []
    if "secrets" in failed:
        hidden = (mark for file in data.get("hidden") or () for mark in _with_owner(file))
        counted = [each for each in (*(data.get("secrets") or ()), *hidden) if not each.get("allowed")]
        owners = {_owner(each) for each in counted if each.get("confidence") != "low"}
        found.append(f"secrets: {_verdict(owners)}")
    if "unread" in failed:
        owners = {_owner(each) for each in data.get("skipped") or () if each.get("unread")}
        found.append(f"unread: {{{_both(owners)}, reason: seen when the suite was written}}")
    return found


def _with_owner(file: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    return ({**mark, "owner": file.get("owner")} for mark in file.get("secrets") or ())


def _owner(found: Mapping[str, Any]) -> str:
    return MINE if found.get("owner", MINE) == MINE else BASE


def _verdict(owners: set[str]) -> str:
    return "allow" if MINE in owners or not owners else f"{{{_both(owners)}}}"


def _both(owners: set[str]) -> str:
    return ", ".join(f"{owner}: {'allow' if owner in owners else 'none'}" for owner in (MINE, BASE))


def _budget(size: int) -> str:
    """A tenth more warns, half more fails."""
    return f"{{soft: {_mb(size * 1.1)}, hard: {_mb(size * 1.5)}}}"


def _mb(size: float) -> str:
    return f"{size / 1e6:.1f}MB" if size < 1e8 else f"{size / 1e6:.0f}MB"
