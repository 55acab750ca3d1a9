"""Scans and SBOMs on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from deadweight.records.evidence import Evidence

SEVERITIES = ("critical", "high", "medium", "low", "unknown")
TOUCHED, UNTOUCHED = "touched", "not touched by the requests sent"
MOST_TELLING = ("variant", "total", "critical", "high", TOUCHED, "OS", "fixable", UNTOUCHED, "medium", "low", "languages",
                "kernel headers", "unknown")  # fmt: skip
"""All columns, in the order in which they get the room that a terminal has."""


def print_scans(found: Sequence[Evidence], out: Console) -> None:
    """One row for each image; a count stands only where something was looked up."""
    from rich.table import Table

    heads = ("variant", "total", *SEVERITIES, "fixable", "kernel headers", "OS", "languages", TOUCHED, UNTOUCHED)
    rows = [(each.variant, *_cells(each.data)) for each in found]
    shown = fitting(heads, rows, out.width)
    table = Table(*(heads[index] for index in shown), box=None, padding=(0, 1))
    for row in rows:
        table.add_row(*(row[index] for index in shown))
    out.print(table)
    dropped = [head for index, head in enumerate(heads) if index not in shown]
    if dropped:
        out.print(f"Not enough room for {', '.join(dropped)}: use a wider terminal or invoke report.", markup=False)
    for each in (each for each in found if each.data.get("status") != "not_scanned"):
        out.print(f"{each.variant}: {each.reason}", markup=False, style="bold red" if not each.ok else "")
    for text in unused(found):
        out.print(
            f"an exception matches no finding in these images and can be removed: {text}", markup=False, style="yellow"
        )


def fitting(heads: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """The columns that fit, in their order: the most telling are given room first."""
    chosen, left = list[int](), width
    for head in MOST_TELLING:
        index = heads.index(head)
        needed = 2 + max(len(head), *(len(row[index]) for row in rows)) if rows else 2 + len(head)
        if not chosen or needed <= left:
            chosen.append(index)
            left -= needed
    return sorted(chosen)


def total(found: Sequence[Evidence]) -> str:
    """``3 images scanned: 1,788 findings, 44 of them reached``; what was not scanned or covered is told apart."""
    from deadweight.report.figures import plural

    scanned = [each.data for each in found if each.data.get("status") == "scanned"]
    reached = [data["reachability"] for data in scanned if data["reachability"]["status"] == "measured"]
    counted = [data["total"] for data in scanned if data["total"] is not None]
    untold = len(scanned) - len(counted)
    parts = [plural(sum(counted), "finding") if counted else "\u2013 findings"]
    parts += [f"{plural(untold, 'image')} with a language that is not covered"] if untold else []
    if reached:
        known = "" if len(reached) == len(scanned) else f" (measured for {len(reached)} of {len(scanned)})"
        parts.append(f"{sum(each['reachable'] for each in reached):,} of them reached{known}")
    other = len(found) - len(scanned)
    left = f"; {plural(other, 'image')} not scanned or not covered" if other else ""
    return f"{plural(len(scanned), 'image')} scanned: {', '.join(parts)}{left}"


def unused(found: Sequence[Evidence]) -> list[str]:
    """Exceptions that none of the scanned images needs."""
    scanned = [each for each in found if each.data.get("status") == "scanned"]
    told = {text for each in scanned for text in each.data["unused_exceptions"]}
    used = {origin for each in scanned for origin in each.data["used_exceptions"]}
    return sorted(text for text in told if text.removesuffix(" matches no finding") not in used)


def _cells(data: Mapping[str, Any]) -> list[str]:
    covered = data.get("coverage") or {}
    if data.get("status") != "scanned":
        words = str(data.get("status", "failed")).replace("_", " ")
        return [words, *[""] * 7, *_words(covered), "", ""]
    reach = data["reachability"]
    measured = reach["status"] == "measured" and data["total"] is not None
    counts = [data["total"], *(data["by_severity"].get(name) for name in SEVERITIES), data["fixable"]]
    return [
        *("\u2013" if count is None else f"{count:,}" for count in counts),
        f"{data['kernel_headers']['total']:,}",
        *_words(covered),
        str(reach["reachable"]) if measured else "not measured",
        str(reach["dead_weight"]) if measured else "not measured",
    ]


def _words(covered: Mapping[str, Any]) -> list[str]:
    return [str(covered.get(part, "")).replace("_", " ") for part in ("os", "language")]


def print_sboms(sboms: Sequence[Mapping[str, Any]], out: Console) -> None:
    """Where each SBOM is, and what the builder's claims and the image do not agree on."""
    from deadweight.report.figures import plural

    for each in sboms:
        for file in each["files"]:
            out.print(
                f"{each['variant']}: {file['form']} of {plural(file['packages'], 'package')} ({file['by']}): {file['path']}",
                markup=False,
            )
            if file["note"]:
                out.print(f"{each['variant']}: {file['note']}", markup=False, style="yellow")
        for word, rows in (
            ("in the builder's SBOM, not in the image", each["absent"]),
            ("in the image, not in the builder's SBOM", each["unclaimed"]),
        ):
            if rows:
                shown = ", ".join(rows[:8]) + (f" and {len(rows) - 8} more" if len(rows) > 8 else "")
                out.print(f"{each['variant']}: {word}: {shown}", markup=False, style="yellow")
