"""What the Markdown and HTML reports say in words: headline, notices, and which sections have anything to show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from deadweight.image.findings import LayersReport, SecretFinding, SecretMark
from deadweight.report import figures
from deadweight.report.model import CheckRecord, Report, VariantRecord
from deadweight.report.table import NOT_MEASURED_WORDS, Ladder, ladders, not_measured_word, reference_sources

POSTURE_ORDER = ("hardened", "default", "open", "privileged")
HIDDEN_SHOWN = 25
FINDINGS_SHOWN = 200


@dataclass(frozen=True)
class View:
    """A report, ready to be put into words. Sections without evidence are empty and not shown."""

    ladders: tuple[Ladder, ...]
    sources: tuple[str, ...]
    build_note: str
    headline: str
    stand_ins: tuple[str, ...]
    stand_in_note: str
    checks: tuple[tuple[str, VariantRecord, tuple[tuple[str, CheckRecord], ...]], ...]
    layers: tuple[tuple[str, VariantRecord, LayersReport], ...]
    attacked: tuple[tuple[str, VariantRecord], ...]
    postures: tuple[tuple[str, tuple[str, ...]], ...]
    posture_notes: dict[str, str]
    attack_notes: tuple[str, ...]
    scans: tuple[tuple[str, VariantRecord], ...]
    sections: tuple[tuple[str, str], ...]


def view(report: Report) -> View:
    """Sort a report's contents into the sections that are shown."""
    variants = report.variants
    stand_ins = tuple(name for name, record in variants.items() if record.stand_in)
    checks = tuple((name, record, tuple(record.checks.items())) for name, record in variants.items() if record.checks)
    layers = tuple((name, record, record.layers) for name, record in variants.items() if record.layers is not None)
    attacked = tuple((name, record) for name, record in variants.items() if record.attacks)
    scanned = any(record.vulnerabilities.status != "not_scanned" for record in variants.values())
    postures = _postures(report)
    sections = [("comparison", "Comparison"), ("checks", "Checks")]
    sections += [("layers", "Layers")] if layers else []
    sections += [("attacks", "Attacks")] if attacked else []
    sections += [("vulnerabilities", "Vulnerabilities")] if scanned else []
    sections.append(("provenance", "How each figure was got"))
    return View(
        ladders=ladders(report),
        sources=reference_sources(report),
        build_note=build_note(report),
        headline=headline(report),
        stand_ins=stand_ins,
        stand_in_note=stand_in_note(stand_ins, len(variants)),
        checks=checks,
        layers=layers,
        attacked=attacked,
        postures=postures,
        posture_notes={posture: _posture_note(report, posture) for posture, _ in postures},
        attack_notes=shared_notes({name: record.attack_notes for name, record in variants.items()}),
        scans=tuple(variants.items()) if scanned else (),
        sections=tuple(sections),
    )


def headline(report: Report) -> str:
    """The comparison in two sentences: from largest to smallest, per ladder, and how the checks came out."""
    builds = [record.build for record in report.variants.values() if record.build is not None]
    stale = sum(build.failed_at is not None for build in builds)
    parts = [f"{len(builds) - stale} of {figures.plural(len(report.variants), 'variant')} built."]
    parts += [f"{figures.plural(stale, 'variant')} with an older image: the last build failed."] if stale else []
    for ladder in ladders(report):
        largest, smallest = figures.size(ladder.largest_bytes), figures.size(ladder.smallest_bytes)
        if largest != smallest:  # as they are shown: a ladder of bytes is none
            ratio = figures.ratio(ladder.largest_bytes, ladder.smallest_bytes)
            parts.append(f"{ladder.title}: from {largest} down to {smallest}, {ratio}.")
    results = [check for record in report.variants.values() for check in record.checks.values()]
    fine = sum(check.expected and check.status != "not_measured" for check in results)
    if any(check.why_not != "not_run" for check in results):
        absent = Counter(not_measured_word(check) for check in results if check.status == "not_measured")
        tail = "".join(f", {absent[word]} {word}" for word in NOT_MEASURED_WORDS if absent[word])
        parts.append(f"{fine} of {figures.plural(len(results), 'check')} came out as expected{tail}.")
    else:
        parts.append("Checks were not run.")
    return " ".join(parts)


CACHE_WORDS = {
    "cold": "made from nothing",
    "warm": "with something of an earlier build",
    "cached": "all of it from earlier builds",
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
    """A sentence or two on what rests on stand-ins; empty where nothing does."""
    if not stand_ins:
        return ""
    if total == 1:
        return (
            f"{stand_ins[0]} rests on a local stand-in of its public base, made from this machine's OS packages. Its figures are "
            "real measurements of that image and may differ from an image on the public base."
        )
    return (
        f"{len(stand_ins)} of {figures.plural(total, 'variant')} rest on local stand-ins of their public bases, made from this "
        f"machine's OS packages: {', '.join(stand_ins)}. Their figures are real measurements of those images and may differ "
        "from images on the public bases."
    )


def _postures(report: Report) -> tuple[tuple[str, tuple[str, ...]], ...]:
    found: dict[str, dict[str, None]] = {}
    for record in report.variants.values():
        for posture, outcomes in record.attacks.items():
            found.setdefault(posture, {}).update(dict.fromkeys(outcomes))
    known = [posture for posture in POSTURE_ORDER if posture in found]
    order = known + [posture for posture in found if posture not in known]
    catalogue = list(report.payloads)
    rank = {payload: index for index, payload in enumerate(catalogue)}
    return tuple(
        (posture, tuple(sorted(found[posture], key=lambda name: rank.get(name, len(rank))))) for posture in order
    )


def _posture_note(report: Report, posture: str) -> str:
    outcomes = [
        outcome.outcome for record in report.variants.values() for outcome in record.attacks.get(posture, {}).values()
    ]
    words = ("succeeded", "blocked", "crashed", "not_applicable", "not_measured")
    return ", ".join(f"{outcomes.count(word)} {word.replace('_', ' ')}" for word in words if word in outcomes)


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
