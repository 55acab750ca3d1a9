"""Set a variant's gates to what was measured: its size as budget, its secrets as they are, and what it lets pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from deadweight.suite.values import format_bytes
from deadweight_images.findings import MAX_FINDINGS
from deadweight_init.records import SEEN, Known, wording

if TYPE_CHECKING:
    from deadweight.records.evidence import Evidence
    from deadweight_images.findings import BaseImage

MINE, BASE = "mine", "base"

MOST_NAMED = 12
"""So many secrets are accepted each by itself; a longer list is looked at by nobody."""

NAMED_DAYS = 365
"""So long an accepted secret is let pass."""


def by_owner(layers: Evidence, base: BaseImage) -> Evidence:
    """The evidence with the base's own findings told as the base's: a gate that asks for no difference does not look."""
    data = dict(layers.data)
    for key in ("hidden", "secrets", "skipped"):
        data[key] = [
            {**finding, "owner": BASE} if _owner(finding) == MINE and finding.get("layer") in base.layers else finding
            for finding in data.get(key) or ()
        ]
    return replace(layers, data=data)


def measured_gates(size: int, layers: Evidence | None, *, killed: bool) -> Known[dict[str, Any]]:
    """The ``checks`` of one variant. ``size`` in bytes; ``layers`` is the evidence where that check failed."""
    gates: dict[str, Any] = {"budget": {"size_bytes": {"soft": _rounded(size * 1.1), "hard": _rounded(size * 1.5)}}}
    if killed:
        gates["runs"] = {"if_killed": "warn"}
    if layers is not None:
        gates["layers"] = _layers(layers.data)
    return Known(gates, f"{SEEN}: {'; '.join((format_bytes(size), *accepted_findings(layers, killed=killed)))}")


def accepted_findings(layers: Evidence | None, *, killed: bool) -> tuple[str, ...]:
    """What these gates let pass that a service should not have."""
    notes = (wording("gates.killed"),) if killed else ()
    if layers is None:
        return notes
    failed = _failed(layers.data)
    if "unread" not in failed and {_owner(secret) for secret in _counted(layers.data)} == {BASE}:
        return (*notes, wording("gates.of_base", found=layers.reason))
    named = _mine(layers.data) and "unread" not in failed
    reason = layers.reason
    return (*notes, wording("gates.named", found=reason) if named else wording("gates.unnamed", found=reason))


def _layers(data: Mapping[str, Any]) -> dict[str, Any]:
    """What was found is accepted, apart for what is mine and what the base brought."""
    failed = _failed(data)
    settings: dict[str, Any] = _secrets(data) if "secrets" in failed else {}
    if "unread" in failed:
        owners = {_owner(entry) for entry in data.get("skipped") or () if entry.get("unread")}
        settings["unread"] = {**_both(owners), "reason": wording("gates.when_written")}
    return settings


def _failed(data: Mapping[str, Any]) -> set[str]:
    return {str(gate["name"]) for gate in data.get("gates") or () if not gate["held"]}


def _secrets(data: Mapping[str, Any]) -> dict[str, Any]:
    """Mine are accepted one by one, so that the next one fails; where they are many, or have no names, all of them are."""
    owners = {_owner(secret) for secret in _counted(data)}
    mine = _mine(data)
    if not mine:
        return {"secrets": "allow" if MINE in owners or not owners else _both(owners)}
    day = date.today() + timedelta(days=NAMED_DAYS)  # noqa: DTZ011 - expiry dates are the user's own days
    reasons = {mark: wording("gates.seen_in", place=place) for mark, place in mine.items()}
    entries = [{"fingerprint": mark, "reason": reason, "expires": day} for mark, reason in reasons.items()]
    return {**({"secrets": _both(owners - {MINE})} if BASE in owners else {}), "allow": entries}


def _mine(data: Mapping[str, Any]) -> dict[str, str]:
    """The fingerprints of my secrets with the first place of each; empty where they are too many, or one has none."""
    places: dict[str, str] = {}
    if len(data.get("secrets") or ()) >= MAX_FINDINGS:  # there may be more
        return places
    for secret in _counted(data):
        if _owner(secret) == MINE:
            place = str(secret.get("path") or secret.get("where") or "a layer")
            places.setdefault(str(secret.get("fingerprint") or ""), place)
    return places if len(places) <= MOST_NAMED and "" not in places else {}


def _counted(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The secrets that a gate counts, those of hidden files too."""
    hidden = [
        {**mark, "owner": file.get("owner"), "path": file.get("path")}
        for file in data.get("hidden") or ()
        for mark in file.get("secrets") or ()
    ]
    secrets = [*(data.get("secrets") or ()), *hidden]
    return [secret for secret in secrets if not secret.get("allowed") and secret.get("confidence") != "low"]


def _owner(finding: Mapping[str, Any]) -> str:
    return MINE if finding.get("owner", MINE) == MINE else BASE


def _both(owners: set[str]) -> dict[str, str]:
    return {owner: "allow" if owner in owners else "none" for owner in (MINE, BASE)}


def _rounded(size: float) -> str:
    number, unit = (size / 1e6, "MB") if size >= 1e6 else (size / 1e3, "kB")  # small images keep their 10 %, too
    return f"{number:.1f}{unit}" if number < 100 else f"{number:.0f}{unit}"
