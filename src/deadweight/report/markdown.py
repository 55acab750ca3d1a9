"""The report as Markdown (GitHub and GitLab flavour): the comparison first, so that it is what a CI summary shows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from deadweight.report import charts, figures
from deadweight.report.model import SEVERITIES, Report
from deadweight.report.table import Cell
from deadweight.report.view import View, secret_words, view

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~&])")
_HIDDEN_ROWS = 10
ATTACK_WORDS = (
    "A number is how many walls stop the attack, each tried alone; *held*: blocked, walls not tried one by one; *open*: it "
    f"succeeded; *n/a*: this awk lacks the feature; *{figures.NOTHING}*: not measured; *crash*: the service died under it."
)


def render_markdown(report: Report, pictures: Mapping[str, str] | None = None) -> str:
    """``report.md``. ``pictures`` maps a ladder's name to the file that holds its picture, beside the report."""
    seen = view(report)
    parts = [f"# {escape(report.suite)}: container images compared", escape(seen.headline)]
    if seen.stand_ins:
        parts.append(f"> **Stand-ins.** {escape(seen.stand_in_note)}")
    parts += _comparison(seen, pictures or {})
    parts += _checks(seen)
    parts += _layers(seen)
    parts += _attacks(report, seen)
    parts += _vulnerabilities(seen)
    parts += _notes(report)
    parts.append(
        f"Generated {report.generated_at} by deadweight {escape(report.tool_version)}, report schema {report.schema}. "
        "How each figure was got (image digest, tool, version, time) is in `report.json` and `index.html`."
    )
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Text that Markdown shows as it is; line breaks become spaces (a table row is one line)."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[bool]) -> str:
    """A pipe table of cells that are already escaped."""
    lines = [f"| {' | '.join(heads)} |", "|" + "|".join("---:" if flag else "---" for flag in right) + "|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines)


def _comparison(seen: View, pictures: Mapping[str, str]) -> list[str]:
    parts = ["## Comparison"]
    for ladder in seen.ladders:
        heads = [f"*{column.title}*" if column.reference else column.title for column in ladder.columns]
        right = [column.numeric for column in ladder.columns]
        parts.append(f"### {escape(ladder.title)} ladder")
        parts.append(table(heads, ([_cell(cell) for cell in row.cells] for row in ladder.rows), right=right))
        if ladder.name in pictures:
            parts.append(f"![{escape(ladder.title)} ladder: sizes as bars]({pictures[ladder.name]})")
    if seen.build_note:
        parts.append(escape(seen.build_note))
    if seen.sources:
        parts.append(f"*Reference* columns: {escape(' / '.join(seen.sources))}; not measured here.")
    return parts


def _cell(cell: Cell) -> str:
    return escape(cell.text) + (f" ({escape(cell.badge)})" if cell.badge else "")


def _checks(seen: View) -> list[str]:
    if not seen.checks:
        return ["## Checks", "Not measured: `invoke verify` runs the checks."]
    rows = [
        [_labelled(name, record.stand_in), escape(check_name), check.status.replace("_", " "),
         "yes" if check.expected else "**no**", escape(check.reason)]
        for name, record, checks in seen.checks
        for check_name, check in checks
    ]  # fmt: skip
    return ["## Checks", table(["Variant", "Check", "Outcome", "As expected", "Finding"], rows, right=[False] * 5)]


def _labelled(name: str, stand_in: bool) -> str:
    return escape(name) + (f" ({figures.STAND_IN})" if stand_in else "")


def _layers(seen: View) -> list[str]:
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
            escape(", ".join(f"/{shell.path.lstrip('/')}" for shell in layers.shells[:3])) or "none",
            escape(", ".join(f"/{manager.path.lstrip('/')}" for manager in layers.package_managers[:3])) or "none",
        ]
        for name, record, layers in seen.layers
    ]
    parts = ["## Layers", table(heads, rows, right=[False, *[True] * 6, False, False])]
    secret_files = [
        [
            _labelled(name, record.stand_in),
            escape(f"/{file.path.lstrip('/')}"),
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
        parts.append(table(heads, secret_files[:_HIDDEN_ROWS], right=[False] * 5))
    return parts


def _where(index: int, instruction: str | None) -> str:
    return f"layer {index + 1}" + (f": {escape(instruction)}" if instruction else "")


def _attacks(report: Report, seen: View) -> list[str]:
    parts = ["## Attacks", ATTACK_WORDS] if seen.postures else []
    parts += ["\n".join(f"- {escape(note)}" for note in seen.attack_notes)] if seen.attack_notes else []
    for posture, payloads in seen.postures:
        rows = []
        for payload in payloads:
            known = report.payloads.get(payload)
            found = (record.attacks.get(posture, {}).get(payload) for _, record in seen.attacked)
            rows.append(
                [
                    escape(known.title if known else payload),
                    *(charts.cell_text(item) if item else figures.NOTHING for item in found),
                ]
            )
        heads = ["Attack", *(_labelled(name, record.stand_in) for name, record in seen.attacked)]
        parts += [f"### Posture {escape(posture)}", escape(seen.posture_notes[posture]) + "."]
        parts.append(table(heads, rows, right=[False, *[True] * len(seen.attacked)]))
    return parts


def _vulnerabilities(seen: View) -> list[str]:
    if not seen.scans:
        return []
    heads = ["Variant", "Total", *(severity.capitalize() for severity in SEVERITIES), "Fixable", "Reachable", "Dead weight",
             "Kernel headers (apart)", "*Reference*", "Database"]  # fmt: skip
    number: Callable[[int | None], str] = figures.count
    rows = []
    for name, record in seen.scans:
        scan = record.vulnerabilities
        reference = record.reference.vulnerabilities if record.reference else None
        tail = [figures.NOTHING if reference is None else number(reference), escape(scan.database.updated_at or "none")]
        if scan.status != "scanned" or scan.total is None:
            words = scan.status.replace("_", " ")
            rows.append([_labelled(name, record.stand_in), f"**{words}**", *[""] * (len(SEVERITIES) + 4), *tail])
            continue
        counts = [number(scan.by_severity.get(severity, 0)) for severity in SEVERITIES]
        reach = scan.reachability
        more = [
            number(scan.fixable),
            number(reach.reachable),
            number(reach.dead_weight),
            number(scan.kernel_headers.total),
        ]
        rows.append([_labelled(name, record.stand_in), number(scan.total), *counts, *more, *tail])
    return ["## Vulnerabilities", table(heads, rows, right=[False, *[True] * (len(heads) - 2), False])]


def _notes(report: Report) -> list[str]:
    lines = [f"- {escape(name)}: {escape(note)}" for name, record in report.variants.items() for note in record.notes]
    return ["## Notes", "\n".join(lines)] if lines else []
