"""Render the report as one self-contained HTML page that needs no network and works without scripts.

Styles and the script are inline and listed by hash in the page's Content-Security-Policy, so nothing smuggled in with evidence can
run or load. Details are JSON in the page (a data block, which needs no policy exception), drawn when opened.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import itertools
import json
import math
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from deadweight._errors import wording
from deadweight._log_excerpt import plain
from deadweight._packages import images
from deadweight.checks.scan.model import SEVERITIES
from deadweight.records.evidence import Provenance
from deadweight.report import attacks, figures
from deadweight.report.compare import Comparison
from deadweight.report.model import AttackRecord, CheckRecord, Finding, HistoryPoint, Report, VariantRecord
from deadweight.report.table import COLUMNS, Ladder, ladders, size_of
from deadweight.report.verdict import View, secret_words

# How each figure of a report was got, in words, and the command that gets it anew.

FIGURES = {"found": ("layers", "layers"), **{column.key: (column.task, column.origin) for column in COLUMNS[1:]}}
"""By column its task and origin; ``found`` stands for all that the layer reader found."""


def provenance(name: str, record: VariantRecord) -> dict[str, tuple[str, str]]:
    """By column: a sentence on how its figure was got or why there is none, and the command; empty where there is none."""
    return {column: _how(name, column, record) for column in FIGURES}


def _how(name: str, column: str, record: VariantRecord) -> tuple[str, str]:
    if column.startswith("reference"):
        if record.reference is None:
            return "Nobody's figure is given for it.", ""
        source = ": ".join(filter(None, (record.reference.source, record.reference.note)))
        return f"From {source}; not measured here.", ""
    task, whose = FIGURES[column]
    line = command(task, name)
    if why := _why_not(column, record):
        return f"Not measured: {why}", line
    origin = record.provenance.get(whose)
    if column == "checks":
        origin = next((check.provenance for check in record.checks.values() if check.provenance), None)
    if origin is None:
        return "Not measured yet.", line
    scan = record.vulnerabilities
    notes = {"reach": scan.reachability.reason, "vulnerabilities": scan.reason and f"not covered: {scan.reason}"}
    more = f"; {note}" if (note := notes.get(column)) else ""
    return f"Got by {provenance_words(origin)}{more}", line


def _why_not(column: str, record: VariantRecord) -> str:
    """Why there is no figure although there may be evidence; empty where nothing of that kind is known."""
    scan, runs = record.vulnerabilities, record.checks.get("runs")
    if column in ("vulnerabilities", "reach") and scan.status != "scanned":
        if scan.status == "not_scanned" and record.checks and "vulnerabilities" not in record.checks:
            return wording("report.not_asked")
        return scan.reason or scan.status.replace("_", " ")
    if column == "reach" and scan.reachability.status != "measured":
        return scan.reachability.reason or "the service was not watched while it ran"
    if column == "startup" and record.startup_seconds is None:
        return runs.reason if runs else "the suite does not ask whether it runs" if record.checks else ""
    return ""


def command(task: str, variant: str) -> str:
    """``invoke verify --variant apko``."""
    name, _, options = task.partition(" ")
    return f"invoke {name} --variant {shlex.quote(variant)} {options}".rstrip()


def provenance_words(origin: Provenance) -> str:
    """By what, on which engine of a pool, when, of which image, with which database."""
    place = f" {origin.place}" if origin.place else ""
    database = f"; database of {origin.database_updated_at}" if origin.database_updated_at else ""
    image = f"; image {origin.image_digest}" if origin.image_digest else ""
    return f"{origin.tool}{place} {origin.tool_version}, {origin.at}{database}{image}"


# What the page says of one variant in its own box: checks, facts of its image, and the commands that get all of it anew.

TONES = {"pass": "good", "warn": "warn", "fail": "bad", "not_measured": "muted"}
PLAIN_DECISIONS = 2
"""Of a build that went where it was sent: that it went there, and that it was built."""


def short(text: str) -> str:
    """What the page shows of a long text, with a sign of more."""
    return figures.cut(text, 300)


def box(name: str, record: VariantRecord) -> tuple[list[tuple[str, str, str, str]], list[tuple[str, str]], list[str]]:
    """The box of one variant: its checks (name, class of the page, outcome, reason), facts with their names, and commands."""
    checks = [
        (check, TONES[result.status] if result.expected else "bad", _outcome(result), short(result.reason))
        for check, result in record.checks.items()
    ]
    tasks = ["build", "verify", "layers", "scan", *(("attack", "harden") if record.attacks else ())]
    facts = [(title, text) for title, text in _facts(record).items() if text]
    return checks, facts, [command(task, name) for task in tasks]


def _outcome(result: CheckRecord) -> str:
    if result.expected:
        return f"{result.word}, as expected" if result.status == "fail" else result.word
    return result.word if result.status == "not_measured" else f"{result.word}, not expected"


def _facts(record: VariantRecord) -> dict[str, str]:
    image, base, build, reference = record.image, record.base, record.build, record.reference
    facts = {}
    if image:
        digests = {"": image.config_digest, "manifest ": image.manifest_digest, "index ": image.index_digest}
        facts["Image"] = ", ".join(f"{word}{digest}" for word, digest in digests.items() if digest)
        facts["Attestations"] = ", ".join(statement.predicate for statement in image.attestations)
        facts["Entry point"] = short(" ".join(image.entrypoint))
    if base:
        stand_in = f" ({figures.STAND_IN})" if base.stand_in else ""
        resolved = f"in fact {base.resolved}" if base.resolved != base.reference and base.resolved else ""
        facts["Base"] = ", ".join(filter(None, (base.reference + stand_in, resolved, base.digest)))
    if build and build.built_on:  # with how it came to that one, if another was tried before
        decisions = build.decisions if len(build.decisions) > PLAIN_DECISIONS else ()
        facts["Built on"] = short("; ".join([build.built_on, *decisions]))
    if reference:
        facts["Reference"] = ": ".join(filter(None, (reference.source, reference.note)))
    return facts


# What the page's script draws when a reader opens it, as compact JSON: evidence, layers, findings, how each figure was got.
#
# Each kind has a budget in characters; what had to be left out is counted, and all of it is in ``report.json``.

EVIDENCE_BUDGET, FINDINGS_BUDGET, FILES_BUDGET, CHECKS_BUDGET, GOT_BUDGET = 55_000, 65_000, 60_000, 30_000, 60_000
EVIDENCE_LETTERS, REASON_LETTERS, TITLE_LETTERS = 400, 240, 110
OUTCOMES = ("blocked", "succeeded", "not_applicable", "crashed", "not_measured")


class Texts:
    """Each text once; places refer to it by number. The first stands where there is nothing to say, the second where there was no
    room left."""

    def __init__(self, room: int) -> None:
        self.places = {"": 0, "see report.json": 1}
        self._room = room

    def add(self, text: str) -> int:
        if text not in self.places and len(text) <= self._room:
            self._room -= len(text)
            self.places[text] = len(self.places)
        return self.places.get(text, 1)


def page_data(report: Report, view: View, changed: Comparison | None) -> str:
    """JSON that may stand in a ``<script>`` element: ``<`` is escaped. ``changed``: since an earlier one, by variant and column."""
    marks = changed.cells if changed else {}
    words = Texts(GOT_BUDGET)
    got = {
        name: {column: [words.add(text) for text in texts] for column, texts in provenance(name, record).items()}
        for name, record in report.variants.items()
    }
    share = FILES_BUDGET // max(1, len(view.layers))
    document = {
        "variants": list(report.variants),
        "severities": SEVERITIES,
        "got": got,
        "words": list(words.places),
        "changes": {name: {key: lines for key, (_, lines) in cells.items()} for name, cells in marks.items()},
        "attacks": _attacks(report, view),
        "checks": _checks(report),
        "layers": {name: _layers(layers, share) for name, _, layers in view.layers},
        "findings": _findings(report),
        "history": {name: [_point(entry.variants.get(name)) for entry in report.history] for name in report.variants},
        "boxes": {name: box(name, record) for name, record in report.variants.items()},
    }
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), default=str)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _attacks(report: Report, view: View) -> dict[str, Any]:
    """``cells``: by variant and posture, per attack ``[outcome, words, reason, evidence]``, the last three as numbers of texts."""
    texts = Texts(EVIDENCE_BUDGET)
    cells: dict[str, dict[str, list[Any]]] = {}
    for name, record in view.attacked:
        for posture in view.postures:
            row = map(record.attacks.get(posture, {}).get, view.payloads)
            cells.setdefault(name, {})[posture] = [cell and _attack_cell(cell, texts) for cell in row]
    known = map(report.payloads.get, view.payloads)
    rows = [[attack.title, attack.gives, attack.reference, attack.technique] if attack else [] for attack in known]
    words = {"told": rows, "texts": list(texts.places), "outcomes": OUTCOMES}
    return {"postures": view.postures, "payloads": view.payloads, "cells": cells, **words}


def _attack_cell(cell: AttackRecord, texts: Texts) -> list[int]:
    words = (attacks.outcome_words(cell), (cell.reason or "")[:REASON_LETTERS], evidence_words(cell.evidence))
    return [OUTCOMES.index(cell.outcome), *map(texts.add, words)]


def evidence_words(evidence: object) -> str:
    """Evidence as lines ``key: value``, no raw JSON; at most ``EVIDENCE_LETTERS``."""
    if evidence in (None, "", {}, []):
        return ""
    pairs = evidence.items() if isinstance(evidence, dict) else ()
    text = "\n".join(f"{key}: {_value(value)}" for key, value in pairs) or _value(evidence)
    return text if len(text) <= EVIDENCE_LETTERS else text[:EVIDENCE_LETTERS] + "\u2026 the rest is in report.json"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        keys_of: dict[str, list[str]] = {}
        for key, item in value.items():
            keys_of.setdefault(_value(item), []).append(str(key))
        return "; ".join(
            f"{text} by {', '.join(keys)}" if len(keys) > 1 else f"{keys[0]} {text}" for text, keys in keys_of.items()
        )
    return ", ".join(map(_value, value)) if isinstance(value, (list, tuple)) else str(value)


def _checks(report: Report) -> dict[str, list[tuple[str, str]]]:
    """The evidence of each variant's checks in words: those that failed first, as far as there is room."""
    shown: dict[str, list[tuple[str, str]]] = {name: [] for name in report.variants}
    every = [(name, *item) for name, record in report.variants.items() for item in record.checks.items()]
    every.sort(key=lambda item: item[2].expected and item[2].status != "fail")
    rows = ((name, check, evidence_words(result.evidence)) for name, check, result in every)
    for name, check, words in fitting([row for row in rows if row[2]], CHECKS_BUDGET):
        shown[name].append((check, words))
    return shown


def _layers(layers: images.LayersReport, room: int) -> dict[str, Any]:
    """One variant's, in at most so many letters."""
    place = {layer.diff_id: index for index, layer in enumerate(layers.layers)}
    packages = sorted(layers.packages, key=lambda package: -package.size_bytes)
    document = {
        "duplicated": layers.duplicated_bytes,
        "layers": [[layer.size_bytes, layer.instruction or ""] for layer in layers.layers],
        "folders": [[folder.layer, folder.folder, folder.size_bytes] for folder in layers.folders],
        "hidden_files": layers.hidden_files,
        "packages": [[item.name, item.version, item.kind, item.size_bytes] for item in packages[:12]],
        "packages_total": len(packages),
        "secrets": [
            [secret_words([leak]), f"/{leak.path.lstrip('/')}" if leak.path else leak.where, leak.fingerprint[:12]]
            for leak in layers.secrets[:50]
        ],
    }
    room -= len(json.dumps(document))
    hidden = sorted(layers.hidden, key=lambda file: (not file.secrets, -file.size_bytes, file.path))
    rows = [
        [file.path, file.size_bytes, file.index, file.hidden_index, file.how, secret_words(file.secrets, none="")]
        for file in hidden
    ]
    copies = [[file.path, file.size_bytes, file.index, file.group, file.copies] for file in layers.duplicates]
    files = [file for file in layers.heaviest if file.kind == "file"]
    heavy = [[file.path, file.size_bytes, place.get(file.layer or "")] for file in files]
    return document | {
        "hidden": fitting(rows, room // 2),
        "copies": fitting(copies, room // 4),
        "heavy": fitting(heavy, room // 4),
    }


def grouped(report: Report) -> list[tuple[Finding, tuple[int, ...], bool | None]]:
    """Each vulnerability of each package once, with the variants that carry it (as numbers): reached first, then the gravest.

    The last says whether any of those variants was seen to touch the package; None where nobody watched.
    """
    by_key: dict[tuple[str, str], tuple[Finding, dict[int, None], set[bool]]] = {}
    for index, record in enumerate(report.variants.values()):
        for finding in record.vulnerabilities.findings:
            _, variants, reached = by_key.setdefault((finding.package, finding.id), (finding, {}, set()))
            variants[index] = None
            if finding.reachable is not None:
                reached.add(finding.reachable)
    rows = [(finding, tuple(who), True in seen if seen else None) for finding, who, seen in by_key.values()]
    order = (True, None, False)
    return sorted(
        rows, key=lambda row: (order.index(row[2]), SEVERITIES.index(row[0].severity), row[0].package, row[0].id)
    )


def _findings(report: Report) -> dict[str, Any]:
    rows = [
        [
            finding.package,
            finding.id,
            SEVERITIES.index(finding.severity),
            finding.version or "",
            finding.fixed_version or "",
            {True: 1, False: 0, None: -1}[reached],
            (finding.title or "")[:TITLE_LETTERS] + (f" (accepted: {finding.exception})" if finding.exception else ""),
            variants,
        ]
        for finding, variants, reached in grouped(report)
    ]
    shown = fitting(rows, FINDINGS_BUDGET)
    return {"rows": shown, "left_out": len(rows) - len(shown)}


def _point(point: HistoryPoint | None) -> list[Any] | None:
    """What the page's history can show of one variant in one report: size, findings, attacks, start-up, build. Of attacks: stopped
    and tried in a plain ``docker run``, else in the first posture that was tried."""
    if point is None or point.image is None:
        return None
    held = next((point.attacks[name] for name in (*attacks.TOLD_FIRST, *point.attacks) if name in point.attacks), None)
    stopped = held and [held.held, held.tried]
    return [point.size_bytes, point.findings, stopped, point.startup_seconds, point.build_seconds]


def fitting(rows: Sequence[Any], room: int) -> list[Any]:
    """The first rows that weigh no more than ``room`` characters together as JSON."""
    totals = itertools.accumulate(len(json.dumps(row, ensure_ascii=False)) + 1 for row in rows)
    return [row for row, total in zip(rows, totals, strict=True) if total <= room]


# The report's SVG charts: image sizes per ladder, and comparable build times on one axis.
#
# Both axes are logarithmic: one variant may be a hundredth of another, and both must be readable. So marks are dots, read by
# position, not bars, read by length. The same values give the same bytes.

LETTER = 7.6
"""Pixels for a letter of the picture's size in the widest common font (DejaVu Sans): whoever opens it may have only that."""
PLOT_WIDTH, GAP = 320, 10


@functools.cache
def environment() -> Environment:
    """Jinja's, for the report's templates: what is put in is escaped."""
    files = PackageLoader("deadweight.report", "templates")
    made = Environment(loader=files, autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    made.filters.update(FILTERS)
    made.globals.update(castle=attacks.castle, heading=attacks.heading, severities=SEVERITIES, plot=PLOT_WIDTH, gap=GAP)
    return made


@dataclass(frozen=True)
class _Row:
    """One line of a chart. ``also`` is somebody else's value, drawn as a hollow diamond."""

    name: str
    value: float | None
    label: str
    also: float | None = None
    stand_in: bool = False


def ladder_charts(report: Report) -> dict[str, Markup]:
    """The pictures of those ladders that have one, by name."""
    return {ladder.name: svg for ladder in ladders(report) if (svg := ladder_chart(ladder)) is not None}


def ladder_chart(ladder: Ladder) -> Markup | None:
    """Uncompressed size of each variant, reference sizes as hollow diamonds with their value named.

    None where nothing was measured, or all have one size: such a picture would say nothing.
    """
    sizes = {figures.size(size) for row in ladder.rows if (size := size_of(row.record))}
    if not sizes or (len(sizes) == 1 and len(ladder.rows) > 1):
        return None
    rows = [_size_row(row.variant, row.record) for row in ladder.rows]
    title = f"{ladder.title} ladder: image sizes on a logarithmic axis; the table below holds the figures"
    return _chart(rows, title, "uncompressed size, logarithmic", lambda value: figures.size(int(value)))


def _size_row(name: str, record: VariantRecord) -> _Row:
    size = size_of(record) or None
    reference = (record.reference.size_bytes or None) if record.reference else None
    label = figures.size(size) + (f", {figures.STAND_IN}" if record.stand_in and size is not None else "")
    label += f" (reference {figures.size(reference)})" if reference else ""
    return _Row(name, size, label, reference, record.stand_in)


def build_chart(report: Report) -> Markup | None:
    """Seconds of the builds that can be compared: each made from nothing, with the machine to itself. None below two of them."""
    rows = [
        _Row(name, build.seconds, figures.seconds(build.seconds))
        for name, record in report.variants.items()
        if (build := record.build) and build.comparable and build.seconds > 0
    ]
    title = "Build times of builds from nothing, each alone, on one logarithmic axis; the tables below hold the figures"
    return _chart(rows, title, "seconds, logarithmic", lambda value: f"{value:g} s") if len(rows) > 1 else None


def _chart(rows: Sequence[_Row], title: str, axis: str, tick: Callable[[float], str]) -> Markup:
    left = _width(row.name for row in rows) + GAP
    width = left + PLOT_WIDTH + _width(row.label for row in rows) + 2 * GAP
    values = [value for row in rows for value in (row.value, row.also) if value]
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    last = max(last, first + 1)

    def place(value: float | None) -> float | None:
        return left + PLOT_WIDTH * (math.log10(value) - first) / (last - first) if value else None

    ticks = [(place(10.0**power), tick(10.0**power)) for power in range(first, last + 1)]
    picture = environment().get_template("chart.svg.j2")
    svg = picture.render(title=title, axis=axis, rows=rows, place=place, ticks=ticks, left=left, width=width)
    return Markup(svg)  # noqa: S704 - our own, texts escaped


def _width(texts: Iterable[str]) -> float:
    """Pixels that the longest of these texts may take."""
    return max(map(len, texts), default=0) * LETTER


# The page.

SCRIPTS = ("page.js", "compare.js", "history.js", "castle.js", "layers.js", "findings.js", "keys.js")
GROUPS_WITHOUT_SCRIPT = 40


def render_html(report: Report, pictures: Mapping[str, Markup] | None = None, changed: Comparison | None = None) -> str:
    """``index.html`` of a report. ``pictures``: its ladders' charts where they are drawn already; ``changed``: since an earlier
    report, to be marked."""
    view = View(report, len(changed.regressions) if changed else 0)
    templates = environment()
    css = _asset(templates, "report.css")
    script = "\n".join(_asset(templates, name) for name in SCRIPTS)
    html = templates.get_template("index.html.j2").render(
        report=report,
        view=view,
        since=changed,
        groups=grouped(report)[:GROUPS_WITHOUT_SCRIPT],
        css=Markup(css),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own files
        data=Markup(page_data(report, view, changed)),  # noqa: S704 - JSON in which "<" is escaped
        policy=policy(css, script),
        ladder_charts=ladder_charts(report) if pictures is None else pictures,
        build_chart=build_chart(report),
    )
    return "\n".join(line.rstrip() for line in plain(html).splitlines() if line.strip()) + "\n"


def policy(css: str, script: str) -> str:
    """Nothing may load, and only this style sheet and this script may apply (CSP Level 3, hash sources)."""
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (css, script))
    style, code = (f"'sha256-{digest}'" for digest in digests)
    sources = f"default-src 'none'; style-src {style}; script-src {code}; img-src data:"
    return f"{sources}; base-uri 'none'; form-action 'none'"


def _asset(environment: Any, name: str) -> str:
    # Blank lines go here already: the page as a whole loses them, and the hash must fit what the page holds.
    source: str = environment.loader.get_source(environment, name)[0]
    return "\n".join(line.rstrip() for line in source.splitlines() if line.strip())


def breakable(text: str) -> Markup:
    """An image reference that may be broken after its parts, and not within a word."""
    return Markup(re.sub(r"([/:@])(?=.)", r"\1<wbr>", str(escape(text))))  # noqa: S704 - escaped one step before


FILTERS: dict[str, Callable[..., Any]] = {
    **{name: getattr(figures, name) for name in ("size", "count", "plural", "when")},
    "secrets": secret_words,
    "got": provenance_words,
    "breakable": breakable,
    "number": lambda value: f"{value:.2f}".rstrip("0").rstrip("."),  # at most two places, without a needless zero
    # without characters that XML cannot hold
    "shown": lambda words: "".join(letter if letter.isprintable() else "\ufffd" for letter in words),
    "glued": lambda text: re.sub(r"(?<=\d) (?=%|[kMG]?B\b)", "\u00a0", text),  # a figure and its unit stay on one line
    "short": short,
    "box": box,
}
