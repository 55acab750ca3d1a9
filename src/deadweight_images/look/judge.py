"""What a look at an image starts with and ends with: the probe for a mode, and the allow list put beside the findings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date

    from deadweight_images.findings import LayersReport, Scanned
    from deadweight_images.secrets.allow import AllowEntry
    from deadweight_images.secrets.regions import Probe
    from deadweight_images.secrets.scanner import Scanner


def probe_for(scan: Scanned, scanner: Scanner | None) -> Probe | None:
    """A probe for a mode of ``analyse``; None for ``no``."""
    if scan == "no":
        return None
    from deadweight_images.secrets.regions import Probe
    from deadweight_images.secrets.scanner import Scanner

    return Probe(scanner or Scanner.default(), decode=scan != "plain")


def judged(report: LayersReport, allow: Iterable[AllowEntry], today: date | None = None) -> LayersReport:
    """The same report with the reason of the allow list beside each finding that is on it (and not expired)."""
    entries = tuple(allow)
    if not entries:
        return report
    from dataclasses import replace
    from datetime import date

    day = today or date.today()  # noqa: DTZ011 - expiry dates are the user's own days
    reasons = {e.fingerprint.lower(): e.reason for e in entries if e.expires is None or e.expires >= day}
    hidden = tuple(
        replace(file, secrets=tuple(replace(mark, allowed=reasons.get(mark.fingerprint)) for mark in file.secrets))
        for file in report.hidden
    )
    secrets = tuple(replace(secret, allowed=reasons.get(secret.fingerprint)) for secret in report.secrets)
    return replace(report, hidden=hidden, secrets=secrets)
