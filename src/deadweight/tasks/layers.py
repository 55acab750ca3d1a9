"""``layers``: what the layers of an image hold and hide."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke.context import Context

from deadweight._packages import images
from deadweight.tasks._heartbeat import pulse
from deadweight.tasks._image import STDIN, looked_at, named
from deadweight.tasks._progress import console, print_utf8, say
from deadweight.tasks._task import task

if TYPE_CHECKING:
    from deadweight.tasks._image import LookedAt

EVERY = "all"
SCANS = ("deep", "plain", "hidden", "no")


@task(
    help={
        "variant": "a built variant of the suite",
        "archive": "any image instead: an archive or layout folder, - (an archive on standard input), docker:REFERENCE in the "
        "engine, REGISTRY/REPOSITORY:TAG or oci://REFERENCE in a registry",
        "scan": "where to look for secrets: deep (all files, also packed and encoded content), plain, hidden (hidden "
        "files only), no",
        "platform": "which image of a multi-platform one, for example linux/arm64; all of an image in a registry",
        "name": "which image, if the archive contains several: its name as passed to docker image save",
        "extract": "write the hidden files to this new folder",
        "sarif": "write findings as SARIF 2.1.0 to this file",
        "junit": "write findings as JUnit XML to this file",
        "allow_unread": "do not fail because something could not be looked at (encrypted, damaged, too big)",
        "json": "print one JSON document on stdout",
    },
)
def layers(
    c: Context,
    variant: str | None = None,
    archive: str | None = None,
    scan: str = "deep",
    platform: str | None = None,
    name: str | None = None,
    extract: str | None = None,
    sarif: str | None = None,
    junit: str | None = None,
    json: bool = False,
    allow_unread: bool = False,
) -> None:
    """Show each layer with its instruction, what later layers hide, and secrets anywhere; exit 1 if a secret is found, or if
    something could not be looked at in which one may lie.

    Example: invoke layers --archive registry.example.com/team/app:1 --platform all
    Example: invoke layers --archive image.tar --extract found/
    Example: invoke layers --variant all-in-one --json
    """
    archive = named(archive)
    _refuse_wrong_calls(variant, archive, scan, extract)
    _refuse_targets(archive, sarif, junit)
    if extract is not None:
        images.prepare_folder(Path(extract))
    with looked_at(variant, archive, platform) as subject:
        if platform == EVERY:
            _of_every_platform(subject, scan, json=json, allow_unread=allow_unread)
            return
        with pulse("layers"):
            report = subject.analyse(scan, platform, name)
        if extract is not None:
            _extract(subject, report, Path(extract), platform, name)
    _write_findings(report, subject.title, sarif, junit)
    _show(report, subject, as_json=json)
    images.judge(report, subject.title, allow_unread=allow_unread or subject.unread_allowed)


def _show(report: images.LayersReport, subject: LookedAt, *, as_json: bool) -> None:
    if as_json:
        print_utf8(images.document(report, stand_in=subject.stand_in))
        return
    images.print_layers(report, subject.title, console())
    if subject.stand_in:
        from deadweight.report.view import stand_in_note

        print(f"Stand-ins: {stand_in_note((subject.title,), 1)}")


def _of_every_platform(subject: LookedAt, scan: str, *, json: bool, allow_unread: bool) -> None:
    """Each platform of an image in a registry in turn: layers that several have are fetched and looked at once.

    ``--json`` is then one document, a report for each platform by its name. Raises CheckFailed at the end, for the first of them.
    """
    from json import dumps, loads

    from deadweight._errors import CheckFailed

    documents: dict[str, Any] = {}
    failures: list[CheckFailed] = []
    for name in subject.platforms():
        title = f"{subject.title} ({name})" if name else subject.title
        with pulse(f"layers of {title}"):
            report = subject.analyse(scan, name or None, None)
        if json:
            documents[name] = loads(images.document(report))
        else:
            images.print_layers(report, title, console())
        try:
            images.judge(report, title, allow_unread=allow_unread)
        except CheckFailed as error:
            failures.append(error)
    if json:
        print_utf8(dumps({"platforms": documents}, indent=2, ensure_ascii=False))
    if failures:
        raise failures[0]


def _refuse_wrong_calls(variant: str | None, archive: str | None, scan: str, extract: str | None) -> None:
    from deadweight._errors import UsageError

    if (variant is None) == (archive is None):
        raise UsageError("use either --variant or --archive", hint="invoke layers --variant apko")
    if scan not in SCANS:
        raise UsageError(f"--scan: expected one of {', '.join(SCANS)}, found {scan!r}")
    if archive == STDIN and extract is not None:
        raise UsageError("--extract reads the image twice and cannot use standard input", hint="--archive image.tar")


def _refuse_targets(archive: str | None, *targets: str | None) -> None:
    """Findings must replace neither the image nor one another. ``-`` would be a file of that name."""
    from deadweight._errors import UsageError

    taken: list[Path] = []
    image = Path(os.path.realpath(archive)) if archive else None
    for target in (target for target in targets if target is not None):
        place = Path(os.path.realpath(target))
        if target == "-" or place.is_dir():
            what = "is a folder" if place.is_dir() else "is no file name"
            raise UsageError(f"{target}: {what}; findings are written to a file", hint="use a file, or /dev/stdout")
        if image is not None and (place == image or image in place.parents):
            raise UsageError(f"{target}: is the image itself or part of it", hint="write findings to another file")
        if place in taken and not place.is_char_device():
            raise UsageError(f"{target}: is named twice", hint="use a different file for --sarif and --junit")
        taken.append(place)


def _extract(
    subject: LookedAt, report: images.LayersReport, folder: Path, platform: str | None, name: str | None
) -> None:
    with subject.file() as file:
        done = images.extract(file, report.hidden, folder, platform=platform, name=name)
    for item in done:
        say(f"extracted: {item.written}" if item.written else f"not extracted: {item.path}: {item.problem}")


def _write_findings(report: images.LayersReport, title: str, sarif: str | None, junit: str | None) -> None:
    if sarif is None and junit is None:
        return
    from deadweight.records.store import write_where_told
    from deadweight.report.sarif import layers_junit, layers_sarif

    for target, text in ((sarif, layers_sarif), (junit, layers_junit)):
        if target is not None:
            write_where_told(Path(target), text(report, title))
            print(f"wrote {target}", file=sys.stderr)
