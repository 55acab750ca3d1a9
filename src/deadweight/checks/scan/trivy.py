"""Run Trivy and parse its JSON output into records. No other module sees Trivy's JSON.

- It runs in an empty folder, so no ``trivy.yaml`` or ``.trivyignore`` changes the result.
- Packages inside packages count (``--detection-priority comprehensive``). By default Trivy skips a Go binary installed by an
  APK, even if it knows nothing about that APK's distribution, and such an image looks clean. If the database does know
  the distribution, its advisories cover such files, and the extra rows are removed here so that nothing is counted
  twice. The exception is the image's own program, which no distribution's advisories cover.
- What Trivy would download, and what replaces it if only packages are wanted: see ``toolchain.trivy_cache``.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from deadweight._errors import ArchiveError, DeadweightError, wording
from deadweight._run import run
from deadweight.checks.scan.model import SEVERITIES, Found, Kind, ScannedImage
from deadweight.records.store import write_atomically
from deadweight.toolchain import trivy_cache
from deadweight.toolchain.find import Tool, find

OFFLINE = ("--skip-db-update", "--skip-java-db-update", "--offline-scan")
ALONE = {"TRIVY_SKIP_VERSION_CHECK": "true", "TRIVY_DISABLE_TELEMETRY": "true", "TRIVY_NO_PROGRESS": "true"}
"""It calls home by default. By environment, not by flags: older versions and some of its commands lack the flags."""
WHAT = (
    *("--detection-priority", "comprehensive", "--pkg-types", "os,library"),
    *("--severity", "UNKNOWN,LOW,MEDIUM,HIGH,CRITICAL", "--ignore-unfixed=false", "--exit-code", "0"),
)
FORMATS = {"spdx": "spdx-json", "cyclonedx": "cyclonedx"}
KERNEL_HEADERS = frozenset({"linux-libc-dev", "linux-headers", "kernel-headers", "glibc-kernheaders"})
DOWNLOAD_SECONDS = 900.0
MAX_JSON_BYTES = 512 * 2**20


class ScannerError(DeadweightError):
    """The scanner ended well and printed something that is no result."""


def scanner() -> Tool:
    """The scanner. Raises MissingError with the command that gets it."""
    return find("trivy")


def scan(
    archive: Path, *, database: Path | None, cache: Path, timeout: float, kept_json: Path | None = None
) -> dict[str, Any]:
    """The scanner's document on an archive. ``cache`` is a folder that no other scan uses at the same time.

    Without a database only packages are listed. ``kept_json`` gets the document as it is.
    Raises ArchiveError (no archive there), CommandError (it fails or takes longer than ``timeout`` seconds), ScannerError.
    """
    if not archive.exists():
        raise ArchiveError(wording("scan.archive_gone", archive=archive))
    trivy_cache.prepare(cache, database)
    with tempfile.TemporaryDirectory(prefix="deadweight-scan-") as empty:
        output = Path(empty) / "result.json"
        looks = "vuln,license" if database is None else "vuln"
        words = [str(scanner().path), "image", "--cache-dir", str(cache.absolute()), *OFFLINE, *WHAT]
        words += ["--scanners", looks]
        words += ["--timeout", f"{timeout:.0f}s", "--format", "json", "--list-all-pkgs", "--output", str(output)]
        run(
            [*words, "--input", str(archive.absolute())],
            cwd=Path(empty),
            env=ALONE,
            timeout=timeout + 5,
            hint=f"trivy image --input {archive} shows more",
        )
        document = _json(output)
        if kept_json is not None:
            write_atomically(kept_json, output.read_bytes())
        return document


def _json(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > MAX_JSON_BYTES:
            raise ScannerError(wording("scan.trivy_report_too_large", limit=MAX_JSON_BYTES // 2**20))
        parsed = json.loads(file.read_bytes())
    except OSError:
        raise ScannerError(wording("scan.trivy_no_result")) from None
    except ValueError as error:
        raise ScannerError(wording("scan.trivy_not_json", problem=error)) from error
    if not isinstance(parsed, dict) or not isinstance(parsed.get("Results") or [], list) or "Metadata" not in parsed:
        raise ScannerError(wording("scan.trivy_no_scan"))
    return parsed


def parsed(document: Mapping[str, Any], tool_version: str, covers: Callable[[str, str], bool]) -> ScannedImage:
    """The records of a scanner's document. ``covers`` tells whether the database knows an OS by family and version.

    Raises ScannerError where the document has another shape.
    """
    try:
        return _parsed(document, tool_version, covers)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ScannerError(wording("scan.trivy_unknown_format", problem=error)) from error


def _parsed(document: Mapping[str, Any], tool_version: str, covers: Callable[[str, str], bool]) -> ScannedImage:
    metadata = document["Metadata"] or {}
    system = metadata.get("OS") or {}
    family = str(system.get("Family") or "")
    results = [result for result in document.get("Results") or [] if result.get("Class") in ("os-pkgs", "lang-pkgs")]
    os_results = [result for result in results if result["Class"] == "os-pkgs"]
    known = covers(family, str(system.get("Name") or ""))
    owned = _files(os_results) - _own_programs(metadata) if known else frozenset()
    languages: dict[str, int] = {}
    findings: list[Found] = []
    for result in results:
        rows = list(_rows(result))
        if result["Class"] == "lang-pkgs":
            packages = [
                each for each in result.get("Packages") or [] if not _at(each, result) or _at(each, result) not in owned
            ]
            languages[str(result["Type"])] = languages.get(str(result["Type"]), 0) + len(packages)
            rows = [row for row in rows if not row.path or row.path not in owned]
        findings += rows
    languages = {name: number for name, number in languages.items() if number}
    order = {severity: index for index, severity in enumerate(SEVERITIES)}
    findings.sort(key=lambda row: (order[row.severity], row.id, row.kind, row.package, row.path, row.version))
    named = {row.package for row in findings if row.kind != "language"}
    return ScannedImage(
        image_digest=str(metadata.get("ImageID") or ""),
        tool_version=tool_version,
        os_family="" if family == "none" else family,
        os_version=str(system.get("Name") or ""),
        os_packages=sum(len(result.get("Packages") or []) for result in os_results),
        languages=languages,
        findings=tuple(findings),
        owners=dict(_owners(os_results, named)),
        hides_os=family == "none",
    )


def _files(os_results: list[Any]) -> frozenset[str]:
    """Files that the operating system's packages brought, as the scanner writes paths: without a leading slash."""
    packages = [package for result in os_results for package in result.get("Packages") or []]
    return frozenset(str(file).lstrip("/") for package in packages for file in package.get("InstalledFiles") or [])


def _own_programs(metadata: Mapping[str, Any]) -> frozenset[str]:
    """What the image starts: the first words of entry point and command."""
    config = (metadata.get("ImageConfig") or {}).get("config") or {}
    words = [config.get(key) or [""] for key in ("Entrypoint", "Cmd")]
    return frozenset(str(each[0]).lstrip("/") for each in words)


def _at(package: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    target = str(result["Target"]) if result["Type"] in ("gobinary", "rustbinary") else ""
    return str(package.get("FilePath") or target).lstrip("/")


def _owners(os_results: list[Any], named: set[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for result in os_results:
        for package in result.get("Packages") or []:
            if package["Name"] in named:
                yield str(package["Name"]), tuple(str(file) for file in package.get("InstalledFiles") or [])


def _rows(result: Mapping[str, Any]) -> Iterator[Found]:
    for each in result.get("Vulnerabilities") or []:
        severity = str(each.get("Severity") or "UNKNOWN").lower()
        kind: Kind = "language" if result["Class"] == "lang-pkgs" else "os"
        name = str(each["PkgName"])
        if kind == "os" and (name in KERNEL_HEADERS or name.startswith("linux-headers-")):
            kind = "kernel_headers"
        target = str(result["Target"]) if result["Type"] in ("gobinary", "rustbinary") else ""
        yield Found(
            id=str(each["VulnerabilityID"]),
            package=name,
            version=str(each.get("InstalledVersion") or ""),
            severity=next((known for known in SEVERITIES if known == severity), "unknown"),
            kind=kind,
            fixed_version=str(each["FixedVersion"]) if each.get("FixedVersion") else None,
            path=str(each.get("PkgPath") or target).lstrip("/") if kind == "language" else "",
            ecosystem=str(result["Type"]),
            purl=str((each.get("PkgIdentifier") or {}).get("PURL") or ""),
            title=str(each.get("Title") or ""),
            url=str(each.get("PrimaryURL") or ""),
            aliases=tuple(str(alias) for alias in each.get("VendorIDs") or []),
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
    try:
        made = json.loads(output.read_bytes())
    except (OSError, ValueError) as error:
        raise ScannerError(wording("scan.trivy_no_sbom", problem=error)) from error
    if not isinstance(made, dict):
        raise ScannerError(wording("scan.trivy_no_sbom", problem=type(made).__name__))
    return made


def download_database(references: tuple[str, ...], cache: Path) -> None:
    """Get a database into ``cache/db``. Raises CommandError where no repository gives one."""
    words = [str(scanner().path), "image", "--cache-dir", str(cache), "--download-db-only"]
    words += [word for reference in references for word in ("--db-repository", reference)]
    if all(reference.startswith(("127.0.0.1:", "localhost:")) for reference in references):
        words.append("--insecure")
    hint = "check that the repository can be reached, or set scan.database_repository in deadweight.yaml to a mirror"
    run(words, cwd=cache, env=ALONE, timeout=DOWNLOAD_SECONDS, hint=hint)
