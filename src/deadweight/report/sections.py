"""Checks' own data, parsed into the report's records. What does not fit its shape is "not measured", with the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from deadweight._packages import images
from deadweight.records import store
from deadweight.records.evidence import Evidence
from deadweight.report.model import AttackRecord, PayloadRecord
from deadweight.report.scan_model import VulnerabilitiesRecord

T = TypeVar("T")


def vulnerabilities(evidence: Evidence | None) -> VulnerabilitiesRecord:
    """The scan of one image. Counts are dropped unless it says ``scanned``: an unknown OS has no zero vulnerabilities."""
    if evidence is None:
        return VulnerabilitiesRecord(reason="not scanned; `invoke scan` scans it")
    record = _parse(VulnerabilitiesRecord, evidence.data)
    if record is None:
        return VulnerabilitiesRecord(reason=evidence.reason)
    if record.status != "scanned":
        record = replace(record, total=None, by_severity={}, fixable=None, findings=())
    return replace(record, reason=record.reason or evidence.reason)


def attacks(evidence: Evidence | None) -> dict[str, dict[str, AttackRecord]]:
    """Outcomes by posture and payload."""
    if evidence is None:
        return {}
    return {
        str(posture): {
            str(payload): _parse(AttackRecord, outcome) or AttackRecord("not_measured", reason="unreadable evidence")
            for payload, outcome in _mapping(outcomes).items()
        }
        for posture, outcomes in _mapping(evidence.data.get("postures")).items()
    }


ONLY_AFTER_A_BREACH = (
    "nothing was tried through the service itself: write checks: {attacks: {packs: [breach, http]}} to look for the holes of "
    "HTTP services (docs/how-to/attacks.md)"
)


def attack_notes(data: Mapping[str, Any]) -> tuple[str, ...]:
    """What a reader of an attack run must know: what could not be started or built, which of both ways in
    was not tried, and which postures came to nothing, why."""
    told = [*_mapping(data.get("walls_not_there")).values(), *_mapping(data.get("notes")).values()]
    ways = {_mapping(each).get("delivery") for each in _mapping(data.get("payloads")).values()}
    told += [ONLY_AFTER_A_BREACH] if ways == {"breach"} else []
    for posture, cells in _mapping(data.get("postures")).items():
        found = [_mapping(cell) for cell in _mapping(cells).values()]
        reasons = Counter(str(cell.get("reason")) for cell in found if cell.get("outcome") == "not_measured")
        if reasons and all(cell.get("outcome") in ("not_measured", "not_applicable") for cell in found):
            told.append(f"{posture}: nothing could be measured: {reasons.most_common(1)[0][0]}")
    return tuple(dict.fromkeys(str(note) for note in told))


def payloads(data: Mapping[str, Any]) -> dict[str, PayloadRecord]:
    """The catalogue of payloads that an attack run carries with it."""
    parsed = {str(name): _parse(PayloadRecord, value) for name, value in _mapping(data.get("payloads")).items()}
    return {name: record for name, record in parsed.items() if record is not None}


def layers(evidence: Evidence | None) -> images.LayersReport | None:
    """What the layer reader saw, or None."""
    return _parse(images.LayersReport, evidence.data) if evidence is not None else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _parse(kind: type[T], value: object) -> T | None:
    from pydantic import ValidationError

    try:
        found: T = store.adapter(kind).validate_python(value)
        return found
    except ValidationError:
        return None
