"""Judge a report: what failed, what is unknown, which variant to ship. Used by page, terminal and Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from deadweight.report import figures
from deadweight.report.attacks import Shared, shared, split
from deadweight.report.model import CheckRecord, Report, VariantRecord
from deadweight.report.table import NOT_MEASURED_WORDS, Ladder, ladders, not_measured_word, size_of

# Which variant of a ladder to ship, and what it costs: one sentence, from measured figures alone.

RIVALS_TOLD = 2


@dataclass(frozen=True)
class Finding:
    """``winner`` is None where nothing can be shipped; ``text`` says why then. ``head`` stands before it: ``Ship``, with the ladder
    where there is more than one."""

    ladder: str
    winner: str | None
    text: str
    head: str = "Ship"


@dataclass(frozen=True)
class _Figure:
    """One way to be better: less is better. ``better`` says it of one that has less, ``but`` of one that has more."""

    of: Callable[[VariantRecord], float | None]
    better: Callable[[VariantRecord], str]
    but: Callable[[VariantRecord], str]


def findings(report: Report) -> tuple[Finding, ...]:
    """One for each ladder in which variants can be compared: ladders of samples that are meant to fail are a story of their own."""
    titles = {ladder.name: ladder.title for ladder in ladders(report)}
    found = [
        finding
        for ladder in ladders(report)
        if not any(expected_failure(row.record) for row in ladder.rows)
        if (finding := _finding(ladder)) is not None
    ]
    return tuple(replace(each, head=_head(each, titles[each.ladder] if len(found) > 1 else "")) for each in found)


def _head(finding: Finding, ladder: str) -> str:
    return ("Ship" if finding.winner else "Nothing to ship") + (f" ({ladder})" if ladder else "")


def expected_failure(record: VariantRecord) -> bool:
    """Whether a check failed as the suite says that it does."""
    return any(check.status == "fail" and check.expected for check in record.checks.values())


def fit(record: VariantRecord) -> bool:
    """Whether it may be recommended at all: built, and nothing that was checked came out wrong."""
    built = record.build is not None and record.build.failed_at is None
    return built and record.failed is None and all(check.expected for check in record.checks.values())


def _finding(ladder: Ladder) -> Finding | None:
    records = {row.variant: row.record for row in ladder.rows}
    able = {name: record for name, record in records.items() if fit(record) and size_of(record)}
    if not able:
        none = "no variant is built, measured and free of failures."
        return Finding(ladder.name, None, none) if any(record.build for record in records.values()) else None
    sizes = {figures.size(size) for record in records.values() if (size := size_of(record))}
    if len(sizes) < 2:
        return None
    among = shared(records.values())
    measures = [each for each in _measures(among) if any(each.of(record) is not None for record in able.values())]
    winner = min(able, key=lambda name: (sum(_rank(able, name, each) for each in measures), size_of(able[name]) or 0))
    text = _against(winner, records, among) + _rivals(winner, able, measures) + _fewer(winner, able)
    text = f"{winner} {text}{_unknown(able[winner])}{_stand_ins(records)}."
    return Finding(ladder.name, winner, text)


def _run(posture: str) -> str:
    """In which posture, in words for who knows none of them."""
    return "in a plain container" if posture == "default" else f"in posture {posture}"


def _unknown(record: VariantRecord) -> str:
    """Which of the winner's own checks have no result: then it is recommended with that said."""
    names = [name for name, check in record.checks.items() if check.status == "not_measured"]
    return f"; its {', '.join(names)} {'is' if len(names) == 1 else 'are'} not known" if names else ""


def _stand_ins(records: dict[str, VariantRecord]) -> str:
    """That a sentence compares stand-ins, and not the public images whose names it bears."""
    resting = sum(record.stand_in for record in records.values())
    whose = "all" if resting == len(records) else f"{resting} of {len(records)}"
    return f"; {whose} are stand-ins" if resting else ""


def _rank(able: dict[str, VariantRecord], name: str, measure: _Figure) -> int:
    """How many are better by this figure. What was not measured is better than nothing else."""
    own = measure.of(able[name])
    values = [measure.of(record) for record in able.values()]
    return sum(value is not None and (own is None or value < own) for value in values)


def _against(winner: str, records: dict[str, VariantRecord], among: Shared | None) -> str:
    """What the winner has over the largest of its ladder."""
    own = records[winner]
    largest = max(records, key=lambda name: size_of(records[name]) or 0)
    other = records[largest]
    size, ratio = figures.size(size_of(own)), smaller(size_of(other) or 0, size_of(own) or 1)
    parts = [f"({size}) is {ratio} than {largest}"]
    if largest == winner:
        parts = [f"has the best figures at {size}, though it is the largest"]
    few, many = own.vulnerabilities, other.vulnerabilities
    if few.status == "scanned" and few.total is None:
        parts.append(f"carries {figures.NOTHING} findings ({few.coverage.lacks()})")
    elif few.status == "scanned" and few.total is not None:
        compared = largest != winner and many.status == "scanned" and many.total not in (None, few.total)
        apart = f" instead of {many.total:,}" if compared else ""
        lacks = few.coverage.lacks(partly=False)
        partly = f" ({lacks})" if lacks else ""
        parts.append(f"carries {figures.plural(few.total, 'finding')}{partly}{apart}")
    if (sum_of := split(own, among)) is not None:
        parts.append(f"stops {sum_of.stopped} of {figures.plural(sum_of.of, 'attack')} {_run(sum_of.posture)}")
    return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1]


def _rivals(winner: str, able: dict[str, VariantRecord], measures: list[_Figure]) -> str:
    """What the winner costs: who is better at something, and where that one falls behind."""
    told: dict[str, str] = {}
    own = able[winner]
    for measure in measures:
        rivals = {
            name: value
            for name, record in able.items()
            if name != winner and (value := measure.of(record)) is not None and _less(value, measure.of(own))
        }
        if not rivals:
            continue
        best = min(rivals, key=lambda name: rivals[name])
        worse = next((each for each in measures if _less(each.of(own), each.of(able[best]))), None)
        if best not in told:
            but = f", but {worse.but(able[best])}" if worse else ""
            told[best] = f"{best} {measure.better(able[best])}{but}"
    if not told and len(able) > 1:
        return "; no other variant is better in any of this"
    return "".join(f"; {clause}" for clause in list(told.values())[:RIVALS_TOLD])


def _fewer(winner: str, able: dict[str, VariantRecord]) -> str:
    """Who seems to carry fewer findings, but was looked at for less: a reader sees the smaller number and wonders."""
    own = able[winner].vulnerabilities
    if counted(able[winner]) is None or not own.total:
        return ""
    seeming = {
        name: lacks
        for name, record in able.items()
        if counted(record) is None
        and (scan := record.vulnerabilities).total is not None
        and scan.total < own.total
        and (lacks := scan.coverage.lacks(partly=False))
    }
    if not seeming:
        return ""
    why = ", ".join(dict.fromkeys(seeming.values()))
    names, show = figures.listed(list(seeming)), "show" if len(seeming) > 1 else "shows"
    return f"; {names} {show} fewer findings, but not comparable ones ({why})"


def _less(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and one < other


def _measures(among: Shared | None) -> list[_Figure]:
    def through(record: VariantRecord) -> float | None:
        found = split(record, among)
        return None if found is None else found.of - found.stopped

    def holds(record: VariantRecord) -> str:
        found = split(record, among)
        return f"stops {found.stopped} of {found.of} attacks" if found else "stops more attacks"

    def found(record: VariantRecord) -> str:
        return f"carries {figures.plural(counted(record) or 0, 'finding')}"

    def size(record: VariantRecord) -> str:
        return figures.size(size_of(record))

    return [
        _Figure(size_of, lambda r: f"is smaller ({size(r)})", lambda r: f"weighs {size(r)}"),
        _Figure(tools, lambda _: "leaves fewer tools for an intruder", lambda r: f"keeps {tools_said(r)}"),
        _Figure(through, holds, lambda r: holds(r).replace("stops", "stops only", 1)),
        _Figure(counted, found, found),
        _Figure(_root, lambda _: "does not run as root", lambda _: "runs as root"),
    ]


def counted(record: VariantRecord) -> int | None:
    """Findings that can be compared. None where nothing was scanned, or where the database does not cover the OS, or the packages
    of the service's language: those are in no count then."""
    scan = record.vulnerabilities
    return scan.total if scan.status == "scanned" and not scan.coverage.lacks(partly=False) else None


def _tools(record: VariantRecord) -> list[str] | None:
    """The kinds of tools that an intruder would find; None where nobody looked."""
    found = record.layers
    if found is None:
        return None
    kinds = {"a shell": found.shells, "a package manager": found.package_managers, "set-user-id programs": found.setuid}
    return [word for word, items in kinds.items() if items]


def tools(record: VariantRecord) -> int | None:
    """How many kinds of tools an intruder would find: a shell, a package manager, set-user-id programs."""
    kinds = _tools(record)
    return None if kinds is None else len(kinds)


def tools_said(record: VariantRecord) -> str:
    kinds = _tools(record)
    return figures.NOT_MEASURED if kinds is None else " and ".join(kinds) or "none"


def _root(record: VariantRecord) -> int | None:
    if record.image is None or record.image.user is None:
        return None
    return int(record.image.user.partition(":")[0] in {"", "0", "root"})


def smaller(large: int, small: int) -> str:
    """``48 times smaller``; below twice ``15 % smaller``."""
    return (
        f"{times(large, small)} times smaller" if large >= 2 * small else f"{100 - 100 * small / large:.0f} % smaller"
    )


def times(large: int, small: int) -> str:
    """How many times smaller: ``48``, below ten ``2.5``."""
    value = large / small
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1f}".removesuffix(".0")


STALE = "stale"
OLD = "; measured before the image or its suite changed"
REASON_LETTERS = 140
STAND_IN_PAGE = "docs/how-to/sources.md"


@dataclass(frozen=True)
class Point:
    """One thing that failed or is not known: ``check`` is ``build`` where there is no image of what the suite asks for now."""

    variant: str
    check: str
    reason: str

    def __str__(self) -> str:
        return f"{self.variant}/{self.check}: {self.reason}"


@dataclass(frozen=True)
class Gap:
    """What is not known, by why: ``stale``, ``not run``, ``not measured``, ``not built``. ``text``: of which, and what to run."""

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


def verdict(report: Report) -> Verdict:
    """All of it, for any report."""
    failures, gaps = tuple(_failures(report)), tuple(_gaps(report))
    title, stories = _title(report, failures, gaps), tuple(_stories(report))
    status: Literal["pass", "gaps", "fail"] = "fail" if failures else "gaps" if gaps else "pass"
    return Verdict(status, title, counts(report), failures, gaps, findings(report), stories, stand_ins(report))


def _failures(report: Report) -> Iterator[Point]:
    for name, record in report.variants.items():
        if record.failed is not None or (record.build is not None and record.build.failed_at is not None):
            older = "; its figures are from the previous image" if record.build is not None else ""
            yield Point(name, "build", f"{record.failed or 'its last build failed'}{older}")
        for check, found in record.checks.items():
            if not found.expected and found.status != "not_measured":
                unforeseen = "" if found.status == "fail" else "expected to fail, and did not: "
                yield Point(name, check, unforeseen + found.reason)


def _gaps(report: Report) -> Iterator[Gap]:
    unbuilt = [name for name, record in report.variants.items() if record.build is None and record.failed is None]
    if unbuilt:
        yield Gap("not built", len(unbuilt), f"{figures.listed(unbuilt)}; next: invoke build")
    found: dict[str, dict[str, list[tuple[str, str]]]] = {}
    for name, record in report.variants.items():
        for check, result in record.checks.items():
            if result.status == "not_measured":
                found.setdefault(not_measured_word(result), {}).setdefault(check, []).append((name, result.reason))
    for word in NOT_MEASURED_WORDS:
        if word in found:
            tried = word == figures.NOT_MEASURED  # then to run it again helps only when its cause is gone
            alike: dict[tuple[tuple[str, ...], str], list[str]] = {}
            for check, who in found[word].items():
                alike.setdefault((tuple(name for name, _ in who), _most_said(who) if tried else ""), []).append(check)
            about = "; ".join(_gap(checks, names, why) for (names, why), checks in alike.items())
            yield Gap(
                word,
                sum(map(len, found[word].values())),
                about + ("" if tried else f"{OLD if word == STALE else ''}; next: invoke verify"),
            )


def _most_said(who: Sequence[tuple[str, str]]) -> str:
    reason = Counter(reason for _, reason in who).most_common(1)[0][0]
    return reason if len(reason) <= REASON_LETTERS else reason[: REASON_LETTERS - 1].rstrip() + "\u2026"


def _gap(checks: Sequence[str], names: Sequence[str], why: str) -> str:
    """``api and runs of each of ko and jib``, with the reason where there is one."""
    each = "each of " if len(checks) > 1 and len(names) > 1 else ""
    return f"{figures.listed(checks)} of {each}{figures.listed(names)}" + (f" ({why})" if why else "")


def _title(report: Report, failures: tuple[Point, ...], gaps: tuple[Gap, ...]) -> str:
    if failures:
        builds = sum(each.check == "build" for each in failures)
        parts = [figures.plural(builds, "build")] if builds else []
        parts += [figures.plural(len(failures) - builds, "check")] if len(failures) > builds else []
        return f"{' and '.join(parts)} failed"
    if gaps:
        return "Nothing failed, but " + ", ".join(f"{gap.count:,} {gap.word}" for gap in gaps)
    if not any(record.checks for record in report.variants.values()):
        return "Nothing was checked"
    return "Everything came out as expected"


def counts(report: Report) -> str:
    """``13 of 14 checks as expected, 1 stale, 2 more measured without a gate. 5 of 6 variants built.``"""
    every = [check for record in report.variants.values() for check in record.checks.values()]
    results = [check for check in every if not check.only_measured]
    fine = sum(check.expected and check.status != "not_measured" for check in results)
    built = sum(record.build is not None and record.build.failed_at is None for record in report.variants.values())
    variants = f"{built} of {figures.plural(len(report.variants), 'variant')} built."
    if all(check.why_not == "not_run" for check in every):
        return f"Checks were not run. {variants}"
    absent = Counter(not_measured_word(check) for check in results if check.status == "not_measured")
    tail = "".join(f", {absent[word]} {word}" for word in NOT_MEASURED_WORDS if absent[word])
    free = len(every) - len(results)
    tail += f", {free} more measured without a gate" if free else ""
    return f"{fine} of {figures.plural(len(results), 'check')} as expected{tail}. {variants}"


def _stories(report: Report) -> Iterator[str]:
    """The failures that the suite expects, a sentence for each ladder and check: what was found, and who passes beside them."""
    meant: dict[tuple[str, str], list[str]] = {}
    for name, record in report.variants.items():
        for check, found in record.checks.items():
            if found.status == "fail" and found.expected:
                meant.setdefault((record.ladder, check), []).append(name)
    for (ladder, check), names in meant.items():
        beside = [
            other
            for other, each in report.variants.items()
            if each.ladder == ladder and other not in names and passes(each.checks.get(check))
        ]
        told = [f"{name} ({_story(report.variants[name], check)})" for name in names]
        fixed = f"; {figures.listed(beside)} {'passes' if len(beside) == 1 else 'pass'}" if beside else ""
        fail = "fails" if len(told) == 1 else "fail"
        yield f"{figures.listed(told)} {fail} the check {check} on purpose{fixed}."


def _story(record: VariantRecord, check: str) -> str:
    return _leak(record) or record.checks[check].reason.rstrip(".")


def passes(check: CheckRecord | None) -> bool:
    return check is not None and check.status == "pass" and check.expected


def _leak(record: VariantRecord) -> str:
    """Where a secret lies that nobody sees: the file that a later layer took away, or the instruction that names it."""
    layers = record.layers
    if layers is None:
        return ""
    for file in layers.hidden:
        if any(mark.allowed is None for mark in file.secrets):
            return (
                f"/{file.path.lstrip('/')}, {file.how} in layer {file.hidden_index + 1}, "
                f"can still be read in layer {file.index + 1}"
            )
    visible = [secret for secret in layers.secrets if secret.allowed is None]
    if not visible:
        return ""
    places = dict.fromkeys(f"/{each.path.lstrip('/')}" if each.path else placed(each.where) for each in visible)
    return f"{figures.plural(len(visible), 'secret')} in {figures.listed(list(places))}"


def placed(where: str) -> str:
    """A place in an image's configuration as people call it."""
    words = {
        "config.Env": "its environment",
        "history": "the instructions in its history",
        "config.Labels": "its labels",
    }
    return words.get(where.partition("[")[0], where)


def stand_ins(report: Report) -> str:
    """What of a report rests on stand-ins, in a sentence; empty where nothing does. The variants carry the label themselves."""
    resting = [name for name, record in report.variants.items() if record.stand_in]
    return stand_ins_said(resting, len(report.variants))


def stand_ins_said(resting: Sequence[str], total: int) -> str:
    """The sentence, for ``resting`` of ``total`` variants."""
    if not resting:
        return ""
    if total == 1:
        one = f"{resting[0]} rests on a local stand-in of its public base"
        return f"{one}; its figures are for the stand-in ({STAND_IN_PAGE})."
    of_all = f"{len(resting)} of {total} variants"
    return f"{of_all} rest on local stand-ins of public bases; the figures are for these ({STAND_IN_PAGE})."
