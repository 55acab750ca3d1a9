"""The report as one HTML page that stands alone: no request leaves it, and it works without scripts and without a network.

Styles and the script are inline and named by hash in the page's own Content-Security-Policy, so nothing that evidence smuggles into
the page could run or load. Details are JSON in the page (a data block, which no policy needs to allow), drawn when they are opened.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deadweight._said import plain
from deadweight.report import attacks, charts, figures
from deadweight.report.boxes import box, short
from deadweight.report.compare import Comparison
from deadweight.report.got import provenance_words
from deadweight.report.marks import since
from deadweight.report.model import Report
from deadweight.report.page_data import grouped, page_data
from deadweight.report.scan_model import SEVERITIES
from deadweight.report.table import title_of
from deadweight.report.view import View, secret_words, view

if TYPE_CHECKING:
    from markupsafe import Markup

SCRIPTS = ("page.js", "compare.js", "history.js", "castle.js", "layers.js", "findings.js", "keys.js")
GROUPS_WITHOUT_SCRIPT = 40


@dataclass(frozen=True)
class Charts:
    """SVG texts: by ladder, and of the build times. What has nothing to draw has none."""

    ladders: dict[str, str]
    builds: str | None


def render_html(report: Report, pictures: Charts | None = None, changed: Comparison | None = None) -> str:
    """``index.html`` of a report; ``pictures`` where they are drawn already; ``changed``: since an earlier report, to be marked."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    seen = view(report)
    pictures = pictures or draw(report, seen)
    before = since(changed) if changed is not None else None
    environment = Environment(
        loader=PackageLoader("deadweight.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=False,
    )
    environment.filters.update(_filters())
    css = _asset(environment, "report.css")
    script = "\n".join(_asset(environment, name) for name in SCRIPTS)
    html = environment.get_template("index.html.j2").render(
        report=report,
        view=seen,
        since=before,
        severities=SEVERITIES,
        groups=grouped(report)[:GROUPS_WITHOUT_SCRIPT],
        names=list(report.variants),
        castle=attacks.castle,
        heading=attacks.heading,
        title_of=title_of,
        css=Markup(css),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own files
        data=Markup(page_data(report, seen, before.cells if before else {})),  # noqa: S704 - JSON in which "<" is escaped
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
