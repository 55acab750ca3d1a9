"""Render the report as one self-contained HTML page that needs no network and works without scripts.

Styles and the script are inline and listed by hash in the page's Content-Security-Policy, so nothing smuggled in with evidence can
run or load.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
import shlex
from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from deadweight._errors import wording
from deadweight._log_excerpt import plain
from deadweight.records import reference
from deadweight.records.evidence import Provenance
from deadweight.report import attacks, charts, figures
from deadweight.report.compare import Comparison
from deadweight.report.cves import named
from deadweight.report.model import AttackRecord, Report, VariantRecord
from deadweight.report.table import COLUMNS, runtime_words
from deadweight.report.verdict import View, secret_words, secrets_label

# How each figure of a report was got, in words, and the command that gets it anew.

FIGURES = {column.key: (column.task, column.origin) for column in COLUMNS[1:]}
"""By column its task and origin."""


def provenance(name: str, record: VariantRecord) -> dict[str, tuple[str, str]]:
    """By column: a sentence on how its figure was got or why there is none, and the command; empty where there is none."""
    return {column: _how(name, column, record) for column in FIGURES}


def _how(name: str, column: str, record: VariantRecord) -> tuple[str, str]:
    task, whose = FIGURES[column]
    line = command(task, name)
    if why := _why_not(column, record):
        return f"Not measured: {why}", line
    origin = record.provenance.get(whose)
    if column == "checks":
        origin = next((check.provenance for check in record.checks.values() if check.provenance), None)
    if origin is None:
        return "Not measured yet.", line
    more = (
        f"; not covered: {record.vulnerabilities.reason}"
        if column == "vulnerabilities" and record.vulnerabilities.reason
        else ""
    )
    return f"Got by {provenance_words(origin)}{more}", line


def _why_not(column: str, record: VariantRecord) -> str:
    """Why there is no figure although there may be evidence; empty where nothing of that kind is known."""
    scan, runs = record.vulnerabilities, record.checks.get("runs")
    if column == "vulnerabilities" and scan.status != "scanned":
        if scan.status == "not_scanned" and record.checks and "vulnerabilities" not in record.checks:
            return wording("report.not_asked")
        return scan.reason or scan.status.replace("_", " ")
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


def short(text: str) -> str:
    """What the page shows of a long text, with a sign of more."""
    return figures.cut(text, 300)


# Evidence in words, as much of it as fits; all of it is in ``report.json``.

EVIDENCE_BUDGET, CHECKS_BUDGET = 90_000, 30_000
EVIDENCE_LETTERS, REASON_LETTERS = 400, 240


def attack_evidence(view: View) -> dict[str, str]:
    """By attack: what came of it, for which postures and variants, and below it the evidence."""
    found: dict[str, dict[str, dict[str, list[str]]]] = {payload: {} for payload in view.payloads}
    for name, record in view.attacked:
        for posture in view.postures:
            for payload, cell in record.attacks.get(posture, {}).items():
                words = f"{_outcome(cell)}\n{evidence_words(cell.evidence)}".strip().replace("\n", "\n    ")
                found[payload].setdefault(words, {}).setdefault(posture, []).append(name)
    room, shown = EVIDENCE_BUDGET, dict[str, str]()
    for payload, cases in found.items():
        text = "\n".join(f"{_where(seen, len(view.attacked))}: {words}" for words, seen in cases.items())
        room -= len(text)
        shown[payload] = text if room >= 0 else "see report.json"
    return shown


def _where(seen: dict[str, list[str]], every: int) -> str:
    """``open, default: every variant; hardened: ko``."""
    postures: dict[str, list[str]] = {}
    for posture, names in seen.items():
        postures.setdefault("every variant" if 1 < every == len(names) else ", ".join(names), []).append(posture)
    return "; ".join(f"{', '.join(some)}: {names}" for names, some in postures.items())


def _outcome(cell: AttackRecord) -> str:
    return attacks.outcome_words(cell) + (f" ({cell.reason[:REASON_LETTERS]})" if cell.reason else "")


def evidence_words(evidence: object) -> str:
    """Evidence as lines ``key: value``, no raw JSON; at most ``EVIDENCE_LETTERS``."""
    if evidence in (None, "", {}, []):
        return ""
    pairs = [item for item in evidence.items() if item[0] != "seconds"] if isinstance(evidence, dict) else ()
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
    room = CHECKS_BUDGET
    for name, check, result in every:
        words = evidence_words(result.evidence)
        room -= len(words)
        if words and room >= 0:
            shown[name].append((check, words))
    return shown


# The page.


@functools.cache
def environment() -> Environment:
    """Jinja's, for the report's templates: what is put in is escaped."""
    files = PackageLoader("deadweight.report", "templates")
    made = Environment(loader=files, autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    made.filters.update(FILTERS)
    names = {"FINDINGS_SHOWN": FINDINGS_SHOWN, "named": named, "figures": figures, "reference": reference.short}
    made.globals.update(by_outcome=attacks.by_outcome, heading=attacks.heading, runtime_words=runtime_words, **names)
    return made


SCRIPTS = ("page.js", "table.js")
GROUPS_SHOWN, FINDINGS_SHOWN = 12, 500


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
        pictures=charts.pictures(view),
        evidence=_checks(report),
        groups=view.groups[:GROUPS_SHOWN],
        css=Markup(css),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own files
        attack_evidence=attack_evidence(view),
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


def coded(text: str, report: Report) -> Markup:
    """A sentence in which the names of variants stand out: ``today`` is no day."""
    names = "|".join(re.escape(str(escape(name))) for name in sorted(report.variants, key=len, reverse=True)) or "$."
    return Markup(re.sub(rf"(?<![\w-])({names})(?![\w-])", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped before


FILTERS: dict[str, Callable[..., Any]] = {
    **{name: getattr(figures, name) for name in ("size", "count", "plural", "when")},
    "secrets": secret_words,
    "coded": coded,
    "number": lambda value: f"{value:.2f}".rstrip("0").rstrip("."),  # at most two places, without a needless zero
    "glued": lambda text: re.sub(r"(?<=\d) (?=%|[kMG]?B\b)", "\u00a0", text),  # a figure and its unit stay on one line
    "short": short,
    "provenance": provenance,
    "secrets_label": secrets_label,
    "rooted": lambda path: f"/{path.lstrip('/')}",
    "command": lambda variant, task: command(task, variant),
}
