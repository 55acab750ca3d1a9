"""Analyse all layers of an image archive: the function behind ``invoke layers`` and the ``layers`` check."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deadweight_images.archive.compression import recognize_compression
from deadweight_images.archive.store import is_folder, mapped, released
from deadweight_images.inspect.cache import Cache, apply_allowlist, identity, probe_for

if TYPE_CHECKING:
    from datetime import date

    from deadweight_images.findings import LayersReport, Scanned
    from deadweight_images.secrets.model import AllowEntry
    from deadweight_images.secrets.scanner import Scanner


EDITION = 14
"""Raised when the same look at the same archive gives another report: what the cache holds is then made anew."""


def analyse(
    path: Path,
    *,
    scan: Scanned = "deep",
    allow: Iterable[AllowEntry] = (),
    today: date | None = None,
    platform: str | None = None,
    name: str | None = None,
    cache_dir: Path | None = None,
    scanner: Scanner | None = None,
) -> LayersReport:
    """What the layers of an image hold and hide. ``path`` is an archive, plain or compressed as a whole, or an OCI layout folder.

    ``scan``: ``deep`` looks for secrets in every file, encoded and packed content too; ``plain`` in plain bytes only; ``hidden``
    only in files that later layers hide; ``no`` not at all. ``allow`` takes findings off the count, not out of the report.
    With ``cache_dir`` results are kept per layer digest and rule set; a file that is still the very same is not hashed again.
    Raises ArchiveError for what is damaged, hostile or no image archive; UsageError where ``platform`` or ``name`` must say
    which image is meant.
    """
    rule_set = "" if scan == "no" else _rules_of(scanner)
    packed = not is_folder(path) and _is_packed(path)
    cache, stamp = Cache(cache_dir), identity(path)
    key = f"{EDITION} {scan} {rule_set} {platform} {name}"
    report = cache.report(stamp, key)
    if report is None:
        if packed:
            from deadweight_images.inspect.stream import scan_stream

            probe = probe_for("deep" if scan == "hidden" else scan, scanner)
            with path.open("rb") as file:
                report = scan_stream(file, str(path), probe, scan, platform, name, cache_dir)
        else:
            from deadweight_images.archive.archive import Archive, open_archive
            from deadweight_images.inspect.read_archive import Look

            def opened() -> Archive:
                return open_archive(path, platform=platform, name=name)

            content = content_key(scan, scanner)
            report = Look(opened, path, lambda: probe_for(scan, scanner), content, scan, cache, stamp).report()
        if identity(path) == stamp:
            cache.keep_report(report, stamp, key)
    return apply_allowlist(report, allow, today)


def _is_packed(path: Path) -> bool:
    """Whether the archive as a whole is compressed (``docker image save … | gzip``): it is then read as a stream."""
    view = mapped(path)
    try:
        return recognize_compression(view[:4]) != "none"
    finally:
        released(view)


def content_key(scan: Scanned, scanner: Scanner | None) -> str:
    """What the findings in a layer depend on beside its bytes."""
    return "no" if scan == "no" else f"{_rules_of(scanner)}-{'plain' if scan == 'plain' else 'deep'}"


def _rules_of(scanner: Scanner | None) -> str:
    if scanner is not None:
        return scanner.rule_set
    from deadweight_images.secrets.model import rules_version

    return rules_version()


def document(report: LayersReport, **more: Any) -> str:
    """The report, and what the caller adds to it, as indented JSON that commands no terminal."""
    from deadweight_images.archive.model import harmless

    text = json.dumps({**report.json(), **more}, indent=2, ensure_ascii=False)
    return harmless(text.encode("utf-8", "backslashreplace").decode("utf-8"))
