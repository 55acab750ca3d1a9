"""Publish a report to a folder for static hosting, a CI step summary, or a registry (as an OCI artifact)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

from deadweight._errors import CommandError, DeadweightError, UsageError, wording
from deadweight._run import run
from deadweight.records.reference import in_registry
from deadweight.report.compare import Comparison
from deadweight.report.history import HISTORY_FILE, IN_REPORT, load_report, merged, parse, parse_report, read, text
from deadweight.report.markdown import comparison_markdown, render_markdown
from deadweight.report.model import REPORT_FILE, HistoryEntry, Report
from deadweight.report.write import COMPARISON_FILE, MARKDOWN_FILE, PAGE_FILE, badges, write_report

ARTIFACT_TYPE = "application/vnd.deadweight.report.v1"
MEDIA_TYPES = {
    REPORT_FILE: "application/vnd.deadweight.report.v1+json",
    MARKDOWN_FILE: "text/markdown",
    PAGE_FILE: "text/html",
    HISTORY_FILE: "application/jsonl",
}
"""Media types in the artifact; the pictures are ``image/svg+xml``. The artifact's own type is ``ARTIFACT_TYPE``."""

SUMMARY_LIMIT_BYTES = 1024 * 1024
"""GitHub takes 1 MiB of summary per step and drops what is larger."""

OURS = {REPORT_FILE, MARKDOWN_FILE, PAGE_FILE, COMPARISON_FILE, HISTORY_FILE, ".nojekyll", "badges"}


@dataclass(frozen=True)
class Published:
    """``where`` it can be found, ``digest`` in a registry, ``output``: Markdown for stdout where a CI has no summary file."""

    where: str
    digest: str | None = None
    note: str = ""
    output: str = ""


def publish(
    report_folder: Path,
    to: str,
    *,
    changed: Comparison | None = None,
    environment: Mapping[str, str] | None = None,
    history: Path | None = None,
) -> Published:
    """Publish the report that lies in ``report_folder``, with its history, which is merged with one that lies at the target.

    ``to``: a folder, ``ci``, or ``oci://REGISTRY/REPOSITORY[:TAG]``. ``changed``, since an earlier report, is marked on the page
    and stands first in a CI summary. Raises ConfigError where there is no report, UsageError for a folder that holds anything else,
    CommandError where a registry refuses.
    """
    report = load_report(report_folder)
    if to.startswith(OCI_PREFIX):
        return _to_registry(report, to.removeprefix(OCI_PREFIX), changed, history)
    if to == "ci":
        return _to_ci(report, changed, os.environ if environment is None else environment)
    if not to or "://" in to:
        raise UsageError(wording("publish.destination", to=to))
    return _to_folder(report, Path(to).absolute(), changed, history)


def _with_history(report: Report, ours: Path | None, theirs: tuple[HistoryEntry, ...]) -> tuple[Report, str]:
    """The report with the history of both places, and that history as it is kept."""
    own = read(ours, report.suite) if ours is not None else report.history
    entries = merged(theirs, own)
    return replace(report, history=entries[-IN_REPORT:]), text(entries)


def _to_folder(report: Report, target: Path, changed: Comparison | None, history: Path | None) -> Published:
    """Make the new folder beside the old one, then change places: a reader sees the old report or the new, never half."""
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise UsageError(wording("publish.no_folder", path=target))
    foreign = _foreign(target)
    if foreign:
        raise UsageError(wording("publish.foreign_file", folder=target, file=foreign))
    report, kept = _with_history(report, history, read(target / HISTORY_FILE, report.suite))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as beside:
            fresh = Path(beside) / "new"
            fresh.mkdir()
            write_report(report, fresh, changed)
            (fresh / HISTORY_FILE).write_text(kept, encoding="utf-8")
            (fresh / ".nojekyll").touch()
            (fresh / "badges").mkdir()
            for name, content in badges(report).items():
                (fresh / "badges" / name).write_text(content, encoding="utf-8")
            if target.exists():
                target.rename(Path(beside) / "old")
            fresh.rename(target)
    except OSError as error:
        message = wording("records.unwritable", path=target, problem=error.strerror)
        raise DeadweightError(message, hint="publish to a folder that you can write to") from error
    return Published(str(target / PAGE_FILE))


def _foreign(target: Path) -> str | None:
    entries = sorted(entry.name for entry in target.iterdir()) if target.is_dir() else []
    strange = [name for name in entries if name not in OURS and not fnmatch(name, "ladder-*.svg")]
    return next(iter(strange or (entries if REPORT_FILE not in entries else [])), None)


def _to_ci(report: Report, changed: Comparison | None, environment: Mapping[str, str]) -> Published:
    summary = environment.get("GITHUB_STEP_SUMMARY")
    first = "" if changed is None else comparison_markdown(changed) + "\n"
    text = first + render_markdown(report)
    if not summary:
        return Published("stdout", note="there is no step summary: GITHUB_STEP_SUMMARY is not set", output=text)
    file = Path(summary)
    try:
        room = SUMMARY_LIMIT_BYTES - (file.stat().st_size if file.exists() else 0)
        with file.open("a", encoding="utf-8") as stream:
            stream.write(fitted(text, room))
    except OSError as error:
        message = wording("records.unwritable", path=file, problem=error.strerror)
        raise DeadweightError(message, hint="GITHUB_STEP_SUMMARY must name a file that this job can write") from error
    return Published(str(file))


def fitted(text: str, room: int) -> str:
    """Markdown in at most ``room`` bytes: whole lines, and a last line that tells what was left out."""
    if len(text.encode()) <= room:
        return text
    last = "\n\n*Cut to fit the step summary; report.json and index.html hold everything.*\n"
    kept: list[str] = []
    left = room - len(last.encode())
    for line in text.splitlines():
        left -= len(line.encode()) + 1
        if left < 0:
            break
        kept.append(line)
    return "\n".join(kept) + last if kept else ""


def _to_registry(report: Report, reference: str, changed: Comparison | None, history: Path | None) -> Published:
    from deadweight.publish.push import ArtifactFile, lay_out
    from deadweight.toolchain import crane

    in_registry(reference)
    report, kept = _with_history(report, history, _pushed_history(report, reference))
    with tempfile.TemporaryDirectory(prefix="deadweight-publish-") as temporary:
        folder = Path(temporary) / "report"
        write_report(report, folder, changed)
        (folder / HISTORY_FILE).write_text(kept, encoding="utf-8")
        pictures = sorted(path.name for path in folder.glob("ladder-*.svg"))
        types = MEDIA_TYPES | dict.fromkeys(pictures, "image/svg+xml")
        types |= {COMPARISON_FILE: "text/markdown"} if changed is not None else {}
        files = tuple(ArtifactFile(name, kind, (folder / name).read_bytes()) for name, kind in types.items())
        annotations = {
            "org.opencontainers.image.created": report.generated_at,
            "org.opencontainers.image.title": report.suite,
        }
        layout = Path(temporary) / "layout"
        layout.mkdir()
        lay_out(layout, ARTIFACT_TYPE, files, annotations)
        digest = crane.push(layout, reference)
    return Published(f"{OCI_PREFIX}{reference}", digest)


def _pushed_history(report: Report, reference: str) -> tuple[HistoryEntry, ...]:
    """The history of the report that this reference names now; none where it names nothing that can be read."""
    from deadweight.publish.push import file_digest
    from deadweight.toolchain import crane

    try:
        digest = file_digest(crane.manifest(reference), HISTORY_FILE)
        return parse(crane.text_blob(reference, digest), report.suite) if digest else ()
    except CommandError:
        return ()


# Find the earlier report that ``--against`` names.
# - a file or a folder: ``old/report.json``, ``public/``, as seen from where you are, else from the suite's folder
# - ``oci://REGISTRY/REPOSITORY[:TAG]``: a report that ``publish --to oci://…`` pushed
# - ``REVISION:PATH``, as git itself writes it: ``gh-pages:report.json``. The state folder is ignored by git, so a bare revision
# holds no report; a published one that is committed (static hosting, a docs folder) has a path.
OCI_PREFIX = "oci://"
HINT = "use a report.json, its folder, oci://REGISTRY/REPOSITORY:TAG, or REVISION:PATH of a report in git"


def earlier(against: str, root: Path, *, flag: str = "--against") -> Report:
    """The earlier report that ``flag`` names.

    Raises UsageError for what names none, ConfigError for what is none, CommandError, MissingError.
    """
    if against.startswith(OCI_PREFIX):
        return _from_registry(against)
    if not against.strip():
        raise UsageError(wording("publish.no_report_given", flag=flag), hint=HINT)
    for path in (Path.cwd() / against, root / against):
        if path.exists():
            return load_report(path)
    revision, colon, inside = against.partition(":")
    if colon and revision and inside and not revision.startswith("-"):
        return _from_git(revision, inside, root, flag)
    raise UsageError(wording("publish.no_such_report", flag=flag, path=against), hint=HINT)


def _from_registry(against: str) -> Report:
    from deadweight.publish.push import file_digest
    from deadweight.toolchain import crane

    reference = against.removeprefix(OCI_PREFIX)
    digest = file_digest(crane.manifest(reference), REPORT_FILE)
    if digest is None:
        raise UsageError(wording("publish.no_report", reference=against, file=REPORT_FILE))
    return parse_report(crane.text_blob(reference, digest).encode(), origin=against)


def _from_git(revision: str, inside: str, root: Path, flag: str) -> Report:
    name = f"{revision}:{inside}"
    try:
        text = run(["git", "cat-file", "blob", "--end-of-options", name], cwd=root, timeout=60).output
    except CommandError as error:
        reason = error.tail[-1] if error.tail else error.reason
        raise UsageError(wording("publish.not_in_git", flag=flag, name=name, problem=reason)) from error
    return parse_report(text.encode(), origin=name)
