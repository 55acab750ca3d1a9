"""Render the report as one self-contained HTML page that needs no network and works without scripts.

Styles and the script are inline and listed by hash in the page's Content-Security-Policy, so nothing smuggled in with evidence can
run or load. Details are JSON in the page (a data block, which needs no policy exception), drawn when opened.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

from deadweight._log_excerpt import plain
from deadweight._packages import images
from deadweight.checks.scan.model import SEVERITIES
from deadweight.records.evidence import Provenance
from deadweight.report import attacks, charts, figures
from deadweight.report.compare import Comparison, Mark
from deadweight.report.model import (
    AttackRecord,
    BaseRecord,
    BuildRecord,
    CheckRecord,
    Finding,
    HistoryPoint,
    ImageRecord,
    Report,
    VariantRecord,
)
from deadweight.report.table import size_of, title_of
from deadweight.report.verdict import View, secret_words

if TYPE_CHECKING:
    from markupsafe import Markup


# How each figure of a report was got, in words, and the command that gets it anew.

COMMANDS = {
    "size": "layers", "reference_size": "report", "ratio": "layers", "compressed": "layers", "layers": "layers",
    "found": "layers", "base": "build --force", "builder": "build --force", "runtime": "layers", "user": "layers",
    "build": "build --force", "startup": "verify --check runs", "vulnerabilities": "scan",
    "reach": "verify --check vulnerabilities", "reference_vulnerabilities": "report", "attacks": "attack",
    "checks": "verify",
}  # fmt: skip
"""The task that gets a column's figure anew, for one variant. ``report`` stands for what is no measurement of ours; ``found`` for
all that the layer reader found."""
PROVENANCE = {"build": "build", "base": "build", "builder": "build", "startup": "startup_seconds", "attacks": "attacks",
                            "vulnerabilities": "vulnerabilities", "reach": "vulnerabilities", "found": "layers"}  # fmt: skip
"""Whose provenance a column has; all others the image's."""


def provenance(name: str, record: VariantRecord) -> dict[str, tuple[str, str]]:
    """By column: a sentence on how its figure was got or why there is none, and the command; empty where there is none."""
    return {column: _one(name, column, record) for column in COMMANDS}


def _one(name: str, column: str, record: VariantRecord) -> tuple[str, str]:
    if column.startswith("reference"):
        found = record.reference
        if found is None:
            return "Nobody's figure is given for it.", ""
        return f"From {found.source}{': ' + found.note if found.note else ''}; not measured here.", ""
    line = command(COMMANDS[column], name)
    if why := _why_not(column, record):
        return f"Not measured: {why}", line
    source = record.provenance.get(PROVENANCE.get(column, "image"))
    if column == "checks":
        source = next((check.provenance for check in record.checks.values() if check.provenance), None)
    if source is None:
        return "Not measured yet.", line
    return f"Got by {provenance_words(source)}{_more(column, record)}", line


def _why_not(column: str, record: VariantRecord) -> str:
    """Why there is no figure although there may be evidence; empty where nothing of that kind is known."""
    scan = record.vulnerabilities
    asked = "vulnerabilities" in record.checks or not record.checks
    if column in ("vulnerabilities", "reach") and scan.status == "not_scanned" and not asked:
        return "the suite does not ask for it"
    if column == "vulnerabilities" and scan.status != "scanned":
        return scan.reason or scan.status.replace("_", " ")
    if column == "reach" and (scan.status != "scanned" or scan.reachability.status != "measured"):
        unwatched = "the service was not watched while it ran"
        return (scan.reachability.reason or unwatched) if scan.status == "scanned" else (scan.reason or "not scanned")
    if column == "startup" and record.startup_seconds is None:
        runs = record.checks.get("runs")
        return runs.reason if runs else "the suite does not ask whether it runs" if record.checks else ""
    return ""


def _more(column: str, record: VariantRecord) -> str:
    scan = record.vulnerabilities
    if column == "reach" and scan.reachability.reason:
        return f"; {scan.reachability.reason}"
    return f"; not covered: {scan.reason}" if column == "vulnerabilities" and scan.reason else ""


def command(task: str, variant: str) -> str:
    """``invoke verify --variant apko``."""
    name, _, options = task.partition(" ")
    return " ".join(part for part in ("invoke", name, "--variant", shlex.quote(variant), options) if part)


def provenance_words(found: Provenance) -> str:
    """By what, on which engine of a pool, when, of which image, with which database."""
    place = f" {found.place}" if found.place else ""
    database = f"; database of {found.database_updated_at}" if found.database_updated_at else ""
    image = f"; image {found.image_digest}" if found.image_digest else ""
    return f"{found.tool}{place} {found.tool_version}, {found.at}{database}{image}"


# What the page says of one variant in its own box: checks, facts of its image, and the commands that get all of it anew.

TONES = {"pass": "good", "warn": "warn", "fail": "bad", "not_measured": "muted"}
DETAIL_LETTERS = 300
PLAIN_DECISIONS = 2
"""Of a build that went where it was sent: that it went there, and that it was built."""


@dataclass(frozen=True)
class CheckRow:
    """``tone`` is a class of the page; ``reason`` at most ``DETAIL_LETTERS`` long."""

    name: str
    tone: str
    outcome: str
    reason: str


@dataclass(frozen=True)
class Box:
    """``facts``: what they are called, and what they are."""

    checks: tuple[CheckRow, ...]
    facts: tuple[tuple[str, str], ...]
    commands: tuple[str, ...]


def box(name: str, record: VariantRecord) -> Box:
    """The box of one variant."""
    facts = {
        "Image": record.image and _image(record.image),
        "Attestations": record.image and ", ".join(each.predicate for each in record.image.attestations),
        "Entry point": record.image and short(" ".join(record.image.entrypoint or ())),
        "Base": record.base and _base(record.base),
        "Built on": record.build and record.build.built_on and _built_on(record.build),
        "Reference": record.reference and ": ".join(filter(None, (record.reference.source, record.reference.note))),
    }
    return Box(
        tuple(_row(check, found) for check, found in record.checks.items()),
        tuple((title, text) for title, text in facts.items() if text),
        tuple(command(task, name) for task in _tasks(record)),
    )


def short(text: str) -> str:
    """At most ``DETAIL_LETTERS``, with a sign of more."""
    return text if len(text) <= DETAIL_LETTERS else text[:REASON_LETTERS] + "\u2026"


def _row(name: str, found: CheckRecord) -> CheckRow:
    outcome = "measured" if found.only_measured else (found.why_not or found.status).replace("_", " ")
    if found.status == "fail" and found.expected:
        outcome += ", as expected"
    elif not found.expected and found.status != "not_measured":
        outcome += ", not expected"
    return CheckRow(name, TONES[found.status] if found.expected else "bad", outcome, short(found.reason))


def _image(image: ImageRecord) -> str:
    more = {"manifest": image.manifest_digest, "index": image.index_digest}
    return ", ".join([image.config_digest, *(f"{word} {digest}" for word, digest in more.items() if digest)])


def _base(base: BaseRecord) -> str:
    stand_in = f" ({figures.STAND_IN})" if base.stand_in else ""
    resolved = f"in fact {base.resolved}" if base.resolved and base.resolved != base.reference else ""
    return ", ".join(filter(None, (base.reference + stand_in, resolved, base.digest)))


def _built_on(build: BuildRecord) -> str:
    """The endpoint, with how it came to that one where another was tried before."""
    more = build.decisions if len(build.decisions) > PLAIN_DECISIONS else ()
    return short("; ".join([str(build.built_on), *more]))


def _tasks(record: VariantRecord) -> list[str]:
    return ["build", "verify", "layers", "scan", *(("attack", "harden") if record.attacks else ())]


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
        self.all = ["", "see report.json"]
        self._known = {"": 0}
        self._room = room

    def add(self, text: str) -> int:
        if text not in self._known:
            if len(text) > self._room:
                return 1
            self._room -= len(text)
            self._known[text] = len(self.all)
            self.all.append(text)
        return self._known[text]


def page_data(report: Report, seen: View, changes: Mapping[str, Mapping[str, Mark]]) -> str:
    """JSON that may stand in a ``<script>`` element: ``<`` is escaped. ``changes``: since an earlier one, by variant and column."""
    document = {
        "variants": list(report.variants),
        "severities": list(SEVERITIES),
        **_got(report),
        "changes": {name: {key: mark.told for key, mark in marks.items()} for name, marks in changes.items()},
        "attacks": _attacks(report, seen),
        "checks": _checks(report),
        "layers": _layers(seen),
        "findings": _findings(report),
        "history": _history(report) if seen.history else {},
        "boxes": {name: astuple(box(name, record)) for name, record in report.variants.items()},
    }
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), default=str)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _got(report: Report) -> dict[str, Any]:
    """``got``: by variant and column, the sentence and the command as numbers of ``words``, where each stands once."""
    words = Texts(GOT_BUDGET)
    found = {
        name: {column: [words.add(text) for text in told] for column, told in provenance(name, record).items()}
        for name, record in report.variants.items()
    }
    return {"got": found, "words": words.all}


def _attacks(report: Report, seen: View) -> dict[str, Any]:
    """``cells``: by variant and posture, per attack ``[outcome, words, reason, evidence]``, the last three as numbers of texts."""
    texts = Texts(EVIDENCE_BUDGET)
    cells: dict[str, dict[str, list[Any]]] = {}
    for name, record in seen.attacked:
        for posture in seen.postures:
            found = (record.attacks.get(posture, {}).get(payload) for payload in seen.payloads)
            cells.setdefault(name, {})[posture] = [
                None if cell is None else _attack_cell(cell, texts) for cell in found
            ]
    known = [report.payloads.get(payload) for payload in seen.payloads]
    told = [[each.title, each.gives, each.reference, each.technique] if each else [] for each in known]
    words = {"told": told, "texts": texts.all, "outcomes": OUTCOMES}
    return {"postures": seen.postures, "payloads": seen.payloads, "cells": cells, **words}


def _attack_cell(cell: AttackRecord, texts: Texts) -> list[int]:
    reason = (cell.reason or "")[:REASON_LETTERS]
    words = (attacks.said(cell), reason, evidence_words(cell.evidence))
    return [OUTCOMES.index(cell.outcome), *(texts.add(each) for each in words)]


def evidence_words(evidence: object) -> str:
    """Evidence as lines ``key: value``, no raw JSON; at most ``EVIDENCE_LETTERS``."""
    if evidence in (None, "", {}, []):
        return ""
    lines = (
        [f"{key}: {_value(value)}" for key, value in evidence.items()]
        if isinstance(evidence, dict)
        else [_value(evidence)]
    )
    text = "\n".join(lines)
    return text if len(text) <= EVIDENCE_LETTERS else text[:EVIDENCE_LETTERS] + "\u2026 the rest is in report.json"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        by_value: dict[str, list[str]] = {}
        for key, each in value.items():
            by_value.setdefault(_value(each), []).append(str(key))
        return "; ".join(
            f"{each} by {', '.join(keys)}" if len(keys) > 1 else f"{keys[0]} {each}" for each, keys in by_value.items()
        )
    return ", ".join(map(_value, value)) if isinstance(value, (list, tuple)) else str(value)


def _checks(report: Report) -> dict[str, list[tuple[str, str]]]:
    """The evidence of each variant's checks in words: those that failed first, as far as there is room."""
    room = CHECKS_BUDGET
    found: dict[str, list[tuple[str, str]]] = {name: [] for name in report.variants}
    every = [(name, check, each) for name, record in report.variants.items() for check, each in record.checks.items()]
    for name, check, each in sorted(every, key=lambda item: item[2].expected and item[2].status != "fail"):
        words = evidence_words(each.evidence)
        if words and len(words) <= room:
            room -= len(words)
            found[name].append((check, words))
    return found


def _layers(seen: View) -> dict[str, Any]:
    share = FILES_BUDGET // max(1, len(seen.layers))
    return {name: _layers_of(record, layers, share) for name, record, layers in seen.layers}


def _layers_of(record: VariantRecord, layers: images.LayersReport, share: int) -> dict[str, Any]:
    """One variant's. ``share`` is how many letters it may take."""
    place = {layer.diff_id: index for index, layer in enumerate(layers.layers)}
    hidden = sorted(layers.hidden, key=lambda file: (not file.secrets, -file.size_bytes, file.path))
    document = {
        "total": size_of(record),
        "duplicated": layers.duplicated_bytes,
        "layers": [
            [each.size_bytes, each.instruction or "", each.diff_id, each.hidden_bytes] for each in layers.layers
        ],
        "folders": [[each.layer, each.folder, each.size_bytes] for each in layers.folders],
        "hidden_files": layers.hidden_files,
        "secrets": [
            [secret_words([each]), f"/{each.path.lstrip('/')}" if each.path else each.where, each.fingerprint[:12]]
            for each in layers.secrets[:50]
        ],
    }
    room = share - len(json.dumps(document))
    document["hidden"] = fitting([_hidden_row(each) for each in hidden], room // 2)
    copies = [[each.path, each.size_bytes, each.index, each.group, each.copies] for each in layers.duplicates]
    document["copies"] = fitting(copies, room // 4)
    heavy = [
        [each.path, each.size_bytes, place.get(each.layer or "", layer_of(each, layers))]
        for each in layers.heaviest
        if each.kind == "file"
    ]
    document["heavy"] = fitting(heavy, room // 4)
    packages = sorted(layers.packages, key=lambda each: -each.size_bytes)
    document["packages"] = [[each.name, each.version, each.kind, each.size_bytes] for each in packages[:12]]
    document["packages_total"] = len(layers.packages)
    return document


def _hidden_row(each: images.HiddenFile) -> list[Any]:
    words = secret_words(each.secrets) if each.secrets else ""
    return [each.path, each.size_bytes, each.index, each.hidden_index, each.how, words]


def layer_of(file: images.PathFigure, layers: images.LayersReport) -> int | None:
    """The layer that a file of the final view can be in: the highest whose folder it fits in; None where no folder is told."""
    path = f"/{file.path.lstrip('/')}"
    fitting_it = (
        (len(each.folder), each.layer)
        for each in layers.folders
        if each.size_bytes >= file.size_bytes and path.startswith(f"/{each.folder.strip('/')}/".replace("//", "/"))
    )
    best = max(fitting_it, default=None)
    return best[1] if best else None


def grouped(report: Report) -> list[tuple[Finding, tuple[int, ...], bool | None]]:
    """Each vulnerability of each package once, with the variants that carry it (as numbers): reached first, then the gravest.

    The last says whether any of those variants was seen to touch the package; None where nobody watched.
    """
    by_key: dict[tuple[str, str], tuple[Finding, list[int], set[bool]]] = {}
    for index, record in enumerate(report.variants.values()):
        for each in record.vulnerabilities.findings:
            _, variants, reached = by_key.setdefault((each.package, each.id), (each, [], set()))
            if index not in variants:
                variants.append(index)
            if each.reachable is not None:
                reached.add(each.reachable)
    rows = [(finding, tuple(who), True in seen if seen else None) for finding, who, seen in by_key.values()]
    order: Callable[[bool | None], int] = {True: 0, None: 1, False: 2}.__getitem__
    return sorted(rows, key=lambda row: (order(row[2]), SEVERITIES.index(row[0].severity), row[0].package, row[0].id))


def _findings(report: Report) -> dict[str, Any]:
    rows = [
        [
            each.package,
            each.id,
            SEVERITIES.index(each.severity),
            each.version or "",
            each.fixed_version or "",
            {True: 1, False: 0, None: -1}[reached],
            (each.title or "")[:TITLE_LETTERS] + (f" (accepted: {each.exception})" if each.exception else ""),
            list(who),
        ]
        for each, who, reached in grouped(report)
    ]
    kept = fitting(rows, FINDINGS_BUDGET)
    return {"rows": kept, "left_out": len(rows) - len(kept)}


def _history(report: Report) -> dict[str, dict[str, list[Any]]]:
    """By figure and variant, a value for each report of the history, from old to new; None where it was not measured."""

    def line(name: str, of: Callable[[HistoryPoint], Any]) -> list[Any]:
        points = (entry.variants.get(name) for entry in report.history)
        return [of(point) if point is not None and point.image is not None else None for point in points]

    return {key: {name: line(name, of) for name in report.variants} for key, of in OVER_TIME.items()}


def _held(point: HistoryPoint) -> list[int] | None:
    """Attacks stopped and tried in a plain ``docker run``, else in the first posture that was tried."""
    found = next((point.attacks[name] for name in (*attacks.TOLD_FIRST, *point.attacks) if name in point.attacks), None)
    return [found.held, found.tried] if found else None


OVER_TIME: dict[str, Callable[[HistoryPoint], Any]] = {
    "size": lambda point: point.size_bytes,
    "findings": lambda point: point.findings,
    "attacks": _held,
    "startup": lambda point: point.startup_seconds,
    "build": lambda point: point.build_seconds,
}
"""What the page's history can show, one at a time."""


def fitting(rows: Iterable[Any], room: int) -> list[Any]:
    """The first rows that weigh no more than ``room`` characters together as JSON."""
    kept = []
    for row in rows:
        room -= len(json.dumps(row, ensure_ascii=False)) + 1
        if room < 0:
            break
        kept.append(row)
    return kept


SCRIPTS = ("page.js", "compare.js", "history.js", "castle.js", "layers.js", "findings.js", "keys.js")
GROUPS_WITHOUT_SCRIPT = 40


@dataclass(frozen=True)
class Charts:
    """SVG texts: by ladder, and of the build times. What has nothing to draw has none."""

    ladders: dict[str, str]
    builds: str | None


def render_html(report: Report, pictures: Charts | None = None, changed: Comparison | None = None) -> str:
    """``index.html`` of a report; ``pictures`` where they are drawn already; ``changed``: since an earlier report, to be marked."""
    from markupsafe import Markup

    seen = View(report)
    pictures = pictures or draw(report, seen)
    environment = charts.environment()
    environment.filters.update(_filters())
    css = _asset(environment, "report.css")
    script = "\n".join(_asset(environment, name) for name in SCRIPTS)
    html = environment.get_template("index.html.j2").render(
        report=report,
        view=seen,
        since=changed,
        severities=SEVERITIES,
        groups=grouped(report)[:GROUPS_WITHOUT_SCRIPT],
        names=list(report.variants),
        castle=attacks.castle,
        heading=attacks.heading,
        title_of=title_of,
        css=Markup(css),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own files
        data=Markup(page_data(report, seen, changed.cells if changed else {})),  # noqa: S704 - JSON in which "<" is escaped
        policy=policy(css, script),
        ladder_charts={name: Markup(svg) for name, svg in pictures.ladders.items()},  # noqa: S704 - our own, texts escaped
        build_chart=pictures.builds and Markup(pictures.builds),  # noqa: S704
    )
    return "\n".join(line.rstrip() for line in plain(html).splitlines() if line.strip()) + "\n"


def draw(report: Report, seen: View) -> Charts:
    """All pictures of a report, each with its description."""
    drawn = {ladder.name: charts.ladder_chart(ladder) for ladder in seen.ladders}
    return Charts({name: svg for name, svg in drawn.items() if svg is not None}, charts.build_chart(report))


def policy(css: str, script: str) -> str:
    """Nothing may load, and only this style sheet and this script may apply (CSP Level 3, hash sources)."""
    parts = ("default-src 'none'", f"style-src {_hash(css)}", f"script-src {_hash(script)}", "img-src data:")
    return "; ".join((*parts, "base-uri 'none'", "form-action 'none'"))


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _asset(environment: Any, name: str) -> str:
    # Blank lines go here already: the page as a whole loses them, and the hash must fit what the page holds.
    source: str = environment.loader.get_source(environment, name)[0]
    return "\n".join(line.rstrip() for line in source.splitlines() if line.strip())


def breakable(text: str) -> Markup:
    """An image reference that may be broken after its parts, and not within a word."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"([/:@])(?=.)", r"\1<wbr>", str(escape(text))))  # noqa: S704 - escaped one step before


def _filters() -> dict[str, Any]:
    return {
        "size": figures.size,
        "count": figures.count,
        "digest": figures.digest,
        "things": figures.plural,
        "secrets": secret_words,
        "got": provenance_words,
        "when": figures.when,
        "breakable": breakable,
        "glued": lambda text: re.sub(
            r"(?<=\d) (?=%|[kMG]?B\b)", "\u00a0", text
        ),  # a figure and its unit stay on one line
        "short": short,
        "box": box,
    }
