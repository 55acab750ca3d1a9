"""Print a CI pipeline, merge shard reports, judge a pull request."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from invoke.context import Context

from deadweight._errors import CheckFailed, DeadweightError, MissingError, UsageError, wording
from deadweight.tasks import lazy
from deadweight.tasks._progress import print_json, pulse, say
from deadweight.tasks._task import names, one, task
from deadweight.tasks.report import write


@task(
    help={
        "provider": "github, gitlab or kubernetes",
        "shards": "how many machines divide the suite (default: 4)",
        "install": "the requirement that pip installs there (default: a placeholder; put in where your team keeps Deadweight)",
        "image": "the image of the pods (kubernetes): the project with its .git at /project, and deadweight",
        "scan": "look up vulnerabilities too",
    },
    reads_only=True,
)
def ci(
    c: Context,
    provider: str | None = None,
    shards: str = "4",
    install: str | None = None,
    image: str | None = None,
    scan: bool = False,
) -> None:
    """Print a pipeline with cached shards, one merged report, a verdict on each pull request, and minimal permissions.

    Example: invoke ci --provider github --shards 6 > .github/workflows/images.yml
    """
    asked = lazy.pipelines.Pipeline(
        one(provider, "--provider"),
        lazy.pipelines.parse_shards(shards),
        install or lazy.pipelines.PLACEHOLDER,
        scan=scan,
    )
    print(lazy.pipelines.render(asked if image is None else replace(asked, image=image)), end="")
    if install is None and asked.provider != "kubernetes":
        say(f"replace {lazy.pipelines.PLACEHOLDER!r} with where your team keeps Deadweight, or use --install")


# ``merge``: one report of what several machines made.
@task(
    help={
        "report": "a shard's report.json, its folder, or a folder of such folders; repeat it for each shard",
        "to": "the folder for the joined report (default: .deadweight/merged)",
    },
)
def merge(c: Context, report: Sequence[str] | None = None, to: str | None = None, json: bool = False) -> None:
    """Join the reports of all shards of one run, and their JUnit and SARIF files; exit 2 if they do not belong together.

    An error names a missing or repeated shard, and one from another commit, suite, schema or version.

    Example: invoke merge --report shards
    Example: invoke merge --report shard-1/report.json --report shard-2/report.json
    """
    if not report:
        raise UsageError(wording("tasks.flag_missing", flag="--report"), hint="invoke merge --report FOLDER")
    places = [place for name in names(report) for place in _reports(Path(name))]
    made = lazy.merge.merged({str(place): lazy.history.load_report(place) for place in places})
    target = Path(to) if to else lazy.find_suite_file().parent / ".deadweight" / "merged"
    folders = [place if place.is_dir() else place.parent for place in places]
    kinds = {"junit.xml": ("*.xml", lazy.sarif.joined_junit), "findings.sarif": ("*.sarif", lazy.sarif.joined_sarif)}
    files = {
        name: [file for folder in folders for file in sorted(folder.glob(glob))] for name, (glob, _) in kinds.items()
    }
    texts = {name: kinds[name][1](found) for name, found in files.items() if found}
    with pulse("merge"):
        written = lazy.write_report(made, target)
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
    found = sorted(file.parent for file in place.rglob(lazy.REPORT_FILE))
    return found or [place]


# ``verdict``: what a pull request does to the images, in one comment.
@task(
    help={
        "against": "the report of the base branch: a file, a folder, oci://REFERENCE, or GIT-REVISION:path",
        "report": "the report to judge, for example one that merge wrote (default: made from the results on disk)",
        "since": "the git revision that the change started from (default: the commit in the earlier report)",
        "post": "keep one comment on the pull request up to date: github or gitlab; a fork's job uses the step summary instead",
    }
)
def verdict(
    c: Context,
    against: str | None = None,
    report: str | None = None,
    since: str | None = None,
    post: str | None = None,
    json: bool = False,
) -> None:
    """Show how this change affects the images, separate from changes in base images and the database; exit 1 for stop, 3 for not
    measured.

    Example: invoke verdict --against published/report.json
    Example: invoke verdict --against base/report.json --report .deadweight/merged --post github
    """
    named = one(against, "--against")
    where = None if post is None else lazy.comment.place(post, os.environ)
    with lazy.Workspace.open(say) as workspace:
        before = lazy.earlier(named, workspace.suite.root)
        found = _judged(workspace, before, report, since, named)
    run = where.run if where else 0
    text = lazy.pull_request.markdown(found, run)
    if json:
        print_json(document(found))
    else:
        print(text, end="")
    refused = _post(where, found, text) if where is not None else None
    if found.level == "stop":
        if refused is not None:
            say(f"the verdict was not posted: {refused}")
        raise CheckFailed(lazy.pull_request.first_line(found))
    if refused is not None:
        raise refused
    if found.unmeasured:
        raise MissingError(lazy.pull_request.first_line(found), hint="; ".join(found.unmeasured[:5]))


def _judged(
    workspace: lazy.Workspace, before: lazy.Report, report: str | None, since: str | None, named: str
) -> lazy.pull_request.Verdict:
    if report is not None:
        made = lazy.earlier(report, workspace.suite.root, flag="--report")
    else:
        with lazy.locked(workspace.state, say):
            made, _, _ = write(workspace, before)
    names = ",".join(made.scope.chosen) if made.scope and len(made.scope.chosen) < len(workspace.suite.variants) else ""
    chosen = f" --variant {names}" if names else ""
    again = (f"invoke build{chosen}", f"invoke verify{chosen}", f"invoke verdict --against {named}")
    return lazy.pull_request.verdict(
        before,
        made,
        workspace.suite.report.thresholds,
        touched=_touched(workspace, before, since),
        dockerfiles=_dockerfiles(workspace),
        again=again,
    )


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
    found = {}
    for variant in workspace.suite.variants:
        if not isinstance(variant, lazy.DockerfileVariant) or not variant.dockerfile:
            continue
        file = workspace.suite.root / variant.dockerfile
        if file.is_file():
            found[variant.name] = (variant.dockerfile, file.read_text(encoding="utf-8-sig", errors="replace"))
    return found


def _post(where: lazy.comment.Place, found: lazy.pull_request.Verdict, text: str) -> DeadweightError | None:
    """Post, or write the step summary where that cannot be: in a fork's job, and where the forge refuses. Gives the refusal."""
    if where.forge is None:
        _summary(text)
        say("a fork's job cannot write comments; see the verdict in the step summary and the log")
        return None
    try:
        done = lazy.comment.post(where, f"{lazy.pull_request.MARKER}{found.suite} run ", text, silent=found.silent)
    except DeadweightError as error:
        _summary(text)
        return error
    words = {
        "nothing": "nothing changed, so nothing was posted",
        "newer": "a newer run has already posted its verdict",
    }
    say(words.get(done, f"comment {done}"))
    return None


def _summary(text: str) -> None:
    """Where the CI system shows it (GitHub); elsewhere the log has it."""
    file = os.environ.get("GITHUB_STEP_SUMMARY")
    if file:
        with Path(file).open("a", encoding="utf-8") as stream:
            stream.write(text)


def document(found: lazy.pull_request.Verdict) -> dict[str, object]:
    """The verdict as JSON."""
    return {
        "verdict": found.level,
        "summary": lazy.pull_request.first_line(found),
        "items": [{"cause": item.cause, "by": list(item.by), **asdict(item.change)} for item in found.items],
        "unmeasured": list(found.unmeasured),
        "notes": list(found.notes),
        "again": list(found.again),
    }
