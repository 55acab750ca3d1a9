"""Define ``layers``: show an image's layers and secrets."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from json import dumps, loads
from pathlib import Path
from typing import Any

from invoke.context import Context

from deadweight._errors import CheckFailed, ConfigError, UsageError, wording
from deadweight._packages import images
from deadweight.tasks import lazy
from deadweight.tasks._progress import console, print_utf8, report_progress, say
from deadweight.tasks._task import one_of, task
from deadweight.tasks._words import Value, meant_one

EVERY = "all"
SCANS = ("deep", "plain", "hidden", "no")


@task()
def layers(
    c: Context,
    variant: Value = None,
    archive: Value = None,
    scan: str = "deep",
    platform: Value = None,
    name: Value = None,
    extract: Value = None,
    sarif: Value = None,
    junit: Value = None,
    json: bool = False,
    allow_unread: bool = False,
) -> None:
    """Show each layer, the files that later layers hide, and secrets; exit 1 if a secret was found or content could not be read.

    Example: invoke layers --archive registry.example.com/team/app:1 --platform all
    Example: invoke layers --archive image.tar --extract found/
    Example: invoke layers --variant all-in-one --json
    """
    archive = named(archive)
    _refuse_wrong_calls(variant, archive, scan, extract, sarif, junit)
    if extract is not None:
        images.prepare_folder(Path(extract))
    with open_target(variant, archive, platform) as subject:
        if platform == EVERY:
            _of_every_platform(subject, scan, json=json, allow_unread=allow_unread)
            return
        with report_progress("layers"):
            report = subject.analyse(scan=scan, platform=platform, name=name)
        if extract is not None:
            _extract(subject, report, Path(extract), platform, name)
    _write_findings(report, subject.title, sarif, junit)
    if json:
        print_utf8(images.document(report, stand_in=subject.stand_in))
    else:
        images.print_layers(report, subject.title, console())
        if subject.stand_in:
            print(f"Stand-ins: {lazy.stand_ins_note((subject.title,), 1)}")
    images.raise_for_findings(report, subject.title, allow_unread=allow_unread or subject.unread_allowed)


def _of_every_platform(subject: Target, scan: str, *, json: bool, allow_unread: bool) -> None:
    """Each platform of an image in a registry in turn: layers that several have are fetched and looked at once.

    ``--json`` is then one document, a report for each platform by its name. Raises CheckFailed at the end, for the first of them.
    """
    if subject.platforms is None:
        raise UsageError(wording("tasks.all_platforms"))
    documents: dict[str, Any] = {}
    failures: list[CheckFailed] = []
    for name in subject.platforms() or ("",):  # an image of one platform names none
        title = f"{subject.title} ({name})" if name else subject.title
        with report_progress(f"layers of {title}"):
            report = subject.analyse(scan=scan, platform=name or None, name=None)
        if json:
            documents[name] = loads(images.document(report))
        else:
            images.print_layers(report, title, console())
        try:
            images.raise_for_findings(report, title, allow_unread=allow_unread)
        except CheckFailed as error:
            failures.append(error)
    if json:
        print_utf8(dumps({"platforms": documents}, indent=2, ensure_ascii=False))
    if failures:
        raise failures[0]


def _refuse_wrong_calls(variant: Value, archive: Value, scan: str, extract: Value, *targets: Value) -> None:
    """Findings (``targets``) must replace neither the image nor one another. ``-`` would be a file of that name."""
    if (variant is None) == (archive is None) and (archive or not sys.stdin.isatty()):  # who sits there picks a variant
        raise UsageError(wording("tasks.variant_or_archive"))
    one_of(scan, "--scan", SCANS)
    if archive == STDIN and extract is not None:
        raise UsageError(wording("tasks.extract_stdin"))
    taken: list[Path] = []
    image = Path(os.path.realpath(archive)) if archive else None
    for target in (target for target in targets if target is not None):
        place = Path(os.path.realpath(target))
        if target == "-" or place.is_dir():
            raise UsageError(wording("tasks.not_a_file", target=target))
        if image is not None and (place == image or image in place.parents):
            raise UsageError(wording("tasks.image_itself", target=target))
        if place in taken and not place.is_char_device():
            raise UsageError(wording("tasks.named_twice", target=target))
        taken.append(place)


def _extract(subject: Target, report: images.LayersReport, folder: Path, platform: Value, name: Value) -> None:
    with subject.file() as file:
        done = images.extract(file, report.hidden, folder, platform=platform, name=name)
    for item in done:
        say(f"extracted: {item.written}" if item.written else f"not extracted: {item.path}: {item.problem}")


def _write_findings(report: images.LayersReport, title: str, sarif: str | None, junit: str | None) -> None:
    for target, text in ((sarif, lazy.sarif.layers_sarif), (junit, lazy.sarif.layers_junit)):
        if target is not None:
            lazy.store.write_where_told(Path(target), text(report, title))
            print(f"wrote {target}", file=sys.stderr)


# The image that ``layers`` looks at: a variant of the suite, a file, standard input, or one in the engine or a registry.
ENGINE, REGISTRY, STDIN = "docker:", "oci://", "-"
NO_ARCHIVE = "a file or folder; docker:REFERENCE is an image in the engine, oci://REFERENCE one in a registry"
_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.zst")  # more likely a file that is not there than a repository


def named(archive: str | None) -> str | None:
    """Which image is meant: what is no file here and has a registry's host in front is a reference in that registry."""
    if archive is None or archive == STDIN or archive.startswith((ENGINE, REGISTRY)) or os.path.lexists(archive):
        return archive
    return REGISTRY + archive if lazy.reference.names_registry(archive) and not archive.endswith(_ARCHIVES) else archive


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is looked at. ``file`` gives an archive to read again; one that has to be written first is gone afterwards.
    ``platforms`` tells those of an image in a registry. ``stand_in`` is known of the suite's variants only.
    """

    title: str
    analyse: Callable[..., images.LayersReport]
    file: Callable[[], AbstractContextManager[Path]]
    platforms: Callable[[], tuple[str, ...]] | None = None
    stand_in: bool | None = None
    unread_allowed: bool = False


def open_target(variant: str | None, archive: str | None, platform: str | None) -> AbstractContextManager[Target]:
    """What ``--variant`` or ``--archive`` means. Raises UsageError where it means nothing, MissingError where it is not there."""
    if archive is None:
        return _in_suite(variant)
    if archive.strip() in ("", ENGINE, REGISTRY):
        raise UsageError(wording("tasks.no_image", archive=archive))
    cache = lazy.paths.user_cache() / "layers"
    if archive.startswith(ENGINE):
        return _in_engine(archive.removeprefix(ENGINE), cache)
    if archive.startswith(REGISTRY):
        return nullcontext(_in_registry(archive.removeprefix(REGISTRY), platform, cache))
    if archive == STDIN:
        title = "standard input"
        analyse = partial(images.analyse_stream, sys.stdin.buffer, what=title, cache_dir=cache)
        return nullcontext(Target(title=title, analyse=analyse, file=lambda: nullcontext(Path("/dev/stdin"))))
    file = Path(archive)
    try:
        file.lstat()
    except FileNotFoundError:  # a wrong argument, exit 2: 1 would say that a secret was found
        raise UsageError(wording("tasks.no_archive", file=file), hint=NO_ARCHIVE) from None
    except OSError:
        pass  # what else is wrong with it whoever opens it tells
    return nullcontext(_in_file(archive, file, cache))


def _in_file(title: str, file: Path, cache: Path, allow: tuple[images.AllowEntry, ...] = ()) -> Target:
    analyse = partial(images.analyse, file, cache_dir=cache, allow=allow)
    return Target(title=title, analyse=analyse, file=lambda: nullcontext(file))


@contextmanager
def _in_suite(variant: str | None) -> Iterator[Target]:
    with lazy.Workspace.open(say) as workspace, lazy.locked(workspace.state, say):
        chosen = meant_one(workspace, variant)
        asked, cache = chosen.checks.layers, workspace.state.cache / "image"
        yield replace(
            _in_file(chosen.name, workspace.archive(chosen), cache, lazy.layers.allow_list(chosen)),
            stand_in=workspace.stand_in(chosen.name),
            unread_allowed=asked is not None and "allow" in (asked.unread.mine, asked.unread.base),
        )


def _in_registry(reference: str, platform: str | None, cache: Path) -> Target:
    way = _access(reference)
    remote = lazy.registry.Remote(reference, insecure=way.insecure, env=way.environment)

    def analyse(*, name: str | None, **asked: Any) -> images.LayersReport:
        del name  # a registry's image has one
        return images.analyse_registry(remote, reference, cache_dir=cache, **asked)

    return Target(
        title=reference,
        analyse=analyse,
        platforms=remote.platforms,
        file=lambda: remote.pulled(_one_platform(remote, reference, platform)),
    )


@contextmanager
def _in_engine(reference: str, cache: Path) -> Iterator[Target]:
    """Quicker than a stream of it is the engine's own folder, where we may read it."""
    with lazy.Engine.connect(lazy.daemon.find_or_start(say)) as engine:
        image, root = engine.images.need(reference), Path(engine.info.root_dir)

        def analyse(*, name: str | None, **asked: Any) -> images.LayersReport:
            asked["cache_dir"] = cache
            if engine.info.containerd_store:
                report = images.analyse_content_store(images.content_folders(root), image.id, **asked)
            else:
                report = images.analyse_engine_store(root, image.id, **asked)
            if report is not None:
                return report
            with engine.images.stream(reference) as source:
                return images.analyse_stream(source, what=reference, name=name, **asked)

        @contextmanager
        def saved() -> Iterator[Path]:
            with tempfile.TemporaryDirectory(prefix="deadweight-save-") as folder:
                yield engine.images.save(reference, Path(folder, "image.tar"))

        yield Target(title=reference, analyse=analyse, file=saved)


def _access(reference: str) -> lazy.settings.Access:
    """How the registry is reached: as the project here says it, if there is one, else as the user's own settings do."""
    try:
        file = lazy.find_suite_file()
    except ConfigError:
        return lazy.settings.registry_access(reference, lazy.settings.load(lazy.paths.State(Path.cwd())))
    suite = lazy.load_suite.load_suite(file)
    return lazy.settings.registry_access(reference, lazy.settings.load(lazy.paths.State(suite.root), suite))


def _one_platform(remote: lazy.registry.Remote, reference: str, platform: str | None) -> str | None:
    """Which platform of an image in a registry to fetch: a multi-platform one is many times as big as what is looked at."""
    there = remote.platforms()
    if platform is None and len(there) < 2:
        return None
    wanted = platform or lazy.daemon.image_platform()
    fitting = [platform for platform in there if images.fits(platform, wanted)]
    if there and not fitting:
        hint = f"it holds {', '.join(there)}: --platform"
        raise UsageError(wording("tasks.no_platform", image=reference, platform=wanted), hint=hint)
    return wanted if wanted in fitting or not fitting else fitting[0]
