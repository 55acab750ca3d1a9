"""Cache scan results by image, database and scanner, so no combination is scanned twice."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from dataclasses import replace
from pathlib import Path

from deadweight._errors import ArchiveError, wording
from deadweight.checks.protocol import Subject
from deadweight.checks.scan import model, trivy
from deadweight.checks.scan.database import Database
from deadweight.checks.scan.model import ScannedImage
from deadweight.records import store
from deadweight.records.paths import State

FORMAT = 2
"""Raised when the scanner is asked in another way, or what is kept would be read out of its document in another way."""

_locks: dict[Path, threading.Lock] = {}
_guard = threading.Lock()


def folder(state: State, variant: str) -> Path:
    """Where a variant's scans are kept."""
    return state.cache / "scan" / variant


def document_file(state: State, variant: str, image_digest: str) -> Path:
    """The scanner's own document on an image: its packages, for SBOMs."""
    return folder(state, variant) / f"packages-{_short(f'{FORMAT} {image_digest}')}.json"


def scan(subject: Subject, database: Database, buckets: frozenset[str]) -> ScannedImage:
    """The scan of a variant's image, made now if it is not kept. Raises what ``trivy.scan`` raises, and MissingError."""
    digest, tool = subject.built.config_digest, trivy.scanner()
    place = folder(subject.state, subject.variant.name)
    file = place / f"scan-{_short(f'{FORMAT} {digest} {database.identity} {tool.version}')}.json"
    found = store.load(ScannedImage, file)
    if found is not None and found.image_digest == digest:
        return found
    packages = document_file(subject.state, subject.variant.name, digest)
    with _lock(place):
        document = trivy.scan(
            subject.archive(),
            database=database.folder,
            cache=place / "trivy",
            timeout=subject.suite.scan.timeout_seconds,
            kept_json=packages,
        )
    whole = buckets - database.lacks.keys()  # only a whole one speaks for files of the distribution's packages
    image = trivy.parsed(document, tool.version, lambda family, version: model.covers_os(whole, family, version))
    if not image.os_family:
        image = replace(image, hides_os=image.hides_os or _names_an_os(subject.archive()))
    if image.image_digest != digest:
        packages.unlink(missing_ok=True)
        raise ArchiveError(
            wording(
                "scan.other_image", variant=subject.variant.name, found=image.image_digest or "unknown", expected=digest
            )
        )
    for old in (*place.glob("scan-*.json"), *(each for each in place.glob("packages-*.json") if each != packages)):
        old.unlink(missing_ok=True)
    store.save(image, file)
    return image


def packages(subject: Subject) -> Path:
    """The scanner's document on a variant's image, made now (no database is needed) if it is not kept."""
    file = document_file(subject.state, subject.variant.name, subject.built.config_digest)
    if not file.is_file():
        place, timeout = folder(subject.state, subject.variant.name), subject.suite.scan.timeout_seconds
        with _lock(place):
            trivy.scan(subject.archive(), database=None, cache=place / "trivy", timeout=timeout, kept_json=file)
    return file


def _names_an_os(archive: Path) -> bool:
    """Whether the image says what system it is, in a form that the scanner does not read."""
    from deadweight._packages import images

    for path in ("/etc/os-release", "/usr/lib/os-release"):
        with contextlib.suppress(ArchiveError):
            return bool(images.read_file(archive, path)[0])
    return False


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _lock(place: Path) -> threading.Lock:
    """The scanner's cache takes one scanner at a time; processes are kept apart by the project's lock."""
    with _guard:
        return _locks.setdefault(place, threading.Lock())
