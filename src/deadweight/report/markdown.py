"""Render the report as Markdown for GitHub and GitLab, with details folded, short enough for a comment."""

from __future__ import annotations

import functools
import re
from typing import Any

from jinja2 import Environment

from deadweight._log_excerpt import plain
from deadweight.report import charts, figures
from deadweight.report.compare import Comparison
from deadweight.report.html import environment
from deadweight.report.model import Report
from deadweight.report.table import BRIEF
from deadweight.report.verdict import View, secret_words, secrets_label

LIMIT_BYTES = 60_000
"""A comment on GitHub may hold 65,536 characters, with what the poster adds."""
REASON_LETTERS, LINE_LETTERS = 160, 400
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~&])")
_PART = "\f"


def render_markdown(report: Report, changed: Comparison | None = None) -> str:
    """``report.md``, at most ``LIMIT_BYTES``. ``changed``: since an earlier report."""
    seen = View(report, changed.worse if changed else ())
    text = render_template(
        "report.md.j2",
        report=report,
        seen=seen,
        found=changed,
        brief=BRIEF,
        pictures=charts.pictures(seen),
        hidden=[(*who, file) for *who, layers in seen.layers for file in layers.hidden if file.secrets],
        notes=[(name, note) for name, record in report.variants.items() for note in record.notes],
    )
    parts = [(title, body.strip()) for title, _, body in (part.partition("\n") for part in text.split(_PART)[1:])]
    return plain(_within([part for part in parts if part[1]]))


def _within(parts: list[tuple[str, str]]) -> str:
    """The parts that fit, and the names of those that do not: the last of them go first, the verdict never."""
    (*shown, (_, end)), dropped = parts, list[str]()
    while True:
        note = f"Not shown, to fit a comment: {', '.join(dropped)}; see `index.html` for everything." if dropped else ""
        text = "\n\n".join(filter(None, (*(body for _, body in shown), note, end))) + "\n"
        droppable = [part for part in shown if part[0]]
        if len(text.encode()) <= LIMIT_BYTES or not droppable:
            return text
        shown.remove(droppable[-1])
        dropped.insert(0, droppable[-1][0])


@functools.cache
def _environment() -> Environment:
    made = environment().overlay(autoescape=False, trim_blocks=True, lstrip_blocks=True)
    made.filters.update(md=escape, cut=_cut, line=_line, zip=zip)
    made.globals.update(part=_PART, secret_words=secret_words, secrets_label=secrets_label)
    return made


def render_template(template: str, **given: Any) -> str:
    """A template of Markdown, filled in: no two blank lines follow each other."""
    return re.sub(r"\n{3,}", "\n\n", _environment().get_template(template).render(given)).strip("\n") + "\n"


def escape(text: str) -> str:
    """Text that Markdown shows as it is; line breaks become spaces (a table row is one line)."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _cut(text: str, letters: int = REASON_LETTERS) -> str:
    return escape(figures.cut(text, letters))


def _line(text: str) -> str:
    """Names of packages and instructions are others' words: no markup, and nobody is called by them (``@babel/core``)."""
    return _cut(text, LINE_LETTERS).replace("@", "@<!-- -->")


def comparison_markdown(comparison: Comparison) -> str:
    """For a pull-request comment and a CI step summary: regressions first, then all changes, then what could not be compared."""
    return plain(render_template("changes.md.j2", found=comparison))
