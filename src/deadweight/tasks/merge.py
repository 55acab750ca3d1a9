"""``merge``: one report of what several machines made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from invoke.context import Context

from deadweight.tasks._heartbeat import pulse
from deadweight.tasks._options import names
from deadweight.tasks._progress import print_json, say
from deadweight.tasks._task import task


@task(
    help={
        "report": "a shard's report.json, its folder, or a folder of such folders; repeat it for each shard",
        "to": "the folder for the joined report (default: .deadweight/merged)",
        "json": "print one JSON document on stdout",
    },
    iterable=["report"],
)
def merge(c: Context, report: Sequence[str] | None = None, to: str | None = None, json: bool = False) -> None:
    """Join the reports of all shards of one run, and the JUnit and SARIF files beside them; exit 2 for any other mixture.

    Refused, by name: a shard that is missing or there twice, another commit, suite, schema or version.

    Example: invoke merge --report shards
    Example: invoke merge --report shard-1/report.json --report shard-2/report.json
    """
    from deadweight._errors import UsageError
    from deadweight.records.store import write_atomically
    from deadweight.report.history import load_report
    from deadweight.report.merge import merged
    from deadweight.report.sarif import joined_junit, joined_sarif
    from deadweight.report.write import write_report
    from deadweight.suite.load import find_suite_file

    if not report:
        raise UsageError("no report is given", hint="invoke merge --report FOLDER")
    places = [place for each in names(report) for place in _reports(Path(each))]
    made = merged({str(place): load_report(place) for place in places})
    target = Path(to) if to else find_suite_file().parent / ".deadweight" / "merged"
    folders = [place if place.is_dir() else place.parent for place in places]
    kinds = {"junit.xml": ("*.xml", joined_junit), "findings.sarif": ("*.sarif", joined_sarif)}
    files = {
        name: [file for folder in folders for file in sorted(folder.glob(glob))] for name, (glob, _) in kinds.items()
    }
    texts = {name: kinds[name][1](found) for name, found in files.items() if found}
    with pulse("merge"):
        written = write_report(made, target)
    for name, text in texts.items():
        write_atomically(target / name, text)
    if json:
        print_json({"report": str(written.json), "variants": list(made.variants), "files": sorted(texts)})
        return
    count = f"{len(places)} report{'s' if len(places) > 1 else ''} with {len(made.variants)} variants"
    say(f"joined {count}: {written.json}" + "".join(f", {name}" for name in sorted(texts)))


def _reports(place: Path) -> list[Path]:
    """A report, or all that lie in folders of this one."""
    from deadweight.report.model import REPORT_FILE

    if not place.is_dir() or (place / REPORT_FILE).exists():
        return [place]
    found = sorted(file.parent for file in place.rglob(REPORT_FILE))
    return found or [place]
