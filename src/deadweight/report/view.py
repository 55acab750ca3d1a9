"""What the Markdown and HTML reports say in words: headline, notices, and which sections have anything to show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from deadweight.report import attacks
from deadweight.report.history_record import HistoryEntry
from deadweight.report.model import CheckRecord, Report, VariantRecord
from deadweight.report.table import Ladder, ladders, reference_sources
from deadweight.report.verdict import Verdict, stand_ins_said, verdict
from deadweight_images.findings import LayersReport, SecretFinding, SecretMark

HISTORY_COLUMNS = 6
"""Of so many reports the page shows figures side by side; one alone is no history."""


@dataclass(frozen=True)
class View:
    """A report, ready to be put into words. Sections without evidence are empty and not shown."""

    ladders: tuple[Ladder, ...]
    sources: tuple[str, ...]
    build_note: str
    verdict: Verdict
    stand_ins: tuple[str, ...]
    checks: tuple[tuple[str, VariantRecord, tuple[tuple[str, CheckRecord], ...]], ...]
    layers: tuple[tuple[str, VariantRecord, LayersReport], ...]
    attacked: tuple[tuple[str, VariantRecord], ...]
    postures: tuple[str, ...]
    payloads: tuple[str, ...]
    attack_notes: tuple[str, ...]
    scans: tuple[tuple[str, VariantRecord], ...]
    history: tuple[HistoryEntry, ...]
    sections: tuple[tuple[str, str], ...]


def view(report: Report) -> View:
    """Sort a report's contents into the sections that are shown."""
    variants = report.variants
    stand_ins = tuple(name for name, record in variants.items() if record.stand_in)
    checks = tuple((name, record, tuple(record.checks.items())) for name, record in variants.items() if record.checks)
    layers = tuple((name, record, record.layers) for name, record in variants.items() if record.layers is not None)
    attacked = tuple((name, record) for name, record in variants.items() if record.attacks)
    scanned = any(record.vulnerabilities.status != "not_scanned" for record in variants.values())
    history = report.history[-HISTORY_COLUMNS:] if len(report.history) > 1 else ()
    sections = [("comparison", "Comparison")]
    sections += [("history", "History")] if history else []
    sections += [("attacks", "Attacks")] if attacked else []
    sections += [("layers", "Layers")] if layers else []
    sections += [("vulnerabilities", "Vulnerabilities")] if scanned else []
    sections.append(("checks", "Variants"))
    return View(
        ladders=ladders(report),
        sources=reference_sources(report),
        build_note=build_note(report),
        verdict=verdict(report),
        stand_ins=stand_ins,
        checks=checks,
        layers=layers,
        attacked=attacked,
        postures=attacks.main_postures(report),
        payloads=attacks.payloads(report),
        attack_notes=shared_notes({name: record.attack_notes for name, record in variants.items()}),
        scans=tuple(variants.items()) if scanned else (),
        history=history,
        sections=tuple(sections),
    )


CACHE_WORDS = {
    "cold": "made from nothing",
    "warm": "with parts of an earlier build, or with a cache mount, which may hold some",
    "cached": "entirely from earlier builds",
}


def build_note(report: Report) -> str:
    """What the marks beside build times mean, those that are there; empty where nothing was built. Only like compares with like."""
    builds = [record.build for record in report.variants.values() if record.build is not None]
    marks = [f"{mark}: {words}" for mark, words in CACHE_WORDS.items() if any(build.cache == mark for build in builds)]
    if not builds:
        return ""
    told = f" {'; '.join(marks)}." if marks else ""
    return f"Build: seconds of the last real build.{told}"


def stand_in_note(stand_ins: tuple[str, ...], total: int) -> str:
    """A sentence on what rests on stand-ins, of ``total`` variants; empty where nothing does."""
    return stand_ins_said(stand_ins, total)


def shared_notes(notes: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Each note once, after the variants that it is about; ``notes`` by variant."""
    about: dict[str, list[str]] = {}
    for variant, told in notes.items():
        for note in told:
            about.setdefault(note, []).append(variant)
    every = sum(bool(told) for told in notes.values())
    return tuple(f"{'all' if len(who) == every > 1 else ', '.join(who)}: {note}" for note, who in about.items())


def secret_words(marks: Iterable[SecretMark | SecretFinding]) -> str:
    """The rules that matched, each with the reason where the allow list has it."""
    words = (f"{mark.rule} (allowed: {mark.allowed})" if mark.allowed else mark.rule for mark in marks)
    return ", ".join(dict.fromkeys(words)) or "none"
