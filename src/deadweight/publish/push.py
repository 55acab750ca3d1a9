"""Publish images and reports: push archives and attach SBOMs; a report to static hosting, a CI step summary or a registry."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

from deadweight._errors import CommandError, DeadweightError, UsageError, wording
from deadweight._run import run
from deadweight.checks.scan.sbom import MEDIA_TYPES, SbomFile
from deadweight.records.reference import in_registry, split
from deadweight.records.store import write_where_told
from deadweight.report import figures, history as reports
from deadweight.report.compare import Comparison
from deadweight.report.markdown import comparison_markdown, render_markdown
from deadweight.report.model import REPORT_FILE, HistoryEntry, Report
from deadweight.report.table import ladders, size_of
from deadweight.toolchain import crane
from deadweight.toolchain.registry import RegistryError, Remote, descriptor


def destination(repository: str, variant: str, *, several: bool) -> str:
    """Where a variant goes: ``repository`` as given for one variant, ``repository:variant`` where several share it.

    Raises UsageError for a reference with a digest, or with a tag that several variants would fight over.
    """
    given = in_registry(repository)
    if given.digest:
        raise UsageError(wording("publish.to_digest", repository=repository))
    if several and given.tag:
        raise UsageError(wording("publish.shared_tag", repository=repository))
    return f"{given.name}:{given.tag or (variant if several else 'latest')}"


def push(archive: Path, to: str, *, digest_file: Path | None = None, insecure: bool = False) -> str:
    """Push one archive (docker-save, OCI tar or layout folder) to ``to`` (REGISTRY/REPOSITORY:TAG).

    Returns what to deploy: the repository with the manifest's digest, which never moves.

    ``digest_file`` gets one line, ``REPOSITORY@sha256:…``, only after the push succeeded.
    Raises UsageError, ArchiveError, MissingError (no crane), CommandError (the registry refused).
    """
    reference = f"{in_registry(to).name}@{crane.push(archive, to, insecure=insecure)}"
    if digest_file is not None:
        write_where_told(digest_file, reference + "\n")
    return reference


# Attach SBOMs to a pushed image, as OCI referrers (distribution specification 1.1, "Referrers").
# The artifact's manifest names the image as its subject, and has a tag of its own (``sha256-<digest>.spdx``), so it is found
# without that API too. Where a registry lacks the API, crane keeps the list of referrers under the tag ``sha256-<digest>``, as the
# specification asks of clients.
@dataclass(frozen=True)
class Attached:
    """``reference`` is the artifact with its digest, ``tag`` its own tag. ``found_by``: the registry's referrers API, or by tag."""

    reference: str
    tag: str
    form: str
    found_by: Literal["referrers", "tag"]


def attach(image: str, files: Sequence[SbomFile], *, insecure: bool = False) -> tuple[Attached, ...]:
    """Attach SBOMs to ``image`` (REPOSITORY@sha256:…). Raises CommandError, RegistryError, DeadweightError."""
    subject = descriptor(Remote(image, insecure=insecure).manifest())
    repository, _, digest = split(image)
    if subject["digest"] != digest:
        raise DeadweightError(wording("publish.other_image", image=image, digest=subject["digest"]))
    attached, fallback = [], f"{repository}:{digest.replace(':', '-')}"
    for file in files:
        path, kind, tag = Path(file.path), MEDIA_TYPES[file.form], f"{fallback}.{file.form}"
        content = (ArtifactFile(path.name, kind, path.read_bytes()),)
        pushed = _push_files(tag, kind, content, insecure, subject=subject)
        attached.append(Attached(f"{repository}@{pushed}", tag, file.form, _listed_by(fallback, pushed, insecure)))
    return tuple(attached)


def _listed_by(fallback: str, digest: str, insecure: bool) -> Literal["referrers", "tag"]:
    """The fallback list is there, and names the artifact, only where the registry lacks the API."""
    try:
        remote = Remote(fallback, insecure=insecure)
        listed = remote.parsed(remote.manifest()).get("manifests") or []
    except RegistryError:
        return "referrers"
    return "tag" if any(manifest.get("digest") == digest for manifest in listed) else "referrers"


# Plain files as an OCI artifact: an OCI image layout folder that crane pushes and ``oras pull`` unpacks.
# The form is that of the OCI image specification 1.1, "Guidelines for Artifact Usage": ``artifactType``, the empty config
# ``{}``, and a layer for each file with its name in ``org.opencontainers.image.title``. The same files give the same digest.
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"
TITLE = "org.opencontainers.image.title"
MOST_BYTES = 256 << 20
"""Of a file of a report."""


@dataclass(frozen=True)
class ArtifactFile:
    """One file: its name in the artifact, its media type, its bytes."""

    name: str
    media_type: str
    content: bytes


def lay_out(folder: Path, kind: str, files: Sequence[ArtifactFile], **fields: Any) -> str:
    """Write the layout of an artifact of this ``kind`` into an empty folder; returns the manifest's digest.

    ``fields`` go into the manifest: ``annotations``, and the descriptor of the image that it belongs to (``subject``: an OCI
    referrer; registries without that API get a tag from crane).
    """
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    layers = [{**_blob(blobs, file.media_type, file.content), "annotations": {TITLE: file.name}} for file in files]
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": kind,
        "config": _blob(blobs, EMPTY, b"{}"),
        "layers": layers,
        "annotations": {},
        **fields,
    }
    described = _blob(blobs, MANIFEST, _json(manifest))
    (folder / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))
    (folder / "index.json").write_bytes(_json({"schemaVersion": 2, "manifests": [described]}))
    return str(described["digest"])


def _push_files(reference: str, kind: str, files: Sequence[ArtifactFile], insecure: bool = False, **more: Any) -> str:
    """Push files as one artifact (``more`` as in ``lay_out``); returns its digest."""
    with tempfile.TemporaryDirectory(prefix="deadweight-publish-") as folder:
        lay_out(Path(folder), kind, files, **more)
        return crane.push(Path(folder), reference, insecure=insecure)


def _pulled(reference: str, name: str) -> str | None:
    """The text of the file of that name in an artifact, None where there is none."""
    remote = Remote(reference, seconds=120)
    layers: Sequence[Any] = remote.parsed(remote.manifest()).get("layers") or ()
    for layer in layers:
        if isinstance(layer, dict) and (layer.get("annotations") or {}).get(TITLE) == name:
            return remote.content(str(layer.get("digest")), most=MOST_BYTES).decode(errors="replace")
    return None


def _blob(folder: Path, media_type: str, content: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    (folder / digest).write_bytes(content)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


# A report to a folder, a CI, or a registry.
ARTIFACT_TYPE = "application/vnd.deadweight.report.v1"
REPORT_TYPES = {
    REPORT_FILE: "application/vnd.deadweight.report.v1+json",
    reports.MARKDOWN_FILE: "text/markdown",
    reports.PAGE_FILE: "text/html",
    reports.HISTORY_FILE: "application/jsonl",
}
"""Media types in the artifact; the pictures are ``image/svg+xml``. The artifact's own type is ``ARTIFACT_TYPE``."""

OURS = {*REPORT_TYPES, reports.COMPARISON_FILE, ".nojekyll", "badges"}


@dataclass(frozen=True)
class Published:
    """``where`` it can be found, ``digest`` in a registry, ``output``: Markdown for stdout where a CI has no summary file."""

    where: str
    digest: str | None = None
    note: str = ""
    output: str = ""


def publish(
    report_folder: Path, to: str, *, changed: Comparison | None = None, history: Path | None = None
) -> Published:
    """Publish the report that lies in ``report_folder``, with its history, which is merged with one that lies at the target.

    ``to``: a folder, ``ci``, or ``oci://REGISTRY/REPOSITORY[:TAG]``. ``changed``, since an earlier report, is marked on the page
    and stands first in a CI summary. Raises ConfigError where there is no report, UsageError for a folder that holds anything else,
    CommandError where a registry refuses.
    """
    report = reports.load_report(report_folder)
    if to.startswith(OCI_PREFIX):
        return _to_registry(report, to.removeprefix(OCI_PREFIX), changed, history)
    if to == "ci":
        return _to_ci(report, changed)
    if not to or "://" in to:
        raise UsageError(wording("publish.destination", to=to))
    return _to_folder(report, Path(to).absolute(), changed, history)


# Badges as JSON for shields.io's endpoint badge (schemaVersion 1): a size for each variant, and the ladder's ratio.


def badges(report: Report) -> dict[str, str]:
    """File name to content. A figure that rests on a stand-in says so; what is not measured is grey, never zero."""
    files = {}
    for name, record in report.variants.items():
        size = size_of(record)
        message = figures.size(size) + (f" ({figures.STAND_IN})" if record.stand_in and size is not None else "")
        files[f"{name}.json"] = _badge(f"{name} image", message, known=size is not None)
    for ladder in ladders(report):
        ends = {ladder.largest_bytes, ladder.smallest_bytes} - {None}
        resting = any(row.record.stand_in for row in ladder.rows if size_of(row.record) in ends)
        ratio = figures.ratio(ladder.largest_bytes, ladder.smallest_bytes)
        ratio += f" ({figures.STAND_IN})" if resting else ""
        known = ladder.smallest_bytes is not None
        files[f"ladder-{ladder.name}.json"] = _badge(f"{ladder.title} images, largest : smallest", ratio, known=known)
    return files


def _badge(label: str, message: str, *, known: bool) -> str:
    colour = "blue" if known else "lightgrey"
    return json.dumps({"schemaVersion": 1, "label": label, "message": message, "color": colour}) + "\n"


def _with_history(report: Report, ours: Path | None, theirs: tuple[HistoryEntry, ...]) -> tuple[Report, str]:
    """The report with the history of both places, and that history as it is kept."""
    own = reports.read(ours, report.suite) if ours is not None else report.history
    entries = reports.merged(theirs, own)
    return replace(report, history=entries[-reports.IN_REPORT :]), reports.text(entries)


def _to_folder(report: Report, target: Path, changed: Comparison | None, history: Path | None) -> Published:
    """Make the new folder beside the old one, then change places: a reader sees the old report or the new, never half."""
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise UsageError(wording("publish.no_folder", path=target))
    if foreign := _foreign(target):
        raise UsageError(wording("publish.foreign_file", folder=target, file=foreign))
    report, entries = _with_history(report, history, reports.read(target / reports.HISTORY_FILE, report.suite))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as beside:
            fresh = Path(beside) / "new"
            (fresh / "badges").mkdir(parents=True)
            reports.write_report(report, fresh, changed)
            texts = {f"badges/{name}": content for name, content in badges(report).items()}
            for name, content in {**texts, reports.HISTORY_FILE: entries, ".nojekyll": ""}.items():
                (fresh / name).write_text(content, encoding="utf-8")
            if target.exists():
                target.rename(Path(beside) / "old")
            fresh.rename(target)
    except OSError as error:
        message = wording("records.unwritable", path=target, problem=error.strerror)
        raise DeadweightError(message, hint="publish to a folder that you can write to") from error
    return Published(str(target / reports.PAGE_FILE))


def _foreign(target: Path) -> str | None:
    entries = sorted(entry.name for entry in target.iterdir()) if target.is_dir() else []
    if REPORT_FILE not in entries:
        return next(iter(entries), None)
    return next((name for name in entries if name not in OURS and not fnmatch(name, "ladder-*.svg")), None)


def _to_ci(report: Report, changed: Comparison | None) -> Published:
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    first = "" if changed is None else comparison_markdown(changed) + "\n"
    text = first + render_markdown(report)
    if not summary:
        return Published("stdout", note="there is no step summary: GITHUB_STEP_SUMMARY is not set", output=text)
    file = Path(summary)
    try:
        with file.open("a", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        message = wording("records.unwritable", path=file, problem=error.strerror)
        raise DeadweightError(message, hint="GITHUB_STEP_SUMMARY must name a file that this job can write") from error
    return Published(str(file))


def _to_registry(report: Report, reference: str, changed: Comparison | None, history: Path | None) -> Published:
    in_registry(reference)
    report, entries = _with_history(report, history, _pushed_history(report, reference))
    with tempfile.TemporaryDirectory(prefix="deadweight-publish-") as temporary:
        folder = Path(temporary)
        reports.write_report(report, folder, changed)
        (folder / reports.HISTORY_FILE).write_text(entries, encoding="utf-8")
        types = REPORT_TYPES | ({reports.COMPARISON_FILE: "text/markdown"} if changed is not None else {})
        files = tuple(ArtifactFile(name, kind, (folder / name).read_bytes()) for name, kind in types.items())
    annotations = {"org.opencontainers.image.created": report.generated_at, TITLE: report.suite}
    return Published(f"{OCI_PREFIX}{reference}", _push_files(reference, ARTIFACT_TYPE, files, annotations=annotations))


def _pushed_history(report: Report, reference: str) -> tuple[HistoryEntry, ...]:
    """The history of the report that this reference names now; none where it names nothing that can be read."""
    try:
        return reports.parse(_pulled(reference, reports.HISTORY_FILE) or "", report.suite)
    except RegistryError:
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
        pulled = _pulled(against.removeprefix(OCI_PREFIX), REPORT_FILE)
        if pulled is None:
            raise UsageError(wording("publish.no_report", reference=against, file=REPORT_FILE))
        return reports.parse_report(pulled.encode(), origin=against)
    if not against.strip():
        raise UsageError(wording("publish.no_report_given", flag=flag), hint=HINT)
    for path in (Path.cwd() / against, root / against):
        if path.exists():
            return reports.load_report(path)
    revision, colon, inside = against.partition(":")
    if colon and revision and inside and not revision.startswith("-"):
        return _from_git(revision, inside, root, flag)
    raise UsageError(wording("publish.no_such_report", flag=flag, path=against), hint=HINT)


def _from_git(revision: str, inside: str, root: Path, flag: str) -> Report:
    name = f"{revision}:{inside}"
    try:
        text = run(["git", "cat-file", "blob", "--end-of-options", name], cwd=root, timeout=60).output
    except CommandError as error:
        reason = error.tail[-1] if error.tail else error.reason
        raise UsageError(wording("publish.not_in_git", flag=flag, name=name, problem=reason)) from error
    return reports.parse_report(text.encode(), origin=name)
