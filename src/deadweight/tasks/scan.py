"""``scan``: the vulnerabilities of all variants, and their SBOMs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke.context import Context

from deadweight.tasks import _choose
from deadweight.tasks._heartbeat import pulse
from deadweight.tasks._options import parse_jobs
from deadweight.tasks._progress import console, print_json, say, stand_in_note, stand_in_rows
from deadweight.tasks._task import task

if TYPE_CHECKING:
    from deadweight._errors import DeadweightError
    from deadweight.project.selection import Selection
    from deadweight.project.workspace import Workspace
    from deadweight.records.evidence import Evidence
    from deadweight.suite.model import Variant


@task(
    help={
        "variant": "the variant; repeat it for more (default: all that are built)",
        "database": "the database to use from now on: download, oci://REFERENCE, a file, a folder, or local (made here)",
        "strict": "fail if the database is missing, old, or does not cover an image",
        "sbom": "write SBOMs too, and compare them with the images: spdx, cyclonedx or both",
        "sarif": "write findings as SARIF 2.1.0 to this file",
        "jobs": "how many images at once (default: one per core)",
        **_choose.HELP,
        "json": "print one JSON document on stdout",
    },
    iterable=["variant"],
)
def scan(
    c: Context,
    variant: Sequence[str] | None = None,
    database: str | None = None,
    strict: bool = False,
    sbom: str | None = None,
    sarif: str | None = None,
    jobs: str | None = None,
    shard: str | None = None,
    times: str | None = None,
    since: str | None = None,
    changed_from: str | None = None,
    json: bool = False,
) -> None:
    """Look up the packages of each image in a vulnerability database; exit 1 if a gate of the suite is broken.

    Example: invoke scan --database download
    Example: invoke scan --changed-from published/report.json
    Example: invoke scan --variant apko --sbom spdx --sarif findings.sarif
    """
    from deadweight.checks.scan.sbom import forms
    from deadweight.project.scan import scan_variants
    from deadweight.project.workspace import Workspace

    forms(sbom)  # a wrong name or number is told before anything is fetched or scanned
    count = parse_jobs(jobs)
    with Workspace.open(say, since=since) as workspace:
        selection = _choose.chosen(workspace, variant, shard=shard, times=times, since=since, changed_from=changed_from)
        if selection.narrowed and not selection.variants:
            _tell_nothing(as_json=json)
            return
        chosen = _built(workspace, selection, named=bool(variant))
        _use(database, workspace)
        with pulse("scan"):
            found, failed = scan_variants(workspace, chosen, strict=strict, jobs=count)
        sboms = _sboms(workspace, chosen, sbom)
    _write_sarif(sarif, found)
    _tell(workspace, found, failed, sboms, as_json=json)
    _raise_if_bad(found, failed, strict=strict)


def _write_sarif(file: str | None, found: Sequence[Evidence]) -> None:
    from deadweight.records.store import write_where_told
    from deadweight.report.sarif import scan_sarif

    if file is None:
        return
    write_where_told(Path(file), scan_sarif(found))
    say(f"wrote {file}")


def _use(named: str | None, workspace: Workspace) -> None:
    """Take another vulnerability database from now on, where one is named, and say what it covers."""
    from deadweight.checks.scan import database

    if named is None:
        return
    for line in database.use(named, workspace.suite.scan.database_repository, say).told():
        say(line)


def _tell_nothing(*, as_json: bool) -> None:
    if as_json:
        print_json({"scans": [], "failed": {}, "sboms": []})


def _tell(
    workspace: Workspace,
    found: Sequence[Evidence],
    failed: Mapping[str, DeadweightError],
    sboms: Sequence[Mapping[str, Any]],
    *,
    as_json: bool,
) -> None:
    if as_json:
        print_json(
            {
                "scans": stand_in_rows(workspace, found),
                "failed": {name: error.message for name, error in failed.items()},
                "sboms": sboms,
            }
        )
        return
    from deadweight.tasks._scan import print_sboms, print_scans, total

    print_scans(found, console())
    print_sboms(sboms, console())
    if (resting := stand_in_note(workspace, (each.variant for each in found))) is not None:
        print(resting)
    say(f"{total(found)}. Next: invoke report")


def _built(workspace: Workspace, selection: Selection, *, named: bool) -> tuple[Variant, ...]:
    """The named variants; without names all that are built. Raises MissingError where nothing is."""
    from deadweight._errors import MissingError

    chosen = selection.variants
    if named:
        return chosen
    built = tuple(each for each in chosen if workspace.built(each.name) is not None)
    for each in chosen:
        if each not in built:
            say(f"{each.name}: not scanned because not built")
    if not built:
        raise MissingError("no variant is built", hint="invoke build")
    return built


def _sboms(workspace: Workspace, chosen: Sequence[Variant], form: str | None) -> list[dict[str, Any]]:
    if form is None:
        return []
    from dataclasses import asdict

    from deadweight.checks.scan.sbom import forms, write_sboms

    return [asdict(write_sboms(workspace.subject(each), forms(form))) for each in chosen]


def _raise_if_bad(found: Sequence[Evidence], failed: Mapping[str, DeadweightError], *, strict: bool) -> None:
    """Exit 1 where a scan failed or a gate is broken; exit 3 where something missing is all that was in the way: an engine, a
    database."""
    from deadweight._errors import CheckFailed, MissingError

    bad = [f"{name}: {error.message}" for name, error in failed.items()]
    bad += [f"{each.variant}: {each.reason}" for each in found if not each.ok]
    if bad:
        lacking = len(bad) == len(failed) and all(isinstance(error, MissingError) for error in failed.values())
        hints = dict.fromkeys(error.hint for error in failed.values() if error.hint)
        raise (MissingError if lacking else CheckFailed)(
            f"{len(bad)} of {len(found) + len(failed)} images failed\n" + "\n".join(bad), hint="; ".join(hints) or None
        )
    missing = [each for each in found if each.data.get("status") == "not_scanned"]
    if missing:
        raise MissingError(str(missing[0].data["reason"]), hint=missing[0].data.get("hint"))
    unknown = [each.variant for each in found if each.data.get("status") == "not_covered"]
    if strict and unknown:
        raise CheckFailed(
            f"the vulnerability database does not cover {', '.join(unknown)}, so nothing is known about these images",
            hint="use another database (invoke scan --database …), or leave out --strict",
        )
