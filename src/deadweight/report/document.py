"""``report.json`` as bytes: written, and read by whoever compares, joins or publishes reports."""

from __future__ import annotations

from pathlib import Path

from deadweight._errors import ConfigError
from deadweight.report.model import REPORT_FILE, SCHEMA, Report

MAX_REPORT_BYTES = 64 * 1024 * 1024
HINT = "use a report.json that invoke report of this version wrote"


def to_json(report: Report) -> bytes:
    """The report as indented JSON. Raises ConfigError if a record breaks its own schema (validated before it is written)."""
    from pydantic import TypeAdapter

    adapter = TypeAdapter(Report)
    content = adapter.dump_json(report, indent=2, warnings="none") + b"\n"
    parse_report(content, origin=REPORT_FILE)
    return content


def parse_report(content: bytes, *, origin: str | Path) -> Report:
    """Read a report. ``origin`` is named in the error. Raises ConfigError for anything that is not a schema-1 report."""
    from pydantic import TypeAdapter, ValidationError

    if len(content) > MAX_REPORT_BYTES:
        raise ConfigError(f"is larger than {MAX_REPORT_BYTES} bytes, so it is not a report", file=origin, hint=HINT)
    try:
        return TypeAdapter(Report).validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or None
        raise ConfigError(
            f"is not a report of schema {SCHEMA}: {first['msg']}",
            file=origin,
            key=key,
            hint=HINT,
        ) from error


def load_report(path: Path) -> Report:
    """Read ``report.json``, given the file or the folder that holds it. Raises ConfigError."""
    file = path / REPORT_FILE if path.is_dir() else path
    try:
        if file.stat().st_size > MAX_REPORT_BYTES:
            raise ConfigError(f"is larger than {MAX_REPORT_BYTES} bytes, so it is not a report", file=file, hint=HINT)
        return parse_report(file.read_bytes(), origin=file)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=file, hint="invoke report writes one") from error
