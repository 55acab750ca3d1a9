"""The report as one HTML page that stands alone: no request leaves it, and it works without scripts and without a network.

Styles and the sort script are inline and named by hash in the page's own Content-Security-Policy, so nothing that evidence
smuggles into the page could run or load.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from deadweight.image.findings import HiddenFile
from deadweight.records.evidence import Provenance
from deadweight.report import charts, figures
from deadweight.report.model import SEVERITIES, AttackRecord, Finding, Report, VariantRecord
from deadweight.report.view import FINDINGS_SHOWN, HIDDEN_SHOWN, View, secret_words, view

EVIDENCE_CHARACTERS = 20_000
TONES = {"pass": "good", "warn": "warn", "fail": "bad", "not_measured": "muted"}


@dataclass(frozen=True)
class Charts:
    """SVG texts by ladder and by variant; those with nothing to draw have none."""

    ladders: dict[str, str]
    layers: dict[str, str | None]


def render_html(report: Report, pictures: Charts | None = None) -> str:
    """``index.html`` of a report; ``pictures`` where they are drawn already."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    seen = view(report)
    pictures = pictures or draw(seen)
    environment = Environment(
        loader=PackageLoader("deadweight.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=False,
    )
    environment.filters.update(_filters())
    css, script = (_asset(environment, name) for name in ("report.css", "report.js"))
    html = environment.get_template("index.html.j2").render(
        report=report,
        view=seen,
        severities=SEVERITIES,
        tones=TONES,
        shown=HIDDEN_SHOWN,
        rows=FINDINGS_SHOWN,
        css=Markup(css),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        policy=policy(css, script),
        charts=Charts(
            {name: Markup(svg) for name, svg in pictures.ladders.items()},  # noqa: S704 - vl-convert escapes its texts
            {name: svg and Markup(svg) for name, svg in pictures.layers.items()},  # noqa: S704
        ),
    )
    return "\n".join(line.rstrip() for line in html.splitlines() if line.strip()) + "\n"


def draw(seen: View) -> Charts:
    """All pictures of a report, each with its description."""
    ladders = {
        ladder.name: charts.alternative(
            svg, f"{ladder.title} ladder: bar chart of image sizes; the table below holds its figures"
        )
        for ladder in seen.ladders
        if (svg := charts.ladder_chart(ladder)) is not None
    }
    layers: dict[str, str | None] = {}
    for name, _record, record in seen.layers:
        svg = charts.layer_map(record)
        layers[name] = svg and charts.alternative(svg, f"{name}: bytes of each layer by folder")
    return Charts(ladders, layers)


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


def _filters() -> dict[str, Any]:
    return {
        "size": figures.size,
        "count": figures.count,
        "digest": figures.digest,
        "things": figures.plural,
        "evidence": _evidence,
        "notable": _notable,
        "gravest": _gravest,
        "provenances": _provenances,
        "heat": _heat,
        "walls": charts.cell_text,
        "secrets": secret_words,
    }


def _evidence(value: object) -> str:
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    if len(text) <= EVIDENCE_CHARACTERS:
        return text
    return text[:EVIDENCE_CHARACTERS] + f"\n… {len(text) - EVIDENCE_CHARACTERS:,} more characters are in report.json"


def _notable(hidden: Iterable[HiddenFile]) -> list[HiddenFile]:
    """Everything with a secret, then the heaviest."""
    ordered = sorted(hidden, key=lambda file: (not file.secrets, -file.size_bytes, file.path))
    return ordered[: max(HIDDEN_SHOWN, sum(bool(file.secrets) for file in ordered))]


def _gravest(findings: Iterable[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda f: (SEVERITIES.index(f.severity), f.reachable is False, f.id, f.package))[
        :FINDINGS_SHOWN
    ]


def _provenances(record: VariantRecord) -> list[tuple[str, Provenance]]:
    found = [(name.replace("_", " "), item) for name, item in record.provenance.items()]
    found += [(f"check {name}", check.provenance) for name, check in record.checks.items() if check.provenance]
    return found


def _heat(record: AttackRecord) -> str:
    return f"w{min(charts.walls_of(record), 5)}" if record.outcome == "blocked" else record.outcome
