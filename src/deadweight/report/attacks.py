"""Sum up attack results per variant: attacks stopped in each posture, and the first posture that stops each one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from deadweight._errors import wording
from deadweight.report import figures
from deadweight.report.model import AttackRecord, AttackSplit, HeldRecord, Report, VariantRecord

LAXEST_FIRST = ("privileged", "open", "default", "hardened")
"""The postures that stand for ways to run an image; the others (``only-WALL``, ``without-WALL``) are the controls behind a cell."""
TOLD_FIRST = ("default", "open", "hardened", "privileged")
"""Which posture stands for all where there is room for one: what a plain ``docker run`` gives, if it was tried."""
NEVER = "never"
UNSTOPPED = {"succeeded": NEVER, "crashed": "crash", "not_applicable": "n/a"}
DELIVERIES = {
    "service": "through a hole in the service",
    "breach": "after a breach: the attacker's code runs as the service already",
}


MEASURED = ("blocked", "succeeded", "crashed")


@dataclass(frozen=True)
class Shared:
    """The attacks that were measured in a posture for each of several variants; ``apart``: those on what was not handed in."""

    posture: str
    payloads: frozenset[str]
    apart: frozenset[str]


def shared(records: Iterable[VariantRecord], posture: str | None = None) -> Shared | None:
    """On what these variants can be compared in a posture (default: the one in which most of them can), those that were not
    attacked in it left out; None where there is nothing."""
    many = list(records)
    posture = posture or max(TOLD_FIRST, key=lambda name: sum(held(record, name) is not None for record in many))
    tried = [record.attacks[posture] for record in many if held(record, posture)]
    if not tried:
        return None
    common = set.intersection(*({name for name, cell in cells.items() if cell.outcome in MEASURED} for cells in tried))
    apart = {name for cells in tried for name in common if cells[name].handed_in}
    return Shared(posture, frozenset(common - apart), frozenset(apart))


def split(record: VariantRecord, among: Shared | None) -> AttackSplit | None:
    """What stops the shared attacks on one variant; None where it was not attacked, or nothing is shared."""
    if among is None or not among.payloads or held(record, among.posture) is None:
        return None
    causes = Counter(_stopped_by(record, name, among.posture) for name in among.payloads)
    counts = [*(causes[cause] for cause in ("engine", "image", "hardening", "through", "unknown")), len(among.apart)]
    return AttackSplit(among.posture, len(among.payloads), *counts)


def _stopped_by(record: VariantRecord, payload: str, posture: str) -> str:
    cell = record.attacks[posture][payload]
    if cell.outcome == "blocked":
        bare = record.attacks.get("open", {}).get(payload)  # with no protection of the engine's
        return "image" if cell.by_user or (bare is not None and bare.outcome == "blocked") else "engine"
    hardened = record.attacks.get("hardened", {}).get(payload)
    if hardened is None or hardened.outcome not in MEASURED:
        return "unknown"
    return "hardening" if hardened.outcome == "blocked" else "through"


def by_ladder(variants: Mapping[str, VariantRecord]) -> dict[str, dict[str, VariantRecord]]:
    """The variants of each ladder, in the suite's order."""
    ladders: dict[str, dict[str, VariantRecord]] = {}
    for name, record in variants.items():
        ladders.setdefault(record.ladder, {})[name] = record
    return ladders


def with_splits(variants: Mapping[str, VariantRecord]) -> dict[str, VariantRecord]:
    """The same variants, each with what stops the attacks that it shares with the others of its ladder."""
    among = {ladder: shared(members.values()) for ladder, members in by_ladder(variants).items()}
    return {
        name: replace(record, attack_split=split(record, among[record.ladder])) for name, record in variants.items()
    }


@dataclass(frozen=True)
class Castle:
    """One attack on one variant over all postures.

    ``since`` is the laxest posture that stops it, ``never`` where each one lets it through; or ``n/a``, ``crash`` and an en dash
    (not measured). ``tone`` is its class on the page: ``s0`` (stopped in the laxest) to ``s3``, ``succeeded``, ``crashed``,
    ``not_applicable``, ``not_measured``.
    """

    since: str
    tone: str


def main_postures(report: Report) -> tuple[str, ...]:
    """Those of ``LAXEST_FIRST`` in which anything was tried; where there is none, whatever there is."""
    postures = dict.fromkeys(name for record in report.variants.values() for name in record.attacks)
    return tuple(name for name in LAXEST_FIRST if name in postures) or tuple(postures)


def held(record: VariantRecord, posture: str) -> HeldRecord | None:
    """Count one posture: all attacks but those on what is handed in. None if none was measured."""
    outcomes = [cell.outcome for cell in record.attacks.get(posture, {}).values() if not cell.handed_in]
    tried = sum(outcome in MEASURED for outcome in outcomes)
    return HeldRecord(outcomes.count("blocked"), tried) if tried else None


def castle(record: VariantRecord, payload: str, postures: Iterable[str]) -> Castle:
    """``postures`` laxest first."""
    cells = {name: cell for name in postures if (cell := record.attacks.get(name, {}).get(payload)) is not None}
    for index, (name, cell) in enumerate(cells.items()):
        if cell.outcome == "blocked":
            return Castle(name, f"s{min(index, 3)}")
    outcomes = {cell.outcome for cell in cells.values()}
    tone = next((tone for tone in UNSTOPPED if tone in outcomes), "not_measured")
    return Castle(UNSTOPPED.get(tone, figures.NOTHING), tone)


def payloads(report: Report) -> tuple[str, ...]:
    """Every attack that was tried, in the catalogue's order; those through the service first."""
    names = dict.fromkeys(
        name for record in report.variants.values() for cells in record.attacks.values() for name in cells
    )
    known = [name for name in report.payloads if name in names]
    known.sort(key=lambda name: report.payloads[name].delivery == "breach")
    return (*(name for name in names if name not in report.payloads), *known)


def heading(report: Report, names: Sequence[str], index: int) -> str:
    """What stands above the attack at ``index``, where another way in begins there; none where all come through the service."""
    known = [report.payloads.get(name) for name in names]
    ways = [(payload and payload.delivery) or "service" for payload in known]
    begins = index == 0 or ways[index] != ways[index - 1]
    return DELIVERIES[ways[index]] if begins and "breach" in ways else ""


def by_outcome(report: Report, payload: str, postures: Sequence[str]) -> dict[Castle, list[str]]:
    """The variants that were attacked, by what came of one attack: those that let it through first."""
    found: dict[Castle, list[str]] = {}
    for name, record in report.variants.items():
        if record.attacks:
            found.setdefault(castle(record, payload, postures), []).append(name)
    return dict(sorted(found.items(), key=lambda item: TONES.index(item[0].tone)))


TONES = ("succeeded", "crashed", "s3", "s2", "s1", "s0", "not_applicable", "not_measured")


def outcome_words(cell: AttackRecord) -> str:
    """One outcome in words: ``stopped by seccomp, non-root, each alone``."""
    if cell.outcome == "succeeded":
        return "got through"
    if cell.outcome != "blocked":
        return {"crashed": wording("report.killed"), "not_applicable": "n/a", "not_measured": "not measured"}[
            cell.outcome
        ]
    if cell.walls:
        walls = ", ".join(cell.walls) + (", each alone" if len(cell.walls) > 1 else "")
        return wording("report.stopped_by", walls=walls)
    return "stopped" if cell.depth is None else wording("report.stopped_together")
