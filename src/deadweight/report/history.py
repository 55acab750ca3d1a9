"""Keep a history of reports in ``history.jsonl``: one line for each that differs from the last.

It is stored in the state folder and next to a published page, so static hosting keeps it when state folders come and go.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from deadweight._errors import ConfigError, DeadweightError, wording
from deadweight.records.store import adapter, write_atomically
from deadweight.report.attacks import held, with_splits
from deadweight.report.model import REPORT_FILE, SCHEMA, HistoryEntry, HistoryPoint, Report, VariantRecord
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
        raise ConfigError(
            wording("report.not_of_schema", schema=SCHEMA, problem=first["msg"]), file=origin, key=key
        ) from error


def load_report(path: Path) -> Report:
    """Read ``report.json``, given the file or the folder that holds it. Raises ConfigError."""
    file = path / REPORT_FILE if path.is_dir() else path
    try:
        with file.open("rb") as stream:
            return parse_report(stream.read(MAX_REPORT_BYTES + 1), origin=file)
    except OSError as error:
        raise ConfigError(wording("report.unreadable", problem=error.strerror), file=file) from error


HISTORY_FILE = "history.jsonl"
MAX_BYTES = 16 * 2**20
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
    """The entries of a file; none where there is no file. Raises DeadweightError where it is too large to be one."""
    try:
        if file.stat().st_size > MAX_BYTES:
            raise DeadweightError(wording("report.history_too_large", file=file, limit=MAX_BYTES // 2**20))
        text = file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise DeadweightError(wording("report.history_unreadable", file=file, problem=error.strerror)) from error
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
    scan, build = record.vulnerabilities, record.build
    return HistoryPoint(
        image=record.image.config_digest if record.image else None,
        size_bytes=size_of(record),
        findings=scan.total if scan.status == "scanned" else None,
        dead_weight=scan.reachability.dead_weight if scan.status == "scanned" else None,
        attacks={name: count for name in record.attacks if (count := held(record, name))},
        startup_seconds=record.startup_seconds,
        build_seconds=build.seconds if build else None,
        stand_in=record.stand_in,
    )
