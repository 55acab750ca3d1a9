"""Judge a report: what failed, what is unknown, which variant to ship. Prepares the words for page, terminal and Markdown."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from deadweight._errors import wording
from deadweight._packages import images
from deadweight.report import attacks, figures
from deadweight.report.cves import groups, one_change
from deadweight.report.model import AttackSplit, CheckRecord, Report, VariantRecord
from deadweight.report.table import Ladder, compressed_of, is_root, ladders, size_of, vulnerabilities_cell

# Which variant of a ladder to ship, and what it costs: one sentence, from measured figures alone.

RIVALS_TOLD, STEPS = 2, 2
OWN = "today"
"""The image that a repository builds already, as ``init`` names it: what others are compared with; else the next best is."""


@dataclass(frozen=True)
class Point:
    """One thing that failed, is worse or is not known: ``check`` is ``build`` if there is no image of what the suite asks for now.
    ``next`` is the command that follows."""

    variant: str
    check: str
    reason: str
    word: str = "FAILED"

    def __str__(self) -> str:
        return f"{self.variant}/{self.check}: {self.reason}"

    @property
    def next(self) -> str:
        """The command to run once it is mended."""
        task = "build" if self.check == "build" or self.word != "FAILED" else "verify"
        return f"invoke {task} --variant {shlex.quote(self.variant)}"


@dataclass(frozen=True)
class Finding:
    """What to ship of a ladder. ``winner`` is None if nothing can be shipped; ``why`` says why then. ``head`` stands before it:
    ``Ship``, with the ladder if there is more than one. ``unknown`` are the winner's checks without a result, ``doubts`` what else
    is not known of it; ``figures`` are its size, findings and attacks, each with what it counts; ``next`` is what to do, step by
    step, each with its command."""

    ladder: str
    winner: str | None
    why: str
    head: str = "Ship"
    unknown: tuple[str, ...] = ()
    figures: tuple[tuple[str, str], ...] = ()
    next: tuple[tuple[str, str], ...] = ()
    doubts: tuple[str, ...] = ()
    title: str = ""

    @property
    def text(self) -> str:
        """In one sentence."""
        if self.winner is None:
            return self.why
        verb = "is" if len(self.unknown) == 1 else "are"
        unknown = f"; its {', '.join(self.unknown)} {verb} not known" if self.unknown else ""
        return f"{self.winner} ({self.figures[0][0]}) {self.why}{unknown}."


@dataclass(frozen=True)
class _Figure:
    """One way to be better: less is better. ``better`` says it of one that has less, ``but`` of one that has more."""

    of: Callable[[VariantRecord], float | None]
    better: Callable[[VariantRecord], str]
    but: Callable[[VariantRecord], str]


def findings(report: Report, worse: Sequence[Point] = ()) -> tuple[Finding, ...]:
    """One for each ladder in which variants can be compared: ladders of samples that are meant to fail are a story of their own."""
    found = [_finding(ladder, worse) for ladder in ladders(report) if not meant_to_fail(ladder)]
    judged = [finding for finding in found if finding]
    if len(judged) == 1:
        return tuple(judged)
    return tuple(replace(finding, head=f"{finding.head} ({finding.title})") for finding in judged)


def meant_to_fail(ladder: Ladder) -> bool:
    return any(_fails_as_meant(check) for row in ladder.rows for check in row.record.checks.values())


def _fails_as_meant(check: CheckRecord) -> bool:
    return check.status == "fail" and check.expected


def _fit(record: VariantRecord) -> bool:
    """Whether it may be recommended at all: built, measured, and nothing that was checked came out wrong."""
    built = record.build is not None and record.build.failed_at is None and record.failed is None
    return built and all(check.expected for check in record.checks.values()) and bool(size_of(record))


def _finding(ladder: Ladder, worse: Sequence[Point]) -> Finding | None:
    records = {row.variant: row.record for row in ladder.rows}
    able = {name: record for name, record in records.items() if _fit(record)}
    if not able:
        then: tuple[tuple[str, str], ...] = ((wording("report.build_first"), "invoke build"),)
        none = Finding(ladder.name, None, wording("report.nothing_to_ship"), "No winner", next=then, title=ladder.title)
        return none if any(record.build for record in records.values()) else None
    if len({figures.size(size) for record in records.values() if (size := size_of(record))}) < 2:
        return None
    measures = [figure for figure in FIGURES if any(figure.of(record) is not None for record in able.values())]
    ranks, best = ({name: sum(_rank(able, name, of, gap) for of in measures) for name in able} for gap in (None, -1))
    order = sorted(able, key=lambda name: (ranks[name], size_of(able[name]) or 0))
    winner, second = order[0], next((name for name in (OWN, *order[1:2]) if name in able and name != order[0]), None)
    own = able[winner]
    unknown = _unknown(own)
    regressions = [point for point in worse if point.variant == winner]
    unsure = [name for name in order[1:] if _unknown(able[name]) and best[name] <= ranks[winner]]
    why = _against(own, second, able) + _rivals(winner, able, measures) + _out(records, worse, winner)
    heads = {"Verify, then ship": unknown, "Review, then ship": regressions, "So far, ship": unsure, "Ship": True}
    head = next(head for head, needed in heads.items() if needed)
    then = tuple(_steps(winner, records, unsure, regressions))[:STEPS]
    doubts = tuple(_doubts(own, [f"{name} ({next(iter(_unknown(able[name]).values()))})" for name in unsure]))
    return Finding(ladder.name, winner, why, head, tuple(unknown), _figures(own), then, doubts, ladder.title)


def _unknown(record: VariantRecord) -> dict[str, str]:
    """Its checks without a result, each with the word for why."""
    return {name: check.word for name, check in record.checks.items() if check.status == "not_measured"}


def _out(records: Mapping[str, VariantRecord], worse: Sequence[Point], winner: str) -> str:
    """Which variants cannot be recommended, whatever their figures, or are worse than they were."""
    clauses = []
    for name, record in records.items():
        wrong = ["build"] * bool(record.failed) + [name for name, check in record.checks.items() if not check.expected]
        clauses += [f"; {name} is out ({figures.listed(wrong)} failed)"] * bool(wrong)
        clauses += [f"; {name} became worse ({point.reason})" for point in worse if name == point.variant != winner][:1]
    return "".join(clauses[:RIVALS_TOLD])


def _figures(record: VariantRecord) -> tuple[tuple[str, str], ...]:
    """The three that a decision rests on, each with what it counts. No count stands where nothing was scanned or attacked."""
    scan, split, packed = vulnerabilities_cell(record.vulnerabilities), record.attack_split, compressed_of(record)
    size = (figures.size(size_of(record)), f"unpacked, {figures.size(packed)} to pull" if packed else "unpacked")
    cves = (scan.text, f"CVEs ({scan.badge})" if scan.badge else "CVEs")
    if split is None:
        return size, cves, ("not attacked", "attacks")
    return size, cves, (f"{split.stopped} of {split.of}", f"attacks stopped {_in(split)}")


def _steps(
    winner: str, ladder: Mapping[str, VariantRecord], unsure: Sequence[str], worse: Sequence[Point]
) -> Iterator[tuple[str, str]]:
    """What to do next, each with its command: what makes the choice certain before what makes the image better."""
    own, here = ladder[winner], f"--variant {shlex.quote(winner)}"
    if unknown := _unknown(own):
        yield wording("report.verify_first", checks=figures.listed(tuple(unknown))), f"invoke verify {here}"
    if worse:
        yield wording("report.undo", change=worse[0].reason), f"invoke build {here}"
    if unsure:
        yield wording("report.verify_others", variants=figures.listed(unsure)), "invoke verify"
    if change := one_change(winner, ladder):
        yield change, f"invoke build {here}"
    if own.vulnerabilities.status == "not_scanned":
        yield wording("report.scan_first"), f"invoke scan {here}"
    if own.attack_split and own.attack_split.by_hardening:
        yield wording("report.harden", count=own.attack_split.by_hardening), f"invoke harden {here}"
    yield wording("report.push"), f"invoke push {here} --to REGISTRY/NAME"


def _doubts(record: VariantRecord, unsure: Sequence[str]) -> Iterator[str]:
    """What is not known of a variant, and which others may be better."""
    scan = record.vulnerabilities
    if unknown := _unknown(record):
        yield wording("report.unknown_checks", checks=", ".join(f"{name} ({word})" for name, word in unknown.items()))
    if unsure:
        yield wording("report.unknown_others", variants=figures.listed(unsure))
    if scan.status == "scanned" and (lacks := scan.coverage.lacks()):
        yield wording("report.covers", lacks=lacks)
    if scan.total and not _graded(record):
        yield wording("report.no_severity", count=figures.plural(scan.total or 0, "CVE"))
    if record.stand_in:
        own_base = record.base is not None and record.base.stand_in
        yield wording("report.stand_in_base" if own_base else "report.stand_in_stage")


def _graded(record: VariantRecord) -> bool:
    """Whether the database grades anything that it found: else a gate on a severity can never fail."""
    return any(count for severity, count in record.vulnerabilities.by_severity.items() if severity != "unknown")


def _rank(able: dict[str, VariantRecord], name: str, measure: _Figure, missing: int | None) -> int:
    """How many are better by this figure, or ``missing`` if it is unknown (None: it is better than nothing else)."""
    own = measure.of(able[name])
    if own is None and missing is not None:
        return missing
    values = [measure.of(record) for record in able.values()]
    return sum(value is not None and (own is None or value < own) for value in values)


def _against(own: VariantRecord, other: str | None, able: Mapping[str, VariantRecord]) -> str:
    """What the winner has, with another's figures beside it. Where the other is smaller, its own clause says so."""
    peer = able[other] if other else None
    few, split, size, largest = own.vulnerabilities, own.attack_split, size_of(own) or 1, peer and size_of(peer)
    parts = [f"is {_smaller(largest, size)} than {other}"] if largest and largest > size else []
    if few.status == "scanned":
        many, lacks = peer and peer.vulnerabilities.total, few.total is not None and few.coverage.lacks(partly=False)
        beside = [lacks] if lacks else []
        beside += [f"{other}: {many:,}"] if None not in (few.total, many) and many != few.total else []
        parts.append(_carries(own) + (f" ({'; '.join(beside)})" if beside else ""))
    if split:
        rival = peer and peer.attack_split
        beside = [f" ({other}: {rival.stopped})"] if rival and rival.stopped != split.stopped else [""]
        parts.append(f"stops {split.stopped} of {figures.plural(split.of, 'attack')} {_in(split)}{beside[0]}")
    return figures.listed([*parts, *([_keeps(own)] if own.layers else [])]) or "is the only one that can be shipped"


def _in(split: AttackSplit) -> str:
    return "in a plain container" if split.posture == "default" else f"in posture {split.posture}"


def _smaller(large: int, small: int) -> str:
    """``48 times smaller``, below ten ``2.5 times smaller``, below twice ``15 % smaller``."""
    times = large / small
    if times < 2:
        return f"{100 - 100 * small / large:.0f} % smaller"
    return f"{f'{times:.0f}' if times >= 9.95 else f'{times:.1f}'.removesuffix('.0')} times smaller"


def _rivals(winner: str, able: dict[str, VariantRecord], measures: list[_Figure]) -> str:
    """What the winner costs: who is better at something, and where that one falls behind."""
    clauses, own = dict[str, str](), able[winner]
    for measure in measures:
        rivals = [name for name, record in able.items() if _less(measure.of(record), measure.of(own))]
        best = min(rivals, key=lambda name: measure.of(able[name]) or 0.0, default="")
        if best and best not in clauses:
            worse = next((other for other in measures if _less(other.of(own), other.of(able[best]))), None)
            but = f", but {worse.but(able[best])}" if worse else ""
            clauses[best] = f"{best} {measure.better(able[best])}{but}"
    if not clauses and len(able) > 1:
        return "; no other variant is better on any measured figure"
    return "".join(f"; {clause}" for clause in list(clauses.values())[:RIVALS_TOLD])


def _less(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and one < other


def _carries(record: VariantRecord) -> str:
    total = record.vulnerabilities.total
    return "was not scanned for CVEs" if total is None else f"carries {figures.plural(total, 'CVE')}"


TOOLS = {"a shell": "shells", "a package manager": "package_managers", "set-user-id programs": "setuid"}


def _tools(record: VariantRecord) -> list[str]:
    """The kinds of tools that an intruder would find."""
    return [word for word, files in TOOLS.items() if getattr(record.layers, files, ())]


def _keeps(record: VariantRecord) -> str:
    return f"keeps {figures.listed(_tools(record)) or 'no shell'}"


def _stops(record: VariantRecord) -> str:
    split = record.attack_split
    return f"stops {split.stopped} of {split.of} attacks" if split else ""


def _size(record: VariantRecord) -> str:
    return figures.size(size_of(record))


def _root(record: VariantRecord) -> int | None:
    return None if record.image is None or record.image.user is None else int(is_root(record.image.user))


FIGURES = (
    _Figure(size_of, lambda record: f"is smaller ({_size(record)})", lambda record: f"weighs {_size(record)}"),
    _Figure(lambda record: None if record.layers is None else len(_tools(record)), _keeps, _keeps),
    _Figure(lambda record: -record.attack_split.stopped if record.attack_split else None, _stops, _stops),
    _Figure(lambda record: record.vulnerabilities.counted, _carries, _carries),
    _Figure(_root, lambda _: "does not run as root", lambda _: "runs as root"),
)


REASON_LETTERS = 140
STAND_IN_PAGE = "docs/how-to/sources.md"


@dataclass(frozen=True)
class Gap:
    """What is not known, by why (``word``): ``stale``, ``not run``, ``not measured``, ``not built``, ``unproven``. ``text``: of
    which, and what to run."""

    word: str
    count: int
    text: str


@dataclass(frozen=True)
class Verdict:
    """``status``: ``fail`` where anything came out wrong, ``gaps`` where nothing did but something is not known, else ``pass``."""

    status: Literal["pass", "gaps", "fail"]
    title: str
    counts: str
    failures: tuple[Point, ...]
    gaps: tuple[Gap, ...]
    findings: tuple[Finding, ...]
    stories: tuple[str, ...]
    stand_ins: str


def verdict(report: Report, worse: Sequence[Point] = ()) -> Verdict:
    """All of it, for any report. ``worse``: the regressions since an earlier one, which fail too."""
    failures, gaps = tuple(_failures(report)), tuple(_gaps(report))
    title, stories = _title(report, failures, gaps, len(worse)), tuple(_stories(report))
    status: Literal["pass", "gaps", "fail"] = "fail" if failures or worse else "gaps" if gaps else "pass"
    chosen = findings(report, worse)
    return Verdict(status, title, _counts(report), (*failures, *worse), gaps, chosen, stories, stand_ins(report))


def _failures(report: Report) -> Iterator[Point]:
    for name, record in report.variants.items():
        if record.failed is not None or (record.build is not None and record.build.failed_at is not None):
            older = "; its figures are from the previous image" if record.build is not None else ""
            yield Point(name, "build", f"{record.failed or 'its last build failed'}{older}")
        for check, result in record.checks.items():
            if not result.expected and result.status != "not_measured":
                foreseen = result.status == "fail"
                reason = result.reason if foreseen else wording("report.passed_unexpectedly", reason=result.reason)
                yield Point(name, check, reason)


def _gaps(report: Report) -> Iterator[Gap]:
    unbuilt = [name for name, record in report.variants.items() if record.build is None and record.failed is None]
    if unbuilt:
        yield Gap("not built", len(unbuilt), f"{figures.listed(unbuilt)}; next: invoke build")
    if little := [
        f"{name} ({', '.join(record.unproven)})" for name, record in report.variants.items() if record.unproven
    ]:
        yield Gap("unproven", len(little), wording("report.unproven", variants=figures.listed(little)))
    reasons: dict[str, dict[str, dict[str, str]]] = {}  # by why, check and variant
    for name, record in report.variants.items():
        for check, result in record.checks.items():
            if result.status == "not_measured":
                reasons.setdefault(result.why_not or "not_measured", {}).setdefault(check, {})[name] = result.reason
    for code in filter(reasons.__contains__, figures.WHY_NOT):
        tried = code == "not_measured"  # then to run it again helps only when its cause is gone
        alike: dict[tuple[tuple[str, ...], str], list[str]] = {}
        for check, of in reasons[code].items():
            most = Counter(of.values()).most_common(1)[0][0] if tried else ""
            alike.setdefault((tuple(of), figures.cut(most, REASON_LETTERS)), []).append(check)
        about = "; ".join(_gap(checks, names, why) for (names, why), checks in alike.items())
        old = "; measured before the image or its suite changed" if code == "stale" else ""
        then = "" if tried else f"{old}; next: invoke verify"
        yield Gap(figures.WHY_NOT[code], sum(map(len, reasons[code].values())), about + then)


def _gap(checks: Sequence[str], names: Sequence[str], why: str) -> str:
    """``api and runs of each of ko and jib``, with the reason where there is one."""
    of = "of each of" if len(checks) > 1 and len(names) > 1 else "of"
    return f"{figures.listed(checks)} {of} {figures.listed(names)}" + (f" ({why})" if why else "")


def _title(report: Report, failures: tuple[Point, ...], gaps: tuple[Gap, ...], worse: int) -> str:
    if failures or worse:
        builds = sum(point.check == "build" for point in failures)
        kinds = {"build": builds, "check": len(failures) - builds}
        failed = " and ".join(figures.plural(count, word) for word, count in kinds.items() if count)
        parts = [f"{failed} failed"] if failed else []
        parts += [wording("report.worse", count=figures.plural(worse, "regression"))] if worse else []
        return "; ".join(parts)
    if gaps:
        return "Nothing failed, but " + ", ".join(f"{gap.count:,} {gap.word}" for gap in gaps)
    if not any(record.checks for record in report.variants.values()):
        return wording("report.nothing_checked")
    return "All checks came out as expected"


def _counts(report: Report) -> str:
    """``13 of 14 checks as expected, 1 stale, 2 more measured without a gate. 5 of 6 variants built.``"""
    every = [check for record in report.variants.values() for check in record.checks.values()]
    results = [check for check in every if not check.only_measured]
    fine = sum(check.expected and check.status != "not_measured" for check in results)
    built = sum(record.build is not None and record.build.failed_at is None for record in report.variants.values())
    variants = f"{built} of {figures.plural(len(report.variants), 'variant')} built."
    if all(check.why_not == "not_run" for check in every):
        return wording("report.no_checks_run", variants=variants)
    absent: Counter[str] = Counter(check.why_not or check.status for check in results if check.status == "not_measured")
    tail = "".join(f", {absent[code]} {word}" for code, word in figures.WHY_NOT.items() if absent[code])
    free = len(every) - len(results)
    tail += wording("report.ungated", count=free) if free else ""
    checks = f"{fine} of {figures.plural(len(results), 'check')}"
    return wording("report.counts", checks=checks, others=tail, variants=variants)


def _stories(report: Report) -> Iterator[str]:
    """The failures that the suite expects, a sentence for each ladder and check: what was found, and who passes beside them."""
    meant: dict[tuple[str, str], list[str]] = {}
    for name, record in report.variants.items():
        for check, result in record.checks.items():
            if _fails_as_meant(result):
                meant.setdefault((record.ladder, check), []).append(name)
    for (ladder, check), names in meant.items():
        others = attacks.by_ladder(report.variants)[ladder]
        results = {name: record.checks[check] for name, record in others.items() if check in record.checks}
        beside = [name for name, result in results.items() if result.status == "pass" and result.expected]
        stories = [f"{name} ({_leak(others[name]) or results[name].reason.rstrip('.')})" for name in names]
        fixed = f"; {figures.listed(beside)} {'passes' if len(beside) == 1 else 'pass'}" if beside else ""
        yield f"{figures.listed(stories)} {'fails' if len(names) == 1 else 'fail'} the check {check} on purpose{fixed}."


def _leak(record: VariantRecord) -> str:
    """Where a secret lies that nobody sees: the file that a later layer took away, or its place in the image's configuration."""
    layers = record.layers
    if layers is None:
        return ""
    for file in layers.hidden:
        if any(mark.allowed is None for mark in file.secrets):
            gone = f"/{file.path.lstrip('/')}, {file.how} in layer {file.hidden_index + 1}"
            return f"{gone}, can still be read in layer {file.index + 1}"
    visible = [secret.path or secret.where for secret in layers.secrets if secret.allowed is None]
    return f"{figures.plural(len(visible), 'secret')} in {figures.listed(visible)}" if visible else ""


def stand_ins(report: Report) -> str:
    """What of a report rests on stand-ins, in a sentence; empty where nothing does. The variants carry the label themselves."""
    resting = [name for name, record in report.variants.items() if record.stand_in]
    return stand_ins_note(resting, len(report.variants))


def stand_ins_note(resting: Sequence[str], total: int) -> str:
    """The sentence, for ``resting`` of ``total`` variants."""
    if not resting:
        return ""
    if total == 1:
        return wording("report.on_stand_in", variant=resting[0], page=STAND_IN_PAGE)
    return wording("report.on_stand_ins", count=len(resting), total=total, page=STAND_IN_PAGE)


# What Markdown, page and terminal put into words: the verdict, notices, and the sections to show.

HISTORY_COLUMNS = 6
"""Of so many reports the page shows figures side by side; one alone is no history."""


class View:
    """A report, ready to be put into words and pictures. Sections without evidence are empty and not shown; ladders of samples that
    are meant to fail stand last."""

    def __init__(self, report: Report, worse: Sequence[Point] = ()) -> None:
        variants = report.variants
        self.ladders = tuple(sorted(ladders(report), key=meant_to_fail))
        self.judged = tuple(ladder for ladder in self.ladders if not meant_to_fail(ladder))
        self.samples = self.ladders[len(self.judged) :]
        self.sources = tuple(dict.fromkeys(record.reference.source for record in variants.values() if record.reference))
        self.figure_notes = (wording("report.builds"), *filter(None, map(_ledger_note, self.ladders)))
        self.verdict = verdict(report, worse)
        self.winners = {  # by variant, the label beside its name
            finding.winner: f"ship, {figures.listed(finding.unknown)} not known" if finding.unknown else "ship"
            for finding in self.verdict.findings
            if finding.winner
        }
        self.checks = {name: record for name, record in variants.items() if record.checks}
        self.layers = tuple(
            (name, record, record.layers) for name, record in variants.items() if record.layers is not None
        )
        self.attacked = tuple((name, record) for name, record in variants.items() if record.attacks)
        self.postures = attacks.main_postures(report)
        self.payloads = attacks.payloads(report)
        self.attack_notes = shared_notes({name: record.attack_notes for name, record in variants.items()})
        scanned = any(record.vulnerabilities.status != "not_scanned" for record in variants.values())
        self.scans = {row.variant: row.record for ladder in self.judged for row in ladder.rows} if scanned else {}
        self.groups = groups(self.scans)
        self.ungraded = bool(self.groups) and not any(map(_graded, self.scans.values()))
        self.history = report.history[-HISTORY_COLUMNS:] if len(report.history) > 1 else ()


def _ledger_note(ladder: Ladder) -> str:
    """How much of the service the requests of a ladder ask for."""
    checks = [row.record.checks["api"].evidence.get("ledger") for row in ladder.rows if "api" in row.record.checks]
    if not (ledger := next(filter(None, checks), None)):
        return ""
    counts = {"known": ledger["operations_known"], "unasked": len(ledger["never_asked"])}
    return wording("report.ledger", ladder=ladder.title, asked=counts["known"] - counts["unasked"], **counts)


def shared_notes(notes: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Each note once, after the variants that it is about; ``notes`` by variant."""
    about: dict[str, list[str]] = {}
    for variant, lines in notes.items():
        for note in lines:
            about.setdefault(note, []).append(variant)
    every = sum(map(bool, notes.values()))
    return tuple(f"{'all' if len(names) == every > 1 else ', '.join(names)}: {note}" for note, names in about.items())


def secrets_label(record: VariantRecord) -> str:
    """One figure for an image's secrets: ``2 found``, or ``6 accepted`` if its check passes with them, and guesses apart."""
    layers, check = record.layers, record.checks.get("layers")
    if layers is None:
        return figures.NOT_MEASURED
    every: list[images.SecretMark | images.SecretFinding] = [*layers.secrets]
    every += (mark for file in layers.hidden for mark in file.secrets)
    accepted = check is not None and check.status == "pass"
    listed = sum(mark.allowed is not None for mark in every)
    counts = {
        "found": 0 if accepted else layers.counted_secrets,
        "accepted": listed + accepted * layers.counted_secrets,
    }
    counts["low confidence"] = sum(mark.allowed is None and mark.confidence == "low" for mark in every)
    return ", ".join(f"{count:,} {word}" for word, count in counts.items() if count) or "none"


def secret_words(marks: Iterable[images.SecretMark | images.SecretFinding], none: str = "none") -> str:
    """The rules that matched, each with the reason where the allow list has it."""
    words = (f"{mark.rule} (allowed: {mark.allowed})" if mark.allowed else mark.rule for mark in marks)
    return ", ".join(dict.fromkeys(words)) or none
