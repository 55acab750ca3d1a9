"""Badges as JSON for shields.io's endpoint badge (schemaVersion 1): a size for each variant, and the ladder's ratio."""

from __future__ import annotations

import json

from deadweight.report import figures
from deadweight.report.model import Report
from deadweight.report.table import ladders, size_of


def badges(report: Report) -> dict[str, str]:
    """File name to content. A figure that rests on a stand-in says so; what is not measured is grey, never zero."""
    files = {}
    for name, record in report.variants.items():
        size = size_of(record)
        message = figures.size(size) + (f" ({figures.STAND_IN})" if record.stand_in and size is not None else "")
        files[f"{name}.json"] = _badge(f"{name} image", message, known=size is not None)
    for ladder in ladders(report):
        ends = {ladder.largest_bytes, ladder.smallest_bytes} - {None}
        resting = any(row.record.stand_in for row in ladder.rows if size_of(row.record) in ends)
        ratio = figures.ratio(ladder.largest_bytes, ladder.smallest_bytes)
        ratio += f" ({figures.STAND_IN})" if resting else ""
        known = ladder.smallest_bytes is not None
        files[f"ladder-{ladder.name}.json"] = _badge(f"{ladder.title} images, largest : smallest", ratio, known=known)
    return files


def _badge(label: str, message: str, *, known: bool) -> str:
    colour = "blue" if known else "lightgrey"
    return json.dumps({"schemaVersion": 1, "label": label, "message": message, "color": colour}) + "\n"
