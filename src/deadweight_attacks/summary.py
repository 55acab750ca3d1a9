"""Sum up attacks on variants: how many were stopped, what was not measured and why, where a service lets one through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from deadweight_attacks.walls import wording

if TYPE_CHECKING:
    from deadweight.records.evidence import Evidence


def cells(evidence: Evidence, posture: str) -> dict[str, Any]:
    """The outcome of each attack on one variant in a posture, by the attack's name."""
    return dict(evidence.data.get("postures", {}).get(posture, {}))


def total(results: Sequence[Evidence]) -> str:
    """How many attacks were stopped, by posture, over all variants: ``attacks stopped: open 4 of 37, hardened 37 of 37``. As in the
    report, those on what is only there if it is handed in are not counted."""
    sums, everywhere = [], list[str]()
    for posture in tried_now(results):
        entries = (cell for result in results for cell in cells(result, posture).values())
        outcomes = [cell["outcome"] for cell in entries if not cell.get("handed_in")]
        everywhere += outcomes
        tried = sum(outcome in ("blocked", "succeeded", "crashed") for outcome in outcomes)
        if tried:
            sums.append(f"{posture} {outcomes.count('blocked')} of {tried}")
    measured = sum(bool(result.data.get("postures")) for result in results)
    variants = f" on {measured} variants" if measured > 1 else ""
    if everywhere and set(everywhere) == {"not_applicable"}:
        return wording("gate.no_hole", variants=variants)
    return f"attacks stopped{variants}: {', '.join(sums)}" if sums else wording("gate.nothing")


def unmeasured(evidence: Evidence) -> list[str]:
    """Of one variant, what was not measured and why; one line for each reason, ``default: breach-x, breach-y: reason``."""
    open_cells = cells(evidence, "open")
    by_reason: dict[tuple[str, str], list[str]] = {}
    for posture in tried_now([evidence]):
        for name, cell in cells(evidence, posture).items():
            known = posture != "open" and open_cells.get(name, {}).get("outcome") == "not_measured"
            if cell["outcome"] == "not_measured" and not known:
                by_reason.setdefault((posture, cell["reason"]), []).append(name)
    return [
        f"{'' if posture == 'open' else f'{posture}: '}{', '.join(names)}: {reason}"
        for (posture, reason), names in by_reason.items()
    ]


def holes(evidence: Evidence) -> list[str]:
    """Of one variant, where the service itself lets each attack through: ``http-command: GET /ping query host: ; echo …``."""
    through = {name: cell for name, cell in cells(evidence, "open").items() if cell["outcome"] == "succeeded"}
    places = {name: (cell["evidence"] or {}).get("at") for name, cell in through.items()}
    return [f"{name}: {at}" for name, at in places.items() if at]


def tried_now(results: Sequence[Evidence]) -> list[str]:
    """Those in which something was measured now; what an earlier run found of others is for the report."""

    def now(cell: Mapping[str, Any]) -> bool:
        return cell["outcome"] != "not_measured" and "measured_at" not in (cell["evidence"] or {})

    postures = (posture for result in results for posture in result.data.get("postures", {}).items())
    return list(dict.fromkeys(name for name, cells in postures if any(map(now, cells.values()))))
