"""Draw a report's figures as bars on a linear axis, the same for the page and for Markdown.

The page draws them as SVG whose parts are placed in percent: they fit any width, print, follow the theme by their class, and need
no style attribute, which the page's policy forbids. A comment on a forge loads no SVG and has no styles, so there the same bars are
letters. People compare lengths, so no axis is logarithmic: what is far larger than the rest is cut off, with its figure.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deadweight.records.reference import short
from deadweight.report import figures
from deadweight.report.model import VariantRecord
from deadweight.report.table import Ladder, Row, runtime_words, size_of, vulnerabilities_cell
from deadweight.report.verdict import View

WIDTH = 40
"""Letters of a whole axis."""
KINDS = {
    "base": ("█", "base image"), "runtime": ("▓", "runtime"), "packages": ("▒", "packages"), "app": ("░", "application"),
    "image": ("█", "stopped by the image"), "engine": ("▓", "by the engine's defaults"), "hardening": ("▒", "by hardening"),
    "never": ("x", "never stopped"), "unmeasured": ("·", "not compared"), "found": ("█", "CVEs"),
    "before": ("░", "before"), "now": ("█", "now"),
}  # fmt: skip
"""By class on the page: the letter in Markdown, and what it stands for."""
OUTLIER = 3
"""So many times the median is far larger than the rest."""


@dataclass(frozen=True)
class Bar:
    """One line: ``parts`` by kind from the left, in the axis's unit, or ``dots`` at places on it; ``label`` is its figure in words.

    ``mark`` stands beside the name (``ship``), and ``note`` says what the variant is made of.
    """

    name: str
    label: str
    parts: Mapping[str, float] = field(default_factory=dict)
    dots: tuple[float, ...] = ()
    mark: str = ""
    note: str = ""


@dataclass(frozen=True)
class Chart:
    """``most`` is the end of the axis."""

    title: str
    bars: tuple[Bar, ...]
    most: float

    @property
    def legend(self) -> dict[str, tuple[str, str]]:
        return {kind: KINDS[kind] for kind in KINDS if any(bar.parts.get(kind) for bar in self.bars)}

    def cut(self, bar: Bar) -> bool:
        return sum(bar.parts.values()) > self.most

    def placed(self, bar: Bar) -> list[tuple[str, float, float]]:
        """Kind, left end and width of each part, in percent of the axis. One that is cut off keeps the shares of its parts."""
        whole = max(self.most, sum(bar.parts.values())) or 1
        left, rows = 0.0, []
        for kind, value in bar.parts.items():
            if value > 0:
                rows.append((kind, left, 100 * value / whole))
                left += 100 * value / whole
        return rows

    def text(self) -> str:
        """The chart in letters, a line for each bar, and what the letters mean."""
        wide = max((len(bar.name) for bar in self.bars), default=0)
        lines = [
            f"{bar.name:<{wide}}  {self._letters(bar)}{f'  <- {bar.mark}' if bar.mark else ''}" for bar in self.bars
        ]
        legend = "   ".join(f"{letter} {words}" for letter, words in self.legend.values())
        return "\n".join([*lines, *([f"{'':<{wide}}  {legend}"] if len(self.legend) > 1 else [])])

    def _letters(self, bar: Bar) -> str:
        if bar.dots:
            places = {round((WIDTH - 1) * dot / self.most) for dot in bar.dots}
            return f"{''.join('•' if place in places else ' ' for place in range(WIDTH))}  {bar.label}"
        ends = [(KINDS[kind][0], round(WIDTH * (left + width) / 100)) for kind, left, width in self.placed(bar)]
        line = ""
        for letter, end in ends:
            line += letter * (end - len(line))
        line = line or ("▏" if ends else "")
        return " ".join(filter(None, (line + "»" * self.cut(bar), bar.label)))


def pictures(view: View) -> dict[str, list[Chart]]:
    """The charts of each section: one for each ladder in which anything was measured."""
    kinds = {"sizes": _sizes, "findings": _findings, "attacks": _attacks, "starts": _starts}
    made = {key: [draw(ladder, view) for ladder in view.judged] for key, draw in kinds.items()}
    return {key: [chart for chart in drawn if chart] for key, drawn in made.items()}


def _bar(view: View, row: Row, label: str, **more: Any) -> Bar:
    return Bar(row.variant, label, mark=view.winners.get(row.variant, ""), **more)


def _sizes(ladder: Ladder, view: View) -> Chart | None:
    """Uncompressed bytes of each variant, by what they are; None if nothing was measured, or all have one size."""
    known = sorted(size for row in ladder.rows if (size := size_of(row.record)))
    if not known or (len({figures.size(size) for size in known}) == 1 and len(ladder.rows) > 1):
        return None
    bars = []
    for row in sorted(ladder.rows, key=lambda row: size_of(row.record) or float("inf")):
        base, reference = row.record.base, row.record.reference and row.record.reference.size_bytes
        label = figures.size(size_of(row.record)) + (f" (reference {figures.size(reference)})" if reference else "")
        note = ", ".join(filter(None, (f"on {short(base.reference)}" if base else "", runtime_words(row.record))))
        bars.append(_bar(view, row, label, parts=contents(row.record), note=note))
    return Chart(ladder.title, tuple(bars), max(size for size in known if size <= OUTLIER * statistics.median(known)))


_INSTALLS = re.compile(r"\b(apt-get|apt|apk|dnf|microdnf|yum|zypper)\b.*\b(install|add)\b")
_FROM_BASE = "deadweight: stand-in"
_LIBRARIES = frozenset(("deb", "apk", "rpm", "alpm"))


def contents(record: VariantRecord) -> dict[str, float]:
    """Bytes of an image by what they are, as far as the evidence tells: nothing if its size is unknown.

    The lowest layer is the base's, unless the variant has none; so are those that say so. A layer that installs packages holds
    packages, and any other the application; the folder of a language's runtime is taken out of its layer. An image of packages
    alone (apko) has no layers to tell them apart: there the application is what the packages of its language weigh.
    """
    size, layers = size_of(record), record.image.layers if record.image else ()
    if not size:
        return {}
    found = record.layers
    if record.builder == "apko":
        own = sum(item.size_bytes for item in found.packages if item.kind not in _LIBRARIES) if found else 0
        return {"packages": size - min(own, size), "app": min(own, size)}
    program = (
        record.runtime.path if record.runtime and record.runtime.name not in ("Go", "native", "shell", "none") else None
    )
    home = "/".join((program or "").split("/")[:3])
    parts = dict.fromkeys(("base", "runtime", "packages", "app"), 0.0)
    for index, layer in enumerate(layers):
        folders = found.folders if found and home not in ("", "/usr/bin", "/usr/local", "/usr/lib") else ()
        runtime = sum(item.size_bytes for item in folders if item.layer == index and item.folder.startswith(home))
        text = layer.instruction or ""
        based = record.base is not None and (index == 0 or text.startswith(_FROM_BASE))
        parts["base" if based else "packages" if _INSTALLS.search(text) else "app"] += layer.size_bytes - runtime
        parts["runtime"] += runtime
    return parts if layers else {"app": float(size)}


def _attacks(ladder: Ladder, view: View) -> Chart | None:
    """What stops the attacks, of all that were tried on any variant: each bar is as long as the others."""
    total, bars = len(view.payloads), []
    for row in ladder.rows:
        if split := row.record.attack_split:
            parts = {"image": split.by_image, "engine": split.by_engine, "hardening": split.by_hardening}
            parts |= {"never": split.got_through, "unmeasured": total - split.of + split.unknown}
            bars.append(_bar(view, row, f"{split} stopped", parts=parts))
    bars.sort(key=lambda bar: -bar.parts["image"] - bar.parts["engine"])
    return Chart(ladder.title, tuple(bars), total) if bars else None


def _findings(ladder: Ladder, view: View) -> Chart | None:
    """Distinct findings of each variant; those that were not scanned have words and no bar."""
    bars = []
    for row in ladder.rows if view.scans else ():
        cell, total = vulnerabilities_cell(row.record.vulnerabilities), row.record.vulnerabilities.total
        label = f"{cell.text} ({cell.badge})" if cell.badge else cell.text
        bars.append(_bar(view, row, label, parts={} if total is None else {"found": total}))
    bars.sort(key=lambda bar: bar.parts.get("found", float("inf")))
    return Chart(ladder.title, tuple(bars), max(bar.parts.get("found", 0) for bar in bars)) if bars else None


def _starts(ladder: Ladder, view: View) -> Chart | None:
    """Each start of each variant as a dot, from zero."""
    timed = [(seconds, row) for row in ladder.rows if (seconds := row.record.startup_seconds)]
    bars = [
        _bar(view, row, figures.seconds(median), dots=row.record.startup_samples or (median,))
        for median, row in sorted(timed, key=lambda pair: pair[0])
    ]
    return Chart(ladder.title, tuple(bars), max(max(bar.dots) for bar in bars)) if bars else None


def changed(sizes: Sequence[tuple[str, int, int]], most: int) -> Chart:
    """Sizes before and now, those that changed most first."""
    bars = []
    for name, before, now in sorted(sizes, key=lambda size: -abs(size[2] - size[1]))[:most]:
        bars += [
            Bar(f"{name}, before", figures.size(before), {"before": before}),
            Bar("now", figures.size(now), {"now": now}),
        ]
    return Chart("", tuple(bars), max((value for bar in bars for value in bar.parts.values()), default=1))
