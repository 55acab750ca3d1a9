"""Define the evidence record: what one check found about one image, and how."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

Status = Literal["pass", "warn", "fail", "not_measured"]


@dataclass(frozen=True)
class Provenance:
    """How a figure was obtained. ``at`` is an ISO 8601 time in UTC; ``database_updated_at`` is set if a database was used;
    ``place`` is the engine's name if a pool has several engines."""

    image_digest: str
    tool: str
    tool_version: str
    at: str
    database_updated_at: str | None = None
    place: str | None = None


@dataclass(frozen=True)
class Evidence:
    """One check's finding. "Not measured" is a separate status, never a zero.

    ``expected`` is False where the suite says ``expect: {<check>: fail}`` for this variant and the check passed, or where it
    failed without that; ``asked`` tells by what the suite asked it was judged (``criteria_of``), empty where nobody noted it;
    ``gated`` is False where the suite sets no gate: it was measured, and could not fail;
    ``reason`` is one line for a human, ``code`` its code in the catalogue of messages; ``data`` is the check's own record as JSON
    (its shape is in the check's module and in the report's JSON Schema).
    """

    variant: str
    check: str
    status: Status
    reason: str
    provenance: Provenance
    expected: bool = True
    seconds: float = 0.0
    data: dict[str, Any] = field(default_factory=dict)
    asked: str = ""
    gated: bool = True
    code: str = ""

    @property
    def ok(self) -> bool:
        """Whether ``verify`` may be green: the outcome is the expected one."""
        return self.expected


def judged(evidence: Evidence, *, expects_failure: bool) -> Evidence:
    """The same evidence, with ``expected`` set by what the suite said of this variant."""
    return replace(evidence, expected=(evidence.status == "fail") == expects_failure)
