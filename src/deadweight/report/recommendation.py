"""Which variant of a ladder to ship, and what it costs: one sentence, from measured figures alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from deadweight.report import figures
from deadweight.report.attacks import Shared, shared, split
from deadweight.report.model import Report, VariantRecord
from deadweight.report.table import Ladder, ladders, size_of

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

    key: str
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
    parts = []
    if largest != winner:
        parts.append(
            f"({figures.size(size_of(own))}) is {smaller(size_of(other) or 0, size_of(own) or 1)} than {largest}"
        )
    else:
        parts.append(f"has the best figures at {figures.size(size_of(own))}, though it is the largest")
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

    return [
        _Figure(
            "size",
            size_of,
            lambda r: f"is smaller ({figures.size(size_of(r))})",
            lambda r: f"weighs {figures.size(size_of(r))}",
        ),
        _Figure("tools", tools, lambda _: "leaves fewer tools for an intruder", lambda r: f"keeps {tools_said(r)}"),
        _Figure("attacks", through, holds, lambda r: holds(r).replace("stops", "stops only", 1)),
        _Figure(
            "vulnerabilities",
            counted,
            lambda r: f"carries {figures.plural(counted(r) or 0, 'finding')}",
            lambda r: f"carries {figures.plural(counted(r) or 0, 'finding')}",
        ),
        _Figure("root", _root, lambda _: "does not run as root", lambda _: "runs as root"),
    ]


def counted(record: VariantRecord) -> int | None:
    """Findings that can be compared. None where nothing was scanned, or where the database does not cover the OS, or the packages
    of the service's language: those are in no count then."""
    scan = record.vulnerabilities
    return scan.total if scan.status == "scanned" and not scan.coverage.lacks(partly=False) else None


def tools(record: VariantRecord) -> int | None:
    """Kinds of tools that an intruder would find: a shell, a package manager, set-user-id programs."""
    found = record.layers
    return None if found is None else sum(map(bool, (found.shells, found.package_managers, found.setuid)))


def tools_said(record: VariantRecord) -> str:
    found = record.layers
    if found is None:
        return figures.NOT_MEASURED
    kinds = (
        ("a shell", found.shells),
        ("a package manager", found.package_managers),
        ("set-user-id programs", found.setuid),
    )
    there = [word for word, items in kinds if items]
    return " and ".join(there) or "none"


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
