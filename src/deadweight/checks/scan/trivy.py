"""Run Trivy, parse its JSON output into records, and keep them, so that no image is scanned twice. No other module sees its JSON.

- It runs in an empty folder, so no ``trivy.yaml`` or ``.trivyignore`` changes the result.
- Packages inside packages count (``--detection-priority comprehensive``). By default Trivy skips a Go binary installed by an
  APK, even if it knows nothing about that APK's distribution, and such an image looks clean. If the database does know
  the distribution, its advisories cover such files, and the extra rows are removed here so that nothing is counted
  twice. The exception is the image's own program, which no distribution's advisories cover.
- Results are kept by image, database and scanner. What Trivy would download, and what replaces it if only packages are wanted:
  see ``database.prepare``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deadweight._errors import ArchiveError, DeadweightError, wording
from deadweight._run import run
from deadweight.checks.scan.database import ALONE, Database, prepare
from deadweight.checks.scan.model import SEVERITIES, Kind, ScannedImage, ScanRow, buckets_of_os
from deadweight.records.store import load, save, write_atomically
from deadweight.toolchain.find import Tool, find

if TYPE_CHECKING:
    from deadweight.checks.protocol import Subject

OFFLINE = ("--skip-db-update", "--skip-java-db-update", "--offline-scan")
WHAT = (
    *("--detection-priority", "comprehensive", "--pkg-types", "os,library"),
    *("--severity", "UNKNOWN,LOW,MEDIUM,HIGH,CRITICAL", "--ignore-unfixed=false", "--exit-code", "0"),
)
FORMATS = {"spdx": "spdx-json", "cyclonedx": "cyclonedx"}
KERNEL_HEADERS = frozenset({"linux-libc-dev", "linux-headers", "kernel-headers", "glibc-kernheaders"})
MAX_JSON_BYTES = 512 * 2**20


FORMAT = 2
"""Raised when the scanner is asked in another way, or what is kept would be read out of its document in another way."""

_locks: defaultdict[Path, threading.Lock] = defaultdict(threading.Lock)
"""The scanner's cache takes one scanner at a time; processes are kept apart by the project's lock."""


class ScannerError(DeadweightError):
    """The scanner ended well and printed something that is no result."""


def scanner() -> Tool:
    """The scanner. Raises MissingError with the command that gets it."""
    return find("trivy")


def folder(subject: Subject) -> Path:
    """Where a variant's scans are kept."""
    return subject.state.cache / "scan" / subject.variant.name


def scan_image(subject: Subject, database: Database) -> ScannedImage:
    """The scan of a variant's image, made now if it is not kept. Raises what ``scan`` raises, and MissingError."""
    digest, version = subject.built.config_digest, scanner().version
    packages, file = _document_file(subject), folder(subject) / f"scan-{_key(digest, database.identity, version)}.json"
    kept = load(ScannedImage, file)
    if kept is not None and kept.image_digest == digest:
        return kept
    whole = database.buckets - database.lacks.keys()  # only a whole one speaks for files of the distribution's packages
    image = parsed(_scan_archive(subject, database.folder), version, whole)
    if not image.os_family:
        image = replace(image, hides_os=image.hides_os or _names_an_os(subject.archive()))
    if image.image_digest != digest:
        packages.unlink(missing_ok=True)
        other, variant = image.image_digest or "unknown", subject.variant.name
        raise ArchiveError(wording("scan.other_image", variant=variant, found=other, expected=digest))
    for old in {*file.parent.glob("scan-*.json"), *file.parent.glob("packages-*.json")} - {packages}:
        old.unlink(missing_ok=True)
    save(image, file)
    return image


def packages(subject: Subject) -> Path:
    """The scanner's document on a variant's image, for SBOMs, made now (no database is needed) if it is not kept."""
    file = _document_file(subject)
    if not file.is_file():
        _scan_archive(subject, None)
    return file


def _scan_archive(subject: Subject, database: Path | None) -> dict[str, Any]:
    place, timeout = folder(subject), subject.suite.scan.timeout_seconds
    with _locks[place]:
        archive, kept = subject.archive(), _document_file(subject)
        return scan(archive, database=database, cache=place / "trivy", timeout=timeout, kept_json=kept)


def _document_file(subject: Subject) -> Path:
    return folder(subject) / f"packages-{_key(subject.built.config_digest)}.json"


def _key(*parts: str) -> str:
    return hashlib.sha256(" ".join((str(FORMAT), *parts)).encode()).hexdigest()[:32]


def _names_an_os(archive: Path) -> bool:
    """Whether the image says what system it is, in a form that the scanner does not read."""
    from deadweight._packages import images

    for path in ("/etc/os-release", "/usr/lib/os-release"):
        with contextlib.suppress(ArchiveError):
            return bool(images.read_file(archive, path)[0])
    return False


def scan(
    archive: Path, *, database: Path | None, cache: Path, timeout: float, kept_json: Path | None = None
) -> dict[str, Any]:
    """The scanner's document on an archive. ``cache`` is a folder that no other scan uses at the same time.

    Without a database only packages are listed. ``kept_json`` gets the document as it is.
    Raises ArchiveError (no archive there), CommandError (it fails or takes longer than ``timeout`` seconds), ScannerError.
    """
    if not archive.exists():
        raise ArchiveError(wording("scan.archive_gone", archive=archive))
    prepare(cache, database)
    with tempfile.TemporaryDirectory(prefix="deadweight-scan-") as empty:
        output = Path(empty) / "result.json"
        words = [str(scanner().path), "image", "--cache-dir", str(cache.absolute()), *OFFLINE, *WHAT]
        words += ["--scanners", "vuln,license" if database is None else "vuln", "--timeout", f"{timeout:.0f}s"]
        words += ["--format", "json", "--list-all-pkgs", "--output", str(output), "--input", str(archive.absolute())]
        hint = f"trivy image --input {archive} shows more"
        run(words, cwd=Path(empty), env=ALONE, timeout=timeout + 5, hint=hint)
        document = _json(output)
        if kept_json is not None:
            write_atomically(kept_json, output.read_bytes())
        return document


def _json(file: Path) -> dict[str, Any]:
    """What the scanner wrote. Raises ScannerError."""
    try:
        if file.stat().st_size > MAX_JSON_BYTES:
            raise ScannerError(wording("scan.trivy_report_too_large", limit=MAX_JSON_BYTES // 2**20))
        document = json.loads(file.read_bytes())
    except OSError:
        raise ScannerError(wording("scan.trivy_no_result")) from None
    except ValueError as error:
        raise ScannerError(wording("scan.trivy_not_json", problem=error)) from error
    if not isinstance(document, dict) or not isinstance(document.get("Results") or [], list):
        raise ScannerError(wording("scan.trivy_no_scan"))
    return document


def parsed(document: Mapping[str, Any], tool_version: str, buckets: frozenset[str]) -> ScannedImage:
    """The records of a scanner's document. ``buckets`` are those of the database that are whole.

    Raises ScannerError where the document has another shape.
    """
    try:
        return _parsed(document, tool_version, buckets)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ScannerError(wording("scan.trivy_unknown_format", problem=error)) from error


def _parsed(document: Mapping[str, Any], tool_version: str, buckets: frozenset[str]) -> ScannedImage:
    metadata = document["Metadata"] or {}
    system = metadata.get("OS") or {}
    family, version = str(system.get("Family") or ""), str(system.get("Name") or "")
    results = [result for result in document.get("Results") or [] if result.get("Class") in ("os-pkgs", "lang-pkgs")]
    brought = [(result, package) for result in results for package in result.get("Packages") or []]
    installed = [
        (str(package["Name"]), tuple(map(str, package.get("InstalledFiles") or [])))
        for result, package in brought
        if result["Class"] == "os-pkgs"
    ]
    owned: set[str] = set()
    if buckets_of_os(buckets, family, version):
        owned = {file.lstrip("/") for _, files in installed for file in files} - {*_own_programs(metadata), ""}
    findings = [row for result in results for row in _rows(result) if row.path not in owned]
    order = {severity: index for index, severity in enumerate(SEVERITIES)}
    findings.sort(key=lambda row: (order[row.severity], row.id, row.kind, row.package, row.path, row.version))
    languages = Counter(
        str(result["Type"])
        for result, package in brought
        if result["Class"] == "lang-pkgs" and _place(package.get("FilePath"), result) not in owned
    )
    named = {row.package for row in findings if row.kind != "language"}
    return ScannedImage(
        image_digest=str(metadata.get("ImageID") or ""),
        tool_version=tool_version,
        os_family="" if family == "none" else family,
        os_version=version,
        os_packages=len(installed),
        languages=dict(languages),
        findings=tuple(findings),
        owners={name: files for name, files in installed if name in named},
        hides_os=family == "none",
    )


def _own_programs(metadata: Mapping[str, Any]) -> set[str]:
    """What the image starts: the first words of entry point and command."""
    config = (metadata.get("ImageConfig") or {}).get("config") or {}
    return {str((config.get(key) or [""])[0]).lstrip("/") for key in ("Entrypoint", "Cmd")}


def _place(path: Any, result: Mapping[str, Any]) -> str:
    """Where a package lies, as the scanner writes paths: without a leading slash. A binary is all that its result is of."""
    target = result["Target"] if result["Type"] in ("gobinary", "rustbinary") else ""
    return str(path or target).lstrip("/")


def _rows(result: Mapping[str, Any]) -> Iterator[ScanRow]:
    for row in result.get("Vulnerabilities") or []:
        severity = str(row.get("Severity") or "UNKNOWN").lower()
        kind: Kind = "language" if result["Class"] == "lang-pkgs" else "os"
        name = str(row["PkgName"])
        if kind == "os" and (name in KERNEL_HEADERS or name.startswith("linux-headers-")):
            kind = "kernel_headers"
        yield ScanRow(
            id=str(row["VulnerabilityID"]),
            package=name,
            version=str(row.get("InstalledVersion") or ""),
            severity=next((known for known in SEVERITIES if known == severity), "unknown"),
            kind=kind,
            fixed_version=str(row["FixedVersion"]) if row.get("FixedVersion") else None,
            path=_place(row.get("PkgPath"), result) if kind == "language" else "",
            ecosystem=str(result["Type"]),
            purl=str((row.get("PkgIdentifier") or {}).get("PURL") or ""),
            title=str(row.get("Title") or ""),
            url=str(row.get("PrimaryURL") or ""),
            aliases=tuple(map(str, row.get("VendorIDs") or [])),
        )


def convert(document: Path, form: str, folder: Path, *, name: str) -> dict[str, Any]:
    """A kept document as an SBOM, ``spdx`` or ``cyclonedx``, of an image called ``name``; it does not tell where the archive lay.

    It lists packages alone, the same before and after a scan: of a vulnerability without an address the scanner would write half
    an external reference into SPDX. Raises CommandError, ScannerError.
    """
    output, named = folder / "sbom.json", folder / "named.json"
    content = _json(document)
    place, content["ArtifactName"] = str(content.get("ArtifactName") or ""), name
    for result in content.get("Results") or []:
        if place and str(result.get("Target")).startswith(place):
            result["Target"] = name + str(result["Target"]).removeprefix(place)
        result.pop("Vulnerabilities", None)
    named.write_text(json.dumps(content), encoding="utf-8")
    words = [str(scanner().path), "convert", "--cache-dir", str(folder / "cache"), "--quiet", "--format", FORMATS[form]]
    run([*words, "--output", str(output), str(named)], cwd=folder, env=ALONE, timeout=120)
    return _json(output)
