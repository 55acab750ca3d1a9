"""The report's pictures as SVG text: same records in, same bytes out (vl-convert renders without a browser or network).

The colours below are the light theme's. The HTML report re-colours them for a dark screen by matching these exact values, so
that one picture serves both and still stands alone as a file.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

from deadweight.image.findings import LayersReport
from deadweight.report import figures
from deadweight.report.model import AttackRecord
from deadweight.report.table import Ladder, size_of

INK, MUTED, GRID = "#1c2126", "#59636e", "#d6dce1"
BAR, STAND_IN_BAR, REFERENCE = "#1f6f8b", "#7fb0bf", "#9c4718"
FOLDER_COLOURS = ("#1f6f8b", "#d08c2e", "#6a8f3c", "#a2566f", "#4f5d95", "#3f9c8f", "#8a6d4b", "#b5a642")
OTHER_COLOUR = "#9aa4ad"
FONT = "Liberation Sans, Helvetica Neue, Arial, sans-serif"
CHART_WIDTH = 460
FOLDERS_SHOWN = len(FOLDER_COLOURS)

Chart = Any


def ladder_chart(ladder: Ladder) -> str | None:
    """Uncompressed size of each variant as a bar (linear: a length is a weight), reference sizes as hollow diamonds.

    None where nothing was measured: bare axes would say nothing.
    """
    import altair as alt

    if ladder.largest_bytes is None:
        return None

    rows = [
        _ladder_row(row.variant, size_of(row.record), row.record.reference, row.record.stand_in) for row in ladder.rows
    ]
    top = max(max(row["size"] or 0, row["reference"] or 0) for row in rows)
    base = alt.Chart(alt.InlineData(values=rows))
    y = alt.Y(
        "variant:N",
        sort=[row["variant"] for row in rows],
        axis=alt.Axis(title=None, ticks=False, domain=False, labelLimit=220),
    )
    x_axis = alt.Axis(title="uncompressed size, MB (10⁶ bytes)", tickCount=5, domain=False, grid=True)
    x = alt.X("size:Q", axis=x_axis, scale=alt.Scale(domain=[0, top]))
    colour = alt.condition("datum.stand_in", alt.value(STAND_IN_BAR), alt.value(BAR))
    bars = base.mark_bar(height=13).encode(y=y, x=x, color=colour)
    marks = base.mark_point(shape="diamond", size=70, filled=False, strokeWidth=2, color=REFERENCE, opacity=1).encode(
        y=y, x=alt.X("reference:Q")
    )
    labels = base.mark_text(align="left", baseline="middle", fontSize=11, color=INK).encode(
        y=y, x=alt.value(CHART_WIDTH + 10), text="label:N"
    )
    chart = (bars + marks + labels).properties(width=CHART_WIDTH, height=alt.Step(26))
    return _svg(chart, left=_slack(row["variant"] for row in rows), right=_slack(row["label"] for row in rows))


def _ladder_row(name: str, size: int | None, reference: Any, stand_in: bool) -> dict[str, Any]:
    label = figures.size(size) + (f", {figures.STAND_IN}" if stand_in and size is not None else "")
    reference_size = reference.size_bytes if reference else None
    return {
        "variant": name,
        "size": None if size is None else size / 1e6,
        "reference": None if reference_size is None else reference_size / 1e6,
        "stand_in": stand_in,
        "label": label,
    }


def layer_map(record: LayersReport) -> str | None:
    """One image's bytes: a bar per layer, lowest first, cut by folder. None where the layers are not known."""
    import altair as alt

    rows = _layer_rows(record)
    if not rows:
        return None
    folders = list(dict.fromkeys(row["folder"] for row in sorted(rows, key=lambda row: row["rank"])))
    colours = [OTHER_COLOUR if folder in _REST else FOLDER_COLOURS[i] for i, folder in enumerate(folders)]
    legend = alt.Legend(title=None, orient="bottom", columns=3, symbolType="square", labelLimit=180)
    chart = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar(height=15)
        .encode(
            y=alt.Y(
                "layer:N",
                sort=[row["layer"] for row in rows],
                axis=alt.Axis(title=None, ticks=False, domain=False, labelLimit=320),
            ),
            x=alt.X("size:Q", stack="zero", axis=alt.Axis(title="MB (10⁶ bytes)", tickCount=5, domain=False)),
            color=alt.Color("folder:N", scale=alt.Scale(domain=folders, range=colours), legend=legend),
            order=alt.Order("rank:Q"),
        )
        .properties(width=CHART_WIDTH, height=alt.Step(26))
    )
    return _svg(chart, left=_slack(row["layer"] for row in rows))


_OTHER, _WHOLE = "other folders", "not told by folder"
_REST = {_OTHER, _WHOLE}


def _layer_rows(record: LayersReport) -> list[dict[str, Any]]:
    totals: Counter[str] = Counter()
    for item in record.folders:
        totals[_folder(item.folder)] += item.size_bytes
    totals.pop(_OTHER, None)
    heaviest = sorted(totals, key=lambda folder: (-totals[folder], folder))[:FOLDERS_SHOWN]
    rank = {folder: index for index, folder in enumerate(heaviest)}
    rows = []
    for index, layer in enumerate(record.layers):
        name = f"layer {index + 1}: {figures.size(layer.size_bytes)}"
        parts: Counter[str] = Counter()
        for item in record.folders:
            if item.layer == index:
                folder = _folder(item.folder)
                parts[folder if folder in rank else _OTHER] += item.size_bytes
        if not parts:  # a layer without bytes has its row, and needs no word in the legend
            parts[_WHOLE if layer.size_bytes or not heaviest else heaviest[0]] = layer.size_bytes
        rows += [
            {"layer": name, "folder": folder, "size": size / 1e6, "rank": rank.get(folder, FOLDERS_SHOWN)}
            for folder, size in parts.items()
        ]
    return rows


def _folder(name: str) -> str:
    return _OTHER if name == "…" else f"/{name.lstrip('/')}"


def cell_text(record: AttackRecord) -> str:
    """A heat map cell: the number of walls where blocked, else the outcome in a word."""
    words = {"succeeded": "open", "crashed": "crash", "not_applicable": "n/a", "not_measured": figures.NOTHING}
    if record.outcome != "blocked":
        return words[record.outcome]
    if record.depth is None and not record.walls:
        return "held"  # blocked, but the walls were not tried one by one
    return str(walls_of(record))


def walls_of(record: AttackRecord) -> int:
    """How many walls stop this attack, as measured by putting each of them up alone, on top of ``open``."""
    return record.depth if record.depth is not None else len(record.walls)


def alternative(svg: str, description: str) -> str:
    """The SVG with its description for those who do not see it (``role="img"`` hides the inner marks from screen readers)."""
    from markupsafe import escape

    return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(description)}" ', 1)


def _slack(texts: Iterable[str]) -> int:
    """Pixels to leave beside texts that were measured in ``FONT``: who opens the picture may have only a wider font.

    The widest common one, DejaVu Sans, takes up to a fifth more than Liberation Sans, whose letters are about 6.5 px wide here.
    """
    return math.ceil(0.2 * 6.5 * max(map(len, texts), default=0))


def _svg(chart: Chart, left: int = 0, right: int = 0) -> str:
    import vl_convert

    styled = (
        chart.configure(
            background="transparent", font=FONT, padding={"left": 6 + left, "right": 6 + right, "top": 6, "bottom": 6}
        )
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=INK, titleColor=MUTED, gridColor=GRID, tickColor=GRID, labelFontSize=11.5, titleFontSize=11,
            titleFontWeight="normal", labelPadding=6,
        )
        .configure_legend(labelColor=INK, labelFontSize=11)
    )  # fmt: skip
    svg: str = vl_convert.vegalite_to_svg(styled.to_dict())
    return svg + "\n"
