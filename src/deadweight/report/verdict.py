"""The verdict of a report, made once for page, terminal and Markdown: what failed, what is not known, which variant to ship."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from deadweight.report import figures
from deadweight.report.finding import Finding, findings
from deadweight.report.model import CheckRecord, Report, VariantRecord
from deadweight.report.table import NOT_MEASURED_WORDS, not_measured_word

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
    failures = tuple(_failures(report))
    gaps = tuple(_gaps(report))
    status: Literal["pass", "gaps", "fail"] = "fail" if failures else "gaps" if gaps else "pass"
    return Verdict(
        status=status,
        title=_title(report, failures, gaps),
        counts=counts(report),
        failures=failures,
        gaps=gaps,
        findings=findings(report),
        stories=tuple(_stories(report)),
        stand_ins=stand_ins(report),
    )


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
