"""Prepare the text of Markdown and HTML reports: headline, notices, and the sections to show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from deadweight._packages import images
from deadweight.report import attacks, figures
from deadweight.report.model import Report, VariantRecord
from deadweight.report.table import ladders, reference_sources, startup_differs
from deadweight.report.verdict import verdict

HISTORY_COLUMNS = 6
"""Of so many reports the page shows figures side by side; one alone is no history."""


class View:
    """A report, ready to be put into words. Sections without evidence are empty and not shown."""

    def __init__(self, report: Report) -> None:
        variants = report.variants
        scanned = any(record.vulnerabilities.status != "not_scanned" for record in variants.values())
        self.ladders = ladders(report)
        self.sources = reference_sources(report)
        self.build_note = build_note(report)
        self.figure_notes = tuple(figure_notes(report))
        self.verdict = verdict(report)
        self.stand_ins = tuple(name for name, record in variants.items() if record.stand_in)
        self.checks = tuple(
            (name, record, tuple(record.checks.items())) for name, record in variants.items() if record.checks
        )
        self.layers = tuple(
            (name, record, record.layers) for name, record in variants.items() if record.layers is not None
        )
        self.attacked = tuple((name, record) for name, record in variants.items() if record.attacks)
        self.postures = attacks.main_postures(report)
        self.payloads = attacks.payloads(report)
        self.attack_notes = shared_notes({name: record.attack_notes for name, record in variants.items()})
        self.sums = attacks.sums(report, self.postures)
        self.scans = tuple(variants.items()) if scanned else ()
        self.history = report.history[-HISTORY_COLUMNS:] if len(report.history) > 1 else ()
        shown = {
            "comparison": True, "history": self.history, "attacks": self.attacked, "layers": self.layers,
            "vulnerabilities": scanned, "checks": True,
        }  # fmt: skip
        titles = {"checks": "Variants"}
        self.sections = tuple((name, titles.get(name, name.capitalize())) for name, content in shown.items() if content)


def figure_notes(report: Report) -> Iterator[str]:
    """What a reader of the comparison must know of attacks and start-up, a sentence for each ladder that has them."""
    for ladder in ladders(report):
        records = {row.variant: row.record for row in ladder.rows}
        among = attacks.shared(records.values())
        if among is not None and among.payloads:
            tried = figures.plural(len(among.payloads), "attack")
            apart = f"; {len(among.apart)} on what is never handed in are apart" if among.apart else ""
            yield f"{ladder.title}: attacks stopped are of the {tried} measured for all its variants{apart}."
        yield from _startup_note(ladder.title, records)


def _startup_note(title: str, records: Mapping[str, VariantRecord]) -> Iterator[str]:
    """Who starts faster, where that can be told: ranges that overlap are no difference."""
    timed = {
        name: record
        for name, record in records.items()
        if record.startup_seconds and len(record.startup_samples) > 1 and not record.startup_alone
    }
    if len(timed) < 2:
        return
    fastest = min(timed, key=lambda name: timed[name].startup_seconds or 0.0)
    slower = [name for name, each in timed.items() if startup_differs(timed[fastest], each)]
    starts = min(len(each.startup_samples) for each in timed.values())
    told = f"{title}: start-up is the median of {starts} starts, with the range"
    if not slower:
        yield f"{told}; there is no difference between its variants (the ranges overlap)."
        return
    start = "starts" if len(slower) == 1 else "start"
    yield f"{told}; {figures.listed(slower)} {start} later than {fastest}, others do not differ from it."


CACHE_WORDS = {
    "cold": "made from nothing",
    "warm": "with parts of an earlier build, or with a cache mount, which may hold some",
    "cached": "entirely from earlier builds",
}


def build_note(report: Report) -> str:
    """What the marks beside build times mean, those that are there; empty where nothing was built."""
    builds = [record.build for record in report.variants.values() if record.build is not None]
    marks = [f"{mark}: {words}" for mark, words in CACHE_WORDS.items() if any(build.cache == mark for build in builds)]
    if not builds:
        return ""
    if any(build.alone is False for build in builds):
        marks.append("beside others: other builds took their part of the machine")
    told = f" {'; '.join(marks)}." if marks else ""
    alike = " Only cold builds, each alone, can be compared."
    return f"Build: seconds of the last real build.{told}{alike}"


def shared_notes(notes: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Each note once, after the variants that it is about; ``notes`` by variant."""
    about: dict[str, list[str]] = {}
    for variant, told in notes.items():
        for note in told:
            about.setdefault(note, []).append(variant)
    every = sum(bool(told) for told in notes.values())
    return tuple(f"{'all' if len(who) == every > 1 else ', '.join(who)}: {note}" for note, who in about.items())


def secret_words(marks: Iterable[images.SecretMark | images.SecretFinding]) -> str:
    """The rules that matched, each with the reason where the allow list has it."""
    words = (f"{mark.rule} (allowed: {mark.allowed})" if mark.allowed else mark.rule for mark in marks)
    return ", ".join(dict.fromkeys(words)) or "none"
