"""Render the report as Markdown for GitHub and GitLab, with details folded, short enough for a comment."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from deadweight._log_excerpt import plain
from deadweight.report import attacks, figures
from deadweight.report.compare import Change, Comparison
from deadweight.report.model import SEVERITIES, Report
from deadweight.report.table import Cell, Ladder, not_measured_word
from deadweight.report.verdict import Verdict
from deadweight.report.view import View, secret_words, view

LIMIT_BYTES = 60_000
"""A comment on GitHub may hold 65,536 characters, with what the poster adds."""
FAILURES_SHOWN, STORIES_SHOWN, ROWS_SHOWN, REASON_LETTERS = 20, 6, 40, 160
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~&])")
_HIDDEN_ROWS = 10
_MARKS = {"pass": "\u2705", "gaps": "\u26a0\ufe0f", "fail": "\u274c"}
CASTLE_WORDS = (
    "A cell names the weakest posture that stops the attack (*open* has no wall, *default* is a plain container with the engine's "
    "defaults, *hardened* has every wall); **never**: no posture stops it; *n/a*: it does not apply; "
    f"*{figures.NOTHING}*: not measured; *crash*: the attack crashed the service. Sums count those measured for "
    "all variants of a ladder, on what is handed in."
)


@dataclass(frozen=True)
class Part:
    """``title`` is what is named where the part is left out; empty for what always stays."""

    text: str
    title: str = ""


def render_markdown(report: Report, pictures: Mapping[str, str] | None = None, limit: int = LIMIT_BYTES) -> str:
    """``report.md``, at most ``limit`` bytes. ``pictures`` maps a ladder's name to the file with its picture, beside the report."""
    seen = view(report)
    head = [f"# {escape(report.suite)}: container images compared", *_verdict(seen.verdict)]
    parts = [Part("\n\n".join(head))]
    parts += _comparison(seen, pictures or {})
    parts += _checks(seen)
    parts += _layers(seen)
    parts += _attacks(report, seen)
    parts += _vulnerabilities(seen)
    parts += _notes(report)
    end = (
        f"Generated {report.generated_at} by deadweight {escape(report.tool_version)}, report schema {report.schema}. "
        "How each figure was got (image digest, tool, version, time) is in `report.json` and `index.html`."
    )
    return plain(_within(parts, end, limit))


def _within(parts: list[Part], end: str, limit: int) -> str:
    """The parts that fit, and the names of those that do not: the last of them go first, the verdict never."""
    kept, out = list(parts), list[str]()
    while True:
        left = (
            f"Not shown, to fit a comment: {', '.join(reversed(out))}; see `index.html` for everything.\n\n"
            if out
            else ""
        )
        text = "\n\n".join(part.text for part in kept) + f"\n\n{left}{end}\n"
        droppable = [part for part in kept if part.title]
        if len(text.encode()) <= limit or not droppable:
            return text
        kept.remove(droppable[-1])
        out.append(droppable[-1].title)


def escape(text: str) -> str:
    """Text that Markdown shows as it is; line breaks become spaces (a table row is one line)."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[bool]) -> str:
    """A pipe table of cells that are already escaped."""
    lines = [f"| {' | '.join(heads)} |", "|" + "|".join("---:" if flag else "---" for flag in right) + "|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines)


def _folded(title: str, summary: str, *body: str) -> Part:
    text = "\n\n".join(body)
    return Part(f"<details><summary><b>{title}</b> {summary}</summary>\n\n{text}\n\n</details>", title)


def _cut(text: str, letters: int = REASON_LETTERS) -> str:
    return escape(text if len(text) <= letters else text[: letters - 1].rstrip() + "\u2026")


def _verdict(found: Verdict) -> list[str]:
    parts = [f"{_MARKS[found.status]} **{escape(found.title)}.** {escape(found.counts)}"]
    lines = [f"- **FAILED {escape(f'{each.variant}/{each.check}')}**: {_cut(each.reason)}" for each in found.failures]
    more = len(lines) - FAILURES_SHOWN
    lines = [*lines[:FAILURES_SHOWN], f"- and {more} more failures"] if more > 0 else lines
    lines += [f"- {each.count:,} {each.word}: {_cut(each.text, 2 * REASON_LETTERS)}" for each in found.gaps]
    parts += ["\n".join(lines)] if lines else []
    parts += [f"**{escape(each.head)}:** {escape(each.text)}" for each in found.findings]
    parts += (
        ["\n".join(f"- {_cut(story, 3 * REASON_LETTERS)}" for story in found.stories[:STORIES_SHOWN])]
        if found.stories
        else []
    )
    parts += [f"> **Stand-ins.** {escape(found.stand_ins)}"] if found.stand_ins else []
    return parts


def _comparison(seen: View, pictures: Mapping[str, str]) -> list[Part]:
    notes = [escape(seen.build_note)] if seen.build_note else []
    notes += [" ".join(map(escape, seen.figure_notes))] if seen.figure_notes else []
    if seen.sources:
        notes.append(f"*Reference* columns: {escape(' / '.join(seen.sources))}; not measured here.")
    winners = {each.winner for each in seen.verdict.findings}
    parts = [Part("## Comparison"), *(_ladder(ladder, pictures, winners) for ladder in seen.ladders)]
    return [*parts, Part("\n\n".join(notes))] if notes else parts


def _ladder(ladder: Ladder, pictures: Mapping[str, str], winners: Container[str | None]) -> Part:
    heads = [f"*{column.title}*" if column.reference else column.title for column in ladder.columns]
    right = [column.numeric for column in ladder.columns]
    rows = [[_cell(cell) for cell in row.cells] for row in ladder.rows]
    for texts, row in zip(rows, ladder.rows, strict=True):
        texts[0] = f"**{texts[0]}** (ship)" if row.variant in winners else texts[0]
    text = [f"### {escape(ladder.title)} ladder", table(heads, rows[:ROWS_SHOWN], right=right)]
    if len(rows) > ROWS_SHOWN:
        text.append(f"{len(rows) - ROWS_SHOWN} more variants are in `index.html`.")
    if ladder.name in pictures:
        text.append(f"![{escape(ladder.title)} ladder: sizes on a logarithmic axis]({pictures[ladder.name]})")
    return Part("\n\n".join(text), f"{escape(ladder.title)} ladder")


def _cell(cell: Cell) -> str:
    return escape(cell.text) + (f" ({escape(cell.badge)})" if cell.badge else "")


def _checks(seen: View) -> list[Part]:
    if not seen.checks:
        return [Part("Checks: not measured; `invoke verify` runs them.")]
    alike: dict[tuple[str, ...], list[str]] = {}
    for name, record, checks in seen.checks:
        found: dict[tuple[str, str, str], list[str]] = {}
        for check, result in checks:
            plain = result.status == "pass" and result.expected
            told = (
                not_measured_word(result)
                if result.status == "not_measured"
                else "measured"
                if result.only_measured
                else result.status,
                "**no**" if not result.expected else figures.NOTHING if result.status == "not_measured" else "yes",
                "" if plain else _cut(result.reason),
            )
            found.setdefault(told, []).append(check)
        for told, names in found.items():
            alike.setdefault((escape(", ".join(names)), *told), []).append(_labelled(name, record.stand_in))
    rows = [[", ".join(who), *told] for told, who in alike.items()]
    rows.sort(key=lambda row: ("**no**", figures.NOTHING, "yes").index(row[3]))
    heads = ["Variant", "Checks", "Outcome", "As expected", "Finding"]
    return [_folded("Checks", escape(seen.verdict.counts), table(heads, rows, right=[False] * 5))]


def _labelled(name: str, stand_in: bool) -> str:
    return escape(name) + (f" ({figures.STAND_IN})" if stand_in else "")


def _layers(seen: View) -> list[Part]:
    if not seen.layers:
        return []
    heads = ["Variant", "Layers", "Hidden files", "Hidden bytes", "Secrets hidden", "Secrets visible", "Set-uid", "Shells",
             "Package managers"]  # fmt: skip
    rows = [
        [
            _labelled(name, record.stand_in),
            str(len(layers.layers)),
            figures.count(layers.hidden_files),
            figures.size(layers.hidden_bytes),
            str(sum(len(file.secrets) for file in layers.hidden)),
            str(len(layers.secrets)),
            str(len(layers.setuid)),
            _cut(", ".join(f"/{shell.path.lstrip('/')}" for shell in layers.shells[:3])) or "none",
            _cut(", ".join(f"/{manager.path.lstrip('/')}" for manager in layers.package_managers[:3])) or "none",
        ]
        for name, record, layers in seen.layers
    ]
    body = [table(heads, rows, right=[False, *[True] * 6, False, False])]
    secret_files = [
        [
            _labelled(name, record.stand_in),
            _cut(f"/{file.path.lstrip('/')}"),
            _where(file.index, file.added_by),
            _where(file.hidden_index, file.hidden_by),
            escape(secret_words(file.secrets)),
        ]
        for name, record, layers in seen.layers
        for file in layers.hidden
        if file.secrets
    ]
    if secret_files:
        heads = ["Variant", "Deleted file, still there", "Added by", "Hidden by", "Secret"]
        body.append(table(heads, secret_files[:_HIDDEN_ROWS], right=[False] * 5))
    return [_folded("Layers", "and what a later layer hides", *body)]


def _where(index: int, instruction: str | None) -> str:
    return f"layer {index + 1}" + (f": {_cut(instruction)}" if instruction else "")


def _attacks(report: Report, seen: View) -> list[Part]:
    if not seen.attacked:
        return []
    body = [CASTLE_WORDS]
    body += (
        ["\n".join(f"- {_cut(note, 2 * REASON_LETTERS)}" for note in seen.attack_notes)] if seen.attack_notes else []
    )
    heads = ["Attack", *(_labelled(name, record.stand_in) for name, record in seen.attacked)]
    rows = []
    for posture in seen.postures:
        sums = [seen.sums[name][posture] for name, _ in seen.attacked]
        told = [f"**{found}**" if found else "not measured" for found in sums]
        rows.append([f"**stopped in posture {escape(posture)}**", *told])
    alike: dict[str, list[str]] = {}
    for index, payload in enumerate(seen.payloads):
        if words := attacks.heading(report, seen.payloads, index):
            rows += _alike(alike, len(seen.attacked))
            rows.append([f"*{escape(words)}*", *[""] * len(seen.attacked)])
        known = report.payloads.get(payload)
        found = [attacks.castle(record, payload, seen.postures) for _, record in seen.attacked]
        if len(found) > 1 and len({cell.since for cell in found}) == 1:  # a row that tells no variant from another
            alike.setdefault(found[0].since, []).append(_cut(known.title if known else payload))
            continue
        cells = [f"**{cell.since}**" if cell.since == attacks.NEVER else escape(cell.since) for cell in found]
        rows.append([_cut(known.title if known else payload), *cells])
    rows += _alike(alike, len(seen.attacked))
    body.append(table(heads, rows, right=[False] * len(heads)))
    return [_folded("Attacks", "and the posture that stops each", *body)]


def _alike(found: dict[str, list[str]], variants: int) -> list[list[str]]:
    """One row for all attacks that come to the same in every variant, for each outcome; empties ``found``."""
    rows = [[f"{len(who)} alike: {'; '.join(who)}", *[f"**{since}**"] * variants] for since, who in found.items()]
    found.clear()
    return rows


def _vulnerabilities(seen: View) -> list[Part]:
    if not seen.scans:
        return []
    heads = ["Variant", "Total", *(severity.capitalize() for severity in SEVERITIES), "Copies", "Fixable", "Touched",
             "Not touched by the requests sent", "Kernel headers (apart)", "*Reference*", "Database"]  # fmt: skip
    number: Callable[[int | None], str] = figures.count
    rows = []
    for name, record in seen.scans:
        scan = record.vulnerabilities
        reference = record.reference.vulnerabilities if record.reference else None
        day = (scan.database.updated_at or "none").partition("T")[0]
        tail = [figures.NOTHING if reference is None else number(reference), escape(day)]
        if scan.status != "scanned":
            words = scan.status.replace("_", " ")
            rows.append([_labelled(name, record.stand_in), f"**{words}**", *[""] * (len(SEVERITIES) + 5), *tail])
            continue
        counts = [
            _figure(scan.by_severity.get(severity, 0 if scan.total is not None else None)) for severity in SEVERITIES
        ]
        reach = scan.reachability
        lacks = scan.coverage.lacks()
        partly = f" ({lacks})" if lacks else ""
        more = [
            _figure(scan.copies),
            _figure(scan.fixable),
            number(reach.reachable),
            number(reach.dead_weight),
            number(scan.kernel_headers.total),
        ]
        rows.append([_labelled(name, record.stand_in), _figure(scan.total) + partly, *counts, *more, *tail])
    told = table(heads, rows, right=[False, *[True] * (len(heads) - 2), False])
    return [_folded("Vulnerabilities", "by severity", told)]


def _figure(value: int | None) -> str:
    return figures.NOTHING if value is None else figures.count(value)


def _notes(report: Report) -> list[Part]:
    lines = [f"- {escape(name)}: {_cut(note)}" for name, record in report.variants.items() for note in record.notes]
    return [_folded("Notes", "on single variants", "\n".join(lines))] if lines else []


# A comparison as Markdown, for a pull-request comment and a CI step summary.

MARKS = {"better": "better", "worse": "worse", "other": ""}
TITLE = "Container images: what changed"


def comparison_markdown(comparison: Comparison) -> str:
    """Regressions first, then all changes by variant, then what could not be compared."""
    parts = [f"## {TITLE}", _comparison_verdict(comparison)]
    if comparison.changes:
        ordered = sorted(comparison.changes, key=lambda change: not change.regression)
        rows = [_row(change) for change in ordered]
        parts.append(table(["Variant", "What", "Change", ""], rows, right=[False] * 4))
    if comparison.unmeasured:
        parts.append("No longer measured:\n" + "\n".join(f"- {escape(each)}" for each in comparison.unmeasured))
    if comparison.notes:
        parts.append("Not compared:\n" + "\n".join(f"- {escape(note)}" for note in comparison.notes))
    if comparison.changes and comparison.stand_in_note:
        parts.append(f"**Stand-ins.** {escape(comparison.stand_in_note)}")
    parts.append(f"Earlier report: {comparison.old_generated_at}; this one: {comparison.new_generated_at}.")
    return plain("\n\n".join(parts)) + "\n"


def _comparison_verdict(comparison: Comparison) -> str:
    lost = f"**{len(comparison.unmeasured)} no longer measured.**" if comparison.unmeasured else ""
    return " ".join(filter(None, (lost, _changed(comparison))))


def _changed(comparison: Comparison) -> str:
    count = figures.plural(len(comparison.changes), "change")
    if comparison.regressions:
        return f"**{figures.plural(len(comparison.regressions), 'regression')}** among {count}."
    if comparison.changes:
        return f"{count}, no regression."
    if comparison.unmeasured:
        return "No other change."
    return "Nothing changed beyond noise" + (" in what was measured in both reports." if comparison.notes else ".")


def _row(change: Change) -> list[str]:
    mark = "**regression**" if change.regression else MARKS[change.direction]
    return [escape(change.variant), change.kind, escape(change.text), mark]
