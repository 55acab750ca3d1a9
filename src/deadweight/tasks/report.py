"""Define ``report``, ``publish`` and ``push`` (of images)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from invoke.context import Context

from deadweight._errors import CheckFailed, MissingError, UsageError, wording
from deadweight.tasks import lazy
from deadweight.tasks._progress import console, print_json, print_utf8, pulse, say
from deadweight.tasks._task import names, one, task


@task(
    help={
        "against": "an earlier report: a file, a folder, oci://REFERENCE, or GIT-REVISION:path",
        "open": "open the page in a browser",
        "history": "print how each variant's figures moved over the reports so far; write no report",
        "json": "print report.json on stdout; with --history, the history",
    }
)
def report(
    c: Context, against: str | None = None, open: bool = False, history: bool = False, json: bool = False
) -> None:
    """Write the comparison (report.json, report.md, index.html); with --against exit 1 for a regression, 3 for what is missing.

    Example: invoke report --against published/report.json
    Example: invoke report --history
    """
    if history:
        _print_history(json, alone=against is None and not open)
        return

    with lazy.Workspace.open(say) as workspace, lazy.locked(workspace.state, say):
        # read first: it may be the one that is replaced now
        before = None if against is None else lazy.earlier(against, workspace.suite.root)
        made, written, changed = write(workspace, before)
        if json:
            print_utf8(written.json.read_text(encoding="utf-8").rstrip())
        elif before is None:
            lazy.print_comparison(made, console())
        say(f"report: {written.html}")
        if changed is not None:  # last, for it may fail
            _conclude(changed, tell=say if json else print)
    if open:
        import webbrowser

        webbrowser.open(written.html.as_uri())


@task(
    help={
        "to": "a folder, ci (the step summary of a CI job), or oci://REFERENCE",
        "against": "mark what changed since this earlier report (default: the one that report --against was given last)",
    }
)
def publish(c: Context, to: str | None = None, against: str | None = None, json: bool = False) -> None:
    """Publish the report with its history and badges to a folder for static hosting, to CI's step summary, or to a registry.

    Example: invoke publish --to site/ --against site/report.json
    Example: invoke publish --to oci://registry.example.com/team/report:latest
    """
    target = one(to, "--to")
    with lazy.Workspace.open(say) as workspace, lazy.locked(workspace.state, say):
        kept = workspace.state.compared
        if against is None and kept.exists():
            against = str(kept)
        before = None if against is None else lazy.earlier(against, workspace.suite.root)
        _, _, changed = write(workspace, before)
        with pulse("publish"):
            done = lazy.publish(workspace.state.report, target, changed=changed, history=workspace.state.history)
    if json:
        print_json({"where": done.where, "digest": done.digest, "note": done.note, "output": done.output})
    elif done.output:
        print(done.output)
    else:
        say(
            f"published: {done.where}"
            + (f"@{done.digest}" if done.digest else "")
            + (f" ({done.note})" if done.note else "")
        )


@task(
    help={
        "to": "the repository, with or without a tag (default: latest); several variants are tagged with their names",
        "digest-file": "where to write what to deploy, REPOSITORY@sha256:… (default: .deadweight/images/VARIANT/digest)",
        "insecure": "speak plain HTTP to the registry",
        "sbom": "attach SBOMs too: spdx, cyclonedx or both",
    },
)
def push(
    c: Context,
    variant: Sequence[str] | None = None,
    to: str | None = None,
    digest_file: str | None = None,
    insecure: bool = False,
    sbom: str | None = None,
    json: bool = False,
) -> None:
    """Push variants to a registry and write each one's reference by digest to a file.

    Example: invoke push --variant apko --to registry.example.com/team/playground:1.0
    """
    target = one(to, "--to")
    if sbom is not None:
        lazy.sbom.forms(sbom)  # a wrong name is told before anything is pushed
    with lazy.Workspace.open(say) as workspace:
        chosen = lazy.select(workspace.suite, names(variant))
        if (several := len(chosen) > 1) and digest_file:
            raise UsageError(wording("tasks.digest_file"))
        places = {variant.name: lazy.push.destination(target, variant.name, several=several) for variant in chosen}
        done: dict[str, dict[str, Any]] = {}
        with lazy.locked(workspace.state, say), pulse("push"):
            archives = [workspace.archive(variant) for variant in chosen]  # all of them, or nothing is pushed
            for name, archive in zip(places, archives, strict=True):
                file = Path(digest_file) if digest_file else workspace.state.image(name) / "digest"
                reference = lazy.push.push(archive, places[name], digest_file=file, insecure=insecure)
                say(f"{name}: {reference} (written to {file})")
                done[name] = {"reference": reference, "digest": reference.partition("@")[2], "sboms": []}
            for pushed in chosen if sbom else ():
                row = done[pushed.name]
                row["sboms"] = _attach(workspace, pushed, row["reference"], sbom, insecure)
    if json:
        print_json(done)


def _attach(
    workspace: lazy.Workspace, variant: lazy.Variant, image: str, form: str | None, insecure: bool
) -> list[dict[str, Any]]:
    """Make the SBOMs that ``--sbom`` names and attach them to the pushed image."""
    files = lazy.sbom.write_sboms(workspace.subject(variant), lazy.sbom.forms(form)).files
    attached = lazy.push.attach(image, files, insecure=insecure)
    where = {"referrers": "as a referrer of the image", "tag": "by that tag (the registry has no referrers API)"}
    for each in attached:
        say(f"{variant.name}: {each.form} SBOM attached as {each.tag}; tools find it {where[each.found_by]}")
    return [asdict(attachment) for attachment in attached]


def _print_history(json: bool, *, alone: bool) -> None:
    if not alone:
        raise UsageError(wording("tasks.history_alone"))
    with lazy.Workspace.open(say) as workspace:
        entries = lazy.history.read(workspace.state.history, workspace.suite.name)
    if json:
        print_json({"suite": workspace.suite.name, "history": [asdict(entry) for entry in entries]})
    elif not entries:
        raise MissingError(wording("tasks.no_history"))
    else:
        print_history(entries, console())


def write(
    workspace: lazy.Workspace, before: lazy.Report | None = None
) -> tuple[lazy.Report, lazy.Written, lazy.Comparison | None]:
    """Collect what is on disk, add it to the history, and write it in all forms, marked with what changed since ``before``."""
    with pulse("report"):
        made = collected(workspace)
        changed = None if before is None else lazy.compare(before, made, workspace.suite.report.thresholds)
        if before is None:
            workspace.state.compared.unlink(missing_ok=True)
        else:
            lazy.store.write_atomically(workspace.state.compared, lazy.history.to_json(before))
        return made, lazy.write_report(made, workspace.state.report, changed), changed


def collected(workspace: lazy.Workspace) -> lazy.Report:
    """What is on disk as a report, and added to the history.

    An archive that cannot be had any more is a note, for the others' sake.
    """
    archives: dict[str, Path] = {}
    lost: dict[str, str] = {}
    for variant in workspace.suite.variants:
        if workspace.built(variant.name) is not None:
            try:
                archives[variant.name] = workspace.archive(variant)
            except MissingError as error:
                why = error.message.replace(f"{workspace.suite.root}/", "")  # a report may be published
                lost[variant.name] = f"{why}; `invoke build --variant {variant.name}` builds it again"
    asked = {variant.name: [check.name for check in lazy.table.asked(variant)] for variant in workspace.suite.variants}
    made = lazy.collect.collect(workspace.suite, workspace.state, archives, lost, asked)
    commit = lazy.git.commit_of(workspace.suite.root)
    entries = lazy.history.appended(
        workspace.state.history, lazy.history.entry_of(made, commit.name, dirty=commit.dirty)
    )
    return replace(made, history=entries[-lazy.history.IN_REPORT :])


def _conclude(found: lazy.Comparison, tell: Callable[[str], None]) -> None:
    """Tell what changed. Raises CheckFailed for a regression, MissingError for what is gone."""
    tell(lazy.markdown.comparison_markdown(found))
    since, lost = found.old_generated_at, len(found.unmeasured)
    if found.regressions:
        told = "; ".join(map(str, found.regressions)) + (f"; {lost} no longer measured" if lost else "")
        count = lazy.figures.plural(len(found.regressions), "regression")
        raise CheckFailed(wording("tasks.regressions", count=count, since=since, regressions=told))
    if lost:
        raise MissingError(wording("tasks.no_longer_measured", count=lost, since=since))


# The history of a comparison on a terminal.
HEADS = ("When (UTC)", "Commit", "Size", "Findings", "Attacks held", "Start-up", "Build")


def print_history(entries: Sequence[lazy.HistoryEntry], out: lazy.Console) -> None:
    """A table for each variant, from old to new."""
    for name in dict.fromkeys(name for entry in entries for name in entry.variants):
        table = lazy.Table(*HEADS, title=name, title_justify="left", box=None, padding=(0, 1))
        for entry, point in lazy.history.of(name, entries):
            table.add_row(*_cells(entry, point))
        if table.row_count:
            out.print(table)


def _cells(entry: lazy.HistoryEntry, point: lazy.HistoryPoint) -> list[str]:
    commit = (entry.commit or "none")[:10] + ("+" if entry.dirty else "")
    held = ", ".join(f"{posture} {each.held}/{each.tried}" for posture, each in point.attacks.items())
    return [
        entry.at[:16].replace("T", " "),
        commit,
        lazy.figures.size(point.size_bytes) + (f" ({lazy.figures.STAND_IN})" if point.stand_in else ""),
        lazy.figures.count(point.findings),
        held or lazy.figures.NOT_MEASURED,
        lazy.figures.seconds(point.startup_seconds),
        lazy.figures.seconds(point.build_seconds),
    ]
