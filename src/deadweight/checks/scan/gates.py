"""The suite's gates on a scan: how many findings of each severity there may be, and of which."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from deadweight._errors import ConfigError
from deadweight.checks.scan.exceptions import Acceptance
from deadweight.checks.scan.model import SEVERITIES, Found, distinct
from deadweight.suite.checks import VulnerabilitiesCheck
from deadweight.suite.model import Suite, Variant

MAX_REPORT_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Gate:
    """One gate and how it ended. ``warning`` marks what is told but fails nothing."""

    name: str
    held: bool
    reason: str
    warning: bool = False


def severity_gates(
    asked: VulnerabilitiesCheck, findings: Sequence[Found], baseline: frozenset[tuple[str, str, str]] | None
) -> Iterator[Gate]:
    """``max``, counting what ``fixable_only`` and ``new_only`` leave. The findings given are those that count."""
    counted = [row for row in distinct(findings) if row.kind != "kernel_headers"]
    words = []
    if asked.fixable_only:
        counted, words = [row for row in counted if row.fixed_version], ["fixable"]
    if asked.new_only and baseline is not None:
        counted, words = [row for row in counted if row.key not in baseline], [*words, "new"]
    for severity in SEVERITIES:
        limit = asked.max.get(severity)
        if limit is not None:
            rows = [row for row in counted if row.severity == severity]
            named = ", ".join(dict.fromkeys(row.id for row in rows[:20]))
            kind = " ".join([*words, severity])
            said = f"{len(rows)} {kind}, {limit} allowed" + (f": {named[:120]}" if len(rows) > limit else "")
            yield Gate(f"max.{severity}", len(rows) <= limit, said)


def exception_gates(accepted: Sequence[Acceptance], used: set[Acceptance], today: date) -> Iterator[Gate]:
    """An entry that has expired fails; one that nothing needs is told."""
    for entry in accepted:
        if entry.expired(today):
            yield Gate(
                "exceptions", False, f"{entry.origin} expired on {entry.expires}; fix the finding, or renew the entry"
            )
        elif entry not in used:
            yield Gate("exceptions", False, f"{entry.origin} matches no finding", warning=True)


def baseline_keys(suite: Suite, variant: Variant) -> frozenset[tuple[str, str, str]] | None:
    """The findings that the earlier report has of this variant; None where the suite does not ask for new ones only.

    Raises ConfigError for a baseline that is no report or was not scanned.
    """
    asked = variant.checks.vulnerabilities
    if asked is None or not asked.new_only or asked.baseline is None:
        return None
    file = suite.root / asked.baseline
    try:
        if file.stat().st_size > MAX_REPORT_BYTES:
            raise ConfigError(
                f"is larger than {MAX_REPORT_BYTES} bytes, so it is not a report",
                file=file,
                hint="invoke report writes one",
            )
        record = json.loads(file.read_bytes())["variants"].get(variant.name)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=file, hint="invoke report writes one") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ConfigError("is not a report", file=file, hint="invoke report writes one") from None
    return _keys(record, file)


def _keys(record: Any, file: Any) -> frozenset[tuple[str, str, str]]:
    if record is None:
        return frozenset()
    try:
        scan = record["vulnerabilities"]
        if scan["status"] != "scanned":
            raise ConfigError(
                f"the images in this report were {scan['status'].replace('_', ' ')}, so new findings cannot be told from old ones",
                file=file,
                hint="make the baseline with invoke scan and invoke report",
            )
        return frozenset((str(row["id"]), str(row["kind"]), str(row["package"])) for row in scan["findings"])
    except (KeyError, TypeError, AttributeError):
        raise ConfigError("is not a report", file=file, hint="invoke report writes one") from None
