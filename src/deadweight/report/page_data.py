"""What the page's script draws when a reader opens it, as compact JSON: evidence, layers, findings, how each figure was got.

Each kind has a budget in characters; what had to be left out is counted, and all of it is in ``report.json``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import astuple
from typing import Any

from deadweight._packages import images
from deadweight.report import attacks
from deadweight.report.boxes import box
from deadweight.report.got import got
from deadweight.report.history_record import HistoryPoint
from deadweight.report.marks import Mark
from deadweight.report.model import AttackRecord, Report, VariantRecord
from deadweight.report.scan_model import SEVERITIES, Finding
from deadweight.report.table import size_of
from deadweight.report.view import View, secret_words

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
        name: {column: [words.add(text) for text in told] for column, told in got(name, record).items()}
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
            cells.setdefault(name, {})[posture] = [None if cell is None else _cell(cell, texts) for cell in found]
    known = [report.payloads.get(payload) for payload in seen.payloads]
    told = [[each.title, each.gives, each.reference, each.technique] if each else [] for each in known]
    words = {"told": told, "texts": texts.all, "outcomes": OUTCOMES}
    return {"postures": seen.postures, "payloads": seen.payloads, "cells": cells, **words}


def _cell(cell: AttackRecord, texts: Texts) -> list[int]:
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
