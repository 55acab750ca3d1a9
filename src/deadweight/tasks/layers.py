"""``layers``: what the layers of an image hold and hide."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke.context import Context

from deadweight.tasks._show import say
from deadweight.tasks._task import task

if TYPE_CHECKING:
    from deadweight.image.findings import LayersReport, Scanned
    from deadweight.image.secrets.allow import AllowEntry

ENGINE, REGISTRY = "docker:", "oci://"
SCANS = ("deep", "plain", "hidden", "no")


@task(
    help={
        "variant": "a built variant of the suite",
        "archive": "any image instead: an archive or layout folder, docker:REFERENCE in the engine, oci://REFERENCE in a registry",
        "scan": "look for secrets in: deep (every file, packed and encoded content too), plain, hidden (hidden files only), no",
        "platform": "which image of a multi-platform one, for example linux/arm64",
        "extract": "write the hidden files below this new folder, to prove that they are there",
        "sarif": "write findings as SARIF 2.1.0 to this file",
        "junit": "write findings as JUnit XML to this file",
        "json": "print one JSON document on stdout",
    }
)
def layers(
    c: Context,
    variant: str | None = None,
    archive: str | None = None,
    scan: str = "deep",
    platform: str | None = None,
    extract: str | None = None,
    sarif: str | None = None,
    junit: str | None = None,
    json: bool = False,
) -> None:
    """Show each layer with its instruction, what later layers hide, and secrets anywhere; exit 1 if a secret is found.

    Example: invoke layers --archive image.tar --extract found/
    Example: invoke layers --variant all-in-one --json
    """
    from deadweight._errors import CheckFailed, UsageError

    if (variant is None) == (archive is None):
        raise UsageError("name either --variant or --archive", hint="invoke layers --variant apko")
    if scan not in SCANS:
        raise UsageError(f"--scan: expected one of {', '.join(SCANS)}, found {scan!r}")
    with _subject(variant, archive) as subject:
        report = subject.analyse(scan, platform)
        if extract is not None:
            _extract(subject.file(), report, Path(extract), platform)
    _write_findings(report, subject.title, sarif, junit)
    if json:
        from deadweight.image.analyse import document

        print(document(report, stand_in=subject.stand_in))
    else:
        from deadweight.tasks._layers import print_layers

        print_layers(report, subject.title)
        if subject.stand_in:
            from deadweight.report.view import stand_in_note

            print(f"Stand-ins: {stand_in_note((subject.title,), 1)}")
    if report.counted_secrets:
        raise CheckFailed(f"{report.counted_secrets} secrets found in {subject.title}")


class _Subject:
    """What is looked at. ``stream`` opens a `docker image save` of it, where there is no file; ``store`` is the engine's own folder
    and the image's id there, which is quicker where we may read it. ``stand_in`` is known of the suite's variants only."""

    def __init__(
        self,
        title: str,
        file: Path | None,
        cache: Path | None,
        allow: tuple[AllowEntry, ...] = (),
        stream: Any = None,
        store: tuple[Path, str] | None = None,
        stand_in: bool | None = None,
    ) -> None:
        self.stand_in = stand_in
        self.title, self._file, self.cache, self.allow, self.stream, self.store = (
            title,
            file,
            cache,
            allow,
            stream,
            store,
        )

    def analyse(self, scan: str, platform: str | None) -> LayersReport:
        from typing import cast

        mode = cast("Scanned", scan)
        if self.store is not None:
            from deadweight.image.enginestore import analyse_engine_store

            found = analyse_engine_store(*self.store, scan=mode, allow=self.allow, cache_dir=self.cache)
            if found is not None:
                return found
        if self._file is None:
            from deadweight.image.stream import analyse_stream

            with self.stream() as source:
                return analyse_stream(source, what=self.title, scan=mode, allow=self.allow, cache_dir=self.cache)
        from deadweight.image.analyse import analyse

        return analyse(self._file, scan=mode, allow=self.allow, platform=platform, cache_dir=self.cache)

    def file(self) -> Path:
        from deadweight._errors import UsageError

        if self._file is None:
            raise UsageError(
                "--extract needs a file", hint="docker image save REFERENCE -o image.tar, then --archive image.tar"
            )
        return self._file


@contextlib.contextmanager
def _subject(variant: str | None, archive: str | None) -> Iterator[_Subject]:
    from deadweight.records.paths import user_cache

    cache = user_cache() / "layers"
    if variant is not None:
        from deadweight.checks.layers import allow_list
        from deadweight.plan.lock import locked
        from deadweight.plan.workspace import Workspace
        from deadweight.suite.load import select

        with Workspace.open(say) as workspace, locked(workspace.state, say):
            (chosen,) = select(workspace.suite, (variant,))
            file = workspace.archive(chosen)
            allow = allow_list(chosen)
            resting = workspace.stand_in(chosen.name)
            yield _Subject(chosen.name, file, workspace.state.cache / "image", allow, stand_in=resting)
    elif archive is not None and archive.startswith(ENGINE):
        from deadweight.engine.client import Engine
        from deadweight.engine.daemon import find_or_start

        reference = archive.removeprefix(ENGINE)
        with Engine.connect(find_or_start(say)) as engine:
            image = engine.images.need(reference)
            store = None if engine.info.containerd_store else (Path(engine.info.root_dir), image.id)
            yield _Subject(reference, None, cache, stream=lambda: engine.images.stream(reference), store=store)
    elif archive is not None and archive.startswith(REGISTRY):
        from deadweight.toolchain.crane import pulled

        reference = archive.removeprefix(REGISTRY)
        with pulled(reference) as layout:
            yield _Subject(reference, layout, cache)
    else:
        yield _Subject(str(archive), Path(str(archive)), cache)


def _extract(file: Path, report: LayersReport, folder: Path, platform: str | None) -> None:
    from deadweight.image.extract import extract

    for item in extract(file, report.hidden, folder, platform=platform):
        say(f"extracted: {item.written}" if item.written else f"not extracted: {item.path}: {item.problem}")


def _write_findings(report: LayersReport, title: str, sarif: str | None, junit: str | None) -> None:
    if sarif is None and junit is None:
        return
    from deadweight.records.store import write_atomically
    from deadweight.report.findings import layers_junit, layers_sarif

    for target, text in ((sarif, layers_sarif), (junit, layers_junit)):
        if target is not None:
            write_atomically(Path(target), text(report, title))
            print(f"wrote {target}", file=sys.stderr)
