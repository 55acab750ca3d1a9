"""Write a report's files, read them again, join the reports of one run's shards, and keep a history of reports.

The history is ``history.jsonl``: one line for each report that differs from the last. It is stored in the state folder and next to
a published page, so static hosting keeps it when state folders come and go.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from deadweight._errors import ConfigError, DeadweightError, UsageError, wording
from deadweight.records.runs import Scope
from deadweight.records.store import adapter, write_atomically
from deadweight.report.attacks import held, with_splits
from deadweight.report.compare import Comparison
from deadweight.report.html import render_html
from deadweight.report.markdown import comparison_markdown, render_markdown
from deadweight.report.model import REPORT_FILE, SCHEMA, HeldRecord, HistoryEntry, HistoryPoint, Report, VariantRecord
from deadweight.report.table import size_of

# ``report.json`` as bytes: written, and read by whoever compares, joins or publishes reports.

MAX_REPORT_BYTES = 64 * 1024 * 1024


def to_json(report: Report) -> bytes:
    """The report as indented JSON. Raises ConfigError if a record breaks its own schema (validated before it is written)."""
    content = adapter(Report).dump_json(report, indent=2, warnings="none") + b"\n"
    parse_report(content, origin=REPORT_FILE)
    return content


def parse_report(content: bytes, *, origin: str | Path) -> Report:
    """Read a report. ``origin`` is named in the error. Raises ConfigError for anything that is not a schema-1 report."""
    from pydantic import ValidationError

    if len(content) > MAX_REPORT_BYTES:
        raise ConfigError(wording("report.too_large", limit=MAX_REPORT_BYTES), file=origin)
    try:
        report: Report = adapter(Report).validate_json(content, strict=True)
        return replace(report, variants=with_splits(report.variants))  # those of version 0.1 have none
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or None
        message = wording("report.not_of_schema", schema=SCHEMA, problem=first["msg"])
        raise ConfigError(message, file=origin, key=key) from error


def load_report(path: Path) -> Report:
    """Read ``report.json``, given the file or the folder that holds it. Raises ConfigError."""
    file = path / REPORT_FILE if path.is_dir() else path
    try:
        with file.open("rb") as stream:
            return parse_report(stream.read(MAX_REPORT_BYTES + 1), origin=file)
    except OSError as error:
        raise ConfigError(wording("report.unreadable", problem=error.strerror), file=file) from error


# All files of a report.

MARKDOWN_FILE = "report.md"
COMPARISON_FILE = "comparison.md"
PAGE_FILE = "index.html"


@dataclass(frozen=True)
class ReportFiles:
    """Where the report lies."""

    json: Path
    markdown: Path
    html: Path


def write_report(report: Report, folder: Path, changed: Comparison | None = None) -> ReportFiles:
    """Write all forms of a report, each whole or not at all; ``changed``, since an earlier report, is marked on the page and told
    in ``comparison.md``.

    Raises DeadweightError where the disk refuses.
    """
    content = to_json(report)
    write_atomically(folder / MARKDOWN_FILE, render_markdown(report, changed))
    write_atomically(folder / PAGE_FILE, render_html(report, changed))
    write_atomically(folder / REPORT_FILE, content)
    if changed is not None:
        write_atomically(folder / COMPARISON_FILE, comparison_markdown(changed))
    else:
        (folder / COMPARISON_FILE).unlink(missing_ok=True)  # it is of an earlier report
    for picture in folder.glob("ladder-*.svg"):  # as versions before 0.4 wrote them
        picture.unlink()
    return ReportFiles(folder / REPORT_FILE, folder / MARKDOWN_FILE, folder / PAGE_FILE)


# The reports of one run's shards as one. A mixture of runs is refused, with the reason.


def joined(given: Mapping[str, Report]) -> Report:
    """The reports (by where they come from) as one: of each variant, what its own shard found.

    Variants that the run was not for are left out. Raises UsageError for reports that are not the shards of one run, all of
    them, each once.
    """
    scopes = {name: _scope(name, report) for name, report in given.items()}
    _same_run(given, scopes)
    _complete(scopes)
    reports = list(given.values())
    first, scope = reports[0], next(iter(scopes.values()))
    owners = {variant: given[name] for name, shard in scopes.items() for variant in shard.mine}
    variants = {name: owners[name].variants[name] for name in first.variants if name in owners}
    payloads = {key: value for report in reports for key, value in report.payloads.items()}
    whole = set(scope.chosen) == set(first.variants)
    at = max(report.generated_at for report in reports)
    one = replace(scope, index=1, total=1, mine=scope.chosen) if not whole or scope.commit else None
    return replace(first, generated_at=at, variants=with_splits(variants), payloads=payloads, scope=one)


def _scope(name: str, report: Report) -> Scope:
    if report.scope is None:
        raise UsageError(wording("report.no_shard", file=name))
    missing = [variant for variant in report.scope.mine if variant not in report.variants]
    if missing:
        raise UsageError(wording("report.shard_incomplete", file=name, variants=", ".join(missing)))
    return report.scope


def _same_run(given: Mapping[str, Report], scopes: Mapping[str, Scope]) -> None:
    facts = {
        "suite": [report.suite for report in given.values()],
        "version": [report.tool_version for report in given.values()],
        "commit": [scope.commit or "no commit" for scope in scopes.values()],
        "shards": [str(scope.total) for scope in scopes.values()],
        "choice": [scope.why for scope in scopes.values()],
        "variants": [f"{len(scope.chosen)}: {', '.join(scope.chosen)}" for scope in scopes.values()],
    }
    for difference, values in facts.items():
        if len(set(values)) > 1:
            reports = "\n".join(f"  {name}: {value}" for name, value in zip(given, values, strict=True))
            raise UsageError(wording("report.different_runs", difference=difference, reports=reports))


def _complete(scopes: Mapping[str, Scope]) -> None:
    """Each shard once, and each variant with one of them."""
    first = next(iter(scopes.values()))
    total = first.total
    for index, count in Counter(scope.index for scope in scopes.values()).items():
        if count > 1:
            files = ", ".join(name for name, scope in scopes.items() if scope.index == index)
            raise UsageError(wording("report.shard_twice", shard=f"{index}/{total}", count=count, files=files))
    there = {scope.index for scope in scopes.values()}
    missing = [f"{index}/{total}" for index in range(1, total + 1) if index not in there]
    if missing:
        raise UsageError(wording("report.shards_missing", shards=", ".join(missing)))
    taken = Counter(variant for scope in scopes.values() for variant in scope.mine)
    wrong = [name for name in first.chosen if taken[name] != 1]
    if wrong:
        raise UsageError(wording("report.shards_divided_differently", variants=", ".join(wrong), count=taken[wrong[0]]))


# The history.

HISTORY_FILE = "history.jsonl"
MOST_LINES = 1000
IN_REPORT = 30
"""How many of the last entries a report carries, for the page."""


def entry_of(report: Report, commit: str | None, *, dirty: bool) -> HistoryEntry:
    """What of a report is kept."""
    points = {name: _point(record) for name, record in report.variants.items()}
    return HistoryEntry(report.generated_at, commit, dirty, report.suite, report.tool_version, points)


def of(variant: str, entries: Iterable[HistoryEntry]) -> Iterator[tuple[HistoryEntry, HistoryPoint]]:
    """One variant's figures over time, from old to new; times at which it was not built are left out."""
    for entry in entries:
        if (point := entry.variants.get(variant)) is not None and point.image is not None:
            yield entry, point


def appended(file: Path, entry: HistoryEntry) -> tuple[HistoryEntry, ...]:
    """Add an entry to a history file, unless the last one says the same. Returns all of this suite's, from old to new.

    Raises DeadweightError where the disk refuses.
    """
    entries = read(file, entry.suite)
    last = entries[-1] if entries else None
    if last and (last.commit, last.dirty, last.variants) == (entry.commit, entry.dirty, entry.variants):
        return entries
    entries = merged(entries, (entry,))
    write_atomically(file, text(entries))
    return entries


def read(file: Path, suite: str) -> tuple[HistoryEntry, ...]:
    """The entries of a file; none where there is no file. No more is read of it than of a report: a published one is others' work.

    Raises DeadweightError where it cannot be read or is larger.
    """
    try:
        with file.open(encoding="utf-8", errors="replace") as stream:
            text = stream.read(MAX_REPORT_BYTES + 1)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise DeadweightError(wording("report.history_unreadable", file=file, problem=error.strerror)) from error
    if len(text) > MAX_REPORT_BYTES:
        raise ConfigError(wording("report.too_large", limit=MAX_REPORT_BYTES), file=file)
    return parse(text, suite)


def parse(text: str, suite: str) -> tuple[HistoryEntry, ...]:
    """Entries of this suite, from old to new. A damaged line (half written, merged by hand) costs itself only."""
    from pydantic import ValidationError

    entries = []
    for line in text.splitlines():
        with contextlib.suppress(ValidationError):
            entries.append(adapter(HistoryEntry).validate_json(line))
    return merged((), (entry for entry in entries if entry.suite == suite))


def merged(left: Iterable[HistoryEntry], right: Iterable[HistoryEntry]) -> tuple[HistoryEntry, ...]:
    """Both histories in order of time, each entry once; the newest of ``MOST_LINES``."""
    by_content = {repr(entry): entry for entry in (*left, *right)}  # two reports of one second are two
    return tuple(sorted(by_content.values(), key=lambda entry: entry.at)[-MOST_LINES:])


def text(entries: Iterable[HistoryEntry]) -> str:
    """As it stands in the file: a JSON document a line."""
    return "".join(f"{adapter(HistoryEntry).dump_json(entry).decode()}\n" for entry in entries)


def _point(record: VariantRecord) -> HistoryPoint:
    shared = {split.posture: HeldRecord(split.stopped, split.of)} if (split := record.attack_split) else {}
    return HistoryPoint(
        image=record.image.config_digest if record.image else None,
        size_bytes=size_of(record),
        findings=record.vulnerabilities.total,
        dead_weight=record.vulnerabilities.reachability.dead_weight,
        attacks={name: count for name in record.attacks if (count := held(record, name))} | shared,
        startup_seconds=record.startup_seconds,
        build_seconds=record.build.seconds if record.build else None,
        stand_in=record.stand_in,
    )
