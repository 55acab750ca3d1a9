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
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from deadweight._errors import wording
from deadweight._log_excerpt import plain
from deadweight._packages import images
from deadweight.checks.scan.model import SEVERITIES
from deadweight.records.evidence import Provenance
from deadweight.report import attacks, charts, figures
from deadweight.report.compare import Comparison
from deadweight.report.cves import Group, named
from deadweight.report.model import AttackRecord, CheckRecord, HistoryPoint, Report, VariantRecord
from deadweight.report.table import COLUMNS, DETAILS, details
from deadweight.report.verdict import View, secret_words, secrets_label

# How each figure of a report was got, in words, and the command that gets it anew.

FIGURES = {column.key: (column.task, column.origin) for column in (*COLUMNS[1:], *DETAILS)}
"""By column its task and origin."""


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


@dataclass(frozen=True)
class Box:
    """One variant's: ``checks`` (name, class of the page, outcome, reason), ``figures`` (title, figure, how it was got, command) and
    ``facts`` with their names."""

    checks: list[tuple[str, str, str, str]]
    figures: list[tuple[str, str, str, str]]
    facts: list[tuple[str, str]]


def box(name: str, record: VariantRecord, largest: int | None = None) -> Box:
    checks = [
        (check, TONES[result.status] if result.expected else "bad", _outcome(result), short(result.reason))
        for check, result in record.checks.items()
    ]
    how = provenance(name, record)
    rows = [
        (column.title, f"{cell.text} ({cell.badge})" if cell.badge else cell.text, *how[column.key])
        for column, cell in details(name, record, largest)
    ]
    if record.layers:
        rows.append(("Secrets", secrets_label(record), how["layers"][0], command("layers", name)))
    return Box(checks, rows, [(title, text) for title, text in _facts(record).items() if text])


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

EVIDENCE_BUDGET, FINDINGS_BUDGET, FILES_BUDGET, CHECKS_BUDGET = 55_000, 65_000, 60_000, 30_000
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


def page_data(report: Report, view: View) -> str:
    """JSON that may stand in a ``<script>`` element: ``<`` is escaped."""
    share = FILES_BUDGET // max(1, len(view.layers))
    document = {
        "variants": list(report.variants),
        "severities": SEVERITIES,
        "attacks": _attacks(report, view),
        "layers": {name: _layers(layers, share) for name, _, layers in view.layers},
        "findings": _findings(report, view.groups),
        "history": {name: [_point(entry.variants.get(name)) for entry in report.history] for name in report.variants},
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
    return {"postures": view.postures, "cells": cells, "texts": list(texts.places), "outcomes": OUTCOMES}


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


def _findings(report: Report, groups: Sequence[Group]) -> dict[str, Any]:
    """Rows of package, id, severity, fix, whether it was reached, and title; the variants by package."""
    rows = [
        [
            named(group.package, group.version),
            finding.id,
            SEVERITIES.index(finding.severity),
            finding.fixed_version or "",
            {True: 1, False: 0, None: -1}[finding.reachable],
            (finding.title or "")[:TITLE_LETTERS] + (f" (accepted: {finding.exception})" if finding.exception else ""),
        ]
        for group in groups
        for finding in sorted(
            group.findings, key=lambda one: (not one.reachable, SEVERITIES.index(one.severity), one.id)
        )
    ]
    shown = fitting(rows, FINDINGS_BUDGET)
    places = list(report.variants)
    within = {named(group.package, group.version): [places.index(name) for name in group.variants] for group in groups}
    return {"rows": shown, "in": within, "left_out": len(rows) - len(shown)}


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


# The page.


@functools.cache
def environment() -> Environment:
    """Jinja's, for the report's templates: what is put in is escaped."""
    files = PackageLoader("deadweight.report", "templates")
    made = Environment(loader=files, autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    made.filters.update(FILTERS)
    made.globals.update(
        by_outcome=attacks.by_outcome, heading=attacks.heading, severities=SEVERITIES, named=named, figures=figures
    )
    return made


def pictures(view: View) -> dict[str, list[charts.Chart]]:
    """The charts of each section: one for each ladder in which anything was measured."""
    total = len(view.payloads)
    made = {
        "sizes": [charts.sizes(ladder, view.winners) for ladder in view.judged],
        "findings": [charts.findings(ladder, view.winners) for ladder in view.judged] if view.scans else [],
        "attacks": [charts.attacks(ladder, view.winners, total) for ladder in view.judged],
        "starts": [charts.starts(ladder, view.winners) for ladder in view.judged],
    }
    return {key: [chart for chart in drawn if chart] for key, drawn in made.items()}


SCRIPTS = ("page.js", "table.js", "history.js", "attacks.js", "layers.js", "findings.js")
GROUPS_SHOWN = 12


def render_html(report: Report, changed: Comparison | None = None) -> str:
    """``index.html`` of a report. ``changed``: since an earlier report."""
    view = View(report, changed.worse if changed else ())
    templates = environment()
    css = _asset(templates, "report.css")
    script = "\n".join(_asset(templates, name) for name in SCRIPTS)
    html = templates.get_template("index.html.j2").render(
        report=report,
        view=view,
        since=changed,
        pictures=pictures(view),
        evidence=_checks(report),
        groups=view.groups[:GROUPS_SHOWN],
        largest={row.variant: ladder.largest_bytes for ladder in view.ladders for row in ladder.rows},
        css=Markup(css),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own files
        data=Markup(page_data(report, view)),  # noqa: S704 - JSON in which "<" is escaped
        policy=policy(css, script),
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
    "breakable": breakable,
    "number": lambda value: f"{value:.2f}".rstrip("0").rstrip("."),  # at most two places, without a needless zero
    "glued": lambda text: re.sub(r"(?<=\d) (?=%|[kMG]?B\b)", "\u00a0", text),  # a figure and its unit stay on one line
    "short": short,
    "box": box,
    "secrets_label": secrets_label,
    "command": lambda variant, task: command(task, variant),
}
