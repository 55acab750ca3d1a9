"""Define ``scan``: find vulnerabilities in images; write SBOMs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from invoke.context import Context

from deadweight._errors import CheckFailed, DeadweightError, MissingError, wording
from deadweight.tasks import lazy
from deadweight.tasks._progress import console, print_json, report_progress, say, stand_in_rows, tell_stand_ins
from deadweight.tasks._task import Part, choose, end_if_none, parse_jobs, task
from deadweight.tasks._words import Names, Value


@task()
def scan(
    c: Context,
    part: Part,
    variant: Names = None,
    database: Value = None,
    strict: bool = False,
    sbom: Value = None,
    sarif: Value = None,
    jobs: Value = None,
    json: bool = False,
) -> None:
    """Look up the packages of each image in a vulnerability database; exit 1 if a gate of the suite fails.

    Example: invoke scan --database download
    Example: invoke scan --changed-from published/report.json
    Example: invoke scan --variant apko --sbom spdx --sarif findings.sarif
    """
    forms = lazy.sbom.forms(sbom)  # a wrong name or number is told before anything is fetched or scanned
    count = parse_jobs(jobs)
    with lazy.Workspace.open(say, since=part.since) as workspace:
        selection = choose(workspace, variant, part)
        end_if_none(selection, selection.variants, {"scans": [], "failed": {}, "sboms": []}, json=json)
        chosen = _built(workspace, selection, named=bool(variant))
        if database is not None:
            used = lazy.database.use(database, workspace.suite.scan.database_repository, say)
            say("\n".join(used.describe()))
        with report_progress("scan"):
            results, failed = lazy.scan.scan_variants(workspace, chosen, strict=strict, jobs=count)
        wanted = chosen if sbom is not None else ()
        sboms = [asdict(lazy.sbom.write_sboms(workspace.subject(variant), forms)) for variant in wanted]
    if sarif is not None:
        lazy.store.write_where_told(Path(sarif), lazy.sarif.scan_sarif(results))
        say(f"wrote {sarif}")
    if json:
        problems = {name: error.message for name, error in failed.items()}
        print_json({"scans": stand_in_rows(workspace, results), "failed": problems, "sboms": sboms})
    else:
        _show(workspace, results, sboms)
    _raise_if_bad(results, failed, strict=strict)


def _show(workspace: lazy.Workspace, results: Sequence[lazy.Evidence], sboms: Sequence[Mapping[str, Any]]) -> None:
    print_scans(results, console())
    print_sboms(sboms, console())
    tell_stand_ins(workspace, (result.variant for result in results), print)
    say(f"{total(results)}. Next: invoke report")


def _built(workspace: lazy.Workspace, selection: lazy.changed.Selection, *, named: bool) -> tuple[lazy.Variant, ...]:
    """The named variants; without names all that are built. Raises MissingError where nothing is."""
    chosen = selection.variants
    if named:
        return chosen
    built = tuple(variant for variant in chosen if workspace.built(variant.name) is not None)
    for variant in chosen:
        if variant not in built:
            say(f"{variant.name}: not scanned because not built")
    if not built:
        raise MissingError(wording("tasks.nothing_built"))
    return built


def _raise_if_bad(results: Sequence[lazy.Evidence], failed: Mapping[str, DeadweightError], *, strict: bool) -> None:
    """Exit 1 where a scan or a gate fails; exit 3 where something missing is all that was in the way: an engine, a
    database."""
    bad = [f"{name}: {error.message}" for name, error in failed.items()]
    bad += [f"{result.variant}: {result.reason}" for result in results if not result.ok]
    if bad:
        lacking = len(bad) == len(failed) and all(isinstance(error, MissingError) for error in failed.values())
        hints = dict.fromkeys(error.hint for error in failed.values() if error.hint)
        total, failures = len(results) + len(failed), "\n".join(bad)
        message = wording("tasks.scans_failed", failed=len(bad), total=total, failures=failures)
        raise (MissingError if lacking else CheckFailed)(message, hint="; ".join(hints) or None)
    missing = [result for result in results if result.data.get("status") == "not_scanned"]
    if missing:
        raise MissingError(str(missing[0].data["reason"]), hint=missing[0].data.get("hint"))
    unknown = [result.variant for result in results if result.data.get("status") == "not_covered"]
    if strict and unknown:
        raise CheckFailed(wording("tasks.not_covered", variants=", ".join(unknown)))


# Scans and SBOMs on a terminal.
SEVERITIES = ("critical", "high", "medium", "low", "unknown")
HEADS = {
    "variant": 0, "total": 1, "critical": 2, "high": 3, "medium": 8, "low": 9, "unknown": 12, "fixable": 6,
    "kernel headers": 11, "OS": 5, "languages": 10, "reached": 4, "not used by the operations asked": 7,
}  # fmt: skip
"""All columns; those of the lowest rank get the room that a terminal has first."""


def print_scans(results: Sequence[lazy.Evidence], out: lazy.Console) -> None:
    """One row for each image; a count stands only where something was looked up."""
    rows = [[*map(lazy.Text, (result.variant, *_cells(result.data)))] for result in results]
    lazy.print_grid([lazy.Head(*head) for head in HEADS.items()], rows, out)
    for result in (result for result in results if result.data.get("status") != "not_scanned"):
        out.print(f"{result.variant}: {result.reason}", markup=False, style="bold red" if not result.ok else "")
    for text in unused(results):
        out.print(f"an exception matches no finding here and can be removed: {text}", markup=False, style="yellow")


def total(results: Sequence[lazy.Evidence]) -> str:
    """``3 images scanned: 1,788 findings, 44 of them reached``; what was not scanned or covered is told apart."""
    scanned = [result.data for result in results if result.data.get("status") == "scanned"]
    reached = [data["reachability"] for data in scanned if data["reachability"]["status"] == "measured"]
    counted = [data["total"] for data in scanned if data["total"] is not None]
    untold = len(scanned) - len(counted)
    parts = [lazy.figures.plural(sum(counted), "finding") if counted else "\u2013 findings"]
    parts += [wording("tasks.without_language", images=lazy.figures.plural(untold, "image"))] if untold else []
    if reached:
        known = "" if len(reached) == len(scanned) else f" (measured for {len(reached)} of {len(scanned)})"
        parts.append(f"{sum(reach['reachable'] for reach in reached):,} of them reached{known}")
    other = len(results) - len(scanned)
    left = f"; {lazy.figures.plural(other, 'image')} not scanned or not covered" if other else ""
    return f"{lazy.figures.plural(len(scanned), 'image')} scanned: {', '.join(parts)}{left}"


def unused(results: Sequence[lazy.Evidence]) -> list[str]:
    """Exceptions that none of the scanned images needs."""
    scanned = [result for result in results if result.data.get("status") == "scanned"]
    unneeded = {origin for evidence in scanned for origin in evidence.data["unused_exceptions"]}
    used = {origin for evidence in scanned for origin in evidence.data["used_exceptions"]}
    return sorted(unneeded - used)


def _cells(data: Mapping[str, Any]) -> list[str]:
    covered = [str((data.get("coverage") or {}).get(part, "")).replace("_", " ") for part in ("os", "language")]
    if data.get("status") != "scanned":
        words = str(data.get("status", "failed")).replace("_", " ")
        return [words, *[""] * 7, *covered, "", ""]
    reach = data["reachability"]
    measured = reach["status"] == "measured" and data["total"] is not None
    counts = [data["total"], *(data["by_severity"].get(name) for name in SEVERITIES), data["fixable"]]
    return [
        *("\u2013" if count is None else f"{count:,}" for count in counts),
        f"{data['kernel_headers']['total']:,}",
        *covered,
        *(str(reach[part]) if measured else "not measured" for part in ("reachable", "dead_weight")),
    ]


def print_sboms(sboms: Sequence[Mapping[str, Any]], out: lazy.Console) -> None:
    """Where each SBOM is, and what the builder's claims and the image do not agree on."""
    plural = lazy.figures.plural
    for sbom in sboms:
        for file in sbom["files"]:
            claimed = f"{file['form']} of {plural(file['packages'], 'package')} ({file['by']})"
            out.print(f"{sbom['variant']}: {claimed}: {file['path']}", markup=False)
        for rows, word in (
            (sbom["absent"], "builder's SBOM, not in the image"),
            (sbom["unclaimed"], "image, not in the SBOM"),
        ):
            if rows:
                more = f" and {len(rows) - 8} more" if len(rows) > 8 else ""
                out.print(
                    f"{sbom['variant']}: in the {word}: {', '.join(rows[:8])}{more}", markup=False, style="yellow"
                )
