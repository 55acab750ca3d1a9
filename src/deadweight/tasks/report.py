"""Define ``report``, ``publish`` and ``push`` (of images); for CI, ``ci`` (print a pipeline), ``merge`` and ``verdict``."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from invoke.context import Context

from deadweight._errors import CheckFailed, DeadweightError, MissingError, UsageError, wording
from deadweight.tasks import lazy
from deadweight.tasks._progress import console, print_json, print_utf8, report_progress, say
from deadweight.tasks._task import one, task
from deadweight.tasks._words import Names, Value, meant, names
from deadweight.tasks.setup import get_tools


@task()
def report(c: Context, against: Value = None, open: bool = False, history: bool = False, json: bool = False) -> None:
    """Write the comparison (report.json, report.md, index.html); with --against, exit 1 if a figure got worse, 3 if one is missing.

    Example: invoke report --against published/report.json
    Example: invoke report --history
    """
    if history:
        _print_history(json, alone=against is None and not open)
        return
    page = lazy.paths.State(lazy.find_suite_file().parent).report / lazy.history.PAGE_FILE
    if not open or against is not None or json:
        _write_and_print(against, json=json)
    elif not page.exists():
        raise MissingError(wording("tasks.no_page"))
    if open:
        import webbrowser

        webbrowser.open(page.as_uri())


def _write_and_print(against: Value, *, json: bool) -> None:
    with lazy.Workspace.open(say) as workspace, lazy.locked(workspace.state, say):
        # read first: it may be the one that is replaced now
        before = None if against is None else lazy.push.earlier(against, workspace.suite.root)
        made, written, changed = write(workspace, before)
        if json:
            print_utf8(written.json.read_text(encoding="utf-8").rstrip())
        elif before is None:
            lazy.print_comparison(made, console())
        say(f"report: {written.html}")
        if changed is not None:  # last, for it may fail
            _conclude(changed, tell=say if json else print)


@task()
def publish(c: Context, to: Value = None, against: Value = None, json: bool = False) -> None:
    """Publish the report with its history and badges to a folder for static hosting, to CI's step summary, or to a registry.

    Example: invoke publish --to site/ --against site/report.json
    Example: invoke publish --to oci://registry.example.com/team/report:latest
    """
    target = one(to, "--to")
    with lazy.Workspace.open(say) as workspace, lazy.locked(workspace.state, say):
        kept = workspace.state.compared
        if against is None and kept.exists():
            against = str(kept)
        before = None if against is None else lazy.push.earlier(against, workspace.suite.root)
        _, _, changed = write(workspace, before)
        if target.startswith(lazy.push.OCI_PREFIX):
            get_tools(workspace, "crane")
        with report_progress("publish"):
            done = lazy.push.publish(workspace.state.report, target, changed=changed, history=workspace.state.history)
    if json:
        print_json(asdict(done))
    elif done.output:
        print(done.output)
    else:
        digest, note = f"@{done.digest}" if done.digest else "", f" ({done.note})" if done.note else ""
        say(f"published: {done.where}{digest}{note}")


@task()
def push(
    c: Context,
    variant: Names = None,
    to: Value = None,
    digest_file: Value = None,
    insecure: bool = False,
    sbom: Value = None,
    json: bool = False,
) -> None:
    """Push variants to a registry, and write their references (with digests) to one file.

    Example: invoke push --variant apko --to registry.example.com/team/playground:1.0
    """
    target = one(to, "--to")
    if sbom is not None:
        lazy.sbom.forms(sbom)  # a wrong name is told before anything is pushed
    with lazy.Workspace.open(say) as workspace:
        chosen = meant(workspace, variant)
        if (several := len(chosen) > 1) and digest_file:
            raise UsageError(wording("tasks.digest_file"))
        places = {variant.name: lazy.push.destination(target, variant.name, several=several) for variant in chosen}
        done: dict[str, dict[str, Any]] = {}
        with lazy.locked(workspace.state, say):
            archives = [workspace.archive(variant) for variant in chosen]  # all of them, or nothing is pushed
            get_tools(workspace, "crane")
            with report_progress("push"):
                for name, archive in zip(places, archives, strict=True):
                    file = Path(digest_file) if digest_file else workspace.state.image(name) / "digest"
                    reference = lazy.push.push(archive, places[name], digest_file=file, insecure=insecure)
                    say(f"{name}: {reference} (written to {file})")
                    done[name] = {"reference": reference, "digest": reference.partition("@")[2], "sboms": []}
                for pushed in chosen if sbom else ():
                    image = done[pushed.name]["reference"]
                    done[pushed.name]["sboms"] = _attach(workspace, pushed, image, sbom, insecure)
    if json:
        print_json(done)


def _attach(
    workspace: lazy.Workspace, variant: lazy.Variant, image: str, form: str | None, insecure: bool
) -> list[dict[str, Any]]:
    """Make the SBOMs that ``--sbom`` names and attach them to the pushed image."""
    files = lazy.sbom.write_sboms(workspace.subject(variant), lazy.sbom.forms(form)).files
    attached = lazy.push.attach(image, files, insecure=insecure)
    where = {"referrers": "as a referrer of the image", "tag": "by that tag (the registry has no referrers API)"}
    for sbom in attached:
        say(f"{variant.name}: {sbom.form} SBOM attached as {sbom.tag}; tools find it {where[sbom.found_by]}")
    return [asdict(attachment) for attachment in attached]


def _print_history(json: bool, *, alone: bool) -> None:
    """A table for each variant, from old to new."""
    if not alone:
        raise UsageError(wording("tasks.history_alone"))
    with lazy.Workspace.open(say) as workspace:
        entries = lazy.history.read(workspace.state.history, workspace.suite.name)
    if json:
        print_json({"suite": workspace.suite.name, "history": [asdict(entry) for entry in entries]})
        return
    if not entries:
        raise MissingError(wording("tasks.no_history"))
    for name in dict.fromkeys(name for entry in entries for name in entry.variants):
        rows = [[*map(lazy.Text, _cells(entry, point))] for entry, point in lazy.history.of(name, entries)]
        if rows:
            lazy.print_grid(HEADS, rows, console(), name)


def write(
    workspace: lazy.Workspace, before: lazy.Report | None = None
) -> tuple[lazy.Report, lazy.history.ReportFiles, lazy.Comparison | None]:
    """Collect what is on disk, add it to the history, and write it in all forms, marked with what changed since ``before``.

    An archive that cannot be had any more is a note, for the others' sake.
    """
    suite, state = workspace.suite, workspace.state
    archives: dict[str, Path] = {}
    lost: dict[str, str] = {}
    with report_progress("report"):
        for variant in (variant for variant in suite.variants if workspace.built(variant.name) is not None):
            try:
                archives[variant.name] = workspace.archive(variant)
            except MissingError as error:
                why = error.message.replace(f"{suite.root}/", "")  # a report may be published
                lost[variant.name] = f"{why}; `invoke build --variant {variant.name}` builds it again"
        asked = {variant.name: [check.name for check in lazy.table.checks_of(variant)] for variant in suite.variants}
        made = lazy.collect.collect(suite, state, archives, lost, asked)
        commit = lazy.git.commit_of(suite.root)
        entry = lazy.history.entry_of(made, commit.name, dirty=commit.dirty)
        entries = lazy.history.appended(state.history, entry)
        made = replace(made, history=entries[-lazy.history.IN_REPORT :])
        changed = None if before is None else lazy.compare(before, made, suite.report.thresholds)
        if before is None:
            state.compared.unlink(missing_ok=True)
        else:
            lazy.store.write_atomically(state.compared, lazy.history.to_json(before))
        return made, lazy.history.write_report(made, state.report, changed), changed


def _conclude(comparison: lazy.Comparison, tell: Callable[[str], None]) -> None:
    """Tell what changed. Raises CheckFailed for a regression, MissingError for what is gone."""
    tell(lazy.markdown.comparison_markdown(comparison))
    since, lost = comparison.old_generated_at, len(comparison.unmeasured)
    if comparison.regressions:
        text = "; ".join(map(str, comparison.regressions)) + (f"; {lost} not measured" if lost else "")
        count = lazy.figures.plural(len(comparison.regressions), "regression")
        raise CheckFailed(wording("tasks.regressions", count=count, since=since, regressions=text))
    if lost:
        raise MissingError(wording("tasks.not_measured_since", count=lost, since=since))


HEADS = ("When (UTC)", "Commit", "Size", "Findings", "Attacks held", "Start-up", "Build")


def _cells(entry: lazy.HistoryEntry, point: lazy.HistoryPoint) -> list[str]:
    commit = (entry.commit or "none")[:10] + ("+" if entry.dirty else "")
    held = ", ".join(f"{posture} {record.held}/{record.tried}" for posture, record in point.attacks.items())
    return [
        entry.at[:16].replace("T", " "),
        commit,
        lazy.figures.size(point.size_bytes) + (f" ({lazy.figures.STAND_IN})" if point.stand_in else ""),
        lazy.figures.count(point.findings),
        held or lazy.figures.NOT_MEASURED,
        lazy.figures.seconds(point.startup_seconds),
        lazy.figures.seconds(point.build_seconds),
    ]


# ``ci``: a pipeline.
@task(reads_only=True)
def ci(
    c: Context,
    provider: Value = None,
    shards: str = "4",
    install: Value = None,
    image: Value = None,
    scan: bool = False,
) -> None:
    """Print a CI pipeline: shards with a build cache, one merged report, a verdict on each pull request, minimal permissions.

    Example: invoke ci --provider github --shards 6 > .github/workflows/images.yml
    """
    target, count = one(provider, "--provider"), lazy.pipelines.parse_shards(shards)
    asked = lazy.pipelines.Pipeline(target, count, install or lazy.pipelines.PLACEHOLDER, scan=scan)
    print(lazy.pipelines.render(asked if image is None else replace(asked, image=image)), end="")
    if install is None and asked.provider != "kubernetes":
        say(f"replace {lazy.pipelines.PLACEHOLDER!r} with where your team keeps Deadweight, or use --install")


# ``merge``: one report of what several machines made.
@task()
def merge(c: Context, report: Names = None, to: Value = None, json: bool = False) -> None:
    """Merge the reports of all shards of one run, and their JUnit and SARIF files; exit 2 if they do not belong together.

    The error names any shard that is missing, repeated, or from another commit, suite, schema or version.

    Example: invoke merge --report shards
    Example: invoke merge --report shard-1/report.json --report shard-2/report.json
    """
    if not report:
        raise UsageError(wording("tasks.flag_missing", flag="--report"), hint="invoke merge --report FOLDER")
    places = [place for name in names(report) for place in _reports(Path(name))]
    made = lazy.history.joined({str(place): lazy.history.load_report(place) for place in places})
    target = Path(to) if to else lazy.find_suite_file().parent / ".deadweight" / "merged"
    folders = [place if place.is_dir() else place.parent for place in places]
    kinds = {"junit.xml": ("*.xml", lazy.sarif.joined_junit), "findings.sarif": ("*.sarif", lazy.sarif.joined_sarif)}
    files = {
        name: [file for folder in folders for file in sorted(folder.glob(glob))] for name, (glob, _) in kinds.items()
    }
    texts = {name: kinds[name][1](paths) for name, paths in files.items() if paths}
    with report_progress("merge"):
        written = lazy.history.write_report(made, target)
    for name, text in texts.items():
        lazy.store.write_atomically(target / name, text)
    if json:
        print_json({"report": str(written.json), "variants": list(made.variants), "files": sorted(texts)})
        return
    count = f"{len(places)} report{'s' if len(places) > 1 else ''} with {len(made.variants)} variants"
    say(f"joined {count}: {written.json}" + "".join(f", {name}" for name in sorted(texts)))


def _reports(place: Path) -> list[Path]:
    """A report, or all that lie in folders of this one."""
    if not place.is_dir() or (place / lazy.REPORT_FILE).exists():
        return [place]
    return sorted(file.parent for file in place.rglob(lazy.REPORT_FILE)) or [place]


# ``verdict``: what a pull request does to the images, in one comment.
@task()
def verdict(
    c: Context, against: Value = None, report: Value = None, since: Value = None, post: Value = None, json: bool = False
) -> None:
    """Show what your change does to the images, apart from new bases and vulnerabilities; exit 1 on Stop, 3 if not measured.

    Example: invoke verdict --against published/report.json
    Example: invoke verdict --against base/report.json --report .deadweight/merged --post github
    """
    named = one(against, "--against")
    where = None if post is None else lazy.comment.place(post, os.environ)
    with lazy.Workspace.open(say) as workspace:
        before = lazy.push.earlier(named, workspace.suite.root)
        verdict = judged(workspace, before, report, since, named)
    tell(verdict, lazy.pull_request.markdown(verdict, where.run if where else 0), where, as_json=json)


def tell(
    verdict: lazy.pull_request.Verdict,
    text: str,
    where: lazy.comment.Place | None,
    *,
    as_json: bool = False,
    silent: bool = True,
) -> None:
    """Print a verdict and post it; with ``silent``, a comment is made only if there is something to tell.

    Raises CheckFailed where it says stop, MissingError where something was not measured.
    """
    if as_json:
        print_json(document(verdict))
    else:
        print(text, end="")
    refused = _post(where, verdict, text, silent=silent and verdict.silent) if where is not None else None
    if verdict.level == "stop":
        if refused is not None:
            say(f"the verdict was not posted: {refused}")
        raise CheckFailed(lazy.pull_request.first_line(verdict))
    if refused is not None:
        raise refused
    if verdict.unmeasured:
        raise MissingError(lazy.pull_request.first_line(verdict), hint="; ".join(verdict.unmeasured[:5]))


def judged(
    workspace: lazy.Workspace, before: lazy.Report, report: str | None, since: str | None, named: str
) -> lazy.pull_request.Verdict:
    """The verdict on ``report`` (default: made from the results on disk) against ``before``, which is ``named`` so."""
    if report is not None:
        made = lazy.push.earlier(report, workspace.suite.root, flag="--report")
    else:
        with lazy.locked(workspace.state, say):
            made, _, _ = write(workspace, before)
    names = ",".join(made.scope.chosen) if made.scope and len(made.scope.chosen) < len(workspace.suite.variants) else ""
    chosen = f" --variant {names}" if names else ""
    again = (f"invoke build{chosen}", f"invoke verify{chosen}", f"invoke verdict --against {named}")
    touched, files = _touched(workspace, before, since), _dockerfiles(workspace)
    limits = workspace.suite.report.thresholds
    return lazy.pull_request.verdict(before, made, limits, touched=touched, dockerfiles=files, again=again)


def _touched(workspace: lazy.Workspace, before: lazy.Report, since: str | None) -> dict[str, str] | None:
    """The variants whose inputs this change touched; None where git cannot tell."""
    revision = since or (before.scope.commit if before.scope else None)
    if revision is None:
        return None
    try:
        return lazy.changed.since(workspace, revision, workspace.suite.variants)
    except UsageError:
        if since is not None:
            raise
        say(f"cannot determine what this change touched: git has no commit {revision} here; name it with --since")
        return None


def _dockerfiles(workspace: lazy.Workspace) -> dict[str, tuple[str, str]]:
    root, variants = workspace.suite.root, workspace.suite.variants
    own = [variant for variant in variants if isinstance(variant, lazy.DockerfileVariant) and variant.dockerfile]
    files = {variant.name: str(variant.dockerfile) for variant in own if (root / str(variant.dockerfile)).is_file()}
    return {name: (file, (root / file).read_text("utf-8-sig", "replace")) for name, file in files.items()}


def _post(
    where: lazy.comment.Place, verdict: lazy.pull_request.Verdict, text: str, *, silent: bool
) -> DeadweightError | None:
    """Post, or write the step summary where that cannot be: in a fork's job, and where the forge refuses. Gives the refusal."""
    if where.forge is None:
        _summary(text)
        say("a fork's job cannot write comments; see the verdict in the step summary and the log")
        return None
    start = f"{lazy.pull_request.MARKER}{verdict.suite} run "
    try:
        done = lazy.comment.post(where.forge, where.run, start, text, silent=silent)
    except DeadweightError as error:
        _summary(text)
        return error
    words = {"nothing": "nothing changed, so nothing was posted", "newer": "a newer run has already posted its verdict"}
    say(words.get(done, f"comment {done}"))
    return None


def _summary(text: str) -> None:
    """Where the CI system shows it (GitHub); elsewhere the log has it."""
    if file := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(file).open("a", encoding="utf-8") as stream:
            stream.write(text)


def document(verdict: lazy.pull_request.Verdict) -> dict[str, object]:
    """The verdict as JSON."""
    return {
        "verdict": verdict.level,
        "summary": lazy.pull_request.first_line(verdict),
        "items": [{"cause": item.cause, "by": list(item.by), **asdict(item.change)} for item in verdict.items],
        "unmeasured": list(verdict.unmeasured),
        "notes": list(verdict.notes),
        "again": list(verdict.again),
    }
